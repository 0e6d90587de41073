"""Where everything lies: the plan (integers the compiled step reads), its state array, and the book in hand."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from features.book.catalogue import LEVELS, book_catalogue
from features.config import BookParameters
from features.kernel import HEAD, Plan
from features.spec import FeatureSpec
from features.windows import moments_size, sum_size

# The plan: int64 array of settings, the offsets of the state's blocks, then the catalogue numbers of the columns.
WARMUP, MAX_SILENCE_NS, SHORT, LONG, NEARS, SELECTED = range(6)
BLOCKS = 6
"""Index in the plan of the first block's offset; block b of the state starts at plan[BLOCKS + b]."""

SWEEP_NOTIONAL, COMPONENT_DECAY, FIRST_NEAR = range(3)
"""The plan's settings, float64; plan[NEARS] distances in bps from FIRST_NEAR on."""

# State blocks, by what they hold (see `features.windows` and `block_sizes`).
FLOWS = 0
"""First of `LEVELS` blocks, the order flow of each level."""
BID_ADDED, ASK_ADDED, BID_REMOVED, ASK_REMOVED = SIZE_CHANGES = range(LEVELS, LEVELS + 4)
SHORT_SUMS = LEVELS + len(SIZE_CHANGES)
MEAN_SIZE, SQUARES = range(SHORT_SUMS, SHORT_SUMS + 2)
PRODUCTS_BELOW, SQUARES_BELOW, QUEUE_MOMENTS = range(SHORT_SUMS + 2, SHORT_SUMS + 8, 2)
"""First of two blocks each, bid and ask: Σ u v and Σ u² of the resilience, best queue."""
LONG_SUMS = 6
NEAR_DEPTHS, LOG_MID_RING, LAST_BOOK, COMPONENT = range(SHORT_SUMS + 8, SHORT_SUMS + 12)
FIRST_COLUMN = BLOCKS + SHORT_SUMS + 12
"""Index in the plan of the first selected feature's number in the catalogue; there are plan[SELECTED] of them."""

# Behind the state's head (`features.kernel`), before the blocks. A side that is empty keeps its last price.
LAST_BID, LAST_ASK, LAST_MID, LAST_LOG_MID = range(HEAD, HEAD + 4)
LAST_DEVIATION = HEAD + 4
"""Distance of the best queue from its mean, of the bid, then of the ask."""
BLOCKS_START = HEAD + 6

# A book in the scratch or in the state: its four ladders, best first, empty levels last with quantity 0.
BID_PRICES, BID_SIZES, ASK_PRICES, ASK_SIZES = range(0, 4 * LEVELS, LEVELS)
BOOK_SIZE = 4 * LEVELS

# The block COMPONENT: weights and means of the buckets, centred products, then the component.
TOTAL_WEIGHT = 0
MEANS = 1
PRODUCTS = MEANS + LEVELS
LOADINGS = PRODUCTS + LEVELS * LEVELS
COMPONENT_SIZE = LOADINGS + LEVELS


class Book(NamedTuple):
    """What the family steps read beside the ladders: the touch, and where everything stands."""

    at: int
    """Where the ladders of this book lie in the scratch."""
    last: int
    """Where those of the book before lie in the state."""
    bid: float
    ask: float
    bids: int
    """Levels that are there."""
    asks: int
    mid: float
    log_mid: float
    log_return: float
    """Log return of the mid since the last book."""
    seen: int
    """Books of the stretch before this one."""
    short_slot: int
    long_slot: int


def block_sizes(p: BookParameters) -> list[int]:
    """Floats of each state block, in the order of the block numbers above."""
    return [
        *[sum_size(p.short)] * SHORT_SUMS,
        *[sum_size(p.long)] * LONG_SUMS,
        *[moments_size(p.long)] * 2,
        len(p.near_bps) * sum_size(p.long),
        p.short + 1,
        BOOK_SIZE,
        COMPONENT_SIZE,
    ]


def make_plan(p: BookParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """The plan of `features.book.kernel.advance`; its scratch holds a row of the catalogue, then the book."""
    names = [spec.name for spec in book_catalogue(p)]
    warmup = max(spec.warmup for spec in selected)
    *offsets, end = accumulate(block_sizes(p), initial=BLOCKS_START)
    columns = [names.index(spec.name) for spec in selected]
    plan = [warmup, p.max_silence_ms * 1_000_000, p.short, p.long, len(p.near_bps), len(selected), *offsets, *columns]
    settings = [p.sweep_notional, 0.5 ** (1.0 / p.component_half_life), *p.near_bps]
    return Plan(
        np.array(plan, dtype=np.int64),
        np.array(settings),
        state_size=end,
        scratch_size=len(names) + BOOK_SIZE,
    )
