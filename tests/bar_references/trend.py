"""Slow formulas of the families returns (new ones), trend and memory."""

import math
from fractions import Fraction
from itertools import takewhile

import numpy as np
from scipy import stats

from features.config import BarParameters
from tests.bar_references.history import History, Reference, fading_mean, last, mean, ratio


def sign_run(x: History) -> float:
    signs = np.sign(last(x.returns, x.p.long))[::-1]
    run = len(list(takewhile(lambda sign: sign == signs[0], signs)))
    return float(signs[0] * (1 - Fraction(1, 2**run)))


def efficiency_ratio(x: History, w: int) -> float:
    r = last(x.returns, w)
    return ratio(math.fsum(r), math.fsum(abs(r)))


def strength(x: History, w: int) -> float:
    r = last(x.returns, len(x.returns) if len(x.returns) >= w else w)
    return ratio(fading_mean(r, w), fading_mean(abs(r), w)) if r.any() else 0.0


def exponential(values: np.ndarray, span: int) -> np.ndarray:
    start = max(0, len(values) - 40 * span)  # the weight of where it starts is under e^-80
    average = [values[start]] * (start + 1)
    for value in values[start + 1 :]:
        average.append(average[-1] + 2 / (span + 1) * (value - average[-1]))
    return np.array(average)


def macd(x: History) -> tuple[float, float]:
    fast, slow, signal = x.p.macd
    line = exponential(x.log_close, fast) - exponential(x.log_close, slow)
    return ratio(line[-1], x.sigma), ratio(line[-1] - exponential(line, signal)[-1], x.sigma)


def regression(x: History, w: int) -> tuple[float, float]:
    """Slope and R² with the slope's sign, of log closes on time."""
    closes = last(x.log_close, w)
    if np.ptp(closes) == 0:
        return 0.0, 0.0
    fit = stats.linregress(np.arange(w), closes - closes[0])
    return fit.slope, math.copysign(fit.rvalue**2, fit.slope)


def extremes(x: History, w: int) -> tuple[float, float]:
    return max(last(x.log_high, w)), min(last(x.log_low, w))


def donchian(x: History, w: int) -> float:
    top, bottom = extremes(x, w)
    return ratio(2 * x.log_close[-1] - top - bottom, top - bottom)


def aroon(x: History, w: int) -> float:
    since_high = int(np.argmax(last(x.bars.high, w)[::-1]))
    since_low = int(np.argmin(last(x.bars.low, w)[::-1]))
    return (since_low - since_high) / (w - 1)


def choppiness(x: History, w: int) -> float:
    top, bottom = extremes(x, w)
    path = math.fsum(last(x.true_range, w))
    return math.log(path / (top - bottom)) / math.log(w) if top > bottom else 0.0


def channel_index(x: History, w: int) -> float:
    typical = (last(x.log_high, w) + last(x.log_low, w) + last(x.log_close, w)) / 3
    centre = mean(typical)
    return ratio(typical[-1] - centre, mean(abs(typical - centre))) if np.ptp(typical) > 0 else 0.0


def spread_of_closes(x: History, w: int) -> float:
    closes = last(x.log_close, w)
    return math.sqrt(math.fsum((closes - mean(closes)) ** 2) / (w - 1)) if np.ptp(closes) > 0 else 0.0


def zscore_of_close(x: History, w: int) -> float:
    closes = last(x.log_close, w)
    return ratio(closes[-1] - mean(closes), spread_of_closes(x, w))


def movements(x: History) -> tuple[np.ndarray, np.ndarray]:
    """Wilder's directional movements, up and down, of every bar but the first."""
    up, down = np.diff(x.log_high), -np.diff(x.log_low)
    return np.where((up > down) & (up > 0), up, 0.0), np.where((down > up) & (down > 0), down, 0.0)


def direction(up: np.ndarray, down: np.ndarray, w: int) -> float:
    a, b = fading_mean(up, w), fading_mean(down, w)
    return ratio(a - b, a + b)


def directional_movement(x: History, w: int) -> float:
    last(x.returns, w)
    return direction(*movements(x), w)


