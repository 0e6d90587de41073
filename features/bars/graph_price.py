"""How the further features made from prices alone are made: momentum to complexity; formulas in `specs_price`."""

import math

from features.bars.graph import (
    Node,
    absolute,
    balance,
    bar_field,
    change,
    column,
    deviation,
    difference,
    highest,
    lag,
    lowest,
    mean,
    negative,
    product,
    ratio,
    root_mean_square,
    scaled,
    scatter,
    square,
    total,
    zscore,
)
from features.bars.graph_core import bipower_products, garman_klass, parkinson, rogers_satchell, variance_ratio
from features.bars.graph_sums import (
    add_scaled,
    age_of_highest,
    autocorrelation,
    correlation_with_last,
    entropy,
    slope,
    taps,
    wilder_mean,
    wilder_ratio,
)
from features.bars.ops import TILE, Op
from features.bars.quantities import (
    LAST_CLOSE,
    LOG_CLOSE,
    LOG_HIGH,
    LOG_LOW,
    LOG_OPEN,
    RETURN,
    log_volatility,
    per_scale,
    sigma,
)
from features.config import BarParameters

SIZE = absolute(RETURN)
SQUARE = square(RETURN)
TRUE_RANGE = column(Op.TRUE_RANGE, (LOG_HIGH, LOG_LOW, LAST_CLOSE))
GAP = difference(LOG_OPEN, LAST_CLOSE)
"""ln(O / C[-1])."""
BODY = difference(LOG_CLOSE, LOG_OPEN)
"""ln(C / O)."""
TYPICAL = column(Op.MEAN_OF_THREE, (LOG_HIGH, LOG_LOW, LOG_CLOSE))
COUNTS = column(Op.RISE_OR_FALL, (RETURN,))
"""Rises and falls, packed."""


def momentum_graphs(p: BarParameters) -> dict[str, Node]:
    s, n = p.short, p.long
    fast, slow, signal = p.macd
    scale = sigma(n)
    movement = column(Op.DIRECTIONAL, (LOG_HIGH, LOG_LOW, lag(LOG_HIGH, 1), lag(LOG_LOW, 1)))
    direction = wilder_ratio(movement, s)
    line = column(Op.MACD_LINE, (RETURN,), (fast, slow, RETURN.warmup), 0, 3)
    gap = deviation(TYPICAL, s)
    distance = column(Op.MEAN_DISTANCE, (TYPICAL, gap), (s,), 0, 2 * (s - 1))
    graphs = {
        **{f"log_return_{k}": scaled(change(LOG_CLOSE, k), 1e4) for k in p.horizons},
        "open_gap": per_scale(GAP, scale),
        f"sign_run_{n}": column(Op.SIGN_RUN, (RETURN,), (n,), n - 1, 2),
        f"macd_{fast}_{slow}": per_scale(line, scale),
        f"macd_histogram_{fast}_{slow}_{signal}": per_scale(column(Op.AVERAGE_GAP, (line,), (signal,), 0, 1), scale),
        f"directional_movement_{s}": direction,
        f"directional_index_{s}": wilder_mean(absolute(direction), s),
        f"channel_index_{s}": ratio(gap, distance),
        f"ma_zscore_{s}": zscore(LOG_CLOSE, s),
    }
    for w in (s, n):
        graphs |= {
            f"efficiency_ratio_{w}": ratio(change(LOG_CLOSE, w), total(SIZE, w)),
            f"rsi_{w}": wilder_ratio(RETURN, w),
            f"sign_balance_{w}": column(Op.RISES_LESS_FALLS, (total(COUNTS, w),), (1.0 / w,)),
        }
    return graphs


