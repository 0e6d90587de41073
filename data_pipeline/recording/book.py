"""A book kept by snapshot and diffs under its exchange's sequence rules.

Binance ("How to manage a local order book correctly"): `spot`: after a snapshot with lastUpdateId L drop events with
u <= L; the first one applied has U <= L+1 <= u, every later one U <= last+1. `linear`, USD-M: drop events with u < L;
the first one applied follows L (pu <= L <= u); every later one has pu equal to the last u.

Bybit and OKX send the snapshot on the stream, so it makes the book live at once, and keep a book of fixed depth, so no
level is unknown. `bybit`: every change has the number after the last one's. `okx`: every change names the last one
(prevSeqId); its own number may be lower, after maintenance; one that names itself says that nothing changed; a
checksum, where there is one, is CRC32 over the text of the best 25 levels of both sides in turn.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from enum import Enum
from itertools import zip_longest
from typing import Any, Literal
from zlib import crc32

from data_pipeline.recording.events import Depth, Level, Snapshot

Rules = Literal["spot", "linear", "bybit", "okx"]
ON_STREAM: frozenset[Rules] = frozenset({"bybit", "okx"})
CHECKED_LEVELS = 25
MAX_PENDING = 10_000  # events kept while a snapshot is awaited: over a minute and a half of the fastest stream
KEPT_LIVE = 200  # events kept behind a live book, so that a snapshot taken meanwhile can replace it without a break
MAX_LEVELS = 20_000  # levels kept a side; the ones farthest from the touch go first


class Outcome(Enum):
    """What an event did to the book."""

    APPLIED = "applied"
    PENDING = "pending"
    """Kept until a snapshot comes (or, for a snapshot, until an event that reaches it comes)."""
    OLD = "old"
    """Already contained: a duplicate, or from before the snapshot."""
    GAP = "gap"
    """Events are missing before this one: the book is void until the next snapshot."""
    STALE = "stale"
    """The snapshot ends before the first event kept: it cannot be joined, another one is needed."""
    CROSSED = "crossed"
    """Best bid at or above best ask after the event: the book is void until the next snapshot."""
    CHECKSUM = "checksum"
    """The exchange's checksum is not that of the book, which is void until the next snapshot."""


class BookSide:
    """Prices of one side in rising order, with quantities; O(log n) to find, one memmove to insert.

    `texts`, if kept, holds each level as the exchange wrote it, for checksums.
    """

    __slots__ = ("prices", "quantities", "texts")

    def __init__(self, *, keep_texts: bool = False) -> None:
        self.prices: list[float] = []
        self.quantities: dict[float, float] = {}
        self.texts: dict[float, Level] | None = {} if keep_texts else None

    def load(self, levels: Sequence[Level]) -> None:
        """Replace the side."""
        self.quantities = {float(price): float(qty) for price, qty in levels if float(qty) > 0}
        self.prices = sorted(self.quantities)
        if self.texts is not None:
            self.texts = {float(level[0]): level for level in levels}

    def apply(self, levels: Sequence[Level]) -> None:
        """Set each level to its quantity; 0 removes it (removing an unknown level is normal and does nothing)."""
        prices, quantities = self.prices, self.quantities
        for price_text, qty_text in levels:
            price, qty = float(price_text), float(qty_text)
            if qty:
                if price not in quantities:
                    insort(prices, price)
                quantities[price] = qty
            elif price in quantities:
                del quantities[price]
                del prices[bisect_left(prices, price)]
        if self.texts is not None:
            self.texts.update((float(level[0]), level) for level in levels)
            if len(self.texts) > 2 * len(prices) + 100:  # mostly levels that are gone
                self.texts = {price: self.texts[price] for price in prices}

    def to_list(self) -> list[Any]:
        """[price, quantity] of every level in rising order, as text where that is kept."""
        if self.texts is not None:
            return [list(self.texts[price]) for price in self.prices]
        return [[price, self.quantities[price]] for price in self.prices]

    def remove(self, prices: list[float]) -> None:
        """Forget `prices`, all of which are present."""
        for price in prices:
            del self.quantities[price]
        gone = set(prices)
        self.prices = [price for price in self.prices if price not in gone]


