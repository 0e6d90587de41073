"""VPIN from the venue's own taker flag, over buckets of equal volume.

Easley, Lopez de Prado & O'Hara 2012 cut the tape into buckets of one volume, split the trade that crosses a bucket's
rim, and take the mean absolute imbalance of the last buckets. Two things differ here. The volume of a bucket follows
the market: it is set as the bucket opens, to a number of trades of average size, since nobody tells a stream what the
day's volume will be. And trades are classed by the flag, not by bulk volume classification.

Block: [volume of the bucket in hand | bought in it | sold in it | full buckets | VPIN | ring of |bought - sold| | ring
of volumes].
"""

import numpy as np
from numba import njit

from features.trades.layout import BLOCKS, LONG, VPIN, VPIN_BUCKETS, VPIN_HEAD, VPIN_TRADES, Trade

RIM = 1e-9
"""A bucket is full to within this fraction of its volume, so that rounding does not decide which trade fills it."""
SMALLEST = 1e-300
"""Volume of a bucket where sizes are too small for their mean: pouring must come to an end."""


@njit(error_model="numpy", forceinline=True)
def vpin_step(trade: Trade, plan: np.ndarray, state: np.ndarray) -> float:
    """Pour the trade into the buckets; return Σ |bought - sold| / Σ volume of those that are full."""
    at, buckets = plan[BLOCKS + VPIN], plan[VPIN_BUCKETS]
    mean_size = (trade.long_bought + trade.long_sold) / min(trade.seen + 1, plan[LONG])
    side = at + 1 if trade.sign > 0.0 else at + 2
    left = trade.qty
    # The mean includes this trade, so that it fills at most long / vpin_trades buckets that opened after it came.
    while left > 0.0:
        if state[at + 1] + state[at + 2] == 0.0:
            state[at] = max(plan[VPIN_TRADES] * mean_size, SMALLEST)
        room = state[at] - (state[at + 1] + state[at + 2])
        rim = RIM * state[at]
        if left < room - rim:
            state[side] += left
            break
        poured = left if left <= room + rim else room
        state[side] += poured
        left -= poured
        close_bucket(state, at, buckets)
    return state[at + 4]


@njit(error_model="numpy", forceinline=True)
def close_bucket(state: np.ndarray, at: int, buckets: int) -> None:
    """Move the full bucket into the window, where it takes the place of the oldest, and empty it."""
    slot = at + VPIN_HEAD + int(state[at + 3]) % buckets
    state[slot] = abs(state[at + 1] - state[at + 2])
    state[slot + buckets] = state[at + 1] + state[at + 2]
    state[at + 3] += 1.0
    state[at + 1] = 0.0
    state[at + 2] = 0.0
    imbalance = 0.0
    volume = 0.0
    for i in range(at + VPIN_HEAD, at + VPIN_HEAD + buckets):
        imbalance += state[i]
        volume += state[i + buckets]
    state[at + 4] = imbalance / volume
