"""Where everything lies: the plan (integers the compiled step reads), its state array, and the bar in hand."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from features.bars.catalogue import BAR_FIELDS, OPTIONAL_FIELDS, bar_catalogue
from features.config import BarParameters
from features.kernel import HEAD as COMMON_HEAD
from features.kernel import Plan
from features.spec import FeatureSpec
from features.windows import comoments_size, moments_size, sum_size

# The plan: int64 array of settings, then the offsets of the state's blocks, then the horizons of the returns.
(
    INTERVAL_MS,
    COLUMNS,
    WARMUP_ROWS,
    REQUIRED,
    SHORT,
    LONG,
    AGGREGATION,
    FAST_SPAN,
    SLOW_SPAN,
    RING,
    HORIZONS,
) = range(11)
BLOCKS = 11
"""Index in the plan of the first block's offset; block b of the state starts at plan[BLOCKS + b]."""

# State blocks, by the kind of window they hold (see `features.windows` and `block_sizes`).
(
    RETURN_SQUARED,
    BIPOWER,
    SIGNED_SQUARED,
    PARKINSON,
    GARMAN_KLASS,
    ROGERS_SATCHELL,
    DELTA,
    DELTA_SQUARED,
    VOLUME_SUM,
    QUOTE_SUM,
    ILLIQUIDITY,
    ILLIQUIDITY_COUNT,
    CORWIN_SCHULTZ,
    ABDI_RANALDO,
) = LONG_SUMS = range(14)
(
    SHORT_RETURN_SQUARED,
    SHORT_DELTA,
    SHORT_DELTA_SQUARED,
    SHORT_ILLIQUIDITY,
    SHORT_ILLIQUIDITY_COUNT,
) = SHORT_SUMS = range(14, 19)
LOG_CLOSE_MOMENTS, VOLUME_MOMENTS, TRADES_MOMENTS, TRADE_SIZE_MOMENTS = LONG_MOMENTS = range(19, 23)
AGGREGATED_MOMENTS = 23
RETURN_PAIRS, RETURN_DELTA_PAIRS = LONG_PAIRS = range(24, 26)
LOG_CLOSE_RING = 26
FIRST_HORIZON = BLOCKS + 27
"""Index in the plan of the first horizon; there are plan[HORIZONS] of them."""

# Head of the state, before the blocks.
(
    LAST_LOG_CLOSE,
    LAST_LOG_HIGH,
    LAST_LOG_LOW,
    LAST_RETURN,
    FAST_DELTA,
    FAST_VOLUME,
    SLOW_DELTA,
    SLOW_VOLUME,
) = range(COMMON_HEAD, COMMON_HEAD + 8)
HEAD = COMMON_HEAD + 8


class Bar(NamedTuple):
    """What the family steps read: the bar, its log prices, the bar before, and where the windows stand."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: float
    taker_buy_volume: float
    log_open: float
    log_high: float
    log_low: float
    log_close: float
    last_log_close: float
    last_log_high: float
    last_log_low: float
    log_return: float
    last_return: float
    squares: float
    """Sum of squared returns over the long window."""
    short_squares: float
    """The same over the short window."""
    sigma: float
    """Root mean squared return over the long window: the scale of returns, ranges and spreads."""
    seen: int
    """Bars of the stretch before this one; the slots are it modulo the windows and the ring."""
    short_slot: int
    long_slot: int
    ring_slot: int


def block_sizes(parameters: BarParameters) -> list[int]:
    """Floats of each state block, in the order of the block numbers above."""
    p = parameters
    return [
        *[sum_size(p.long)] * len(LONG_SUMS),
        *[sum_size(p.short)] * len(SHORT_SUMS),
        *[moments_size(p.long)] * len(LONG_MOMENTS),
        moments_size(p.long - p.aggregation + 1),
        *[comoments_size(p.long)] * len(LONG_PAIRS),
        ring_size(p),
    ]


def ring_size(parameters: BarParameters) -> int:
    """Log closes kept, the one in hand included."""
    return max(*parameters.horizons, parameters.long) + 1


def state_size(parameters: BarParameters) -> int:
    """Length of the state array."""
    return HEAD + sum(block_sizes(parameters))


def make_plan(parameters: BarParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """int64 plan for `features.bars.kernel.advance`; `selected` says which optional fields must be there."""
    p = parameters
    catalogue = bar_catalogue(p)
    names = [spec.name for spec in catalogue]
    needed = {field for spec in selected for field in spec.inputs}
    required = sum(1 << BAR_FIELDS.index(field) for field in OPTIONAL_FIELDS if field in needed)
    warmup = max(spec.warmup for spec in selected)
    windows = [p.short, p.long, p.aggregation, p.fast_span, p.slow_span, ring_size(p)]
    offsets = HEAD + np.concatenate(([0], np.cumsum(block_sizes(p))[:-1]))
    settings = [p.interval_ms, len(catalogue), warmup, required, *windows, len(p.horizons)]
    selection = [names.index(spec.name) for spec in selected]
    plan = np.array([*settings, *offsets, *p.horizons, *selection], dtype=np.int64)
    return Plan(plan, np.empty(0), state_size(p), len(catalogue))
