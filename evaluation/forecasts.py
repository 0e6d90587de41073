"""Tests and scores of direction forecasts: is a model right more often than chance, and does it know how sure it is?

A forecast is P(up) in (0, 1); the truth is whether the price went up. Labels that overlap in time are not
independent, so every test here expects rows picked by `non_overlapping`.

References: Pesaran & Timmermann (1992); DeLong, DeLong & Clarke-Pearson (1988) and Sun & Xu (2014) for the AUC; Guo et
al. (2017) for calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from evaluation.intervals import UNKNOWN, Interval, wilson
from supervised.diebold_mariano import Significance

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@njit(cache=True)
def _pick_non_overlapping(t1: NDArray[np.int64], usable: Bools) -> Bools:
    picked = np.zeros(len(t1), dtype=np.bool_)
    free_from = np.int64(0)
    for row in range(len(t1)):
        if usable[row] and row + 1 >= free_from:
            picked[row] = True
            free_from = t1[row]
    return picked


def non_overlapping(t1: NDArray[np.int64], usable: Bools) -> Bools:
    """The most usable rows whose labels do not overlap, taken greedily from the first, bool (T,).

    The label of row t covers the prices from the open of bar t + 1 to the open of bar t1[t]; the next row picked is
    the first usable one whose label starts where that one ended, or later.
    """
    return _pick_non_overlapping(np.ascontiguousarray(t1, dtype=np.int64), np.ascontiguousarray(usable, dtype=np.bool_))


def pesaran_timmermann(up: Bools, called_up: Bools) -> Significance:
    """One-sided test that the calls predict the direction: large statistics mean skill. bool (n,) each.

    (P̂ - P*) / √(V̂(P̂) - V̂(P*)) with P̂ the share of correct calls, P* = PyPx + (1 - Py)(1 - Px) what independence
    would give, V̂(P̂) = P*(1 - P*)/n and V̂(P*) = (2Py - 1)²Px(1 - Px)/n + (2Px - 1)²Py(1 - Py)/n
    + 4PyPx(1 - Py)(1 - Px)/n². It cannot be made (NaN) when all calls, or all outcomes, are alike: such calls follow no
    direction.
    """
    y, x = np.asarray(up, dtype=bool), np.asarray(called_up, dtype=bool)
    n = int(y.size)
    if n < 2 or y.all() or x.all() or not y.any() or not x.any():
        return Significance(math.nan, math.nan, n)
    hit, py, px = float(np.mean(y == x)), float(y.mean()), float(x.mean())
    expected = py * px + (1 - py) * (1 - px)
    hit_variance = expected * (1 - expected) / n
    expected_variance = (
        (2 * py - 1) ** 2 * px * (1 - px) / n
        + (2 * px - 1) ** 2 * py * (1 - py) / n
        + 4 * py * px * (1 - py) * (1 - px) / n**2
    )
    # The difference is 4 Py Px (1-Py)(1-Px) (n-1)/n², positive whenever both sides vary.
    statistic = (hit - expected) / math.sqrt(hit_variance - expected_variance)
    return Significance(statistic, float(norm.sf(statistic)), n)


def auc(up: Bools, p_up: Floats, confidence: float = 0.95) -> Interval:
    """Area under the ROC curve with DeLong's interval: the chance that an up bar was given more than a down bar."""
    y, p = np.asarray(up, dtype=bool), np.asarray(p_up, dtype=np.float64)
    ups, downs = int(y.sum()), int((~y).sum())
    if ups < 2 or downs < 2:
        return UNKNOWN
    ranks = rankdata(p)
    above = (ranks[y] - rankdata(p[y])) / downs  # share of downs below each up, ties counted half
    below = 1.0 - (ranks[~y] - rankdata(p[~y])) / ups
    area = float(above.mean())
    error = math.sqrt(float(above.var(ddof=1)) / ups + float(below.var(ddof=1)) / downs)
    reach = float(norm.ppf(0.5 + confidence / 2)) * error
    return Interval(area, max(area - reach, 0.0), min(area + reach, 1.0), int(y.size))


def squared_errors(up: Bools, p_up: Floats) -> Floats:
    """(p - y)² of each forecast, float64 (n,). Their mean is the Brier score: 0.25 is what a constant one half
    scores."""
    return (np.asarray(p_up, dtype=np.float64) - np.asarray(up, dtype=np.float64)) ** 2


def log_losses(up: Bools, p_up: Floats) -> Floats:
    """-ln of the probability given to what happened, float64 (n,), clipped at 1e-12: ln 2 for a constant one half."""
    p = np.clip(np.asarray(p_up, dtype=np.float64), 1e-12, 1 - 1e-12)
    return -np.where(up, np.log(p), np.log1p(-p))


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """What was forecast and what happened, in bins of equal size."""

    forecast: Floats
    """Mean P(up) of each bin, float64 (B,)."""
    observed: tuple[Interval, ...]
    """Share of ups in each bin, with its Wilson interval and n."""


def calibration_curve(up: Bools, p_up: Floats, bins: int = 10, confidence: float = 0.95) -> CalibrationCurve:
    """Reliability curve over `bins` bins that hold equally many forecasts (they crowd near one half, so equal widths
    would not)."""
    y, p = np.asarray(up, dtype=bool), np.asarray(p_up, dtype=np.float64)
    groups = [g for g in np.array_split(np.argsort(p, kind="stable"), bins) if g.size]
    return CalibrationCurve(
        np.array([p[g].mean() for g in groups]), tuple(wilson(int(y[g].sum()), int(g.size), confidence) for g in groups)
    )


def expected_calibration_error(curve: CalibrationCurve) -> float:
    """Mean gap between forecast and outcome over the bins of a curve, weighted by their sizes. Noise alone makes it
    positive: about √(2 p(1 - p) / (π m)) for bins of m rows."""
    weights = np.array([b.n for b in curve.observed], dtype=np.float64)
    gaps = np.abs(curve.forecast - np.array([b.value for b in curve.observed]))
    return float(gaps @ weights / weights.sum()) if weights.size else math.nan


def break_even_accuracy(cost_bps: float, mean_move_bps: float) -> float:
    """Accuracy at which calls of a symmetric move earn their cost: 1/2 + c / (2 m), above 1 when no accuracy can.

    `cost_bps` is the whole round trip, `mean_move_bps` the mean absolute move over the holding time.
    """
    return 0.5 + cost_bps / (2.0 * mean_move_bps) if mean_move_bps > 0.0 else math.inf
