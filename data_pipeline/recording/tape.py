"""One symbol's trades in the order of their ids, and the minutes in which none of them is missing.

Binance and OKX number the trades of a symbol without holes. A minute is *whole* when the ids run without a hole from a
trade before it to a trade after it; only whole minutes become bars.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from data_pipeline.recording.aggregate import MINUTE_MS, Bar
from data_pipeline.recording.events import Trade
from data_pipeline.schema import DAY_MS

REORDER_LIMIT = 64  # trades held while an id is missing and nobody asks for it; past it the id is taken as lost
HELD_LIMIT = 20_000  # the same while missing trades are asked for by REST
RECENT = 64  # trades remembered behind the last id, to cut off what a group repeats of them


class TradeTape:
    """Removes duplicates, sorts, notices holes, sums minutes.

    `hold`: trades kept while an id is missing. `spread_ms`: how far apart in time the trades of one group may lie; a
    group that near to the turn of a minute may belong to either, so both minutes are then in doubt and give no bar.
    """

    def __init__(self, *, hold: int = REORDER_LIMIT, spread_ms: int = 0) -> None:
        self.hold = hold
        self.spread_ms = spread_ms
        self.last_id: int | None = None
        self.last_time_ms = 0
        self.bar: Bar | None = None
        self.close: Decimal | None = None  # price of the last trade, for minutes without any
        self.held: dict[int, Trade] = {}  # by first id
        self.recent: deque[Trade] = deque(maxlen=RECENT)
        self.duplicates = 0
        self.reordered = 0
        self.holes: list[tuple[int, int]] = []  # (first missing id, last missing id) since last asked for
        self._doubted: tuple[int, ...] = ()  # open times of the two minutes that a group may belong to

    def push(self, trade: Trade) -> tuple[Trade | None, list[Bar]]:
        """Take a trade; return what of it was new, and the bars that it proves whole and closed, oldest first."""
        new = self._cut(trade)
        if new is None:
            self.duplicates += 1
            return None, []
        self.held[new.first_id] = new
        bars = list(self._take_following())
        while len(self.held) > self.hold:
            bars.extend(self._skip_hole())
        return new, bars

    def hole(self) -> tuple[int, int] | None:
        """First and last id of the oldest stretch that is missing between trades that are there."""
        if self.last_id is None or not self.held:
            return None
        return self.last_id + 1, min(self.held) - 1

    def pass_hole(self) -> list[Bar]:
        """Take the oldest missing stretch as lost, if there is one."""
        return list(self._skip_hole()) if self.hole() else []

    def give_up(self) -> list[Bar]:
        """Take every missing id as lost, and the trades held behind them."""
        bars: list[Bar] = []
        while self.held:
            bars.extend(self._skip_hole())
        return bars

    def _cut(self, trade: Trade) -> Trade | None:
        """`trade` without the ids that are known already; None when all are, or when they do not part at a known id."""
        if self.last_id is None:
            return trade
        first, last, qty = trade.first_id, trade.trade_id, trade.qty
        if first > self.last_id and trade.joined == 1:
            return None if first in self.held else trade
        if last <= self.last_id:
            return None
        recent = {item.first_id: item for item in self.recent}
        while first <= self.last_id:
            if (known := recent.get(first)) is None:
                return None
            qty, first = _less(qty, known), known.trade_id + 1
        border = next((key for key in range(first, last + 1) if key in self.held), None)
        if border is not None:
            at = border
            while at <= last:
                if (known := self.held.get(at)) is None:
                    return None
                qty, at = _less(qty, known), known.trade_id + 1
            last = border - 1
        if first > last:
            return None
        return trade._replace(trade_id=last, joined=last - first + 1, qty=qty)

    def _skip_hole(self) -> Iterator[Bar]:
        """Take the ids before the first trade held as lost, and go on behind them."""
        first = min(self.held)
        if self.last_id is not None:
            self.holes.append((self.last_id + 1, first - 1))
        self.bar = Bar(self.held[first].trade_time_ms // MINUTE_MS * MINUTE_MS, whole=False)
        self.last_id = first - 1
        yield from self._take_following()

    def _take_following(self) -> Iterator[Bar]:
        """Fold the trades held that follow without a hole."""
        if self.last_id is None:
            self.last_id = min(self.held) - 1
        taken = 0
        while (trade := self.held.pop(self.last_id + 1, None)) is not None:
            taken += 1
            yield from self._take(trade)
        self.reordered += max(0, taken - 1)

    def _take(self, trade: Trade) -> Iterator[Bar]:
        """Fold the next trade by id; yields the minutes it closes."""
        minute = trade.trade_time_ms // MINUTE_MS * MINUTE_MS
        self.last_id = trade.trade_id
        self.last_time_ms = trade.trade_time_ms
        self.recent.append(trade)
        if self.bar is None or abs(minute - self.bar.open_time_ms) > DAY_MS:
            self.bar = Bar(minute, whole=False)  # the recording began inside this minute, or the stamp is absurd
        if trade.joined > 1:
            sides = (trade.trade_time_ms - self.spread_ms, trade.trade_time_ms + self.spread_ms)
            if sides[0] // MINUTE_MS != sides[1] // MINUTE_MS:
                self._doubted = tuple(side // MINUTE_MS * MINUTE_MS for side in sides)
                self.bar.whole &= self.bar.open_time_ms not in self._doubted
        while self.bar.open_time_ms < minute:
            if self.bar.whole:
                yield self.bar
            self._next_minute(self.bar.open_time_ms + MINUTE_MS)
        if minute < self.bar.open_time_ms:
            self.bar.whole = False  # the clock of the ids went back over a closed minute: trust neither
        if trade.on_book:
            self.bar.add(trade)
            self.close = self.bar.close

    def _next_minute(self, open_time_ms: int) -> None:
        whole = self.close is not None and open_time_ms not in self._doubted
        self.bar = Bar(open_time_ms, whole)
        if self.close is not None:
            self.bar.open = self.bar.high = self.bar.low = self.bar.close = self.close

    def take_holes(self) -> list[tuple[int, int]]:
        """The holes found since the last call."""
        holes, self.holes = self.holes, []
        return holes

    def to_dict(self) -> dict[str, Any]:
        """State as JSON values, for the head of a new log segment."""
        return {
            "last_id": self.last_id,
            "last_time_ms": self.last_time_ms,
            "close": None if self.close is None else str(self.close),
            "bar": None if self.bar is None else self.bar.to_dict(),
            "held": [list(trade) for trade in self.held.values()],
            "recent": [list(trade) for trade in self.recent],
            "doubted": list(self._doubted),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `to_dict`. The defaults are for logs that an earlier version left."""
        self.last_id = state["last_id"]
        self.last_time_ms = state.get("last_time_ms", 0)
        self.close = None if state["close"] is None else Decimal(state["close"])
        self.held = {trade.first_id: trade for trade in (Trade(*values) for values in state["held"])}
        self.recent = deque((Trade(*values) for values in state.get("recent", ())), RECENT)
        self._doubted = tuple(state.get("doubted", ()))
        self.bar = None if state["bar"] is None else Bar.from_dict(state["bar"])


def _less(qty: str, known: Trade) -> str:
    return str(Decimal(qty) - Decimal(known.qty))