def directional_index(x: History, w: int) -> float:
    last(x.returns, 2 * w)
    ups, downs = movements(x)
    up = down = 0.0
    strengths = []
    for a, b in zip(ups, downs, strict=True):
        up, down = up * (1 - 1 / w) + a, down * (1 - 1 / w) + b
        strengths.append(ratio(abs(up - down), up + down))
    return fading_mean(np.array(strengths), w)


def fractional_difference(x: History, order: float) -> float:
    """(1 - L)^d of the log close's path over the last K returns, weights by the exact binomial recursion."""
    taps = x.p.fraction_taps
    closes = last(x.log_close, taps + 1)
    path = [Fraction(close) - Fraction(closes[0]) for close in closes[:0:-1]]
    d, weight, total, square, weight_of_return = Fraction(order), Fraction(1), Fraction(0), Fraction(0), Fraction(0)
    for k, value in enumerate(path):
        total += weight * value
        weight_of_return += weight  # of the return k bars ago: all the closes from it on hold it
        square += weight_of_return**2
        weight = weight * (k - d) / (k + 1)
        weight = Fraction(float(weight))  # keeps the numbers short
    return ratio(float(total) / math.sqrt(square), x.sigma)


def cusum(x: History, side: int) -> float:
    n, threshold = x.p.long, x.p.cusum_threshold
    last(x.returns, n)
    total = 0.0
    for stop in range(n, len(x.returns) + 1):
        window = x.returns[stop - n : stop]
        sigma = math.sqrt(np.dot(window, window) / n)
        total = max(0.0, (total if total < threshold else 0.0) + side * ratio(window[-1], sigma))
    return total / threshold


def references(p: BarParameters) -> dict[str, Reference]:
    s, n = p.short, p.long
    fast, slow, signal = p.macd

    def scaled(value: float, x: History, w: int) -> float:
        return ratio(value / math.sqrt(w), x.sigma)

    table: dict[str, Reference] = {
        f"log_return_{k}": lambda x, k=k: 1e4 * math.log(x.bars.close[-1] / last(x.bars.close, k + 1)[0])
        for k in p.horizons
    }
    table |= {
        "open_gap": lambda x: ratio(math.log(x.bars.open[-1] / x.bars.close[-2]), x.sigma),
        f"sign_run_{n}": sign_run,
        f"ma_zscore_{s}": lambda x: zscore_of_close(x, s),
        f"macd_{fast}_{slow}": lambda x: macd(x)[0],
        f"macd_histogram_{fast}_{slow}_{signal}": lambda x: macd(x)[1],
        f"channel_index_{s}": lambda x: channel_index(x, s),
        f"directional_movement_{s}": lambda x: directional_movement(x, s),
        f"directional_index_{s}": lambda x: directional_index(x, s),
        "cusum_up": lambda x: cusum(x, 1),
        "cusum_down": lambda x: cusum(x, -1),
    }
    for order in p.fraction_orders:
        table[f"fractional_{order:g}_{p.fraction_taps}"] = lambda x, d=order: fractional_difference(x, d)
    for w in (s, n):
        table |= {
            f"efficiency_ratio_{w}": lambda x, w=w: efficiency_ratio(x, w),
            f"rsi_{w}": lambda x, w=w: strength(x, w),
            f"trend_slope_{w}": lambda x, w=w: ratio(regression(x, w)[0] * math.sqrt(w), x.sigma),
            f"trend_r2_{w}": lambda x, w=w: regression(x, w)[1],
            f"donchian_{w}": lambda x, w=w: donchian(x, w),
            f"aroon_{w}": lambda x, w=w: aroon(x, w),
            f"drawdown_{w}": lambda x, w=w: scaled(x.log_close[-1] - extremes(x, w)[0], x, w),
            f"rally_{w}": lambda x, w=w: scaled(x.log_close[-1] - extremes(x, w)[1], x, w),
            f"choppiness_{w}": lambda x, w=w: choppiness(x, w),
            f"band_width_{w}": lambda x, w=w: scaled(spread_of_closes(x, w), x, w),
            f"sign_balance_{w}": lambda x, w=w: mean(np.sign(last(x.returns, w))),
        }
    return table
