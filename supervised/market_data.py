"""From bars to what models learn from, for years of bars: features through the feature store, both mapped from disk.

A symbol's features go from its bars into the feature store (Parquet, month by month), and from there, a month at a
time, into a matrix on disk; its labels likewise. The folder of the matrices is named by all that they are made of, so a
second run finds them, and a killed one begins again at the first matrix that it lacks. In memory are one symbol's bars
(80 bytes each), one month of features, and 9 bytes a row that stay.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipeline.schema import BarArrays, segments
from features.labels import fixed_horizon, triple_barrier
from features.store.build import Progress, Request, build
from features.store.feature_set import FeatureSet, bars_digest
from features.store.reader import FeatureStore
from features.store.sources import Source, split_months
from supervised.chunks import row_blocks
from supervised.dataset import Dataset
from supervised.outputs import OutputLayout
from supervised.spool import spool


@dataclass(frozen=True)
class MarketData:
    """One symbol, ready to be learned from."""

    symbol: str
    feature_names: tuple[str, ...]
    data: Dataset
    digest: str
    """Of the bars, the features and the labels."""


def load_market(
    source: Source, request: Request, layout: OutputLayout, folder: Path, progress: Progress | None = None
) -> MarketData:
    """Features and labels of one series of bars, mapped from files below `folder`, made there as far as need be.

    Raises InputError as `features.store.build` does, and where no row has all features.
    """
    features = build(folder / "features", [source], request, progress=progress)[0].features
    bars = source.read()
    digest = _digest(features, bars, layout)
    place = folder / "rows" / digest
    shape = (len(bars), layout.targets)
    X = spool(
        place / "features.npy",
        _feature_blocks(folder / "features", source, features, bars),
        (len(bars), len(features.names)),
        np.float64 if features.precision == "float64" else np.float32,
    )
    y = spool(place / "targets.npy", (y for y, _ in _label_blocks(bars, layout, source)), shape, np.float32)
    t1 = spool(place / "ends.npy", (t1 for _, t1 in _label_blocks(bars, layout, source)), shape, np.int64)
    stretches = segments(bars.open_time_ms, source.series.interval_ms)
    data = Dataset(X, y, t1, stretches, bars.open_time_ms.copy())
    return MarketData(source.series.symbol, features.names, data, digest)


def labels(bars: BarArrays, layout: OutputLayout, interval_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets float32 (T, H + K), NaN unknown, and the rows at which they end, int64 (T, H + K).

    Returns of each horizon in bps, then the outcome of each bracket: -1 stop, 0 time-out, +1 take-profit.
    """
    y = np.full((len(bars), layout.targets), np.nan, dtype=np.float32)
    t1 = np.empty(y.shape, dtype=np.int64)
    for column, horizon in enumerate(layout.horizons):
        found = fixed_horizon(bars, horizon, interval_ms)
        y[:, column], t1[:, column] = found.values, found.t1
    for column, bracket in enumerate(layout.brackets, start=len(layout.horizons)):
        ended = triple_barrier(bars, **dataclasses.asdict(bracket), interval_ms=interval_ms)
        y[:, column], t1[:, column] = np.where(ended.valid, ended.outcome, np.nan), ended.t1
    return y, t1


def _label_blocks(bars: BarArrays, layout: OutputLayout, source: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`labels` of all bars, block by block: each block is computed with as many bars behind it as a label may need."""
    ahead = 1 + max([*layout.horizons, *(bracket.ttl_bars for bracket in layout.brackets)])
    for rows in row_blocks(len(bars)):
        y, t1 = labels(bars.slice(rows.start, min(rows.stop + ahead, len(bars))), layout, source.series.interval_ms)
        yield y[: rows.stop - rows.start], t1[: rows.stop - rows.start] + rows.start


def _feature_blocks(root: Path, source: Source, features: FeatureSet, bars: BarArrays) -> Iterator[np.ndarray]:
    """The stored rows of all bars, float (N, F), a month at a time."""
    series = source.series
    store = FeatureStore(root, venue=series.venue, interval=series.interval, key=features.key)
    for month in split_months(bars):
        first, last = int(month.open_time_ms[0]), int(month.open_time_ms[-1])
        table = store.read(series.symbol, first, last + 1)
        yield np.stack([table[name].to_numpy() for name in features.names], axis=1)


def _digest(features: FeatureSet, bars: BarArrays, layout: OutputLayout) -> str:
    about = [features.key, bars_digest(bars), dataclasses.asdict(layout)]
    return hashlib.blake2b(json.dumps(about).encode(), digest_size=12).hexdigest()
