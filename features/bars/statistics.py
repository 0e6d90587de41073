"""Compiled column functions that turn window sums into statistics: correlations, slopes, moments, spreads.

Sums of plain products are enough here: the values (returns, volumes, shares of flow) are of the size of their own
deviations, so that little cancels. Where nearly all does, the value counts as constant (`CONSTANT`).
"""

import math

import numpy as np
from numba import njit

from features.bars.instruction import constants, inputs
from features.bars.ops import Op
from features.compiled import FORMULA
from features.maths import log

CONSTANT = 1e-9
"""Share of the mean square below which a variance is the rounding of equal values."""


@njit(**FORMULA)
def centred(xx: float, x: float, w: float) -> float:
    """Σ (x - mean)² from Σ x² and Σ x; 0 where x is constant."""
    rest = xx - x * x / w
    return rest if rest > CONSTANT * xx else 0.0


@njit(**FORMULA)
def covariation(xy: float, x: float, y: float, w: float) -> float:
    """Σ (x - mean) (y - mean) from plain sums."""
    return xy - x * y / w


@njit(**FORMULA)
def correlation_of_sums(xy: float, x: float, y: float, xx: float, yy: float, w: float) -> float:
    """Pearson correlation from Σ xy, Σ x, Σ y, Σ x², Σ y²; 0 when either is constant."""
    scale = math.sqrt(centred(xx, x, w)) * math.sqrt(centred(yy, y, w))
    return min(1.0, max(-1.0, covariation(xy, x, y, w) / scale)) if scale > 0.0 else 0.0


@njit(**FORMULA)
def correlation_with_time(weighted: float, x: float, xx: float, w: float) -> float:
    """The same with time, from Σ u x, where Σ u = 0 and Σ u² = 1."""
    scale = math.sqrt(centred(xx, x, w))
    return min(1.0, max(-1.0, weighted / scale)) if scale > 0.0 else 0.0


@njit(**FORMULA)
def slope_of_sums(xy: float, x: float, y: float, xx: float, yy: float, w: float) -> float:
    """Least-squares slope of y on x; 0 when either is constant."""
    scatter = centred(xx, x, w)
    return covariation(xy, x, y, w) / scatter if scatter > 0.0 and centred(yy, y, w) > 0.0 else 0.0


@njit(**FORMULA)
def relative_change(x: float, y: float) -> float:
    """(x - y) / (|x| + |y|); 0 when both are 0."""
    size = abs(x) + abs(y)
    return (x - y) / size if size > 0.0 else 0.0


@njit(**FORMULA)
def reversal(aa: float, bb: float, rr: float, ab: float, ar: float, br: float) -> float:
    """Coefficient of b in r = θ + φ a + γ b, in standard deviations, from centred sums; 0 when not determined."""
    determinant = aa * bb - ab * ab
    known = determinant > CONSTANT * aa * bb and rr > 0.0
    return (br * aa - ar * ab) / determinant * math.sqrt(bb / rr) if known else 0.0


@njit(**FORMULA)
def signed_r2(slope: float, scatter: float, factor: float) -> float:
    """R² with the slope's sign; factor · slope² is the explained part of the scatter."""
    share = min(1.0, factor * slope * slope / scatter) if scatter > 0.0 else 0.0
    return share if slope > 0.0 else -share


@njit(**FORMULA)
def root_per_scale(x: float, scale: float, factor: float) -> float:
    """√max(0, factor · x) / scale; 0 where the scale is 0."""
    return math.sqrt(max(0.0, factor * x)) / scale if scale > 0.0 else 0.0


@njit(**FORMULA)
def roll_spread(products: float, now: float, before: float, scale: float, w: float) -> float:
    """2 √max(0, -cov) / scale of successive returns (Roll 1984), covariance with w - 1."""
    covariance = covariation(products, now, before, w) / (w - 1.0)
    return 2.0 * math.sqrt(max(0.0, -covariance)) / scale if scale > 0.0 else 0.0


@njit(**FORMULA)
def quarticity(fourth: float, w: float) -> float:
    """ln(10⁴ ⁴√(mean r⁴ / 3)), floored at a thousandth of a basis point."""
    return 0.25 * log(max(fourth / (3.0 * w), 1e-28)) + math.log(1e4)


@njit(**FORMULA)
def skewness(third: float, second: float, w: float) -> float:
    """√w Σ r³ / (Σ r²)^1.5; 0 when no r."""
    return math.sqrt(w) * third / (second * math.sqrt(second)) if second > 0.0 else 0.0


@njit(**FORMULA)
def log_kurtosis(fourth: float, second: float, w: float) -> float:
    """ln(w Σ r⁴ / (Σ r²)²); 0 when no r."""
    return log(w * fourth / (second * second)) if fourth > 0.0 else 0.0


