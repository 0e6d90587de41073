"""What the values of a feature look like: their distribution, and how it moves from month to month."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

LEVELS = (0.01, 0.05, 0.5, 0.95, 0.99)
"""Quantiles that are shown."""
SHOWN = (0.005, 0.995)
"""The histogram spans these quantiles; what lies beyond is counted in its outermost bars."""
BARS = 40
DECILES = np.arange(1, 10) / 10.0
DAY_MS = 86_400_000
LEAST = 0.5
"""Periods with fewer than this share of the rows of the fullest one, or of a past as long as they are, are not judged:
a single day differs from a month though nothing has moved."""
SHIFTED = 0.25
"""Population stability index from which a distribution counts as another one; 0.1 to 0.25 is a moderate shift."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """One feature over all rows."""

    missing: float
    """Share of rows that are NaN (warm-up, after gaps)."""
    mean: float
    deviation: float
    skew: float
    excess_kurtosis: float
    quantiles: Floats
    """float64 (5,) at `LEVELS`."""
    edges: Floats
    """float64 (BARS + 1,) of the histogram; empty when no value is there."""
    counts: Longs
    """int64 (BARS,)"""


@dataclass(frozen=True, eq=False)
class Periods:
    """The calendar that stability is judged by: months, or weeks or days where there are not three months."""

    unit: str
    """month, week or day"""
    names: tuple[str, ...]
    index: Longs
    """int64 (T,) period of every row."""


@dataclass(frozen=True, eq=False)
class Drift:
    """How each period's values compare with those of all periods before it, float64 (P,); NaN where `LEAST` says so."""

    psi: Floats
    """Population stability index over the deciles of all values: Σ (p - q) ln(p / q)."""
    mean_shift: Floats
    """Mean of the period less that of all before, in standard deviations of all before."""
    deviation_ratio: Floats
    """Standard deviation over that of all before."""

    @property
    def worst(self) -> float:
        """The largest index, NaN when there is none."""
        return float(np.nanmax(self.psi)) if np.isfinite(self.psi).any() else math.nan


def describe(values: Floats) -> Distribution:
    """The distribution of a column, float64 (T,) with NaN where there is no value."""
    known = values[np.isfinite(values)]
    missing = 1.0 - known.size / values.size if values.size else math.nan
    if known.size == 0:
        nan, none = math.nan, np.empty(0)
        return Distribution(missing, nan, nan, nan, nan, np.full(len(LEVELS), nan), none, none.astype(np.int64))
    mean, deviation = float(known.mean()), float(known.std())
    z = (known - mean) / deviation if deviation > 0.0 else np.zeros_like(known)
    square = z * z
    marks = np.quantile(known, [*LEVELS, *SHOWN])
    low, high = float(marks[-2]), float(marks[-1])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(known, low, high), bins=BARS, range=(low, high))
    return Distribution(
        missing,
        mean,
        deviation,
        float((square * z).mean()),
        float((square * square).mean()) - 3.0 if deviation > 0.0 else math.nan,
        marks[: len(LEVELS)],
        edges,
        counts.astype(np.int64),
    )


def periods_of(times_ms: Longs) -> Periods:
    """Calendar months (UTC) of increasing times, int64 (T,); weeks when there are fewer than three, days when there are
    fewer than three weeks. Only periods with rows are named."""
    days = times_ms // DAY_MS
    months = times_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    weeks = (days + 3) // 7  # 1970-01-01 was a Thursday: weeks begin on Monday
    choices = (("month", months), ("week", weeks), ("day", days))
    unit, keys = next(((unit, keys) for unit, keys in choices if np.unique(keys).size >= 3), choices[-1])
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    starts = [datetime.fromtimestamp(int(times_ms[row]) / 1000, UTC) for row in first]
    names = tuple(f"{at:%Y-%m}" if unit == "month" else f"{at:%Y-%m-%d}" for at in starts)
    return Periods(unit, names, index.astype(np.int64))


def drift(values: Floats, periods: Periods) -> Drift:
    """Compare each period's values, float64 (T,), with all earlier ones.

    Looking back only, this answers what a user asks: would a scaler or a model fitted on all data so far still have
    fitted? The deciles are those of the whole sample; half a row is added to every cell, so that an empty one has a
    finite index. The usual reading of the index (below 0.1 stable, above 0.25 another distribution) is a rule of thumb
    from credit scoring, not a test: n rows of a slow feature are far fewer than n observations.
    """
    count = len(periods.names)
    known = np.isfinite(values)
    x, index = values[known], periods.index[known]
    if x.size == 0:
        return Drift(*(np.full(count, np.nan) for _ in range(3)))
    centre = float(x.mean())  # sums of squares around it do not cancel
    x = x - centre
    inner = np.unique(np.quantile(x, DECILES))
    cells = inner.size + 1
    cell = index * cells + np.searchsorted(inner, x, side="left")
    table = np.bincount(cell, minlength=count * cells).reshape(count, cells).astype(np.float64)
    rows = table.sum(axis=1)
    sums = np.bincount(index, weights=x, minlength=count)
    squares = np.bincount(index, weights=x * x, minlength=count)

    before = np.cumsum(table, axis=0) - table
    rows_before = before.sum(axis=1)
    mean, deviation = _moments(rows, sums, squares)
    past_mean, past_deviation = _moments(rows_before, np.cumsum(sums) - sums, np.cumsum(squares) - squares)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = (table + 0.5) / (rows + 0.5 * cells)[:, None]
        q = (before + 0.5) / (rows_before + 0.5 * cells)[:, None]
        psi = ((p - q) * np.log(p / q)).sum(axis=1)
        shift = np.where(past_deviation > 0.0, (mean - past_mean) / past_deviation, np.nan)
        ratio = np.where(past_deviation > 0.0, deviation / past_deviation, np.nan)
    unknown = (rows == 0.0) | (rows < LEAST * rows.max()) | (rows_before < LEAST * rows)
    for column in (psi, shift, ratio):
        column[unknown] = np.nan
    return Drift(psi, shift, ratio)


def _moments(rows: NDArray, sums: NDArray, squares: NDArray) -> tuple[Floats, Floats]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / rows
        return mean, np.sqrt(np.maximum(squares / rows - mean * mean, 0.0))
