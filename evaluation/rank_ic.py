"""Rank information coefficients on all rows, overlapping labels included, with intervals that own up to the overlap.

The IC of a feature over a horizon is Spearman's rank correlation with the label (Spearman 1904). Labels of h bars taken
at every bar repeat each other h times, and features move slowly; formulas for independent rows are then far too sure.
Dropping all rows but every h-th is one way out, and throws (h - 1) / h of the data away. Here every row counts and the
*block* is the unit of evidence:

1. The rank correlation of n rows is written as a sum of one contribution per row (its Hájek projection, which also
   carries what estimating the ranks adds when the truth is not zero).
2. Contributions are summed within blocks of consecutive time, much longer than the longest label. Block sums are
   nearly independent, whatever happens inside the blocks.
3. The interval is Student's over the B block sums (Ibragimov & Müller 2010): no bandwidth, valid for unequal variances.

References: Hájek (1968) on projections of rank statistics; Ibragimov & Müller (2010), "t-Statistic Based Correlation
and Heterogeneity Robust Inference"; Canay, Romano & Shaikh (2017) for the sign flips that `evaluation.stepdown` makes
of the same block sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from evaluation.intervals import UNKNOWN, Interval

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

BLOCK_HORIZONS = 12
"""Blocks are at least this many times the longest label: what neighbours share then hides 3 % of a block's variance."""
MOST_BLOCKS = 200
"""Beyond this many, longer blocks buy more independence than more blocks buy precision."""
LEAST_BLOCKS = 10
"""With fewer blocks nothing is tested: flipping the signs of B of them cannot give a p-value below 2^(1 - B)."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Equal spans of time, at least `BLOCK_HORIZONS` longest labels each and at most `MOST_BLOCKS` of them."""

    index: Longs
    """int64 (T,) block of every row, rising from 0 without holes."""
    bars: int
    """Length of a block, in bars."""

    @property
    def count(self) -> int:
        """Number of blocks that hold rows."""
        return int(self.index[-1]) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """The mid-ranks of one sample, and what is needed to correlate them with others of the same rows."""

    order: Longs
    """int64 (n,) rows from the smallest value to the largest."""
    before: Longs
    """int64 (n,) number of smaller values, for each row."""
    through: Longs
    """int64 (n,) number of values smaller or equal."""

    @property
    def centred(self) -> Floats:
        """Mid-ranks over n, less their mean one half: float64 (n,) in (-1/2, 1/2)."""
        return (self.before + self.through) / (2.0 * self.order.size) - 0.5


@dataclass(frozen=True, slots=True, eq=False)
class RankIC:
    """One information coefficient, and the evidence for it block by block."""

    interval: Interval
    """The IC with Student's interval over the blocks; `n` rows."""
    contributions: Floats
    """float64 (B,) what each block adds to the IC; they sum to it. Empty when it could not be tested."""


UNTESTED = RankIC(UNKNOWN, np.empty(0))
"""For a feature or a label that never varies, and for fewer than `LEAST_BLOCKS` blocks."""


def rank(values: Floats) -> Ranks:
    """Mid-ranks of `values`, float64 (n,) without NaN; equal values share a rank."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.ones(ordered.size, dtype=np.bool_)  # of its group of equal values
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    stops = np.append(starts[1:], ordered.size)[: starts.size]
    sizes = stops - starts
    before, through = np.empty(order.size, np.int64), np.empty(order.size, np.int64)
    before[order], through[order] = np.repeat(starts, sizes), np.repeat(stops, sizes)
    return Ranks(order, before, through)


def rank_influence(x: Ranks, y: Ranks) -> tuple[float, Floats]:
    """Spearman's correlation of two ranked samples, and each row's influence on it, float64 (n,) of mean 0.

    With a, b the centred mid-ranks and c = mean(a b): ρ = c / (sd a sd b), and row t's influence is
    [a b + A(x_t) + B(y_t) - 3 c] / (sd a sd b), A(u) = mean over s of b_s (1{x_s > u} + 1/2 {x_s = u}), B likewise: the
    last two say how row t moves the ranks of the others. The variance of ρ is the long-run variance of the influence
    over n. (NaN, zeros) when either sample never varies.
    """
    a, b = x.centred, y.centred
    scale = float(a.std() * b.std())
    if scale == 0.0:
        return math.nan, np.zeros(a.size)
    product = a * b
    mean = float(product.mean())
    return mean / scale, (product + _shift(x, b) + _shift(y, a) - 3.0 * mean) / scale


def _shift(ranks: Ranks, other: Floats) -> Floats:
    """Mean over all rows s of other_s (1{value_s > value_t} + half where equal), float64 (n,); `other` has mean 0."""
    sums = np.concatenate(([0.0], np.cumsum(other[ranks.order])))
    return -(sums[ranks.through] + sums[ranks.before]) / (2.0 * other.size)


def blocks_of(times_ms: Longs, interval_ms: int, longest: int) -> Blocks:
    """Blocks of increasing times, int64 (T,), for labels of at most `longest` bars."""
    since = (times_ms - times_ms[0]) // interval_ms
    length = max(BLOCK_HORIZONS * longest, math.ceil((int(since[-1]) + 1) / MOST_BLOCKS))
    return Blocks(np.unique(since // length, return_inverse=True)[1].astype(np.int64), length)


def rank_ic(x: Ranks, y: Ranks, blocks: Longs, count: int, confidence: float = 0.95) -> RankIC:
    """The IC of two ranked samples of the same n rows that lie in `blocks`, int64 (n,) of 0 .. count - 1.

    Blocks without a row add nothing and are not counted.
    """
    if x.order.size == 0:
        return UNTESTED
    value, influence = rank_influence(x, y)
    rows = np.bincount(blocks, minlength=count)
    seen = int(np.count_nonzero(rows))
    if math.isnan(value) or seen < LEAST_BLOCKS:
        return UNTESTED
    n = influence.size
    deviations = np.bincount(blocks, weights=influence, minlength=count) / n
    error = math.sqrt(float(deviations @ deviations) * seen / (seen - 1))
    reach = float(t.ppf(0.5 + confidence / 2, seen - 1)) * error
    ends = Interval(value, max(value - reach, -1.0), min(value + reach, 1.0), n)
    return RankIC(ends, deviations + value * rows / n)
