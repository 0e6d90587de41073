"""Where everything lies: the plan and settings the compiled step reads, its state, and the trade in hand."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np

from features.config import TradeParameters
from features.kernel import HEAD, Plan
from features.spec import FeatureSpec
from features.trades.catalogue import trade_catalogue
from features.trades.propagator import kernel_terms
from features.windows import comoments_size, moments_size, sum_size

# The plan: int64 array of settings, then the offsets of the state's blocks, the lags and the selected columns.
(
    WARMUP,
    SILENCE_NS,
    SHORT,
    LONG,
    WORD,
    LARGE_RANK,
    COUNT_NS,
    COUNT_BINS,
    VPIN_TRADES,
    VPIN_BUCKETS,
    TERMS,
    LAGS,
) = range(12)
BLOCKS = 12
"""Index in the plan of the first block's offset; block b of the state starts at plan[BLOCKS + b]."""

# State blocks, by the kind of window they hold (see `features.windows` and `block_sizes`).
SHORT_BUYS, SHORT_SELLS, SHORT_SIGNS, LARGE_BUYS, LARGE_SELLS, AGREEMENT, UPS, DOWNS, CHANGES = SHORT_SUMS = range(9)
LONG_BUYS, LONG_SELLS, LONG_SIGNS, SQUARES = LONG_SUMS = range(9, 13)
SIZE_MOMENTS, DURATION_MOMENTS = LONG_MOMENTS = range(13, 15)
BUY_PRICES, SELL_PRICES, RETURN_PAIRS, RETURN_FLOW = LONG_PAIRS = range(15, 19)
FAST, SLOW, SIZES, WORDS, LAGGED, COUNTS, PROPAGATOR, VPIN = range(19, 27)
FIRST_LAG = BLOCKS + 27
"""Index in the plan of the first lag; there are plan[LAGS] of them, and after them the selected columns."""

# Settings: float64 array, and then the terms of the propagator (see `features.trades.propagator`).
FAST_MS, SLOW_MS, HAWKES_BASE, HAWKES_SELF, HAWKES_CROSS, HAWKES_DECAY = range(6)
FIRST_TERM = 6

# Numbers of the state that follow its head, before the blocks.
LAST_PRICE, LAST_LOG_PRICE, LAST_RETURN, LAST_TICK, BUY_EXCITEMENT, SELL_EXCITEMENT = range(HEAD, HEAD + 6)
FIRST_BLOCK = HEAD + 6

FADING = 5
"""Floats of a fading block: sizes bought and sold, numbers bought and sold, share of all time that was seen."""

COUNTS_HEAD = 9
"""Floats of the block of time bins before its two rings of counts, see `features.trades.branching`."""

VPIN_HEAD = 5
"""Floats of the block of volume buckets before its two rings, see `features.trades.vpin`."""


class Trade(NamedTuple):
    """What the family steps read: the trade, what changed since the one before, and where the windows stand."""

    time_ns: int
    price: float
    qty: float
    sign: float
    """+1 when the buyer was the taker, -1 when the seller was."""
    change: float
    """Price minus the price before; 0 for a stretch's first trade."""
    log_return: float
    last_return: float
    elapsed_ms: float
    """Since the trade before; 0 for a stretch's first."""
    bought: float
    """Sizes bought by takers in the short window, `sold` those sold."""
    sold: float
    long_bought: float
    """The same over the long window."""
    long_sold: float
    long_signs: float
    """Sum of signs over the long window."""
    seen: int
    """Trades of the stretch before this one; the slots are it modulo the windows."""
    short_slot: int
    long_slot: int


def block_sizes(parameters: TradeParameters, terms: int) -> list[int]:
    """Floats of each state block, in the order of the block numbers above."""
    p = parameters
    return [
        *[sum_size(p.short)] * len(SHORT_SUMS),
        *[sum_size(p.long)] * len(LONG_SUMS),
        *[moments_size(p.long)] * len(LONG_MOMENTS),
        *[comoments_size(p.long)] * len(LONG_PAIRS),
        FADING,
        FADING,
        2 * p.long,  # sizes in the order they came, and sorted
        p.long + 2**p.sign_word + 1,  # words in the order they came, how often each occurs, the word in hand
        len(p.sign_lags) * 2 * sum_size(p.long) + p.sign_lags[-1],  # two sums a lag, and the signs that lie between
        COUNTS_HEAD + 2 * p.count_bins,
        2 * terms,
        VPIN_HEAD + 2 * p.vpin_buckets,
    ]


def make_plan(parameters: TradeParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """Plan of `features.trades.kernel` for these windows and columns."""
    p = parameters
    order = [spec.name for spec in trade_catalogue(p)]
    decays, weights = kernel_terms(p.propagator_exponent, p.propagator_lag, p.propagator_memory)
    sizes = block_sizes(p, len(decays))
    offsets = FIRST_BLOCK + np.concatenate(([0], np.cumsum(sizes)[:-1]))
    settings = [
        max(spec.warmup for spec in selected),
        p.max_silence_ms * 1_000_000,
        p.short,
        p.long,
        p.sign_word,
        ceil(p.large_quantile * p.long - 1e-9) - 1,  # 0.07 * 100 is a little more than 7
        p.count_ms * 1_000_000,
        p.count_bins,
        p.vpin_trades,
        p.vpin_buckets,
        len(decays),
        len(p.sign_lags),
    ]
    columns = [order.index(spec.name) for spec in selected]
    rates = [p.fast_ms, p.slow_ms, p.hawkes_base, p.hawkes_self, p.hawkes_cross, p.hawkes_decay / 1_000.0]
    return Plan(
        plan=np.array([*settings, *offsets, *p.sign_lags, *columns], dtype=np.int64),
        settings=np.array([*rates, *decays, *weights], dtype=np.float64),
        state_size=FIRST_BLOCK + sum(sizes),
        scratch_size=len(order),
    )
