"""Everything the feature page says, computed once: shape, stability, kinship and forecasting power of every feature.

Columns are asked for one at a time, so that years of rows need the memory of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays
from evaluation.feature_groups import Groups, group_features
from evaluation.feature_shape import Distribution, Drift, Periods, describe, drift, periods_of
from evaluation.intervals import Interval
from evaluation.rank_ic import Blocks, RankIC, Ranks, blocks_of, rank, rank_ic
from evaluation.stepdown import stepdown_p_values
from features.labels import fixed_horizon
from features.spec import FeatureSpec

Floats = NDArray[np.float64]
Column = Callable[[str], Floats]
"""The values of the named feature, float64 (T,), NaN where there are none."""

SAMPLE_ROWS = 20_000
"""Rows, evenly apart, that correlations between features are computed on."""
LEVEL = 0.05
"""Family-wise error rate at which a feature is said to survive."""


@dataclass(frozen=True, eq=False)
class Power:
    """What one feature knows about one horizon."""

    ic: Interval
    """Spearman's correlation with the label; `n` rows, overlapping ones included."""
    p_value: float
    """Adjusted over all features and horizons; NaN where not tested."""
    spread_bps: float
    """Mean label of the rows with the highest tenth of values, less that of the lowest tenth."""
    same_sign: float
    """Share of blocks that pull the IC the way it points."""

    @property
    def survives(self) -> bool:
        """Whether it is distinguishable from chance at `LEVEL`, all tests together."""
        return self.p_value <= LEVEL


@dataclass(frozen=True, eq=False)
class FeatureStudy:
    """The numbers of the page."""

    symbol: str
    interval_ms: int
    times_ms: NDArray[np.int64]
    """int64 (T,) open times of the rows."""
    specs: tuple[FeatureSpec, ...]
    horizons: tuple[int, ...]
    """In bars."""
    distributions: tuple[Distribution, ...]
    periods: Periods
    drifts: tuple[Drift, ...]
    groups: Groups
    powers: tuple[tuple[Power, ...], ...]
    """For each feature, one for each horizon."""
    blocks: Blocks
    """Blocks of time that the evidence is counted in."""

    @property
    def tests(self) -> int:
        """Features × horizons that could be tested."""
        return sum(not math.isnan(power.p_value) for row in self.powers for power in row)

    @property
    def survivors(self) -> tuple[int, ...]:
        """Features that survive on at least one horizon, strongest first."""
        alive = [k for k, row in enumerate(self.powers) if any(power.survives for power in row)]
        return tuple(sorted(alive, key=lambda k: -abs(self.best(k).ic.value)))

    def best(self, feature: int) -> Power:
        """The horizon on which a feature stands out most: surviving first, then the largest |IC|."""
        return self.powers[feature][self.best_horizon(feature)]

    def best_horizon(self, feature: int) -> int:
        """Its index in `horizons`."""
        row = self.powers[feature]
        size = [(power.survives, abs(power.ic.value) if math.isfinite(power.ic.value) else -1.0) for power in row]
        return max(range(len(row)), key=size.__getitem__)