class BookBuilder:
    """One symbol's book. `live` says whether it may be read; `last_id` is the update it stands at."""

    def __init__(self, rules: Rules, snapshot_limit: int = 1000) -> None:
        self.rules = rules
        self.snapshot_limit = snapshot_limit
        self.bids = BookSide(keep_texts=rules == "okx")
        self.asks = BookSide(keep_texts=rules == "okx")
        self.last_id: int | None = None
        self.live = False
        self.pending: deque[Depth] = deque(maxlen=MAX_PENDING)
        self._bid_edge = float("-inf")
        self._ask_edge = float("inf")

    @property
    def wants_snapshot(self) -> bool:
        """Whether nothing but a new snapshot can make the book live."""
        return self.last_id is None

    def invalidate(self) -> None:
        """Void the book (events may have been lost); a new snapshot is wanted."""
        self.live = False
        self.last_id = None
        self.pending.clear()

    def on_depth(self, event: Depth) -> Outcome:
        """Apply a change, keep it for later, or find that it does not follow."""
        last = self.last_id
        if last is None:
            self.pending.append(event)
            return Outcome.PENDING
        if self._contains(event, last):
            return Outcome.OLD
        if not self._follows(event, last):
            outcome = Outcome.GAP if self.live else Outcome.STALE
            self.invalidate()
            self.pending.append(event)
            return outcome
        self.pending.append(event)
        if len(self.pending) > KEPT_LIVE:
            self.pending.popleft()
        self.bids.apply(event.bids)
        self.asks.apply(event.asks)
        self.last_id = event.final_id
        self.live = True
        if not self.bids.prices or not self.asks.prices or self.bids.prices[-1] >= self.asks.prices[0]:
            self.invalidate()
            return Outcome.CROSSED
        if event.checksum is not None and event.checksum != self.checksum():
            self.invalidate()
            return Outcome.CHECKSUM
        if len(self.bids.prices) > MAX_LEVELS:
            self.bids.remove(self.bids.prices[: len(self.bids.prices) - MAX_LEVELS])
        if len(self.asks.prices) > MAX_LEVELS:
            self.asks.remove(self.asks.prices[MAX_LEVELS:])
        return Outcome.APPLIED

    def _contains(self, event: Depth, last: int) -> bool:
        """Whether the book at `last` already holds the event; USD-M applies the one that ends at the snapshot again."""
        if self.rules == "okx":
            return event.final_id == last
        return event.final_id < last or (event.final_id == last and (self.live or self.rules == "spot"))

    def _follows(self, event: Depth, last: int) -> bool:
        if self.rules == "spot":
            return event.first_id <= last + 1
        if event.previous_id is None:
            return False
        exactly = self.live or self.rules in ON_STREAM
        return event.previous_id == last if exactly else event.previous_id <= last

    def on_snapshot(self, snapshot: Snapshot) -> Outcome:
        """Load a snapshot and apply the events kept; PENDING until an event reaches it.

        STALE when it ends before the first event kept: a live book then stays as it was.
        """
        if self.rules in ON_STREAM:
            return self._begin(snapshot)
        was_live, last = self.live, self.last_id
        self.live = False  # the rules of the first event after a snapshot hold
        kept = [event for event in self.pending if not self._contains(event, snapshot.last_id)]
        if kept and not self._follows(kept[0], snapshot.last_id):
            self.live = was_live
            return Outcome.STALE
        if was_live and last is not None and snapshot.last_id < last and not kept:
            self.live = was_live
            return Outcome.STALE  # the events between the two are no longer kept
        self.pending.clear()
        self.bids.load(snapshot.bids)
        self.asks.load(snapshot.asks)
        whole_bids = len(snapshot.bids) < self.snapshot_limit
        whole_asks = len(snapshot.asks) < self.snapshot_limit
        self._bid_edge = float("-inf") if whole_bids else self.bids.prices[0]
        self._ask_edge = float("inf") if whole_asks else self.asks.prices[-1]
        self.last_id = snapshot.last_id
        self.live = was_live and not kept and snapshot.last_id == last  # the very state that the stream had reached
        for position, event in enumerate(kept):
            outcome = self.on_depth(event)
            if outcome in (Outcome.GAP, Outcome.STALE, Outcome.CROSSED):
                self.pending.extend(kept[position + 1 :])
                return outcome
        return Outcome.APPLIED if self.live else Outcome.PENDING

    def _begin(self, snapshot: Snapshot) -> Outcome:
        """A snapshot on the stream stands in the order of the changes: it is the book, whatever was before."""
        self.pending.clear()
        self.bids.load(snapshot.bids)
        self.asks.load(snapshot.asks)
        self.last_id, self.live = snapshot.last_id, True
        if snapshot.checksum is not None and snapshot.checksum != self.checksum():
            self.invalidate()
            return Outcome.CHECKSUM
        return Outcome.APPLIED

    def checksum(self) -> int:
        """CRC32, signed, of the best levels as "bid:size:ask:size:..." in the exchange's own text (OKX)."""
        assert self.bids.texts is not None
        assert self.asks.texts is not None
        bids = [self.bids.texts[price] for price in self.bids.prices[: -CHECKED_LEVELS - 1 : -1]]
        asks = [self.asks.texts[price] for price in self.asks.prices[:CHECKED_LEVELS]]
        pairs = [level for both in zip_longest(bids, asks) for level in both if level is not None]
        number = crc32(":".join(f"{price}:{size}" for price, size in pairs).encode())
        return number - (1 << 32) if number >= 1 << 31 else number

    def top(self) -> tuple[float, float, float, float]:
        """Best bid, its quantity, best ask, its quantity. Only for a live book."""
        bid, ask = self.bids.prices[-1], self.asks.prices[0]
        return bid, self.bids.quantities[bid], ask, self.asks.quantities[ask]

    def levels(self, depth: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The best `depth` (price, quantity) of bids and asks, best first; shorter where the book is thin."""
        bids, asks = self.bids, self.asks
        return (
            [(price, bids.quantities[price]) for price in bids.prices[: -depth - 1 : -1]],
            [(price, asks.quantities[price]) for price in asks.prices[:depth]],
        )

    def covers(self, depth: int) -> bool:
        """Whether the best `depth` levels lie inside the snapshot's span.

        Beyond its edge a level that never changed is unknown, so after a long move the book needs a new snapshot.
        """
        bids, asks = self.bids.prices, self.asks.prices
        return bids[-min(depth, len(bids))] >= self._bid_edge and asks[min(depth, len(asks)) - 1] <= self._ask_edge

    def to_dict(self) -> dict[str, Any]:
        """State of a live book as JSON values, for the head of a new log segment."""
        return {
            "last_id": self.last_id,
            "bids": self.bids.to_list()[::-1],
            "asks": self.asks.to_list(),
            "edges": [
                self._bid_edge if self._bid_edge > float("-inf") else None,
                self._ask_edge if self._ask_edge < float("inf") else None,
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `to_dict`."""
        self.invalidate()
        self.bids.load(state["bids"])
        self.asks.load(state["asks"])
        low, high = state["edges"]
        self._bid_edge = float("-inf") if low is None else low
        self._ask_edge = float("inf") if high is None else high
        self.last_id = state["last_id"]
        self.live = True
