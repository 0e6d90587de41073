"""How the further features that read volumes or the clock are made: pressure to calendar; formulas in `specs_flow`."""

import math

from features.bars.graph import (
    Node,
    absolute,
    balance,
    bar_field,
    change,
    column,
    difference,
    highest,
    lag,
    lowest,
    mean,
    product,
    ratio,
    scaled,
    scatter,
    square,
    total,
)
from features.bars.graph_core import abdi_ranaldo, corwin_schultz, cumulative_delta, vwap_deviation
from features.bars.graph_price import COUNTS, GAP, SQUARE
from features.bars.graph_sums import (
    autocorrelation,
    correlation_of_sums,
    correlation_with_last,
    correlation_with_time,
    share,
    share_of_size,
    taps,
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
    clock,
    sigma,
    standardised,
)
from features.config import BarParameters

HIGH, LOW, CLOSE = bar_field("high"), bar_field("low"), bar_field("close")
BOUGHT, BOUGHT_QUOTE = bar_field("taker_buy_volume"), bar_field("taker_buy_quote_volume")
SOLD = column(Op.EXCESS, (VOLUME, BOUGHT))
SOLD_QUOTE = column(Op.EXCESS, (QUOTE_VOLUME, BOUGHT_QUOTE))
IMBALANCE = ratio(DELTA, VOLUME)
WEEK_MS, MONDAY_MS = 604_800_000, 259_200_000
"""1970 began on a Thursday, three days after a Monday."""


def money_flow(window: int) -> Node:
    """Typical price times volume, counted up or down as the typical price rose or fell, over all that counted."""
    typical = column(Op.MEAN_OF_THREE, (HIGH, LOW, CLOSE))
    return share_of_size(column(Op.MONEY_FLOW, (typical, lag(typical, 1), VOLUME)), window)


def taker_price_gap(window: int, scale: Node) -> Node:
    amounts = tuple(total(x, window) for x in (BOUGHT, BOUGHT_QUOTE, SOLD, SOLD_QUOTE))
    bound = difference(highest(LOG_HIGH, window), lowest(LOG_LOW, window))
    return column(Op.PRICE_GAP, (*amounts, bound, scale), (math.sqrt(window),))


def pressure_graphs(p: BarParameters) -> dict[str, Node]:
    s, n = p.short, p.long
    scale = sigma(n)
    bulk = column(Op.BULK, (ratio(RETURN, scale),))
    accumulated = product(column(Op.CLOSE_LOCATION, (HIGH, LOW, CLOSE)), VOLUME)
    bar_range = difference(LOG_HIGH, LOG_LOW)
    path = standardised(change(LOG_CLOSE, n), total(SQUARE, n))
    graphs = {
        f"imbalance_autocorrelation_{n}": autocorrelation(IMBALANCE, 1, n),
        f"imbalance_lead_{n}": correlation_with_last(RETURN, IMBALANCE, n),
        f"buyers_balance_{n}": mean(column(Op.SIGN, (DELTA,)), n),
        "bulk_imbalance": bulk,
        f"bulk_vpin_{n}": share(absolute(product(bulk, VOLUME)), VOLUME, n),
        f"delta_price_divergence_{n}": difference(cumulative_delta(n), path),
        "taker_price_gap": column(Op.PRICE_GAP, (BOUGHT, BOUGHT_QUOTE, SOLD, SOLD_QUOTE, bar_range, scale), (1.0,)),
        f"taker_price_gap_{n}": taker_price_gap(n, scale),
    }
    for w in (s, n):
        graphs |= {
            f"taker_imbalance_{w}": share(DELTA, VOLUME, w),
            f"imbalance_trend_{w}": correlation_with_time(IMBALANCE, w),
            f"bulk_imbalance_{w}": share(product(bulk, VOLUME), VOLUME, w),
            f"vpin_{w}": share(absolute(DELTA), VOLUME, w),
            f"money_flow_{w}": money_flow(w),
            f"accumulation_{w}": share(accumulated, VOLUME, w),
        }
    return graphs


