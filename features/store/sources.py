"""Where bars come from: a store of bars, files, or a table in memory. Sources travel to other processes as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.readers import read_bars, symbol_from_path
from data_pipeline.schema import OPTIONAL_COLUMNS, BarArrays, bar_arrays
from data_pipeline.store.bar_store import BarStore, find_series
from data_pipeline.store.layout import Series, month_span, to_ms
from data_pipeline.synthetic import synthetic_market
from data_pipeline.venue import store_symbol
from features.store.config import BarsConfig

FILES = "files"
"""The venue that bars from files are filed under: their names do not tell it."""


class Source(Protocol):
    """One series of bars."""

    @property
    def series(self) -> Series:
        """Its venue, symbol and interval."""

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

    def read(self) -> BarArrays:
        """The table's columns."""
        return bar_arrays(self.table)


def bar_sources(config: BarsConfig) -> list[Source]:
    """A source for each series that `config` names, in order. Raises InputError for what is not there."""
    if (config.store is None) == (not config.files):
        remedy = "for example --store data/store, or --files BTCUSDT-1m-2026-03.zip"
        raise InputError("give either a store or files of bars", where="bars", remedy=remedy)
    start, end = to_ms(config.start, "start"), to_ms(config.end, "end")
    if config.store is not None:
        return [StoreBars(config.store, series, start, end) for series in _stored(config, config.store)]
    files: dict[str, list[Path]] = defaultdict(list)
    for path in config.files:
        if not path.exists():
            raise InputError("there is no such file", where=str(path), remedy="check the path")
        for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            files[store_symbol(symbol_from_path(file))].append(file)
    if not files:
        raise InputError("the folder holds no .parquet file", where=" ".join(map(str, config.files)))
    wanted = [store_symbol(symbol) for symbol in config.symbols] or sorted(files)
    for symbol in wanted:
        if symbol not in files:
            raise InputError(f"no file of {symbol}", where="--files", remedy=f"there are {' '.join(sorted(files))}")
    return [FileBars(tuple(files[symbol]), Series(FILES, symbol, config.interval), start, end) for symbol in wanted]


def one_source(
    config: BarsConfig, synthetic: Literal["no_edge", "planted_edge"] | None, days: int, seed: int
) -> Source:
    """The one series that `config` names, or `days` of a `synthetic` market. Raises InputError for several."""
    if synthetic is not None:
        market = SyntheticConfig(setting=synthetic, bars=days * 1440, seed=seed)
        return TableBars(Series("synthetic", store_symbol(market.symbol), "1m"), synthetic_market(market).bars)
    sources = bar_sources(config)
    if len(sources) > 1:
        there = ", ".join(str(source.series) for source in sources)
        raise InputError(f"there are several series: {there}", where="--symbols", remedy="name one")
    return sources[0]


def _stored(config: BarsConfig, root: Path) -> Sequence[Series]:
    with BarStore(root, venue=config.venue, interval=config.interval) as store:
        known = store.series()
    if config.symbols:
        return [find_series(known, symbol, config.venue, config.interval, str(root)) for symbol in config.symbols]
    found = [series for series in known if series.interval == config.interval and config.venue in (None, series.venue)]
    if not found:
        held = ", ".join(map(str, known)) or "nothing"
        raise InputError(f"no {config.interval} bars", where=str(root), remedy=f"the store holds {held}")
    return found


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
