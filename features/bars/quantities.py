"""Columns that many bar features start from, as graphs (`features.bars.graph`). Logs are natural, p = ln C."""

from features.bars.graph import Node, bar_field, change, column, lag, log, root_mean_square
from features.bars.ops import Op

VOLUME, QUOTE_VOLUME, TRADES = bar_field("volume"), bar_field("quote_volume"), bar_field("trades")
LOG_OPEN, LOG_HIGH, LOG_LOW, LOG_CLOSE = (log(bar_field(name)) for name in ("open", "high", "low", "close"))
LAST_CLOSE = lag(LOG_CLOSE, 1)
RETURN = change(LOG_CLOSE, 1)
"""r = p - p[-1]."""
DELTA = column(Op.TAKER_DELTA, (VOLUME, bar_field("taker_buy_volume")))
"""δ: volume that takers bought less what they sold."""


def sigma(window: int) -> Node:
    """σ = √mean r² over the long window: the scale of returns, ranges and spreads."""
    return root_mean_square(RETURN, window)


def per_scale(x: Node, scale: Node, factor: float = 1.0) -> Node:
    """x / (scale · factor); 0 where the scale is 0."""
    return column(Op.PER_SCALE, (x, scale), (factor,))


def standardised(total: Node, squares: Node) -> Node:
    """A sum over the root of its summands' squares; 0 when these are 0."""
    return column(Op.STANDARDISED, (total, squares))


def log_volatility(total: Node, weight: float) -> Node:
    """ln(10⁴ √(weight · total)), floored."""
    return column(Op.LOG_VOLATILITY, (total,), (weight,))


def clock(period_ms: int, offset_ms: int = 0) -> Node:
    """Share of the period that has passed at the bar's close; periods began `offset_ms` before the epoch."""
    return column(Op.CLOCK, (), (period_ms, offset_ms))


DAY_CLOCK = clock(86_400_000)
