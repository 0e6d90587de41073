"""What the stream alone cannot mend: books that wait for a snapshot, and trades that it missed, both asked by REST.

Answers go through the recorder's queue into the log like everything else, with the local time of their arrival; only
the state that reads the log decides what they are worth.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from data_pipeline.recording.events import MalformedEventError, Snapshot
from data_pipeline.recording.feed import Feed
from data_pipeline.recording.refetch import missed_trades
from data_pipeline.recording.state import BOOK_DEPTH, Step, StreamState

LOGGER = logging.getLogger("data_pipeline.recording")
LONGEST_WAIT_S = 30.0
THIN_PAUSE_S = 0.5  # a live book waits for its refresh: in a rout it must not eat the request weight
REORDER_S = 0.3  # a missing trade may only be late
REFETCH_ATTEMPTS = 3  # answers that do not hold what is missing
REFETCH_PATIENCE_S = 120.0  # for an exchange that does not answer at all


class Repairs:
    """Starts a request for each book and each hole that needs one, never two for the same.

    `note(what, **detail)` puts a record into the queue. `books` and `refetch_trades` say what is to be mended.
    """

    def __init__(
        self, feed: Feed, state: StreamState, note: Callable[..., None], *, books: bool, refetch_trades: int
    ) -> None:
        self._feed = feed
        self._state = state
        self._note = note
        self._books = books
        self._refetch_trades = refetch_trades
        self._snapshots: dict[str, asyncio.Task[None]] = {}
        self._attempts: Counter[str] = Counter()
        self._refetches: dict[str, asyncio.Task[None]] = {}
        self._holes: dict[str, tuple[int, float, int]] = {}  # symbol: first missing id, since when, attempts so far

    def order(self) -> None:
        """Start what is needed now. Call after every batch."""
        for symbol, name in self._feed.ids.items():
            if self._books and name not in self._snapshots:
                self._order_snapshot(symbol, name)
            if self._refetch_trades and name not in self._refetches:
                self._order_refetch(symbol, name)

    def follow(self, message: dict[str, Any], step: Step) -> None:
        """Learn from a line that has reached the state: an answer that was waited for has been applied."""
        what, name = message.get("recorder"), message.get("symbol", "")
        if what == "snapshot":
            self._snapshots.pop(name, None)
            if isinstance(step.event, Snapshot) and not step.findings:
                self._attempts[name] = 0
        elif what in ("refetched", "no_trades"):
            self._refetches.pop(name, None)

    async def cancel(self) -> None:
        """End every request."""
        tasks = (*self._snapshots.values(), *self._refetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- books

    def _order_snapshot(self, symbol: str, name: str) -> None:
        """For a book that waits for one, or whose touch has left the span of its last one."""
        book = self._state.books.get(name)
        if book is None:
            return
        thin = book.live and not book.covers(BOOK_DEPTH)
        if thin or (book.wants_snapshot and book.pending):
            pause = THIN_PAUSE_S if thin else 0.0
            self._snapshots[name] = asyncio.create_task(self._take_snapshot(symbol, name, pause))

    async def _take_snapshot(self, symbol: str, name: str, pause: float) -> None:
        from ccxt import BaseError

        attempt = self._attempts[name]
        self._attempts[name] += 1
        wait = pause if attempt == 0 else min(LONGEST_WAIT_S, 0.1 * 2**attempt)
        while True:
            await asyncio.sleep(wait)
            try:
                response = await self._feed.snapshot(symbol)
            except BaseError as error:
                wait = min(LONGEST_WAIT_S, max(2 * wait, 0.2))
                self._refused(name, "snapshot", error, wait)
                continue
            self._note("snapshot", symbol=name, response=response)
            return

    # --- trades

    def _order_refetch(self, symbol: str, name: str) -> None:
        """For a hole that has stayed a while; what cannot be had is said to be lost."""
        tape = self._state.tapes.get(name)
        hole = tape.hole() if tape is not None else None
        if tape is None or hole is None:
            self._holes.pop(name, None)
            return
        first, since, attempts = self._holes.get(name, (hole[0], time.monotonic(), 0))
        if first != hole[0]:  # the next hole, or an answer that has filled a part
            since, attempts = time.monotonic(), 0
        missing = hole[1] - hole[0] + 1
        if missing > self._refetch_trades:
            self._refetches[name] = asyncio.create_task(self._give_up(name, hole, f"{missing} trades are too many"))
        elif attempts >= REFETCH_ATTEMPTS:
            self._refetches[name] = asyncio.create_task(self._give_up(name, hole, "the exchange did not give them"))
        elif time.monotonic() - since >= REORDER_S:
            attempts += 1
            wait = 0.5 * (attempts - 1)
            self._refetches[name] = asyncio.create_task(self._refetch(symbol, name, hole, tape.last_time_ms, wait))
        self._holes[name] = (hole[0], since, attempts)

    async def _refetch(self, symbol: str, name: str, hole: tuple[int, int], after_ms: int, wait: float) -> None:
        from ccxt import BaseError

        give_up = time.monotonic() + REFETCH_PATIENCE_S
        while time.monotonic() < give_up:
            await asyncio.sleep(wait)
            try:
                async for endpoint, rows in missed_trades(self._feed.trades_of(symbol), hole, after_ms):
                    self._note("trades", symbol=name, source=f"rest_{endpoint}", rows=rows)
                break
            except (BaseError, MalformedEventError) as error:
                wait = min(LONGEST_WAIT_S, max(2 * wait, 0.2))
                self._refused(name, "trades", error, wait)
        self._note("refetched", symbol=name, first=hole[0], last=hole[1])

    async def _give_up(self, name: str, hole: tuple[int, int], reason: str) -> None:
        self._note("no_trades", symbol=name, first=hole[0], last=hole[1], reason=reason)

    def _refused(self, name: str, what: str, error: Exception, wait: float) -> None:
        self._note("reply", symbol=name, of=what, reason=f"{type(error).__name__}: {error}"[:300])
        pause = max(wait, self._feed.held_s)
        LOGGER.warning("%s: no %s (%s); again in %.1f s", name, what, type(error).__name__, pause)