def study_features(
    bars: BarArrays,
    column: Column,
    specs: Sequence[FeatureSpec],
    *,
    symbol: str,
    interval_ms: int = 60_000,
    horizons: Sequence[int] = (1, 5, 15, 60),
    flips: int = 9999,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> FeatureStudy:
    """Study the features of `specs` over `bars` (T rows), whose values `column` gives.

    Labels are `features.labels.fixed_horizon`: returns from the next open, in bps. Power is measured on the rows that
    know the labels of all horizons. `progress` is told each feature's name once it is done.

    Raises InputError for no feature, no horizon, fewer than 2 bars, and for columns of another length than the bars.
    """
    where = "feature study"
    if not specs or not horizons:
        raise InputError("there is nothing to study", where=where, remedy="name at least one feature and one horizon")
    times = bars.open_time_ms
    if len(times) < 2:
        raise InputError(f"there are {len(times)} bars", where=where, remedy="give a longer range")
    blocks, periods = blocks_of(times, interval_ms, max(horizons)), periods_of(times)
    labels = _Labels(np.stack([fixed_horizon(bars, horizon, interval_ms).values for horizon in horizons]))
    sample_rows = np.arange(0, len(times), -(-len(times) // SAMPLE_ROWS))
    distributions, drifts, samples = [], [], []
    found: list[tuple[RankIC, float]] = []
    for spec in specs:
        values = column(spec.name)
        if values.shape != times.shape:
            raise InputError(f"{spec.name} has {len(values)} rows, the bars {len(times)}", where=where)
        distributions.append(describe(values))
        drifts.append(drift(values, periods))
        samples.append(values[sample_rows])
        found += _powers(values, labels, blocks)
        if progress:
            progress(spec.name)
    p_values = _adjusted([ic for ic, _ in found], flips, seed)
    powers = [Power(ic.interval, p, spread, _same_sign(ic)) for (ic, spread), p in zip(found, p_values, strict=True)]
    width = len(horizons)
    return FeatureStudy(
        symbol=symbol,
        interval_ms=interval_ms,
        times_ms=times,
        specs=tuple(specs),
        horizons=tuple(horizons),
        distributions=tuple(distributions),
        periods=periods,
        drifts=tuple(drifts),
        groups=group_features(_complete(np.stack(samples, axis=1))),
        powers=tuple(tuple(powers[k : k + width]) for k in range(0, len(powers), width)),
        blocks=blocks,
    )


class _Labels:
    """The labels of all horizons, float64 (H, T), ranked again only when other rows are asked for than before."""

    def __init__(self, values: Floats) -> None:
        self._values = values
        self._known = np.isfinite(values).all(axis=0)
        self._rows = np.empty(0, np.int64)
        self._ranks: list[Ranks] = []

    def on(self, present: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[Ranks], Floats]:
        """Rows that are `present` and know every label, each label's ranks on them, and the labels, (H, rows)."""
        rows = np.flatnonzero(present & self._known)
        if not np.array_equal(rows, self._rows):
            self._rows = rows
            self._ranks = [rank(label[rows]) for label in self._values]
        return rows, self._ranks, self._values[:, rows]


def _powers(values: Floats, labels: _Labels, blocks: Blocks) -> list[tuple[RankIC, float]]:
    """The IC and the spread between the extreme tenths, for each horizon."""
    rows, label_ranks, moves = labels.on(np.isfinite(values))
    ranks = rank(values[rows])
    low, high = ranks.before < rows.size / 10, ranks.through > rows.size * 0.9
    found = []
    for label, move in zip(label_ranks, moves, strict=True):
        spread = float(move[high].mean() - move[low].mean()) if rows.size else math.nan
        found.append((rank_ic(ranks, label, blocks.index[rows], blocks.count), spread))
    return found


def _adjusted(ics: Sequence[RankIC], flips: int, seed: int) -> Floats:
    """Adjusted p-values over all that could be tested, NaN for the others."""
    p_values = np.full(len(ics), np.nan)
    tested = [k for k, ic in enumerate(ics) if ic.contributions.size]
    if tested:
        contributions = np.stack([ics[k].contributions for k in tested], axis=1)
        p_values[tested] = stepdown_p_values(contributions, flips=flips, seed=seed)
    return p_values


def _same_sign(ic: RankIC) -> float:
    moved = ic.contributions[ic.contributions != 0.0]
    return float(np.mean(np.sign(moved) == np.sign(ic.interval.value))) if moved.size else math.nan


def _complete(sample: Floats) -> Floats:
    """Rows that hold every feature that has values at all; a feature without any counts as constant."""
    empty = ~np.isfinite(sample).any(axis=0)
    filled = np.where(empty, 0.0, sample)
    return filled[np.isfinite(filled).all(axis=1)]
