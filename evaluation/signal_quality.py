"""How much the predictions and the features know: one row of numbers for each, every one with its uncertainty.

Labels of several bars overlap, and overlapping labels repeat each other: a 15-bar label taken every bar looks like
fifteen times the evidence it is. Every number here is therefore computed on rows whose labels do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm, rankdata

from evaluation.forecasts import (
    CalibrationCurve,
    auc,
    break_even_accuracy,
    calibration_curve,
    expected_calibration_error,
    log_losses,
    non_overlapping,
    pesaran_timmermann,
    squared_errors,
)
from evaluation.intervals import Interval, student_interval, wilson
from supervised.diebold_mariano import Significance, diebold_mariano

Floats = NDArray[np.float64]
CONFIDENT_SHARE = 0.1


@dataclass(frozen=True)
class PredictionQuality:
    """One model's P(up) over one horizon, against what the price did from the next bar's open on."""

    name: str
    horizon: int
    """Bars."""
    interval_ms: int
    rows: int
    """Rows with a prediction and a known label that is not zero."""
    n: int
    """Of these, rows whose labels do not overlap: what everything below is computed on."""
    accuracy: Interval
    majority: float
    """Share of the more frequent outcome, known in hindsight: what always calling it would score."""
    timing: Significance
    """Pesaran-Timmermann."""
    against_coin: Significance
    """Diebold-Mariano of the log-loss against a constant one half; negative statistics are better."""
    auc: Interval
    brier: Interval
    log_loss: Interval
    calibration_error: float
    calibration: CalibrationCurve
    confident: Interval
    """Accuracy of the most confident tenth of the calls."""
    confident_move_bps: Interval
    """Mean move in the called direction of that tenth."""
    move_bps: float
    """Mean absolute move over the horizon."""
    break_even: float
    """Accuracy at which taking every call would pay for a round trip."""

    @property
    def minutes(self) -> float:
        """The horizon in minutes."""
        return self.horizon * self.interval_ms / 60_000


def prediction_quality(
    name: str,
    p_up: Floats,
    label_bps: Floats,
    t1: NDArray[np.int64],
    *,
    horizon: int,
    round_trip_bps: float,
    interval_ms: int = 60_000,
    confidence: float = 0.95,
) -> PredictionQuality | None:
    """Judge the predictions of the rows given, or None when fewer than 20 non-overlapping rows can be judged.

    `p_up` float (T,) in (0, 1), NaN where there is none; `label_bps` float (T,) return from the open of bar t + 1 to
    the open of bar t1[t], NaN where unknown; `t1` int64 (T,). Labels of exactly zero are neither up nor down and are
    left out.
    """
    usable = np.isfinite(p_up) & np.isfinite(label_bps) & (label_bps != 0.0)
    picked = non_overlapping(t1, usable)
    n = int(picked.sum())
    if n < 20:
        return None
    p, move = np.asarray(p_up[picked], dtype=np.float64), np.asarray(label_bps[picked], dtype=np.float64)
    up, called = move > 0.0, p > 0.5
    right = up == called
    losses = log_losses(up, p)
    sure = np.argsort(-np.abs(p - 0.5), kind="stable")[: max(int(n * CONFIDENT_SHARE), 1)]
    curve = calibration_curve(up, p, confidence=confidence)
    return PredictionQuality(
        name=name,
        horizon=horizon,
        interval_ms=interval_ms,
        rows=int(usable.sum()),
        n=n,
        accuracy=wilson(int(right.sum()), n, confidence),
        majority=float(max(up.mean(), 1 - up.mean())),
        timing=pesaran_timmermann(up, called),
        against_coin=diebold_mariano(losses, np.full(n, math.log(2.0))),
        auc=auc(up, p, confidence),
        brier=student_interval(squared_errors(up, p), confidence),
        log_loss=student_interval(losses, confidence),
        calibration_error=expected_calibration_error(curve),
        calibration=curve,
        confident=wilson(int(right[sure].sum()), sure.size, confidence),
        confident_move_bps=student_interval(np.where(called, move, -move)[sure], confidence),
        move_bps=float(np.abs(move).mean()),
        break_even=break_even_accuracy(round_trip_bps, float(np.abs(move).mean())),
    )


@dataclass(frozen=True)
class EnsembleWeights:
    """How much the ensemble trusted each model, over time."""

    horizon: int
    open_time_ms: NDArray[np.int64]
    """int64 (W,)"""
    names: tuple[str, ...]
    weights: Floats
    """float (W, M), rows that sum to 1"""


@dataclass(frozen=True)
class FeatureQuality:
    """How the features rank the moves to come."""

    horizon: int
    names: tuple[str, ...]
    ic: tuple[Interval, ...]
    """Spearman's rank correlation with the label, one for each feature; `n` non-overlapping rows."""
    q_value: Floats
    """Benjamini-Hochberg adjusted p-value, float64 (F,); NaN for a feature that never varies."""
    coverage: Floats
    """Share of rows on which the feature has a value, float64 (F,)."""

    def strongest(self, count: int = 15) -> list[int]:
        """Indices of the features with the largest |IC|, strongest first."""
        size = np.array([abs(ic.value) if math.isfinite(ic.value) else -1.0 for ic in self.ic])
        return [int(i) for i in np.argsort(-size, kind="stable")[:count]]


def feature_quality(
    X: NDArray[np.floating],
    label_bps: Floats,
    t1: NDArray[np.int64],
    names: Sequence[str],
    *,
    horizon: int,
    confidence: float = 0.95,
) -> FeatureQuality:
    """Information coefficient of every column of `X` (float (T, F), NaN where missing) with the label (float (T,)).

    Intervals by Fisher's z with the variance 1.06 / (n - 3) that Fieller, Hartley & Pearson (1957) give for rank
    correlations; p-values likewise, adjusted over all features by Benjamini & Hochberg (1995).
    """
    known = np.isfinite(label_bps)
    ics, p_values = [], []
    for column in X.T:
        rows = non_overlapping(t1, known & np.isfinite(column))
        ic, p_value = _rank_correlation(np.asarray(column[rows], dtype=np.float64), label_bps[rows], confidence)
        ics.append(ic)
        p_values.append(p_value)
    p = np.array(p_values)
    q = np.full(p.size, math.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return FeatureQuality(horizon, tuple(names), tuple(ics), q, np.isfinite(X).mean(axis=0))


def _rank_correlation(x: Floats, y: Floats, confidence: float) -> tuple[Interval, float]:
    n = int(x.size)
    if n < 10 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return Interval(math.nan, math.nan, math.nan, n), math.nan
    rho = float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
    z, error = math.atanh(min(max(rho, -0.999999), 0.999999)), math.sqrt(1.06 / (n - 3))
    reach = float(norm.ppf(0.5 + confidence / 2)) * error
    return Interval(rho, math.tanh(z - reach), math.tanh(z + reach), n), float(2 * norm.sf(abs(z) / error))
