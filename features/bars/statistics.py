"""Compiled column functions that turn window sums into statistics: correlations, slopes, moments, spreads.

Sums of plain products are enough here: the values (returns, volumes, shares of flow) are of the size of their own
deviations, so that little cancels. Where nearly all does, the value counts as constant (`CONSTANT`).
"""

import math

import numpy as np
from numba import njit

from features.bars.mapped import mapped
from features.bars.ops import Op
from features.maths import log

CONSTANT = 1e-9
"""Share of the mean square below which a variance is the rounding of equal values."""


@njit(error_model="numpy", forceinline=True)
def centred(xx: float, x: float, w: float) -> float:
    """Σ (x - mean)² from Σ x² and Σ x; 0 where x is constant."""
    rest = xx - x * x / w
    return rest if rest > CONSTANT * xx else 0.0


@njit(error_model="numpy", forceinline=True)
def covariation(xy: float, x: float, y: float, w: float) -> float:
    """Σ (x - mean) (y - mean) from plain sums."""
    return xy - x * y / w


@njit(error_model="numpy", forceinline=True)
def correlation_of_sums(xy: float, x: float, y: float, xx: float, yy: float, w: float) -> float:
    """Pearson correlation from Σ xy, Σ x, Σ y, Σ x², Σ y²; 0 when either is constant."""
    scale = math.sqrt(centred(xx, x, w)) * math.sqrt(centred(yy, y, w))
    return min(1.0, max(-1.0, covariation(xy, x, y, w) / scale)) if scale > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def correlation_with_time(weighted: float, x: float, xx: float, w: float) -> float:
    """The same with time, from Σ u x, where Σ u = 0 and Σ u² = 1."""
    scale = math.sqrt(centred(xx, x, w))
    return min(1.0, max(-1.0, weighted / scale)) if scale > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def slope_of_sums(xy: float, x: float, y: float, xx: float, yy: float, w: float) -> float:
    """Least-squares slope of y on x; 0 when either is constant."""
    scatter = centred(xx, x, w)
    return covariation(xy, x, y, w) / scatter if scatter > 0.0 and centred(yy, y, w) > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def relative_change(x: float, y: float) -> float:
    """(x - y) / (|x| + |y|); 0 when both are 0."""
    size = abs(x) + abs(y)
    return (x - y) / size if size > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def reversal(aa: float, bb: float, rr: float, ab: float, ar: float, br: float) -> float:
    """Coefficient of b in r = θ + φ a + γ b, in standard deviations, from centred sums; 0 when not determined."""
    determinant = aa * bb - ab * ab
    known = determinant > CONSTANT * aa * bb and rr > 0.0
    return (br * aa - ar * ab) / determinant * math.sqrt(bb / rr) if known else 0.0


@njit(error_model="numpy", forceinline=True)
def signed_r2(slope: float, scatter: float, factor: float) -> float:
    """R² with the slope's sign; factor · slope² is the explained part of the scatter."""
    share = min(1.0, factor * slope * slope / scatter) if scatter > 0.0 else 0.0
    return share if slope > 0.0 else -share


@njit(error_model="numpy", forceinline=True)
def root_per_scale(x: float, scale: float, factor: float) -> float:
    """√max(0, factor · x) / scale; 0 where the scale is 0."""
    return math.sqrt(max(0.0, factor * x)) / scale if scale > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def roll_spread(products: float, now: float, before: float, scale: float, w: float) -> float:
    """2 √max(0, -cov) / scale of successive returns (Roll 1984), covariance with w - 1."""
    covariance = covariation(products, now, before, w) / (w - 1.0)
    return 2.0 * math.sqrt(max(0.0, -covariance)) / scale if scale > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def quarticity(fourth: float, w: float) -> float:
    """ln(10⁴ ⁴√(mean r⁴ / 3)), floored at a thousandth of a basis point."""
    return 0.25 * log(max(fourth / (3.0 * w), 1e-28)) + math.log(1e4)


