"""Forecasts of the same rows beside each other: each with its scores, and each model against each baseline.

Every number is of the rows on which *all* have a forecast and the label moved. Labels overlap, so accuracies and losses
get intervals from the long-run variance (`supervised.diebold_mariano`), and all comparisons of a set of data are one
family: a win counts when its step-down p-value (`evaluation.stepdown`) holds beside all the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from evaluation.forecasts import (
    CalibrationCurve,
    calibration_curve,
    expected_calibration_error,
    log_losses,
    non_overlapping,
    pesaran_timmermann,
)
from evaluation.intervals import Interval
from evaluation.stepdown import stepdown_p_values
from supervised.calibration import Decomposition, decompose
from supervised.diebold_mariano import LEAST_ROWS, Significance, block_means, diebold_mariano, long_run_variance

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEVEL = 0.05
"""Level of every test, family-wise where it is adjusted."""
BLOCKS = 200
"""Blocks that the step-down counts evidence in, at most; each at least `BLOCK_OVERLAPS` longest labels long."""
BLOCK_OVERLAPS = 3
LEAST_BLOCKS = 10


@dataclass(frozen=True, eq=False)
class Score:
    """One forecaster on one label."""

    name: str
    label: str
    accuracy: Interval
    """Share of rows called right, with the interval of the long-run variance; `n` rows."""
    timing: Significance
    """Pesaran-Timmermann on the rows whose labels do not overlap."""
    log_loss: Interval
    """Mean, in nats."""
    parts: Decomposition
    """Of the log-loss on the rows whose labels do not overlap."""
    calibration_error: float
    calibration: CalibrationCurve
    """On the rows whose labels do not overlap."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A model against a baseline on one label."""

    label: str
    model: str
    baseline: str
    lead: Interval
    """Mean log-loss of the baseline less that of the model, in nats: positive when the model is better."""
    p_value: float
    """Diebold-Mariano, two-sided."""
    adjusted: float
    """Over all contests of the set, NaN when there are too few blocks."""

    @property
    def verdict(self) -> str:
        """Who is better at a family-wise `LEVEL`: "better", "worse" (the model, that is) or "–"."""
        if not self.adjusted <= LEVEL:
            return "–"
        return "better" if self.lead.value > 0 else "worse"


@dataclass(frozen=True, eq=False)
class LabelResult:
    """All forecasters on one label."""

    label: str
    rows: int
    ups: float
    """Share of ups among the rows judged: what always calling it would score, known in hindsight."""
    scores: tuple[Score, ...]
    contests: tuple[Contest, ...]

    def score(self, name: str) -> Score:
        """The score of the forecaster called `name`."""
        return next(score for score in self.scores if score.name == name)


def compare(
    forecasts: Mapping[str, Floats],
    y: Floats,
    until: Longs,
    labels: Sequence[str],
    overlap: Sequence[int],
    *,
    models: Sequence[str],
    baselines: Sequence[str],
    controls: Sequence[str] = (),
    flips: int = 9999,
    seed: int = 0,
) -> tuple[LabelResult, ...]:
    """Score every forecaster on every label, and every model against every baseline.

    forecasts: by name, P(up) float (T, H), NaN where there is none. y: float (T, H) label returns, NaN unknown.
    until: int64 (T, H), as `non_overlapping` takes it. overlap: H numbers of rows that neighbouring labels share.
    models, baselines: names that are compared. controls: names that should know nothing (models trained on shuffled
    labels), compared with the first baseline only.
    """
    known = [
        np.isfinite(y[:, h])
        & (y[:, h] != 0)
        & np.all([np.isfinite(values[:, h]) for values in forecasts.values()], axis=0)
        for h in range(len(labels))
    ]
    matches = [(model, base) for model in models for base in baselines]
    matches += [(control, base) for control in controls for base in baselines[:1]]
    pairs = [(h, *match) for h in range(len(labels)) for match in matches]
    losses = {
        (h, name): log_losses(y[known[h], h] > 0, values[known[h], h].astype(np.float64))
        for h in range(len(labels))
        for name, values in forecasts.items()
    }
    blocks = blocks_of(np.any(known, axis=0), max(overlap))
    adjusted = np.full(len(pairs), math.nan)
    if blocks.max(initial=-1) + 1 >= LEAST_BLOCKS:
        sums = [
            np.bincount(blocks[known[h]], losses[h, base] - losses[h, model], minlength=blocks.max() + 1)
            for h, model, base in pairs
        ]
        if sums:
            adjusted = stepdown_p_values(np.stack(sums, axis=1), flips=flips, seed=seed)
    contests = [
        _contest(labels[h], model, base, losses[h, model], losses[h, base], overlap[h], p)
        for (h, model, base), p in zip(pairs, adjusted.tolist(), strict=True)
    ]
    results = []
    for h, label in enumerate(labels):
        rows = known[h]
        free = non_overlapping(until[:, h], rows)[rows]
        up = y[rows, h] > 0
        scores = tuple(
            _score(name, label, values[rows, h].astype(np.float64), up, losses[h, name], free, overlap[h])
            for name, values in forecasts.items()
        )
        own = tuple(contest for contest, pair in zip(contests, pairs, strict=True) if pair[0] == h)
        results.append(LabelResult(label, int(rows.sum()), float(up.mean()) if up.size else math.nan, scores, own))
    return tuple(results)


def blocks_of(judged: Bools, overlap: int) -> Longs:
    """Block of each row, int64 (T,), -1 before the first row judged and after the last: equal spans of rows."""
    rows = np.flatnonzero(judged)
    blocks = np.full(len(judged), -1, dtype=np.int64)
    if rows.size:
        first, stop = rows[0], rows[-1] + 1
        length = max(BLOCK_OVERLAPS * overlap, math.ceil((stop - first) / BLOCKS))
        count = max((stop - first) // length, 1)  # a shorter rest goes to the last block
        blocks[first:stop] = np.minimum(np.arange(stop - first) // length, count - 1)
    return blocks


def mean_interval(series: Floats, overlap: int, confidence: float = 0.95) -> Interval:
    """Mean of a series whose neighbours share their outcome over `overlap` rows, with Student's interval.

    The variance is `long_run_variance` over the means of blocks of `overlap` rows; the ends are NaN when there are
    fewer than `LEAST_ROWS` of them.
    """
    n, mean = int(series.size), float(series.mean()) if series.size else math.nan
    blocks = block_means(series, overlap)
    if blocks.size < LEAST_ROWS:
        return Interval(mean, math.nan, math.nan, n)
    variance, freedom = long_run_variance(blocks)
    reach = float(t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(variance / blocks.size)
    return Interval(mean, mean - reach, mean + reach, n)


def _contest(
    label: str, model: str, baseline: str, loss: Floats, reference: Floats, overlap: int, adjusted: float
) -> Contest:
    test = diebold_mariano(loss, reference, overlap=overlap)
    return Contest(label, model, baseline, mean_interval(reference - loss, overlap), test.p_value, adjusted)


def _score(name: str, label: str, p: Floats, up: Bools, losses: Floats, free: Bools, overlap: int) -> Score:
    right = (up == (p > 0.5)).astype(np.float64)
    ends = mean_interval(right, overlap)
    curve = calibration_curve(up[free], p[free])
    return Score(
        name=name,
        label=label,
        accuracy=Interval(ends.value, max(ends.low, 0.0), min(ends.high, 1.0), ends.n),
        timing=pesaran_timmermann(up[free], p[free] > 0.5),
        log_loss=mean_interval(losses, overlap),
        parts=decompose(p[free], up[free])[1],
        calibration_error=expected_calibration_error(curve),
        calibration=curve,
    )
