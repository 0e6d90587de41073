"""Compiled column functions of the families volatility and dependence."""

import math

import numpy as np
from numba import njit

from features.bars.instruction import constants, inputs
from features.bars.ops import Op
from features.compiled import FORMULA
from features.maths import log

VARIANCE_FLOOR = 1e-14
"""Per-bar variance below which a log volatility stops falling: a thousandth of a basis point, so ln(0.001) = -6.9."""
LOG_BPS = math.log(1e4)
GARMAN_KLASS_WEIGHT = 2.0 * math.log(2.0) - 1.0


@njit(**FORMULA)
def log_volatility(total: float, weight: float) -> float:
    """Log of the volatility in basis points, variance = weight · total, floored at `VARIANCE_FLOOR`."""
    return 0.5 * log(max(weight * total, VARIANCE_FLOOR)) + LOG_BPS


@njit(**FORMULA)
def signed_square(r: float) -> float:
    return r * abs(r)


@njit(**FORMULA)
def garman_klass(opened: float, high: float, low: float, close: float) -> float:
    """Variance of one bar from its log prices (Garman & Klass 1980)."""
    span, body = high - low, close - opened
    return 0.5 * span * span - GARMAN_KLASS_WEIGHT * body * body


@njit(**FORMULA)
def rogers_satchell(opened: float, high: float, low: float, close: float) -> float:
    """Variance of one bar from its log prices, whatever its drift (Rogers & Satchell 1991)."""
    return (high - close) * (high - opened) + (low - close) * (low - opened)


@njit(**FORMULA)
def jump_share(products: float, squares: float) -> float:
    """max(0, 1 - BV / RV) from Σ |r| |r[-1]| and Σ r²."""
    return max(0.0, 1.0 - 0.5 * math.pi * products / squares) if squares > 0.0 else 0.0


@njit(**FORMULA)
def variance_ratio(
    change: float, change_deviation: float, change_scatter: float, path: float, scatter: float, n: float, q: float
) -> float:
    """VR(q) - 1 of n returns, overlapping, unbiased (Lo & MacKinlay 1988, equations 11-13); 0 when they are equal.

    `change` is the newest q-bar return, `change_deviation` and `change_scatter` belong to all n - q + 1 of them,
    `path` is the sum of the n returns and `scatter` theirs about the mean.
    """
    m = n - q + 1.0
    off = change - change_deviation - q * path / n
    q_variance = (change_scatter + m * off * off) / (q * m * (1.0 - q / n))
    variance = scatter / (n - 1.0)
    return q_variance / variance - 1.0 if variance > 0.0 else 0.0


@njit(**FORMULA)
def volatility_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c, e, f = inputs(plan, i)[:5]
    k0, k1 = constants(m, plan, i)
    if op == Op.LOG_VOLATILITY:
        for t in range(rows):
            target[to + t] = log_volatility(m[a + t], k0)
    elif op == Op.SIGNED_SQUARE:
        for t in range(rows):
            target[to + t] = signed_square(m[a + t])
    elif op == Op.GARMAN_KLASS:
        for t in range(rows):
            target[to + t] = garman_klass(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.ROGERS_SATCHELL:
        for t in range(rows):
            target[to + t] = rogers_satchell(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.JUMP_SHARE:
        for t in range(rows):
            target[to + t] = jump_share(m[a + t], m[b + t])
    elif op == Op.VARIANCE_RATIO:
        for t in range(rows):
            target[to + t] = variance_ratio(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], k0, k1)