@njit(error_model="numpy", forceinline=True)
def skewness(third: float, second: float, w: float) -> float:
    """√w Σ r³ / (Σ r²)^1.5; 0 when no r."""
    return math.sqrt(w) * third / (second * math.sqrt(second)) if second > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def log_kurtosis(fourth: float, second: float, w: float) -> float:
    """ln(w Σ r⁴ / (Σ r²)²); 0 when no r."""
    return log(w * fourth / (second * second)) if fourth > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def jump_statistic(products: float, quads: float, squares: float, w: float) -> float:
    """Huang & Tauchen 2005: relative jump over its standard error, from Σ |r r[-1]|, Σ |r r[-1] r[-2] r[-3]|, Σ r²."""
    # QQ / BV² = (π²/4) (Σ quads / w) / ((π/2) Σ products / w)²
    spread = max(1.0, w * quads / (products * products) if products > 0.0 else 0.0)
    jump = 1.0 - 0.5 * math.pi * products / squares
    return jump / math.sqrt((math.pi**2 / 4.0 + math.pi - 5.0) / w * spread) if squares > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def variation(newest: float, deviation: float, scatter: float, w: float) -> float:
    """Standard deviation over mean of values >= 0, the newest and its deviation from the mean given."""
    mean = newest - deviation
    return math.sqrt(scatter / (w - 1.0)) / mean if scatter > 0.0 and mean > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def yang_zhang(gaps: float, gap: float, bodies: float, body: float, rogers_satchell: float, w: float) -> float:
    """Yang & Zhang 2000 from Σ o², Σ o, Σ c², Σ c and the mean Rogers-Satchell variance."""
    k = 0.34 / (1.34 + (w + 1.0) / (w - 1.0))
    gap_variance = max(0.0, covariation(gaps, gap, gap, w)) / (w - 1.0)
    body_variance = max(0.0, covariation(bodies, body, body, w)) / (w - 1.0)
    return gap_variance + k * body_variance + (1.0 - k) * rogers_satchell


@njit(error_model="numpy", forceinline=True)
def concentration(squares: float, total: float, w: float) -> float:
    """Herfindahl index of the shares, from 0 (equal) to 1 (one value); 0 when there is none."""
    return (w * squares / (total * total) - 1.0) / (w - 1.0) if total > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def log_share(x: float, y: float, factor: float, least: float) -> float:
    """ln max(factor · x / y, least); 0 where y is 0."""
    return log(max(factor * x / y, least)) if y > 0.0 else 0.0


COVARIATIONS = mapped(3, covariation)
CENTRED = mapped(2, centred)
CORRELATIONS_OF_SUMS = mapped(5, correlation_of_sums)
CORRELATIONS_WITH_TIME = mapped(3, correlation_with_time)
SLOPES_OF_SUMS = mapped(5, slope_of_sums)
RELATIVE_CHANGES = mapped(2, relative_change)
REVERSALS = mapped(6, reversal)
SIGNED_R2 = mapped(2, signed_r2)
ROOTS_PER_SCALE = mapped(2, root_per_scale)
ROLL_SPREADS = mapped(4, roll_spread)
QUARTICITIES = mapped(1, quarticity)
SKEWNESSES = mapped(2, skewness)
LOG_KURTOSES = mapped(2, log_kurtosis)
JUMP_STATISTICS = mapped(3, jump_statistic)
VARIATIONS = mapped(3, variation)
YANG_ZHANG = mapped(5, yang_zhang)
CONCENTRATIONS = mapped(2, concentration)
LOG_SHARES = mapped(2, log_share)


@njit(error_model="numpy")
def statistic_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    if op == Op.COVARIATION:
        COVARIATIONS(m, target, d, n, plan, i)
    elif op == Op.CENTRED:
        CENTRED(m, target, d, n, plan, i)
    elif op == Op.CORRELATION_OF_SUMS:
        CORRELATIONS_OF_SUMS(m, target, d, n, plan, i)
    elif op == Op.CORRELATION_WITH_TIME:
        CORRELATIONS_WITH_TIME(m, target, d, n, plan, i)
    elif op == Op.SLOPE_OF_SUMS:
        SLOPES_OF_SUMS(m, target, d, n, plan, i)
    elif op == Op.RELATIVE_CHANGE:
        RELATIVE_CHANGES(m, target, d, n, plan, i)
    elif op == Op.REVERSAL:
        REVERSALS(m, target, d, n, plan, i)
    elif op == Op.SIGNED_R2:
        SIGNED_R2(m, target, d, n, plan, i)
    elif op == Op.ROOT_PER_SCALE:
        ROOTS_PER_SCALE(m, target, d, n, plan, i)
    elif op == Op.ROLL_SPREAD:
        ROLL_SPREADS(m, target, d, n, plan, i)
    elif op == Op.QUARTICITY:
        QUARTICITIES(m, target, d, n, plan, i)
    elif op == Op.SKEWNESS:
        SKEWNESSES(m, target, d, n, plan, i)
    elif op == Op.LOG_KURTOSIS:
        LOG_KURTOSES(m, target, d, n, plan, i)
    elif op == Op.JUMP_STATISTIC:
        JUMP_STATISTICS(m, target, d, n, plan, i)
    elif op == Op.VARIATION:
        VARIATIONS(m, target, d, n, plan, i)
    elif op == Op.YANG_ZHANG:
        YANG_ZHANG(m, target, d, n, plan, i)
    elif op == Op.CONCENTRATION:
        CONCENTRATIONS(m, target, d, n, plan, i)
    elif op == Op.LOG_SHARE:
        LOG_SHARES(m, target, d, n, plan, i)
