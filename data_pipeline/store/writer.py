"""The one writer of a store: takes the lock, recovers, then hands out the ledger."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.store.layout import LOCK_FILE
from data_pipeline.store.ledger import Ledger
from data_pipeline.store.problems import disk_troubles
from data_pipeline.store.recovery import Recovery, recover


@contextmanager
def open_store(root: Path) -> Iterator[tuple[Ledger, Recovery]]:
    """Open the store at `root` for writing, making it if need be; yields its ledger and what recovery did.

    Raises InputError when another process writes to it, when the disk refuses, and for a newer ledger.
    """
    with disk_troubles(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(root)
        try:
            ledger = Ledger(root, write=True)
            try:
                yield ledger, recover(ledger, int(time.time() * 1000))
            finally:
                ledger.close()
        finally:
            os.close(lock)  # gives the lock back, as the end of the process would


def _take_lock(root: Path) -> int:
    handle = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise InputError(
            f"another download (process {owner or 'unknown'}) writes to this store",
            where=str(root),
            remedy="wait for it, or use another folder",
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle
