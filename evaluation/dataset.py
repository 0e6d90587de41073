"""From bar files to what models and markets are made of: one `SymbolData` per symbol, split once into train,
validation and test by time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.files import file_sha256
from data_pipeline.instruments import Instrument, default_instrument
from data_pipeline.readers import read_bars, symbol_from_path
from data_pipeline.schema import BarArrays, bar_arrays, segments
from data_pipeline.synthetic import synthetic_market
from evaluation.config import ExperimentConfig
from features.batch import available_features, compute_features
from features.catalogue import select_features
from features.labels import costs_of, fixed_horizon, triple_barrier
from supervised.outputs import Bracket

INTERVAL = "1m"
INTERVAL_MS = 60_000
FEATURES = ("core",)
"""What models and policies see, as far as every source can give it."""
FIRST_TRAIN_FRACTION = 0.35
"""Share of the bars before the first walk-forward fold; policies learn on the folds up to `train_fraction`."""
LEAST_TRAIN_ROWS = 500
"""Rows with features that the first fold's models need; fewer teach nothing."""


@dataclass(frozen=True)
class Split:
    """Rows of one symbol: [0, train) is learned from, [train, validation) chooses, [validation, rows) is the test."""

    train: int
    validation: int
    rows: int


@dataclass(frozen=True, eq=False)
class SymbolRows:
    """Everything known about one symbol's bars, aligned by row."""

    symbol: str
    instrument: Instrument
    table: pa.Table
    """Bars, `BAR_SCHEMA` (T rows)."""
    bars: BarArrays
    features: NDArray[np.float64]
    """(T, F), NaN in warm-up."""
    feature_names: tuple[str, ...]
    labels_bps: NDArray[np.float32]
    """(T, H) return from the next open to the open h bars later, NaN where unknown."""
    label_ends: NDArray[np.int64]
    """(T, H) row at whose open the label is known."""
    outcomes: NDArray[np.float32]
    """(T, K) how each bracket would have ended, -1 stop, 0 time-out, +1 take-profit, NaN where unknown."""
    outcome_ends: NDArray[np.int64]
    """(T, K) row of the bar at or in which it ended."""
    segments: NDArray[np.int64]
    """(K, 2) contiguous stretches [start, stop)."""
    split: Split

    @property
    def targets(self) -> NDArray[np.float32]:
        """(T, H + K) what models learn: returns, then outcomes."""
        return np.concatenate([self.labels_bps, self.outcomes], axis=1)

    @property
    def target_ends(self) -> NDArray[np.int64]:
        """(T, H + K) row at or in which each target is known."""
        return np.concatenate([self.label_ends, self.outcome_ends], axis=1)

    @property
    def slug(self) -> str:
        """The symbol as the name of a folder."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.symbol)


def load_bars(config: ExperimentConfig) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Bars by symbol, and what identifies them (digest of each file, or the synthetic market's configuration).

    Raises InputError for files that cannot be used, symbols that are not there, and synthetic bars next to real ones.
    """
    if config.synthetic:
        synthetic = SyntheticConfig(setting=config.market, bars=config.days * 1440, seed=config.seed)
        return {synthetic.symbol: synthetic_market(synthetic).bars}, {"synthetic": synthetic}
    files: dict[str, list[Path]] = defaultdict(list)
    for path in config.bars:
        for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            files[symbol_from_path(file)].append(file)
    if not files:
        raise InputError(
            "no bars there", where=" ".join(map(str, config.bars)), remedy="give files or folders of Parquet"
        )
    unknown = sorted(set(config.symbols) - files.keys())
    if unknown:
        raise InputError(
            f"symbol {unknown[0]!r} is not among the bars",
            where="--symbols",
            remedy=f"there are {' '.join(sorted(files))}",
        )
    wanted = sorted(config.symbols or files)
    tables = {
        name: read_bars(*files[name], start=config.start, end=config.end, interval=INTERVAL, symbol=name)
        for name in wanted
    }
    return tables, {f"sha256 of {file.name}": file_sha256(file) for name in wanted for file in files[name]}


def instrument_for(symbol: str, table: pa.Table, config: ExperimentConfig) -> Instrument:
    """Order rules of `symbol` with the fees of the options."""
    usual = default_instrument(symbol, config.contract, table["close"].to_numpy())
    maker = usual.maker_fee_bps if config.maker_fee_bps is None else config.maker_fee_bps
    taker = usual.taker_fee_bps if config.taker_fee_bps is None else config.taker_fee_bps
    return replace(usual, maker_fee_bps=maker, taker_fee_bps=taker)


def prepare_symbols(tables: dict[str, pa.Table], config: ExperimentConfig) -> list[SymbolRows]:
    """Features, labels and split of every symbol. All symbols share the features that each of them can give, so that
    one policy can trade them all, and the moments that separate train, validation and test.

    Raises InputError when a symbol has no rows in one of the three parts.
    """
    arrays = {symbol: bar_arrays(table) for symbol, table in tables.items()}
    names = common_features(list(arrays.values()))
    first = min(bars.open_time_ms[0] for bars in arrays.values())
    last = max(bars.open_time_ms[-1] for bars in arrays.values()) + INTERVAL_MS
    train_end = first + config.train_fraction * (last - first)
    validation_end = first + (config.train_fraction + config.validation_fraction) * (last - first)
    return [
        _prepare(symbol, tables[symbol], bars, names, (train_end, validation_end), config)
        for symbol, bars in arrays.items()
    ]


def brackets_of(config: ExperimentConfig) -> tuple[Bracket, ...]:
    """The discrete actions' bracket on each side that may be traded, where outcomes are to be learned."""
    if not config.outcomes:
        return ()
    sides = (1,) if config.contract == "spot" else (1, -1)
    return tuple(Bracket(config.take_profit_bps, config.stop_loss_bps, config.ttl_bars, side) for side in sides)


def common_features(sources: Sequence[BarArrays]) -> tuple[str, ...]:
    """Features that every source has the columns for, in catalogue order."""
    available = [available_features(bars, FEATURES) for bars in sources]
    return tuple(name for name in available[0] if all(name in others for others in available[1:]))


def _prepare(
    symbol: str,
    table: pa.Table,
    bars: BarArrays,
    names: tuple[str, ...],
    cuts: tuple[float, float],
    config: ExperimentConfig,
) -> SymbolRows:
    train, validation = (int(row) for row in np.searchsorted(bars.open_time_ms, cuts))
    split = Split(train, validation, len(bars))
    for part, rows in (
        ("training", split.train),
        ("validation", split.validation - split.train),
        ("test", split.rows - split.validation),
    ):
        if rows < 2:
            raise InputError(
                f"{rows} bars in the {part} part", where=symbol, remedy="give a longer range or other fractions"
            )
    features = compute_features(bars, names)
    complete = int(np.isfinite(features[: int(FIRST_TRAIN_FRACTION * len(bars))]).all(axis=1).sum())
    if complete < LEAST_TRAIN_ROWS:
        raise InputError(
            f"{complete} of the first {FIRST_TRAIN_FRACTION:.0%} of {len(bars)} bars are past the features' warm-up of "
            f"{max(spec.warmup for spec in select_features(names))} bars, and {LEAST_TRAIN_ROWS} are needed",
            where=symbol,
            remedy="give a longer range, or one with fewer gaps",
        )
    labels = [fixed_horizon(bars, horizon, INTERVAL_MS) for horizon in config.horizons]
    instrument = instrument_for(symbol, table, config)
    ends = [
        triple_barrier(
            bars,
            take_profit_bps=bracket.take_profit_bps,
            stop_loss_bps=bracket.stop_loss_bps,
            ttl_bars=bracket.ttl_bars,
            side=bracket.side,
            costs=costs_of(instrument, config.half_spread_bps),
            interval_ms=INTERVAL_MS,
        )
        for bracket in brackets_of(config)
    ]
    nothing = np.empty((len(bars), 0))
    return SymbolRows(
        symbol=symbol,
        instrument=instrument,
        table=table,
        bars=bars,
        features=features,
        feature_names=names,
        labels_bps=np.stack([np.where(x.valid, x.values, np.nan) for x in labels], axis=1).astype(np.float32),
        label_ends=np.stack([x.t1 for x in labels], axis=1),
        outcomes=np.column_stack([nothing, *(np.where(x.valid, x.outcome, np.nan) for x in ends)]).astype(np.float32),
        outcome_ends=np.column_stack([nothing, *(x.t1 for x in ends)]).astype(np.int64),
        segments=segments(bars.open_time_ms, INTERVAL_MS),
        split=split,
    )
