"""Compiled column functions that many features share: arithmetic, lags, fading averages, the usual statistics."""

import math

import numpy as np
from numba import njit

from features import ratios
from features.bars.mapped import CONSTANTS, INPUTS, STATE, mapped
from features.bars.ops import Op
from features.columns import copy
from features.maths import log

DAY_MS = 86_400_000
NO_VOLUME = 1e-200
"""Average volume below which a market counts as having stood still: keeps the ratio of two fading averages exact."""


@njit(error_model="numpy", forceinline=True)
def same(x: float) -> float:
    return x


@njit(error_model="numpy", forceinline=True)
def difference(x: float, y: float) -> float:
    return x - y


@njit(error_model="numpy", forceinline=True)
def negative(x: float) -> float:
    return -x


@njit(error_model="numpy", forceinline=True)
def absolute(x: float) -> float:
    return abs(x)


@njit(error_model="numpy", forceinline=True)
def product(x: float, y: float) -> float:
    return x * y


@njit(error_model="numpy", forceinline=True)
def root_mean(sum_of_squares: float, count: float) -> float:
    return math.sqrt(sum_of_squares / count)


@njit(error_model="numpy", forceinline=True)
def ratio(x: float, y: float) -> float:
    """x / y; 0 where y is not above 0."""
    return x / y if y > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def zscore(deviation: float, scatter: float, window: float) -> float:
    """Distance from the mean in standard deviations (n - 1)."""
    return deviation / math.sqrt(scatter / (window - 1.0)) if scatter > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def standardised(total: float, squares: float) -> float:
    """A sum over the root of its summands' squares: mean 0 and variance 1 for independent symmetric summands."""
    return total / math.sqrt(squares) if squares > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def per_scale(x: float, scale: float, factor: float) -> float:
    """x / (scale · factor); 0 where the scale is 0."""
    return x / (scale * factor) if scale > 0.0 else 0.0


SAME = mapped(1, same)
LOGS = mapped(1, log)
DIFFERENCES = mapped(2, difference)
NEGATIVES = mapped(1, negative)
ABSOLUTES = mapped(1, absolute)
PRODUCTS = mapped(2, product)
SCALED = mapped(1, njit(error_model="numpy", forceinline=True)(lambda x, factor: x * factor))
ROOT_MEANS = mapped(1, root_mean)
RATIOS = mapped(2, ratio)
BALANCES = mapped(2, ratios.balance)
ZSCORES = mapped(2, zscore)
CORRELATIONS = mapped(3, ratios.correlation)
STANDARDISED = mapped(2, standardised)
PER_SCALE = mapped(2, per_scale)


@njit(error_model="numpy")
def lag(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Rows of so many bars ago; the state holds the newest of them, oldest first."""
    rows, x, at = int(m[plan[i + CONSTANTS]]), plan[i + INPUTS], plan[i + STATE]
    kept = min(rows, n)
    copy(target, d, state, at, kept)
    copy(target, d + kept, m, x, n - kept)
    copy(state, at, state, at + kept, rows - kept)
    copy(state, at + rows - kept, m, x + n - kept, kept)


@njit(error_model="numpy")
def clock(target: np.ndarray, d: int, n: int, times: np.ndarray, start: int, interval_ms: int) -> None:
    """UTC time of the close, in days."""
    for t in range(n):
        target[d + t] = ((times[start + t] + interval_ms) % DAY_MS) / DAY_MS


@njit(error_model="numpy")
def fading_ratio(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Ratio of two exponential averages of one span; 0 while the lower one, of numbers >= 0, is 0.

    Both start from 0 with the same weights, so that the ratio needs no start-up correction.
    """
    weight = 2.0 / (m[plan[i + CONSTANTS]] + 1.0)
    x, y, at = plan[i + INPUTS], plan[i + INPUTS + 1], plan[i + STATE]
    upper, lower = state[at], state[at + 1]
    for t in range(n):
        upper += weight * (m[x + t] - upper)
        lower += weight * (m[y + t] - lower)
        if lower < NO_VOLUME:
            upper = 0.0
            lower = 0.0
        target[d + t] = upper / lower if lower > 0.0 else 0.0
    state[at] = upper
    state[at + 1] = lower


@njit(error_model="numpy")
def series_column(
    op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Run one instruction of this group."""
    if op == Op.COPY:
        SAME(m, target, d, n, plan, i)
    elif op == Op.LAG:
        lag(m, target, d, n, plan, i, state)
    elif op == Op.LOG:
        LOGS(m, target, d, n, plan, i)
    elif op == Op.DIFFERENCE:
        DIFFERENCES(m, target, d, n, plan, i)
    elif op == Op.NEGATIVE:
        NEGATIVES(m, target, d, n, plan, i)
    elif op == Op.ABSOLUTE:
        ABSOLUTES(m, target, d, n, plan, i)
    elif op == Op.PRODUCT:
        PRODUCTS(m, target, d, n, plan, i)
    elif op == Op.SCALED:
        SCALED(m, target, d, n, plan, i)
    elif op == Op.ROOT_MEAN:
        ROOT_MEANS(m, target, d, n, plan, i)
    elif op == Op.RATIO:
        RATIOS(m, target, d, n, plan, i)
    elif op == Op.BALANCE:
        BALANCES(m, target, d, n, plan, i)
    elif op == Op.ZSCORE:
        ZSCORES(m, target, d, n, plan, i)
    elif op == Op.CORRELATION:
        CORRELATIONS(m, target, d, n, plan, i)
    elif op == Op.STANDARDISED:
        STANDARDISED(m, target, d, n, plan, i)
    elif op == Op.PER_SCALE:
        PER_SCALE(m, target, d, n, plan, i)
    elif op == Op.FADING_RATIO:
        fading_ratio(m, target, d, n, plan, i, state)
