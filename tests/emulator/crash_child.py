"""A fork server that runs downloads and kills them: each fork starts with everything imported, so a kill is cheap.

    python -m tests.emulator.crash_child SETTINGS.json

One JSON job a line on stdin, one JSON answer a line on stdout.

A job names a store and where to die: at the n-th commit point (`kill_at`), or after `kill_after` seconds. Commit points
are every SQL statement that writes, every fsync, rename, unlink and every Parquet write, before and after.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ccxt.async_support  # noqa: F401 - here, so that no fork has to
import pyarrow.parquet as pq
import trustme

from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.numbers import RowLayout, csv_columns, json_columns
from data_pipeline.download.run import download
from data_pipeline.store.ledger import Ledger
from tests.emulator.network import REST_HOSTS, Network

HANGS_AFTER_S = 20.0


class Points:
    """Counts commit points and dies at the wanted one."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self.count = 0
        self._lock = threading.Lock()

    def reach(self, *_: object) -> None:
        """One more point."""
        with self._lock:
            self.count += 1
            if self.count == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with a point before it and one after."""

        def wrapped(*args: Any, **options: Any) -> Any:
            self.reach()
            result = function(*args, **options)
            self.reach()
            return result

        return wrapped


def arm(points: Points, mutant: bool) -> None:
    """Put points around everything that reaches the disk. `mutant` takes the transactions away."""
    os.fsync = points.around(os.fsync)
    pq.write_table = points.around(pq.write_table)
    Path.replace = points.around(Path.replace)  # type: ignore[method-assign]
    Path.unlink = points.around(Path.unlink)  # type: ignore[method-assign]
    open_ledger = Ledger._open

    def traced(self: Ledger, write: bool) -> None:
        self.connection.set_trace_callback(lambda sql: None if sql.startswith(("SELECT", "PRAGMA")) else points.reach())
        open_ledger(self, write)

    Ledger._open = traced  # type: ignore[method-assign]
    if mutant:

        @contextmanager
        def no_transaction(self: Ledger) -> Iterator[Any]:
            yield self.connection

        Ledger.transaction = no_transaction  # type: ignore[method-assign, assignment]


def work(settings: dict[str, Any], job: dict[str, Any]) -> int:
    """In the fork: download until done or dead; returns the number of points passed."""
    points = Points(job.get("kill_at", 0))
    arm(points, job.get("mutant", False))
    certificate, key = (text.encode() for text in settings["authority"])
    network = Network(authority=trustme.CA.from_pem(certificate, key))
    network.serve(settings["port"], *REST_HOSTS, "data.binance.vision")
    config = DownloadConfig(
        **{**settings["config"], "symbols": tuple(settings["config"]["symbols"])}, store=Path(job["store"])
    )

    async def run() -> None:
        async with network.session() as session:
            await download(config, session=session)

    asyncio.run(run())
    return points.count


def serve(settings: dict[str, Any]) -> None:
    """Answer jobs until stdin ends."""
    one = RowLayout(1, (0,))
    json_columns("[[1]]", one)  # compiled here, so that no fork has to
    csv_columns([b"1"], one, 1)
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)  # a hang is told, not waited for
            try:
                answer = json.dumps({"points": work(settings, job)})
            except BaseException as error:
                answer = json.dumps({"error": repr(error)})
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        if "kill_after" in job:
            time.sleep(job["kill_after"])
            os.kill(child, signal.SIGKILL)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"killed": os.waitstatus_to_exitcode(status) == -signal.SIGKILL, **json.loads(text or "{}")}))
        sys.stdout.flush()


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
