"""How the core features (returns, candle, trend, volatility, dependence, flow, activity, liquidity, time) are made."""

import math

from features.bars.graph import (
    Node,
    absolute,
    balance,
    bar_field,
    change,
    column,
    correlation,
    deviation,
    difference,
    lag,
    mean,
    product,
    ratio,
    scaled,
    scatter,
    square,
    total,
    zscore,
)
from features.bars.ops import Op
from features.bars.quantities import (
    DAY_CLOCK,
    DELTA,
    LAST_CLOSE,
    LOG_CLOSE,
    LOG_HIGH,
    LOG_LOW,
    LOG_OPEN,
    QUOTE_VOLUME,
    RETURN,
    TRADES,
    VOLUME,
    log_volatility,
    per_scale,
    sigma,
    standardised,
)
from features.config import BarParameters


def price_graphs(p: BarParameters) -> dict[str, Node]:
    """Families returns, candle, trend and time."""
    scale = sigma(p.long)
    opened, high, low, close = (bar_field(name) for name in ("open", "high", "low", "close"))
    return {
        **{f"return_{k}": per_scale(change(LOG_CLOSE, k), scale, math.sqrt(k)) for k in p.horizons},
        "close_location": column(Op.CLOSE_LOCATION, (high, low, close)),
        "body": column(Op.BODY, (opened, high, low, close)),
        "upper_wick": column(Op.UPPER_WICK, (opened, high, low, close)),
        "lower_wick": column(Op.LOWER_WICK, (opened, high, low, close)),
        "range": per_scale(difference(LOG_HIGH, LOG_LOW), scale),
        f"ma_zscore_{p.long}": zscore(LOG_CLOSE, p.long),
        "time_of_day_sin": column(Op.SINE, (DAY_CLOCK,), (1.0,)),
        "time_of_day_cos": column(Op.COSINE, (DAY_CLOCK,), (1.0,)),
    }


def bipower_products() -> Node:
    """|r| |r[-1]|."""
    return absolute(product(RETURN, lag(RETURN, 1)))


def parkinson(window: int) -> Node:
    """Mean of ln²(H/L) / (4 ln 2)."""
    return scaled(total(square(difference(LOG_HIGH, LOG_LOW)), window), 1.0 / (window * 4.0 * math.log(2.0)))


def garman_klass(window: int) -> Node:
    """Mean of Garman & Klass's variance of one bar."""
    return mean(column(Op.GARMAN_KLASS, (LOG_OPEN, LOG_HIGH, LOG_LOW, LOG_CLOSE)), window)


def rogers_satchell(window: int) -> Node:
    """Mean of Rogers & Satchell's variance of one bar."""
    return mean(column(Op.ROGERS_SATCHELL, (LOG_OPEN, LOG_HIGH, LOG_LOW, LOG_CLOSE)), window)


def variance_ratio(q: int, window: int) -> Node:
    """VR(q) - 1 of the last `window` returns."""
    aggregated = change(LOG_CLOSE, q)
    count = window - q + 1
    inputs = (
        aggregated,
        deviation(aggregated, count),
        scatter(aggregated, count),
        change(LOG_CLOSE, window),
        scatter(RETURN, window),
    )
    return column(Op.VARIANCE_RATIO, inputs, (window, q))


def volatility_graphs(p: BarParameters) -> dict[str, Node]:
    """Families volatility and dependence."""
    n, s, q = p.long, p.short, p.aggregation
    squares, products = total(square(RETURN), n), total(bipower_products(), n)
    variance = mean(square(RETURN), n)
    return {
        f"realised_volatility_{n}": log_volatility(squares, 1.0 / n),
        f"bipower_volatility_{n}": log_volatility(products, 0.5 * math.pi / n),
        f"jump_share_{n}": column(Op.JUMP_SHARE, (products, squares)),
        f"semivariance_{n}": ratio(total(column(Op.SIGNED_SQUARE, (RETURN,)), n), squares),
        f"parkinson_{n}": balance(parkinson(n), variance),
        f"garman_klass_{n}": balance(garman_klass(n), variance),
        f"rogers_satchell_{n}": balance(rogers_satchell(n), variance),
        f"volatility_ratio_{s}_{n}": balance(mean(square(RETURN), s), variance),
        f"variance_ratio_{q}_{n}": variance_ratio(q, n),
        f"autocorrelation_{n}": correlation(RETURN, lag(RETURN, 1), n),
    }


