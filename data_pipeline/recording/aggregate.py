"""One-minute bars summed from trades in decimals, so that a bar equals the exchange's own to the last digit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from data_pipeline.recording.events import Trade
from data_pipeline.schema import BAR_SCHEMA

MINUTE_MS = 60_000
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
        """Fold one trade in, or the trades of one group."""
        price, qty = Decimal(trade.price), Decimal(trade.qty)
        quote = price * qty
        if self.trades == 0:
            self.open = self.high = self.low = price
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += qty
        self.quote_volume += quote
        self.trades += trade.joined
        if not trade.buyer_is_maker:
            self.taker_buy_volume += qty
            self.taker_buy_quote_volume += quote

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, decimals as text."""
        values = ((name, getattr(self, name)) for name in Bar.__slots__)
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in values}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Bar:
        """The bar that `to_dict` was called on."""
        fields: dict[str, Any] = {name: Decimal(v) if isinstance(v, str) else v for name, v in values.items()}
        return Bar(**fields)


def bar_table(bars: list[Bar]) -> pa.Table:
    """Bars as a table of `BAR_SCHEMA`; each decimal becomes the nearest float, as the exchange's own text would."""
    columns: dict[str, list[Any]] = {name: [] for name in BAR_SCHEMA.names}
    for bar in bars:
        columns["open_time"].append(datetime.fromtimestamp(bar.open_time_ms / 1000, tz=UTC))
        for name in BAR_SCHEMA.names[1:]:
            value = getattr(bar, name)
            columns[name].append(float(value) if isinstance(value, Decimal) else value)
    return pa.table(columns, schema=BAR_SCHEMA)
