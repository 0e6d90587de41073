"""Bars from trades, exact to the last digit, and only where it is proven that no trade is missing.

Binance numbers the trades of a symbol without holes. A minute is *whole* when the ids run without a hole from a trade
before it to a trade after it; only whole minutes become bars. Sums are decimal, so a bar equals the exchange's own bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from data_pipeline.recording.events import Trade
from data_pipeline.schema import BAR_SCHEMA, DAY_MS

MINUTE_MS = 60_000
REORDER_LIMIT = 64  # trades held while an id is missing; past it the id is taken as lost
ZERO = Decimal(0)


@dataclass(slots=True)
class Bar:
    """One minute being summed, prices and sums as decimals; `whole` says no trade of it so far is missing."""

    open_time_ms: int
    whole: bool
    open: Decimal = ZERO
    high: Decimal = ZERO
    low: Decimal = ZERO
    close: Decimal = ZERO
    volume: Decimal = ZERO
    quote_volume: Decimal = ZERO
    trades: int = 0
    taker_buy_volume: Decimal = ZERO
    taker_buy_quote_volume: Decimal = ZERO

    def add(self, trade: Trade) -> None:
        """Fold one trade in."""
        price, qty = Decimal(trade.price), Decimal(trade.qty)
        quote = price * qty
        if self.trades == 0:
            self.open = self.high = self.low = price
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += qty
        self.quote_volume += quote
        self.trades += 1
        if not trade.buyer_is_maker:
            self.taker_buy_volume += qty
            self.taker_buy_quote_volume += quote


class TradeTape:
    """One symbol's trades in the order of their ids: removes duplicates, sorts, notices holes, sums minutes."""

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.bar: Bar | None = None
        self.close: Decimal | None = None  # price of the last trade, for minutes without any
        self.held: dict[int, Trade] = {}
        self.duplicates = 0
        self.reordered = 0
        self.holes: list[tuple[int, int]] = []  # (first missing id, last missing id) since last asked for

    def push(self, trade: Trade) -> list[Bar]:
        """Take a trade; return the bars that it proves whole and closed, oldest first."""
        if (self.last_id is not None and trade.trade_id <= self.last_id) or trade.trade_id in self.held:
            self.duplicates += 1
            return []
        self.held[trade.trade_id] = trade
        bars = list(self._take_following())
        while len(self.held) > REORDER_LIMIT:
            bars.extend(self._skip_hole())
        return bars

    def give_up(self) -> list[Bar]:
        """Take every missing id as lost, and the trades held behind them."""
        bars: list[Bar] = []
        while self.held:
            bars.extend(self._skip_hole())
        return bars

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
        if self.bar is None or minute - self.bar.open_time_ms > DAY_MS:
            self.bar = Bar(minute, whole=False)  # the recording began inside this minute, or the stamp is absurd
        while self.bar.open_time_ms < minute:
            if self.bar.whole:
                yield self.bar
            self.bar = Bar(self.bar.open_time_ms + MINUTE_MS, whole=True)
            if self.close is not None:
                self.bar.open = self.bar.high = self.bar.low = self.bar.close = self.close
            else:
                self.bar.whole = False
        if minute < self.bar.open_time_ms:
            self.bar.whole = False  # the clock of the ids went back over a closed minute: trust neither
        if trade.on_book:
            self.bar.add(trade)
            self.close = self.bar.close

    def take_holes(self) -> list[tuple[int, int]]:
        """The holes found since the last call."""
        holes, self.holes = self.holes, []
        return holes

    def to_dict(self) -> dict[str, Any]:
        """State as JSON values, for the head of a new log segment."""
        bar = None
        if self.bar is not None:
            bar = {
                name: str(value) if isinstance(value := getattr(self.bar, name), Decimal) else value
                for name in Bar.__slots__
            }
        return {
            "last_id": self.last_id,
            "close": None if self.close is None else str(self.close),
            "bar": bar,
            "held": [list(trade) for trade in self.held.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `to_dict`."""
        self.last_id = state["last_id"]
        self.close = None if state["close"] is None else Decimal(state["close"])
        self.held = {trade.trade_id: trade for trade in (Trade(*values) for values in state["held"])}
        if state["bar"] is not None:
            values: dict[str, Any] = state["bar"]
            decoded: dict[str, Any] = {name: Decimal(v) if isinstance(v, str) else v for name, v in values.items()}
            self.bar = Bar(**decoded)


def bar_table(bars: list[Bar]) -> pa.Table:
    """Bars as a table of `BAR_SCHEMA`; each decimal becomes the nearest float, as the exchange's own text would."""
    columns: dict[str, list[Any]] = {name: [] for name in BAR_SCHEMA.names}
    for bar in bars:
        columns["open_time"].append(datetime.fromtimestamp(bar.open_time_ms / 1000, tz=UTC))
        for name in BAR_SCHEMA.names[1:]:
            value = getattr(bar, name)
            columns[name].append(float(value) if isinstance(value, Decimal) else value)
    return pa.table(columns, schema=BAR_SCHEMA)