def fading_imbalance(span: int) -> Node:
    """Exponential average of δ over that of V."""
    return column(Op.FADING_RATIO, (DELTA, VOLUME), (span,), 0, 2)


def cumulative_delta(window: int) -> Node:
    """Σ δ / √Σ δ²."""
    return standardised(total(DELTA, window), total(square(DELTA), window))


def flow_graphs(p: BarParameters) -> dict[str, Node]:
    """Families flow and activity."""
    s, n = p.short, p.long
    move = standardised(change(LOG_CLOSE, s), total(square(RETURN), s))
    return {
        "taker_imbalance": ratio(DELTA, VOLUME),
        **{f"taker_imbalance_ema_{k}": fading_imbalance(k) for k in (p.fast_span, p.slow_span)},
        **{f"cumulative_delta_{k}": cumulative_delta(k) for k in (s, n)},
        f"delta_price_divergence_{s}": difference(cumulative_delta(s), move),
        f"volume_zscore_{n}": zscore(VOLUME, n),
        f"trade_count_zscore_{n}": zscore(TRADES, n),
        f"trade_size_zscore_{n}": zscore(ratio(VOLUME, TRADES), n),
    }


def vwap_deviation(window: int, scale: Node) -> Node:
    """ln(C Σ V / Σ Q) / (σ √window)."""
    inputs = (LOG_CLOSE, total(VOLUME, window), total(QUOTE_VOLUME, window), scale)
    return column(Op.PRICE_DEVIATION, inputs, (math.sqrt(window),))


def amihud(window: int) -> Node:
    """Mean of |r| / Q over the bars with Q > 0."""
    impact = column(Op.ILLIQUIDITY, (RETURN, QUOTE_VOLUME))
    return ratio(total(impact, window), total(column(Op.POSITIVE, (QUOTE_VOLUME,)), window))


def corwin_schultz(window: int, scale: Node) -> Node:
    """Mean of the two-bar spreads / σ."""
    inputs = (LOG_HIGH, LOG_LOW, lag(LOG_HIGH, 1), lag(LOG_LOW, 1))
    return per_scale(total(column(Op.CORWIN_SCHULTZ, inputs), window), scale, float(window))


def abdi_ranaldo(window: int, scale: Node) -> Node:
    """Root of the mean two-bar product / σ."""
    inputs = (LOG_HIGH, LOG_LOW, lag(LOG_HIGH, 1), lag(LOG_LOW, 1), LAST_CLOSE)
    return column(Op.SPREAD, (total(column(Op.ABDI_RANALDO, inputs), window), scale), (window,))


def liquidity_graphs(p: BarParameters) -> dict[str, Node]:
    """Family liquidity."""
    s, n = p.short, p.long
    scale = sigma(n)
    return {
        "vwap_deviation": column(Op.PRICE_DEVIATION, (LOG_CLOSE, VOLUME, QUOTE_VOLUME, scale), (1.0,)),
        f"vwap_deviation_{n}": vwap_deviation(n, scale),
        f"amihud_{s}_{n}": balance(amihud(s), amihud(n)),
        f"corwin_schultz_{n}": corwin_schultz(n, scale),
        f"abdi_ranaldo_{n}": abdi_ranaldo(n, scale),
        # (cov / var δ) sd(δ) / sd(r) is the correlation: λ in units of one sd of return per one sd of signed volume.
        f"kyle_lambda_{n}": correlation(DELTA, RETURN, n),
    }
