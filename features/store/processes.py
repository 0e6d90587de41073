"""Worker processes of this machine that die with whoever started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """An executor of `count` processes; when the block fails or is interrupted they are ended at once.

    Ending them at any moment is safe for builders of a store, and waiting for them is not what Ctrl-C asks for.
    """
    others = set(multiprocessing.active_children())
    # a fresh interpreter each: numba's and Arrow's threads do not survive a fork
    executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_die_with_parent)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    executor.shutdown()


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever; Ctrl-C ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
