"""Compiled column functions of the families candle and time."""

import numpy as np
from numba import njit

from features.bars.mapped import mapped
from features.bars.ops import Op
from features.maths import cos_turns, sin_turns


@njit(error_model="numpy", forceinline=True)
def close_location(high: float, low: float, close: float) -> float:
    """From -1, closed at the low, to 1; 0 when the bar has no range."""
    return (2.0 * close - high - low) / (high - low) if high > low else 0.0


@njit(error_model="numpy", forceinline=True)
def body(opened: float, high: float, low: float, close: float) -> float:
    return (close - opened) / (high - low) if high > low else 0.0


@njit(error_model="numpy", forceinline=True)
def upper_wick(opened: float, high: float, low: float, close: float) -> float:
    return (high - max(opened, close)) / (high - low) if high > low else 0.0


@njit(error_model="numpy", forceinline=True)
def lower_wick(opened: float, high: float, low: float, close: float) -> float:
    return (min(opened, close) - low) / (high - low) if high > low else 0.0


@njit(error_model="numpy", forceinline=True)
def sine(days: float, turns: float) -> float:
    return sin_turns(days * turns)


@njit(error_model="numpy", forceinline=True)
def cosine(days: float, turns: float) -> float:
    return cos_turns(days * turns)


CLOSE_LOCATIONS = mapped(3, close_location)
BODIES = mapped(4, body)
UPPER_WICKS = mapped(4, upper_wick)
LOWER_WICKS = mapped(4, lower_wick)
SINES = mapped(1, sine)
COSINES = mapped(1, cosine)


@njit(error_model="numpy")
def price_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    if op == Op.CLOSE_LOCATION:
        CLOSE_LOCATIONS(m, target, d, n, plan, i)
    elif op == Op.BODY:
        BODIES(m, target, d, n, plan, i)
    elif op == Op.UPPER_WICK:
        UPPER_WICKS(m, target, d, n, plan, i)
    elif op == Op.LOWER_WICK:
        LOWER_WICKS(m, target, d, n, plan, i)
    elif op == Op.SINE:
        SINES(m, target, d, n, plan, i)
    elif op == Op.COSINE:
        COSINES(m, target, d, n, plan, i)
