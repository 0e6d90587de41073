"""Where bars come from: a store of bars, files, or a table in memory. Sources travel to other processes as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from data_pipeline.readers import read_bars
from data_pipeline.schema import OPTIONAL_COLUMNS, BarArrays, bar_arrays
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.layout import Series, month_span

FILES = "files"
"""The venue that bars from files are filed under: their names do not tell it."""


class Source(Protocol):
    """One series of bars."""

    @property
    def series(self) -> Series:
        """Its venue, symbol and interval."""

    @property
    def start_ms(self) -> int | None:
        """The moment from which bars are taken, None for all."""

    def read(self) -> BarArrays:
        """All its bars, 80 bytes each. Raises InputError for bars that cannot be had."""


@dataclass(frozen=True)
class StoreBars:
    """Bars of a `BarStore` opening in [start_ms, end_ms)."""

    root: Path
    series: Series
    start_ms: int | None = None
    end_ms: int | None = None

    def read(self) -> BarArrays:
        """As `BarStore.read` does."""
        with BarStore(self.root, venue=self.series.venue, interval=self.series.interval) as store:
            return bar_arrays(store.read(self.series.symbol, self.start_ms, self.end_ms))


@dataclass(frozen=True)
class FileBars:
    """Bars in files that `read_bars` knows, all of one symbol, opening in [start_ms, end_ms)."""

    paths: tuple[Path, ...]
    series: Series
    start_ms: int | None = None
    end_ms: int | None = None

    def read(self) -> BarArrays:
        """As `read_bars` does."""
        bars = bar_arrays(read_bars(*self.paths, interval=self.series.interval, symbol=self.series.symbol))
        times = bars.open_time_ms
        first = 0 if self.start_ms is None else int(np.searchsorted(times, self.start_ms))
        return bars.slice(first, len(bars) if self.end_ms is None else int(np.searchsorted(times, self.end_ms)))


@dataclass(frozen=True)
class TableBars:
    """Bars in memory, a table of `BAR_SCHEMA`."""

    series: Series
    table: pa.Table
    start_ms: int | None = None

    def read(self) -> BarArrays:
        """The table's columns."""
        return bar_arrays(self.table)


def split_months(bars: BarArrays) -> Iterator[BarArrays]:
    """The bars of each UTC month that has any, as views."""
    row = 0
    while row < len(bars):
        stop = int(np.searchsorted(bars.open_time_ms, month_span(int(bars.open_time_ms[row]))[1]))
        yield bars.slice(row, stop)
        row = stop


def lacking_fields(bars: BarArrays) -> frozenset[str]:
    """Optional columns that are empty in some row: features that read them cannot be had from these bars."""
    return frozenset(name for name in OPTIONAL_COLUMNS if np.isnan(getattr(bars, name)).any())