def turnover_graphs(p: BarParameters) -> dict[str, Node]:
    """Families turnover and season."""
    s, n = p.short, p.long

    def concentration(w: int) -> Node:
        return column(Op.CONCENTRATION, (total(square(VOLUME), w), total(VOLUME, w)), (w,))

    def season(x: Node) -> Node:
        span = p.day * p.days
        return column(Op.SEASON_ZSCORE, (x,), (p.day, p.days), span, span + 1)

    return {
        f"volume_ratio_{s}_{n}": balance(mean(VOLUME, s), mean(VOLUME, n)),
        f"trade_count_ratio_{s}_{n}": balance(mean(TRADES, s), mean(TRADES, n)),
        f"trade_size_ratio_{s}_{n}": balance(share(VOLUME, TRADES, s), share(VOLUME, TRADES, n)),
        f"volume_concentration_{s}": concentration(s),
        f"volume_concentration_{n}": concentration(n),
        f"volume_autocorrelation_{n}": autocorrelation(VOLUME, 1, n),
        f"volume_volatility_{n}": correlation_of_sums(VOLUME, absolute(RETURN), n),
        f"volume_return_{n}": correlation_of_sums(VOLUME, RETURN, n),
        f"trade_count_dispersion_{n}": balance(scaled(scatter(TRADES, n), 1.0 / (n - 1)), mean(TRADES, n)),
        f"volume_centre_{n}": ratio(taps(VOLUME, [1.0 - 2.0 * k / (n - 1) for k in range(n)]), total(VOLUME, n)),
        f"seasonal_volume_zscore_{p.days}": season(VOLUME),
        f"seasonal_range_zscore_{p.days}": season(difference(LOG_HIGH, LOG_LOW)),
    }


def edge(n: int, scale: Node) -> Node:
    """EDGE over the last n pairs of bars; see `features.bars.edge`."""
    before = (LAST_CLOSE, lag(LOG_HIGH, 1), lag(LOG_LOW, 1))
    u = column(Op.MIDDLE_GAP, (LOG_OPEN, LOG_HIGH, LOG_LOW))
    v = GAP
    w = column(Op.LAST_LEAN, (LOG_HIGH, LOG_LOW, *before))
    counts = total(column(Op.EDGE_COUNTS, (LOG_OPEN, LOG_HIGH, LOG_LOW, *before)), n)
    uv, uw, vw = product(u, v), product(u, w), product(v, w)

    def mean_of_moved(x: Node) -> Node:
        return column(Op.MEAN_OF_MOVED, (total(x, n), counts))

    def edge_mean(xy: Node, y: Node, mean_x: Node) -> Node:
        return column(Op.EDGE_MEAN, (total(xy, n), total(y, n), mean_x), (n,))

    def edge_square(xy: Node, xz: Node, y: Node, z: Node, mean_x: Node) -> Node:
        sums = (total(product(xy, xz), n), total(product(xy, z), n), total(product(y, z), n))
        return column(Op.EDGE_SQUARE, (*sums, mean_x), (n,))

    def edge_cross(x: Node) -> Node:
        """Mean of (u - ū) (v - v̄) x w."""
        ux, vx, rest = product(u, x), product(v, x), product(x, w)
        sums = (product(ux, vw), product(ux, w), product(vx, w), rest)
        return column(Op.EDGE_CROSS, (*(total(y, n) for y in sums), mean_u, mean_v), (n,))

    mean_u, mean_v = mean_of_moved(u), mean_of_moved(v)
    a, b, c = edge_mean(uv, v, mean_u), edge_mean(uw, w, mean_u), edge_mean(vw, w, mean_v)
    aa, bb = edge_square(uv, uv, v, v, mean_u), edge_square(uw, uw, w, w, mean_u)
    cc, ab = edge_square(vw, vw, w, w, mean_v), edge_square(uv, uw, v, w, mean_u)
    second = column(Op.EDGE_SECOND, (a, c, counts), (n,))
    first = column(Op.EDGE_FIRST, (second, b, counts), (n,))
    second_square = column(Op.EDGE_SECOND_SQUARE, (aa, cc, edge_cross(v), counts), (n,))
    first_square = column(Op.EDGE_FIRST_SQUARE, (second_square, bb, ab, edge_cross(w), counts), (n,))
    return column(Op.EDGE, (first, second, first_square, second_square, counts, scale))


