"""Where everything lies: the plan (integers the compiled step reads), its state array, and the quote in hand."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from features.config import QuoteParameters
from features.kernel import HEAD, Plan
from features.quotes.catalogue import quote_catalogue
from features.quotes.microprice import microprice_size
from features.spec import FeatureSpec
from features.windows import moments_size, sum_size

# The plan: int64 array of settings, the offsets of the state's blocks, then the catalogue numbers of the columns.
WARMUP, MAX_SILENCE_NS, SHORT, LONG, BUCKETS, SPREADS, REFIT, SELECTED = range(8)
BLOCKS = 8
"""Index in the plan of the first block's offset; block b of the state starts at plan[BLOCKS + b]."""

# State blocks, by what they hold (see `features.windows` and `block_sizes`).
ABNORMAL, DEPTH, FLOW, SQUARES, MOVED, MOVE_SQUARED, LAST_MOVE_SQUARED, MOVE_PRODUCT = LONG_SUMS = range(8)
SHORT_DEPTH, SHORT_FLOW, SIZE_CHANGE, SIZE_CHANGES = SHORT_SUMS = range(8, 12)
SPREAD_MOMENTS, LOG_MID_RING, MICROPRICE, DECAYING = range(12, 16)
FIRST_COLUMN = BLOCKS + 16
"""Index in the plan of the first selected feature's number in the catalogue; there are plan[SELECTED] of them."""

# Behind the state's head (`features.kernel`), before the blocks.
LAST_BID, LAST_BID_QTY, LAST_ASK, LAST_ASK_QTY, LAST_MID, LAST_LOG_MID, LAST_IMBALANCE, LAST_MOVE, SINCE_MOVE = range(
    HEAD, HEAD + 9
)
BLOCKS_START = HEAD + 9

# One set for each time constant, in the block DECAYING.
KEPT, WEIGHT, FADING_IMBALANCE, FADING_FLOW, FADING_SQUARES, FADING_QUOTES, FADING_MOVES = range(7)
DECAY_SIZE = 7
CONSTANTS = 2
"""Number of time constants, `fast_ms` and `slow_ms`; the settings of the plan."""


class Quote(NamedTuple):
    """What the family steps read: the touch, what changed in it, and where the windows stand.

    A side that is not there keeps its last price, with quantity 0.
    """

    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    last_bid: float
    last_bid_qty: float
    last_ask: float
    last_ask_qty: float
    mid: float
    log_return: float
    """Log return of the mid since the last quote."""
    log_mid: float
    imbalance: float
    flow: float
    """Order flow imbalance of this quote, in units of quantity."""
    mean_depth: float
    """Mean of (bid_qty + ask_qty) / 2 over the long window."""
    elapsed_ms: float
    """Time since the last quote."""
    seen: int
    """Quotes of the stretch before this one."""
    short_slot: int
    long_slot: int


def block_sizes(p: QuoteParameters) -> list[int]:
    """Floats of each state block, in the order of the block numbers above."""
    return [
        *[sum_size(p.long)] * len(LONG_SUMS),
        *[sum_size(p.short)] * len(SHORT_SUMS),
        moments_size(p.long),
        p.long + 1,
        microprice_size(p.imbalance_buckets, p.spread_ticks),
        CONSTANTS * DECAY_SIZE,
    ]


def make_plan(p: QuoteParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """The plan of `features.quotes.kernel.advance`; its settings are the time constants in ms."""
    names = [spec.name for spec in quote_catalogue(p)]
    warmup = max(spec.warmup for spec in selected)
    *offsets, end = accumulate(block_sizes(p), initial=BLOCKS_START)
    windows = [p.short, p.long, p.imbalance_buckets, p.spread_ticks, p.microprice_refit]
    settings = [warmup, p.max_silence_ms * 1_000_000, *windows, len(selected)]
    columns = [names.index(spec.name) for spec in selected]
    plan = np.array([*settings, *offsets, *columns], dtype=np.int64)
    return Plan(plan, np.array([p.fast_ms, p.slow_ms], dtype=np.float64), state_size=end, scratch_size=len(names))