def channel_graphs(p: BarParameters) -> dict[str, Node]:
    scale = sigma(p.long)
    graphs: dict[str, Node] = {}
    for w in (p.short, p.long):
        top, bottom = highest(LOG_HIGH, w), lowest(LOG_LOW, w)
        since_top, since_bottom = age_of_highest(LOG_HIGH, w), age_of_highest(negative(LOG_LOW), w)
        line, root = slope(RETURN, w), math.sqrt(w)
        graphs |= {
            f"trend_slope_{w}": per_scale(line, scale, 1.0 / root),
            f"trend_r2_{w}": column(Op.SIGNED_R2, (line, scatter(LOG_CLOSE, w)), (w * (w * w - 1) / 12,)),
            f"donchian_{w}": column(Op.POSITION, (LOG_CLOSE, top, bottom)),
            f"aroon_{w}": scaled(difference(since_bottom, since_top), 1.0 / (w - 1)),
            f"drawdown_{w}": per_scale(difference(LOG_CLOSE, top), scale, root),
            f"rally_{w}": per_scale(difference(LOG_CLOSE, bottom), scale, root),
            f"choppiness_{w}": column(Op.CHOPPINESS, (total(TRUE_RANGE, w), top, bottom), (1.0 / math.log(w),)),
            f"band_width_{w}": column(Op.ROOT_PER_SCALE, (scatter(LOG_CLOSE, w), scale), (1.0 / (w * (w - 1)),)),
        }
    return graphs


def moment_graphs(p: BarParameters) -> dict[str, Node]:
    s, n = p.short, p.long
    products = bipower_products()
    squares, short_squares, short_products = total(SQUARE, n), total(SQUARE, s), total(products, s)
    variance = mean(SQUARE, n)
    quads = product(products, lag(products, 2))
    smaller = square(column(Op.MINIMUM, (SIZE, lag(SIZE, 1))))
    middle = square(column(Op.MEDIAN, (SIZE, lag(SIZE, 1), lag(SIZE, 2))))
    level = root_mean_square(RETURN, s)
    graphs = {
        f"realised_volatility_{s}": log_volatility(short_squares, 1.0 / s),
        f"bipower_volatility_{s}": log_volatility(short_products, 0.5 * math.pi / s),
        f"jump_share_{s}": column(Op.JUMP_SHARE, (short_products, short_squares)),
        f"semivariance_{s}": ratio(total(column(Op.SIGNED_SQUARE, (RETURN,)), s), short_squares),
        f"jump_statistic_{n}": column(Op.JUMP_STATISTIC, (total(products, n), total(quads, n), squares), (n,)),
        f"minimum_variance_{n}": balance(scaled(total(smaller, n), math.pi / (math.pi - 2.0) / n), variance),
        f"median_variance_{n}": balance(
            scaled(total(middle, n), math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi) / n), variance
        ),
        f"volatility_of_volatility_{n}": column(Op.VARIATION, (level, deviation(level, n), scatter(level, n)), (n,)),
        f"leverage_effect_{n}": correlation_with_last(SQUARE, RETURN, n),
        f"largest_move_{n}": ratio(highest(SQUARE, n), squares),
    }
    for w in (s, n):
        third, fourth = total(product(SQUARE, RETURN), w), total(square(SQUARE), w)
        graphs |= {
            f"quarticity_{w}": column(Op.QUARTICITY, (fourth,), (w,)),
            f"realised_skewness_{w}": column(Op.SKEWNESS, (third, total(SQUARE, w)), (w,)),
            f"realised_kurtosis_{w}": column(Op.LOG_KURTOSIS, (fourth, total(SQUARE, w)), (w,)),
        }
    return graphs