def roll(w: int, scale: Node) -> Node:
    sums = (total(product(RETURN, lag(RETURN, 1)), w), total(RETURN, w), lag(total(RETURN, w), 1))
    return column(Op.ROLL_SPREAD, (*sums, scale), (w,))


def impact(w: int) -> Node:
    """Slope of the return on taker flow."""
    sums = (total(product(DELTA, RETURN), w), total(DELTA, w), total(RETURN, w))
    return column(Op.SLOPE_OF_SUMS, (*sums, total(square(DELTA), w), total(SQUARE, w)), (w,))


def reversal(n: int) -> Node:
    """Pástor & Stambaugh's γ; a is the return before, b it signed volume."""
    flow = column(Op.SIGNED_BY, (QUOTE_VOLUME, RETURN))
    r, rr, b, bb = total(RETURN, n), total(SQUARE, n), total(flow, n), total(square(flow), n)
    last_r, last_b = lag(r, 1), lag(b, 1)
    pairs = (
        (total(product(RETURN, lag(RETURN, 1)), n), r, last_r),
        (total(product(RETURN, lag(flow, 1)), n), r, last_b),
        (lag(total(product(RETURN, flow), n), 1), last_r, last_b),
    )
    ar, br, ab = (column(Op.COVARIATION, pair, (n,)) for pair in pairs)
    squares = ((lag(rr, 1), last_r), (lag(bb, 1), last_b), (rr, r))
    scatters = tuple(column(Op.CENTRED, pair, (n,)) for pair in squares)
    return column(Op.REVERSAL, (*scatters, ab, ar, br))


def impact_graphs(p: BarParameters) -> dict[str, Node]:
    s, n = p.short, p.long
    scale = sigma(n)
    illiquidity = column(Op.ILLIQUIDITY, (RETURN, QUOTE_VOLUME))
    traded = column(Op.POSITIVE, (QUOTE_VOLUME,))
    net = difference(scaled(BOUGHT_QUOTE, 2.0), QUOTE_VOLUME)
    return {
        f"roll_spread_{s}": roll(s, scale),
        f"roll_spread_{n}": roll(n, scale),
        f"edge_{n}": edge(n, scale),
        f"corwin_schultz_{s}": corwin_schultz(s, scale),
        f"abdi_ranaldo_{s}": abdi_ranaldo(s, scale),
        f"vwap_deviation_{s}": vwap_deviation(s, scale),
        f"amihud_asymmetry_{n}": ratio(total(ratio(RETURN, QUOTE_VOLUME), n), total(illiquidity, n)),
        f"amihud_1_{n}": column(Op.OWN_BALANCE, (illiquidity, total(illiquidity, n), total(traded, n), traded)),
        f"zero_returns_{n}": column(Op.NEITHER, (total(COUNTS, n),), (n,)),
        f"hasbrouck_lambda_{n}": correlation_of_sums(column(Op.SIGNED_ROOT, (net,)), RETURN, n),
        f"kyle_lambda_{s}": correlation_of_sums(DELTA, RETURN, s),
        f"kyle_lambda_change_{s}_{n}": column(Op.RELATIVE_CHANGE, (impact(s), impact(n))),
        f"pastor_stambaugh_{n}": reversal(n),
    }


def calendar_graphs() -> dict[str, Node]:
    week = clock(WEEK_MS, MONDAY_MS)
    phases = {"time_of_week": (week, 1.0), "quarter_hour": (DAY_CLOCK, 96.0), "funding": (DAY_CLOCK, 3.0)}
    waves = {"sin": Op.SINE, "cos": Op.COSINE}
    return {
        f"{name}_{wave}": column(op, (phase,), (turns,))
        for name, (phase, turns) in phases.items()
        for wave, op in waves.items()
    }
