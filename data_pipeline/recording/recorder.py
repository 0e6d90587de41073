"""Recording from the exchange to the disk: one queue, one state, one log; snapshots, reconnection, sealing beside it.

The state sees exactly what the log gets, in the same order, so a replay of the log finds what the recorder found. What
the queue had to drop never reached either: the book sees a gap and is taken anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data_pipeline.errors import InputError
from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.events import Depth, Trade, encode_line
from data_pipeline.recording.feed import Feed
from data_pipeline.recording.ledger import SealedSegment, last_tapes, open_ledger
from data_pipeline.recording.queue import EventQueue
from data_pipeline.recording.repairs import LONGEST_WAIT_S, Repairs
from data_pipeline.recording.rotation import LOG_FOLDER, SegmentLog, lock_folder, rotation_due
from data_pipeline.recording.sealing import recover
from data_pipeline.recording.state import Step, StreamState
from data_pipeline.recording.watchdog import Watchdog
from data_pipeline.venue import Venue, contract_of, open_client

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

LOGGER = logging.getLogger("data_pipeline.recording")
SKEW_WARNING_MS = 500.0
_STEADY = {"depthUpdate": "book", "bookTicker": "bbo"}


@dataclass
class RecordSummary:
    """What a recording did. `counts` holds events and findings by kind; `clock_ms` exchange time minus local time."""

    counts: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    queue_highest: int = 0
    clock_ms: float | None = None
    connections: int = 0
    recovered: list[SealedSegment] = field(default_factory=list)


class Recorder:
    """Records until `stop` is called (or `config.minutes` have passed); `run` then seals and returns.

    `session` carries all traffic when given. Raises InputError for unusable input, OSError when the disk fails.
    """

    def __init__(self, config: RecordConfig, *, session: aiohttp.ClientSession | None = None) -> None:
        contracts = {contract_of(symbol) for symbol in config.symbols}
        if len(contracts) > 1:
            raise InputError(
                "spot and perpetual symbols are mixed", where="--symbols", remedy="start one recorder for each"
            )
        self.config = config
        self.venue = Venue(config.exchange, contracts.pop())
        self.state = StreamState(
            self.venue.contract, snapshot_limit=config.snapshot_limit, refetching=config.refetch_trades > 0
        )
        self.queue = EventQueue(config.queue_events)
        self.summary = RecordSummary(counts=self.state.counts)
        self._session = session
        self._watchdog = Watchdog(
            stale_s=config.stale_s, stream_stale_s=config.stream_stale_s, connect_s=config.connect_s
        )
        self._stopping = asyncio.Event()
        self._log: SegmentLog | None = None
        self._synced = 0.0
        self._to_seal: asyncio.Queue[Path] = asyncio.Queue()

    def stop(self) -> None:
        """Finish: take what has come, seal, return from `run`. Safe to call from a signal handler of the loop."""
        self._stopping.set()

    async def run(self) -> RecordSummary:
        """Recover what an earlier recorder left, record, seal."""
        out = self.config.out
        lock = lock_folder(out)
        try:
            with open_ledger(out):
                pass  # refuse a foreign ledger before anything is recorded
            self.summary.recovered = await asyncio.to_thread(recover, out)
            for sealed in self.summary.recovered:
                LOGGER.warning(
                    "recovered segment %s: %d lines, %d torn bytes", sealed.name, sealed.lines, sealed.torn_bytes
                )
            client = open_client(self.venue, session=self._session, pro=True)
            feed = Feed(client, self.venue.contract, self.config, self._receive)
            try:
                await feed.load()
                if self.state.refetching and "trades" in self.config.streams:
                    self._resume_tapes(feed)
                await self._record(feed)
            finally:
                await feed.close()
            await asyncio.to_thread(recover, out)
        finally:
            lock.close()
        self.summary.dropped = self.queue.dropped
        self.summary.queue_highest = self.queue.highest
        return self.summary

    def _resume_tapes(self, feed: Feed) -> None:
        """Go on where the last recorder on this folder ended: its trades and ours then leave a hole to be filled."""
        left = last_tapes(self.config.out, self.venue.name)
        for name in feed.ids.values():
            if name in left:
                self.state.tape(name).restore(left[name])

    async def _record(self, feed: Feed) -> None:
        repairs = Repairs(
            feed,
            self.state,
            self._note,
            books="book" in self.config.streams,
            refetch_trades=self.config.refetch_trades,
        )
        background = [
            asyncio.create_task(self._stay_connected(feed), name="connection"),
            asyncio.create_task(self._watch(feed), name="watchdog"),
            asyncio.create_task(self._seal_in_background(), name="sealing"),
        ]
        try:
            await self._consume(repairs, background)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await repairs.cancel()
            if self._log is not None:
                await asyncio.to_thread(self._log.close)

    # --- from the websocket into the queue

    def _receive(self, local_ns: int, message: dict[str, Any]) -> None:
        data = message.get("data", message) if "stream" in message else message
        if not isinstance(data, dict):
            data = {}
        kind = data.get("e", "bookTicker" if "B" in data else None)
        if kind is not None:
            self._watchdog.seen((_STEADY[kind], data.get("s", "")) if kind in _STEADY else None)
        if not self.queue.offer(local_ns, message) and self.queue.dropped % self.config.queue_events == 1:
            LOGGER.warning("the disk is too slow: %d events dropped so far", self.queue.dropped)

    def _note(self, what: str, **detail: Any) -> None:
        self.queue.put(time.time_ns(), {"recorder": what, **detail})

    # --- from the queue to the disk

    async def _consume(self, repairs: Repairs, background: list[asyncio.Task[None]]) -> None:
        deadline = time.monotonic() + self.config.minutes * 60 if self.config.minutes else float("inf")
        stopping = False
        while not stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self.config.flush_s)
            stopping = self._stopping.is_set() or time.monotonic() >= deadline
            if stopping:
                self._note("stop")
            await self._write(self.queue.take(), repairs)
            repairs.order()
            for task in background:
                if task.done():
                    task.result()  # none of them ends by itself: this raises what broke it

    async def _write(self, batch: list[tuple[int, dict[str, Any]]], repairs: Repairs) -> None:
        now_ns = time.time_ns()
        log = self._log
        if log is None or rotation_due(log, now_ns, self.config.rotate_minutes, self.config.rotate_mb):
            log = await self._rotate(now_ns)
        lines = bytearray()
        for local_ns, message in batch:
            lines += encode_line(local_ns, message)
            repairs.follow(message, self._follow(local_ns, message))
        if lines:
            await self._on_disk(log.write, bytes(lines))
        if time.monotonic() - self._synced >= self.config.sync_s:
            self._synced = time.monotonic()
            await self._on_disk(log.sync)

    async def _on_disk(self, action: Callable[..., T], *arguments: Any) -> T:
        """Run `action` in a thread. Raises InputError when the disk refuses."""
        try:
            return await asyncio.to_thread(action, *arguments)
        except OSError as error:
            raise InputError(
                f"writing failed: {error.strerror}",
                where=str(self.config.out),
                remedy="make room; what was written is sealed at the next start",
            ) from error

    async def _rotate(self, now_ns: int) -> SegmentLog:
        """Close the segment and begin the next with everything that is needed to read it alone."""
        if self._log is not None:
            self._to_seal.put_nowait(await self._on_disk(self._log.close))
        self._log = log = await self._on_disk(SegmentLog, self.config.out / LOG_FOLDER, now_ns)
        head = {
            "recorder": "segment",
            "venue": self.venue.name,
            "contract": self.venue.contract,
            "symbols": list(self.config.symbols),
            "streams": list(self.config.streams),
            "snapshot_limit": self.config.snapshot_limit,
            "refetching": self.state.refetching,
        }
        lines = b"".join(encode_line(now_ns, record) for record in (head, *self.state.carry()))
        await self._on_disk(log.write, lines)
        return log

    def _follow(self, local_ns: int, message: dict[str, Any]) -> Step:
        step = self.state.apply(message)
        for finding in step.findings:
            LOGGER.warning("%s %s: %s", finding.symbol or "", finding.what, finding.detail)
        if isinstance(step.event, Depth | Trade) and step.event.event_time_ms is not None:
            self._measure_clock(step.event.event_time_ms - local_ns / 1e6)
        return step

    def _measure_clock(self, offset_ms: float) -> None:
        """The highest recent (exchange - local) holds the least delay; it fades over some thousand events."""
        known = self.summary.clock_ms
        if known is None:
            if abs(offset_ms) > SKEW_WARNING_MS:
                LOGGER.warning("the local clock is %.0f ms off the exchange's", -offset_ms)
                self._note("clock", offset_ms=round(offset_ms, 1))
            self.summary.clock_ms = offset_ms
        else:
            self.summary.clock_ms = max(offset_ms, known + 0.001 * (offset_ms - known))

    # --- the connection

    async def _stay_connected(self, feed: Feed) -> None:
        from ccxt import BaseError

        failures = 0
        while True:
            self._watchdog.start()
            self.summary.connections += 1
            self._note("connect")
            reason = "the subscription ended"
            try:
                await feed.run()
            except (BaseError, OSError) as error:
                reason = f"{type(error).__name__}: {error}"[:300]
            failures = 0 if self._watchdog.has_data else failures + 1
            self._watchdog.stop()
            self._note("disconnect", reason=reason)
            await asyncio.sleep(min(LONGEST_WAIT_S, 0.1 * 2**failures))

    async def _watch(self, feed: Feed) -> None:
        while True:
            await asyncio.sleep(min(0.25, self.config.stale_s / 5))
            verdict = self._watchdog.verdict()
            if verdict is not None:
                self._note("stall", reason=verdict)
                self._watchdog.stop()
                feed.break_off(verdict)

    # --- sealing

    async def _seal_in_background(self) -> None:
        while True:
            log = await self._to_seal.get()
            command = (sys.executable, "-m", "data_pipeline.recording.sealing", str(log), str(self.config.out))
            process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
            try:
                failed = await process.wait() != 0
            except asyncio.CancelledError:
                await process.wait()  # the end seals what is left: let this one be done with first
                raise
            if failed:
                LOGGER.error("sealing %s failed; it is tried again at the end and at the next start", log.name)
