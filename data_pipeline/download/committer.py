"""The one thread that writes: chunks are committed in groups, whole months sealed, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from data_pipeline.download.progress import Report
from data_pipeline.store.layout import Series
from data_pipeline.store.ledger import Chunk, Ledger
from data_pipeline.store.seal import months_to_seal, seal_month

QUEUED = 64  # chunks that may wait for the disk before the readers have to
SEAL_EVERY = 50  # chunks between looks for months to seal: keeps the hot rows of a long download few
T = TypeVar("T")


class Committer:
    """Use as an async context manager: leaving it commits what is queued, unless an error is on its way out."""

    def __init__(self, ledger: Ledger, report: Report, now_ms: int) -> None:
        self._ledger = ledger
        self._report = report
        self._now_ms = now_ms
        self._unsealed: dict[Series, int] = {}
        self._queue: asyncio.Queue[Chunk | None] = asyncio.Queue(QUEUED)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="committer")
        self.rows = 0
        self.missing = 0

    async def __aenter__(self) -> Committer:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and not self._task.done():
                await self._queue.put(None)
            elif not self._task.done():
                self._task.cancel()
            await asyncio.wait([self._task])
            if kind is None:
                self._task.result()
        finally:
            self._thread.shutdown()

    async def put(self, chunk: Chunk) -> None:
        """Queue a chunk. Raises what the writing thread died of, if it did."""
        waiting = asyncio.ensure_future(self._queue.put(chunk))
        await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            waiting.cancel()
            self._task.result()

    async def drained(self) -> None:
        """Return when everything put so far is committed. Raises what the writing thread died of, if it did."""
        waiting = asyncio.ensure_future(self._queue.join())
        await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            waiting.cancel()
            self._task.result()

    async def call(self, work: Callable[[], T]) -> T:
        """Run `work` on the writing thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def seal(self, series: Series) -> None:
        """Seal every month of `series` that is ready."""

        def work() -> None:
            for month in months_to_seal(self._ledger, series, self._now_ms):
                seal_month(self._ledger, series, month)

        await self.call(work)

    def count(self, series: Series, rows: int, missing: int) -> None:
        """Add to the totals and tell the report."""
        self.rows += rows
        self.missing += missing
        self._report.advance(series, rows, missing)

    async def _run(self) -> None:
        finished = False
        while not finished:
            group = [await self._queue.get()]
            while not self._queue.empty():
                group.append(self._queue.get_nowait())
            finished = None in group
            chunks = [chunk for chunk in group if chunk is not None]
            if chunks:
                await self.call(partial(self._ledger.put_chunks, chunks))
            for chunk in chunks:
                missing = sum(gap.stop_ms - gap.start_ms for gap in chunk.gaps) // chunk.series.interval_ms
                self.count(chunk.series, chunk.table.num_rows, missing)
                self._unsealed[chunk.series] = self._unsealed.get(chunk.series, 0) + 1
            for series in [series for series, count in self._unsealed.items() if count >= SEAL_EVERY]:
                self._unsealed[series] = 0
                await self.seal(series)
            for _ in group:
                self._queue.task_done()