@njit(**FORMULA)
def jump_statistic(products: float, quads: float, squares: float, w: float) -> float:
    """Huang & Tauchen 2005: relative jump over its standard error, from Σ |r r[-1]|, Σ |r r[-1] r[-2] r[-3]|, Σ r²."""
    # QQ / BV² = (π²/4) (Σ quads / w) / ((π/2) Σ products / w)²
    spread = max(1.0, w * quads / (products * products) if products > 0.0 else 0.0)
    jump = 1.0 - 0.5 * math.pi * products / squares
    return jump / math.sqrt((math.pi**2 / 4.0 + math.pi - 5.0) / w * spread) if squares > 0.0 else 0.0


@njit(**FORMULA)
def variation(newest: float, deviation: float, scatter: float, w: float) -> float:
    """Standard deviation over mean of values >= 0, the newest and its deviation from the mean given."""
    mean = newest - deviation
    return math.sqrt(scatter / (w - 1.0)) / mean if scatter > 0.0 and mean > 0.0 else 0.0


@njit(**FORMULA)
def yang_zhang(gaps: float, gap: float, bodies: float, body: float, rogers_satchell: float, w: float) -> float:
    """Yang & Zhang 2000 from Σ o², Σ o, Σ c², Σ c and the mean Rogers-Satchell variance."""
    k = 0.34 / (1.34 + (w + 1.0) / (w - 1.0))
    gap_variance = max(0.0, covariation(gaps, gap, gap, w)) / (w - 1.0)
    body_variance = max(0.0, covariation(bodies, body, body, w)) / (w - 1.0)
    return gap_variance + k * body_variance + (1.0 - k) * rogers_satchell


@njit(**FORMULA)
def concentration(squares: float, total: float, w: float) -> float:
    """Herfindahl index of the shares, from 0 (equal) to 1 (one value); 0 when there is none."""
    return (w * squares / (total * total) - 1.0) / (w - 1.0) if total > 0.0 else 0.0


@njit(**FORMULA)
def log_share(x: float, y: float, factor: float, least: float) -> float:
    """ln max(factor · x / y, least); 0 where y is 0."""
    return log(max(factor * x / y, least)) if y > 0.0 else 0.0


@njit(**FORMULA)
def statistic_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c, e, f, g = inputs(plan, i)
    k0, k1 = constants(m, plan, i)
    if op == Op.COVARIATION:
        for t in range(rows):
            target[to + t] = covariation(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.CENTRED:
        for t in range(rows):
            target[to + t] = centred(m[a + t], m[b + t], k0)
    elif op == Op.CORRELATION_OF_SUMS:
        for t in range(rows):
            target[to + t] = correlation_of_sums(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], k0)
    elif op == Op.CORRELATION_WITH_TIME:
        for t in range(rows):
            target[to + t] = correlation_with_time(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.SLOPE_OF_SUMS:
        for t in range(rows):
            target[to + t] = slope_of_sums(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], k0)
    elif op == Op.RELATIVE_CHANGE:
        for t in range(rows):
            target[to + t] = relative_change(m[a + t], m[b + t])
    elif op == Op.REVERSAL:
        for t in range(rows):
            target[to + t] = reversal(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], m[g + t])
    elif op == Op.SIGNED_R2:
        for t in range(rows):
            target[to + t] = signed_r2(m[a + t], m[b + t], k0)
    elif op == Op.ROOT_PER_SCALE:
        for t in range(rows):
            target[to + t] = root_per_scale(m[a + t], m[b + t], k0)
    elif op == Op.ROLL_SPREAD:
        for t in range(rows):
            target[to + t] = roll_spread(m[a + t], m[b + t], m[c + t], m[e + t], k0)
    elif op == Op.QUARTICITY:
        for t in range(rows):
            target[to + t] = quarticity(m[a + t], k0)
    elif op == Op.SKEWNESS:
        for t in range(rows):
            target[to + t] = skewness(m[a + t], m[b + t], k0)
    elif op == Op.LOG_KURTOSIS:
        for t in range(rows):
            target[to + t] = log_kurtosis(m[a + t], m[b + t], k0)
    elif op == Op.JUMP_STATISTIC:
        for t in range(rows):
            target[to + t] = jump_statistic(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.VARIATION:
        for t in range(rows):
            target[to + t] = variation(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.YANG_ZHANG:
        for t in range(rows):
            target[to + t] = yang_zhang(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], k0)
    elif op == Op.CONCENTRATION:
        for t in range(rows):
            target[to + t] = concentration(m[a + t], m[b + t], k0)
    elif op == Op.LOG_SHARE:
        for t in range(rows):
            target[to + t] = log_share(m[a + t], m[b + t], k0, k1)
