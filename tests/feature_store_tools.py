"""Hourly bars over some months, with every kind of seam, for tests of the feature store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.schema import BAR_SCHEMA, bar_arrays
from data_pipeline.store.layout import Series
from features.batch import compute_features
from features.config import BarParameters
from features.store.build import Request
from features.store.reader import FeatureStore
from features.store.sources import TableBars
from tests.emulator.bars import BarSource

HOUR = 3_600_000
JANUARY = 1_704_067_200_000  # 2024-01-01
DAY = 24
SERIES = Series("binance_spot", "BTCUSDT", "1h")
NAMES = ("return_1", "ma_zscore_60", "realised_volatility_60", "taker_imbalance_ema_30", "volume_zscore_60")
WINDOWS = BarParameters(interval_ms=HOUR)
REQUEST = Request(NAMES, WINDOWS)


def hourly_bars(days: int = 200, missing: tuple[tuple[int, int], ...] = (), seed: int = 1) -> pa.Table:
    """Bars from January 2024 on; `missing` are [from, to) in days."""
    gone = frozenset(hour for start, stop in missing for hour in range(start * DAY, stop * DAY))
    return BarSource(JANUARY, days * DAY, HOUR, seed=seed, missing=gone).table()


def source(table: pa.Table, series: Series = SERIES) -> TableBars:
    """The table as a source."""
    return TableBars(series, table)


def rows_of(root: Path, names: tuple[str, ...] = NAMES, **options: str) -> np.ndarray:
    """What a reader sees, float64 (T, F)."""
    with_key = FeatureStore(root, interval="1h", **options)
    table = with_key.read("BTCUSDT", names=names)
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def expected(table: pa.Table, names: tuple[str, ...] = NAMES) -> np.ndarray:
    """One pass over all bars."""
    return compute_features(bar_arrays(table), names, WINDOWS)


def assert_same_bits(found: np.ndarray, wanted: np.ndarray) -> None:
    """Equal to the bit, NaN included, and not all NaN."""
    assert found.shape == wanted.shape
    assert np.isfinite(wanted).any()
    assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(wanted).tobytes()


def with_one_change(table: pa.Table, row: int) -> pa.Table:
    """The same bars, but one traded a little more."""
    volume = table["volume"].to_numpy().copy()
    volume[row] *= 1.5
    return table.set_column(BAR_SCHEMA.names.index("volume"), BAR_SCHEMA.field("volume"), pa.array(volume))
