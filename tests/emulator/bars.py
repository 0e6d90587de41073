"""Deterministic bars of an emulated market, kept as arrays (the truth) and as the exchange's own JSON rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from data_pipeline.schema import BAR_SCHEMA


@dataclass
class BarSource:
    """`count` bars of `interval_ms` from `start_ms` on; `missing` are rows that the exchange does not have.

    Prices carry two decimals and sizes three, so the text of a row and its float64 values say the same.
    """

    start_ms: int
    count: int
    interval_ms: int = 60_000
    seed: int = 1
    price: float = 100.0
    missing: frozenset[int] = frozenset()
    columns: dict[str, np.ndarray] = field(init=False, repr=False)
    _rows: list[bytes] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        n = self.count
        close = np.round(self.price * np.exp(np.cumsum(random.standard_t(4, n) * 4e-4)), 2)
        open_ = np.concatenate(([self.price], close[:-1]))
        spread = np.round(np.abs(random.normal(0, 2e-4, (2, n))) * self.price, 2)
        volume = np.round(random.lognormal(2, 1, n), 3)
        taker = np.round(volume * random.uniform(0.3, 0.7, n), 3)
        self.columns = {
            "open_time": self.start_ms + np.arange(n, dtype=np.int64) * self.interval_ms,
            "open": open_,
            "high": np.round(np.maximum(open_, close) + spread[0], 2),
            "low": np.round(np.minimum(open_, close) - spread[1], 2),
            "close": close,
            "volume": volume,
            "quote_volume": np.round(volume * close, 5),
            "trades": (volume * 20).astype(np.int32) + 1,
            "taker_buy_volume": taker,
            "taker_buy_quote_volume": np.round(taker * close, 5),
        }

    @property
    def stop_ms(self) -> int:
        """The close of the last bar."""
        return self.start_ms + self.count * self.interval_ms

    @property
    def rows(self) -> list[bytes]:
        """Every bar as Binance writes it: a JSON array of twelve, rendered on first use."""
        if not self._rows:
            c = self.columns
            step = self.interval_ms - 1
            self._rows = [
                b'[%d,"%.2f","%.2f","%.2f","%.2f","%.3f",%d,"%.5f",%d,"%.3f","%.5f","0"]'
                % (t, o, h, low, close, v, t + step, q, n, tb, tq)
                for t, o, h, low, close, v, q, n, tb, tq in zip(*(c[name].tolist() for name in c), strict=True)
            ]
        return self._rows

    def indices(self, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int) -> list[int]:
        """Rows that a kline query gets: bars opening in [start, end], the running bar included, gaps left out.

        Without a start the newest rows, as the exchanges do it.
        """
        visible = min(self.count, (now_ms - self.start_ms) // self.interval_ms + 1)
        first = 0 if start_ms is None else max(0, -(-(start_ms - self.start_ms) // self.interval_ms))
        stop = visible if end_ms is None else min(visible, (end_ms - self.start_ms) // self.interval_ms + 1)
        if not self.missing:
            if start_ms is None:
                first = max(first, stop - limit)
            return list(range(first, min(stop, first + limit)))
        kept = [row for row in range(first, stop) if row not in self.missing]
        return kept[-limit:] if start_ms is None else kept[:limit]

    def table(self, start_ms: int | None = None, stop_ms: int | None = None) -> pa.Table:
        """The truth: bars opening in [start, stop) as a table of `BAR_SCHEMA`, without the missing ones."""
        times = self.columns["open_time"]
        keep = np.ones(self.count, dtype=bool)
        keep[list(self.missing)] = False
        if start_ms is not None:
            keep &= times >= start_ms
        if stop_ms is not None:
            keep &= times < stop_ms
        arrays = [pa.array(self.columns[f.name][keep]).cast(f.type) for f in BAR_SCHEMA]
        return pa.table(arrays, schema=BAR_SCHEMA)

    def csv(self, start_ms: int, stop_ms: int, *, header: bool = False, microseconds: bool = False) -> bytes:
        """The archive's text of the bars opening in [start, stop)."""
        names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        lines = [(names + "taker_buy_volume,taker_buy_quote_volume,ignore").encode()] if header else []
        first = (start_ms - self.start_ms) // self.interval_ms
        stop = (stop_ms - self.start_ms) // self.interval_ms
        for row in range(max(0, first), min(stop, self.count)):
            if row in self.missing:
                continue
            cells = self.rows[row][1:-1].replace(b'"', b"").split(b",")
            if microseconds:
                cells[0] += b"000"
                cells[6] += b"999"
            lines.append(b",".join(cells))
        return b"\n".join(lines) + b"\n"


def rows_of(times: Iterable[int], source: BarSource) -> list[int]:
    """Row numbers of open times, to build `missing` from readable times."""
    return [(time - source.start_ms) // source.interval_ms for time in times]
