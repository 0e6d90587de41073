"""Closed bars as they come: what any feed must offer, and the replay of files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.readers import is_synthetic, read_bars
from data_pipeline.schema import INTERVAL_MS, BarArrays, bar_arrays
from features.bars.catalogue import BAR_FIELDS

NAP_S = 0.1
"""Longest sleep between two looks at whether to stop."""


@dataclass(frozen=True, slots=True)
class ClosedBar:
    """One bar whose interval is over; units as in `data_pipeline.schema.BAR_SCHEMA`, NaN where the source is silent."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float = math.nan
    trades: float = math.nan
    taker_buy_volume: float = math.nan
    taker_buy_quote_volume: float = math.nan
    bid: float = math.nan
    """Best quotes at the close, where the feed has them: a session halts when they are crossed."""
    ask: float = math.nan
    received_ms: float = math.nan
    """UTC, when a live feed had it, to tell how late it came."""

    def row(self) -> np.ndarray:
        """The nine numbers, float64 (9,) in the order of `BAR_FIELDS`."""
        return np.array([getattr(self, name) for name in BAR_FIELDS])

    @classmethod
    def from_row(cls, open_time_ms: int, row: np.ndarray) -> ClosedBar:
        """Back from `row`."""
        return cls(int(open_time_ms), *(float(value) for value in row))


def bar_block(open_time_ms: np.ndarray, rows: np.ndarray) -> BarArrays:
    """Bars from their times int64 (T,) and rows float64 (T, 9)."""
    return BarArrays(open_time_ms, *(np.ascontiguousarray(column) for column in rows.T))


class BarFeed(Protocol):
    """A source of one symbol's closed bars, each once, in time order, with no bar that is still open.

    A feed that listens to an exchange yields a bar as soon as it is closed and may skip what it missed: the session
    treats the hole as a gap.
    """

    symbol: str
    synthetic: bool
    """Whether the bars were made by the synthetic market."""

    def bars(self, stop: Callable[[], bool]) -> Iterator[ClosedBar]:
        """Yield bars until the source ends, or soon after `stop()` has become true."""
        ...


class ReplayFeed:
    """Bars from files, as fast as they are taken or at `speed` times real time (a gap takes no longer than a bar)."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        symbol: str,
        interval_ms: int,
        after_ms: int | None = None,
        speed: float | None = None,
    ) -> None:
        """Read and validate the files; bars that open at `after_ms` or before are left out.

        Raises InputError for files that `read_bars` refuses, and when no bar is left.
        """
        interval = next((name for name, ms in INTERVAL_MS.items() if ms == interval_ms), str(interval_ms))
        table = read_bars(*paths, interval=interval, symbol=symbol)
        self.symbol = symbol
        self.synthetic = is_synthetic(table)
        self._interval_s = interval_ms / 1000
        self._speed = speed
        bars = bar_arrays(table)
        first = 0 if after_ms is None else int(np.searchsorted(bars.open_time_ms, after_ms, side="right"))
        if first == len(bars):
            raise InputError(
                f"all {len(bars)} bars have been traded already",
                where=" ".join(path.name for path in paths),
                remedy="give later bars, or start anew with another --out",
            )
        self._bars = bars.slice(first, len(bars))

    def __len__(self) -> int:
        """Bars still to come when the feed was opened."""
        return len(self._bars)

    def bars(self, stop: Callable[[], bool]) -> Iterator[ClosedBar]:
        """See `BarFeed.bars`."""
        rows = np.stack([getattr(self._bars, name) for name in BAR_FIELDS], axis=1)
        begun = time.monotonic()
        for number, open_time_ms in enumerate(self._bars.open_time_ms):
            if self._speed is not None:
                _sleep_until(begun + number * self._interval_s / self._speed, stop)
            if stop():
                return
            yield ClosedBar.from_row(open_time_ms, rows[number])


def _sleep_until(due: float, stop: Callable[[], bool]) -> None:
    while (left := due - time.monotonic()) > 0 and not stop():
        time.sleep(min(left, NAP_S))
