"""Ratios without a unit that stay finite and bounded at the edges, for the compiled steps of every kind."""

import math

from numba import njit


@njit(error_model="numpy", forceinline=True)
def balance(a: float, b: float) -> float:
    """(a - b) / (a + b) = tanh(½ ln(a / b)) for a, b >= 0: a log ratio that stays in [-1, 1]; 0 when both are 0."""
    total = a + b
    return (a - b) / total if total > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def correlation(sxx: float, sxy: float, syy: float) -> float:
    """Pearson correlation from centred sums, held inside [-1, 1]; 0 when either side is constant."""
    scale = math.sqrt(sxx) * math.sqrt(syy)
    return min(1.0, max(-1.0, sxy / scale)) if scale > 0.0 else 0.0
