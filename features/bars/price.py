"""Compiled column functions of the families candle and time."""

import numpy as np
from numba import njit

from features.bars.instruction import constants, inputs
from features.bars.ops import Op
from features.compiled import FORMULA
from features.maths import cos_turns, sin_turns


@njit(**FORMULA)
def close_location(high: float, low: float, close: float) -> float:
    """From -1, closed at the low, to 1; 0 when the bar has no range."""
    return (2.0 * close - high - low) / (high - low) if high > low else 0.0


@njit(**FORMULA)
def body(opened: float, high: float, low: float, close: float) -> float:
    return (close - opened) / (high - low) if high > low else 0.0


@njit(**FORMULA)
def upper_wick(opened: float, high: float, low: float, close: float) -> float:
    return (high - max(opened, close)) / (high - low) if high > low else 0.0


@njit(**FORMULA)
def lower_wick(opened: float, high: float, low: float, close: float) -> float:
    return (min(opened, close) - low) / (high - low) if high > low else 0.0


@njit(**FORMULA)
def sine(days: float, turns: float) -> float:
    return sin_turns(days * turns)


@njit(**FORMULA)
def cosine(days: float, turns: float) -> float:
    return cos_turns(days * turns)


@njit(**FORMULA)
def price_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c, e = inputs(plan, i)[:4]
    k0 = constants(m, plan, i)[0]
    if op == Op.CLOSE_LOCATION:
        for t in range(rows):
            target[to + t] = close_location(m[a + t], m[b + t], m[c + t])
    elif op == Op.BODY:
        for t in range(rows):
            target[to + t] = body(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.UPPER_WICK:
        for t in range(rows):
            target[to + t] = upper_wick(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.LOWER_WICK:
        for t in range(rows):
            target[to + t] = lower_wick(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.SINE:
        for t in range(rows):
            target[to + t] = sine(m[a + t], k0)
    elif op == Op.COSINE:
        for t in range(rows):
            target[to + t] = cosine(m[a + t], k0)