def range_graphs(p: BarParameters) -> dict[str, Node]:
    """Families ranges and har."""
    s, n, day, week = p.short, p.long, p.day, p.day * p.days
    variance = mean(SQUARE, s)
    average = wilder_mean(TRUE_RANGE, s)
    graphs = {
        f"parkinson_{s}": balance(parkinson(s), variance),
        f"garman_klass_{s}": balance(garman_klass(s), variance),
        f"rogers_satchell_{s}": balance(rogers_satchell(s), variance),
        f"true_range_{s}": log_volatility(square(average), 1.0),
        f"range_expansion_{s}": balance(TRUE_RANGE, average),
        f"realised_volatility_{day}": log_volatility(total(SQUARE, day), 1.0 / day),
        f"realised_volatility_{week}": log_volatility(total(SQUARE, week), 1.0 / week),
        f"volatility_ratio_{n}_{day}": balance(mean(SQUARE, n), mean(SQUARE, day)),
        f"volatility_ratio_{day}_{week}": balance(mean(SQUARE, day), mean(SQUARE, week)),
    }
    for w in (s, n):
        sums = (total(square(GAP), w), total(GAP, w), total(square(BODY), w), total(BODY, w))
        yang_zhang = column(Op.YANG_ZHANG, (*sums, rogers_satchell(w)), (w,))
        graphs[f"yang_zhang_{w}"] = balance(yang_zhang, mean(SQUARE, w))
    return graphs


def hurst(p: BarParameters) -> Node:
    """½ + ½ Σ weights · ln(m_q / (q m_1)): the slope of ln m_q on ln q, relative to that of a random walk."""
    n, lags = p.long, sorted({1, p.aggregation, *p.other_aggregations})
    logs = [math.log(q) for q in lags]
    centre = sum(logs) / len(logs)
    scatter_of_logs = sum((x - centre) ** 2 for x in logs)
    exponent: Node | None = None
    for q, x in zip(lags[1:], logs[1:], strict=True):
        sums = (total(square(change(LOG_CLOSE, q)), n - q + 1), total(SQUARE, n))
        term = column(Op.LOG_SHARE, sums, (n / (q * (n - q + 1)), 1e-4))
        weight = 0.5 * (x - centre) / scatter_of_logs
        exponent = scaled(term, weight) if exponent is None else add_scaled(exponent, term, weight)
    assert exponent is not None
    return column(Op.SHIFTED, (exponent,), (0.5,))


def fractional_difference(order: float, count: int, scale: Node) -> Node:
    """(1 - L)^order of the path that the last `count` returns make, over σ and the weights' own size."""
    weights = [1.0]
    for k in range(1, count):
        weights.append(weights[-1] * (k - order) / k)
    size = math.sqrt(math.fsum(x * x for x in weights))
    return per_scale(taps(RETURN, [x / size for x in weights]), scale)


def memory_graphs(p: BarParameters) -> dict[str, Node]:
    n = p.long
    scale = sigma(n)
    z = per_scale(RETURN, scale)

    def cusum(side: float) -> Node:
        return column(Op.CUSUM, (z,), (side, p.cusum_threshold, z.warmup), 0, 2)

    return {
        **{f"variance_ratio_{q}_{n}": variance_ratio(q, n) for q in p.other_aggregations},
        f"hurst_{n}": hurst(p),
        **{f"autocorrelation_{k}_{n}": autocorrelation(RETURN, k, n) for k in p.lags},
        f"volatility_clustering_{n}": autocorrelation(SIZE, 1, n),
        **{
            f"fractional_{d:g}_{p.fraction_taps}": fractional_difference(d, p.fraction_taps, scale)
            for d in p.fraction_orders
        },
        "cusum_up": cusum(1.0),
        "cusum_down": cusum(-1.0),
    }


def complexity_graphs(p: BarParameters) -> dict[str, Node]:
    n = p.long
    up = column(Op.POSITIVE, (RETURN,))
    word = up
    for k in range(1, p.word):
        word = add_scaled(word, lag(up, k), 2.0**k)
    close = bar_field("close")
    order = column(Op.ORDER_OF_THREE, (lag(close, 2), lag(close, 1), close))
    scale = math.log2(p.signs) / p.signs
    return {
        f"sign_entropy_{p.word}_{n}": entropy(word, 2**p.word, n),
        f"permutation_entropy_{n}": entropy(order, 6, n),
        f"lempel_ziv_{p.signs}": column(Op.LEMPEL_ZIV, (RETURN,), (p.signs, scale), p.signs - 1, 2 + 4 * TILE),
    }
