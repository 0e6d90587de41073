"""Where everything lies: the plan (integers the compiled step reads), its state array, and the two bars in hand."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from features.config import CrossParameters
from features.cross.catalogue import CROSS_FIELDS, OPTIONAL_FIELDS, cross_catalogue
from features.kernel import HEAD, Plan
from features.spec import FeatureSpec
from features.windows import comoments_size, moments_size, sum_size

# The plan: int64 array of settings, then the offsets of the state's blocks, the horizons and the selected columns.
WARMUP, INTERVAL_MS, REQUIRED, SHORT, LONG, RING, HORIZONS = range(7)
BLOCKS = 7
"""Index in the plan of the first block's offset; block b of the state starts at plan[BLOCKS + b]."""

# State blocks, by the kind of window they hold (see `features.windows` and `block_sizes`).
SHORT_VOLUME, SHORT_DELTA, SHORT_LEADER_VOLUME, SHORT_LEADER_DELTA = SHORT_SUMS = range(4)
SQUARES, LEADER_SQUARES, VOLUME, LEADER_VOLUME = LONG_SUMS = range(4, 8)
RATIO, SHORT_RETURNS = range(8, 10)
RETURNS, LEADS, LAGS, FLOW_IMPACT = LONG_PAIRS = range(10, 14)
CLOSE_RING, LEADER_RING = range(14, 16)
FIRST_HORIZON = BLOCKS + 16
"""Index in the plan of the first horizon; there are plan[HORIZONS] of them, and after them the selected columns."""

# Numbers of the state that follow its head, before the blocks.
LAST_LOG_CLOSE, LAST_LEADER_LOG_CLOSE, LAST_RETURN, LAST_LEADER_RETURN = range(HEAD, HEAD + 4)
FIRST_BLOCK = HEAD + 4


class Pair(NamedTuple):
    """What the family steps read: both bars, the returns before, and where the windows stand."""

    log_close: float
    leader_log_close: float
    log_return: float
    leader_return: float
    last_return: float
    last_leader_return: float
    volume: float
    delta: float
    """Bought minus sold by takers; NaN where the source does not say."""
    leader_volume: float
    leader_delta: float
    squares: float
    """Sum of the market's squared returns over the long window."""
    leader_squares: float
    short_slot: int
    """Bars of the stretch before this one, modulo the short window; the other slots likewise."""
    long_slot: int
    ring_slot: int


def block_sizes(parameters: CrossParameters) -> list[int]:
    """Floats of each state block, in the order of the block numbers above."""
    p = parameters
    return [
        *[sum_size(p.short)] * len(SHORT_SUMS),
        *[sum_size(p.long)] * len(LONG_SUMS),
        moments_size(p.long),
        comoments_size(p.short),
        *[comoments_size(p.long)] * len(LONG_PAIRS),
        *[p.horizons[-1] + 1] * 2,
    ]


def make_plan(parameters: CrossParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """Plan of `features.cross.kernel`; `selected` says which optional fields must be there."""
    p = parameters
    order = [spec.name for spec in cross_catalogue(p)]
    needed = {field for spec in selected for field in spec.inputs}
    required = sum(1 << CROSS_FIELDS.index(field) for field in OPTIONAL_FIELDS if field in needed)
    *offsets, end = accumulate(block_sizes(p), initial=FIRST_BLOCK)
    warmup = max(spec.warmup for spec in selected)
    settings = [warmup, p.interval_ms, required, p.short, p.long, p.horizons[-1] + 1, len(p.horizons)]
    columns = [order.index(spec.name) for spec in selected]
    return Plan(
        plan=np.array([*settings, *offsets, *p.horizons, *columns], dtype=np.int64),
        settings=np.empty(0),
        state_size=end,
        scratch_size=len(order),
    )
