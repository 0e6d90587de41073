"""Compiled column functions of the families volatility and dependence."""

import math

import numpy as np
from numba import njit

from features.bars.mapped import mapped
from features.bars.ops import Op
from features.maths import log

VARIANCE_FLOOR = 1e-14
"""Per-bar variance below which a log volatility stops falling: a thousandth of a basis point, so ln(0.001) = -6.9."""
LOG_BPS = math.log(1e4)
GARMAN_KLASS_WEIGHT = 2.0 * math.log(2.0) - 1.0


@njit(error_model="numpy", forceinline=True)
def log_volatility(total: float, weight: float) -> float:
    """Log of the volatility in basis points, variance = weight · total, floored at `VARIANCE_FLOOR`."""
    return 0.5 * log(max(weight * total, VARIANCE_FLOOR)) + LOG_BPS


@njit(error_model="numpy", forceinline=True)
def signed_square(r: float) -> float:
    return r * abs(r)


@njit(error_model="numpy", forceinline=True)
def garman_klass(opened: float, high: float, low: float, close: float) -> float:
    """Variance of one bar from its log prices (Garman & Klass 1980)."""
    span, body = high - low, close - opened
    return 0.5 * span * span - GARMAN_KLASS_WEIGHT * body * body


@njit(error_model="numpy", forceinline=True)
def rogers_satchell(opened: float, high: float, low: float, close: float) -> float:
    """Variance of one bar from its log prices, whatever its drift (Rogers & Satchell 1991)."""
    return (high - close) * (high - opened) + (low - close) * (low - opened)


@njit(error_model="numpy", forceinline=True)
def jump_share(products: float, squares: float) -> float:
    """max(0, 1 - BV / RV) from Σ |r| |r[-1]| and Σ r²."""
    return max(0.0, 1.0 - 0.5 * math.pi * products / squares) if squares > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
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


LOG_VOLATILITIES = mapped(1, log_volatility)
SIGNED_SQUARES = mapped(1, signed_square)
GARMAN_KLASS = mapped(4, garman_klass)
ROGERS_SATCHELL = mapped(4, rogers_satchell)
JUMP_SHARES = mapped(2, jump_share)
VARIANCE_RATIOS = mapped(5, variance_ratio)


@njit(error_model="numpy")
def volatility_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    if op == Op.LOG_VOLATILITY:
        LOG_VOLATILITIES(m, target, d, n, plan, i)
    elif op == Op.SIGNED_SQUARE:
        SIGNED_SQUARES(m, target, d, n, plan, i)
    elif op == Op.GARMAN_KLASS:
        GARMAN_KLASS(m, target, d, n, plan, i)
    elif op == Op.ROGERS_SATCHELL:
        ROGERS_SATCHELL(m, target, d, n, plan, i)
    elif op == Op.JUMP_SHARE:
        JUMP_SHARES(m, target, d, n, plan, i)
    elif op == Op.VARIANCE_RATIO:
        VARIANCE_RATIOS(m, target, d, n, plan, i)
