"""Branching ratio of the trade arrivals: how many trades a trade brings about, from counts in bins of time.

For a self-exciting (Hawkes) process seen through windows longer than its memory, the variance of the counts exceeds
their mean by 1 / (1 - n)², n the branching ratio; so n ≈ 1 - √(mean / variance) (Hardiman & Bouchaud, "Branching ratio
approximation for the self-exciting Hawkes process", Physical Review E 2014, equation 9), whatever the kernel.

Bins lie on the clock (bin number = time // width), so that they do not depend on where a stretch began; its first bin
is whole or not like any other. Block: [bin in hand | its buys | its sells | closed bins | Σ buys | Σ sells | Σ buys² |
Σ sells² | Σ (buys + sells)² | ring of buys | ring of sells]. Counts are whole numbers, so that the sums are exact.
"""

import math

import numpy as np
from numba import njit

from features.trades.layout import BLOCKS, COUNT_BINS, COUNT_NS, COUNTS, COUNTS_HEAD, Trade


@njit(error_model="numpy", forceinline=True)
def branching_step(trade: Trade, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the ratio of all trades and its asymmetry from `column` on; return the next free column."""
    at, bins = plan[BLOCKS + COUNTS], plan[COUNT_BINS]
    number = trade.time_ns // plan[COUNT_NS]
    if trade.seen == 0:
        state[at] = number
    # After as many empty bins as the window holds, more of them change nothing.
    for _ in range(min(number - int(state[at]), bins + 1)):
        close_bin(state, at, bins)
    state[at] = number
    state[at + 1 if trade.sign > 0.0 else at + 2] += 1.0
    closed = min(state[at + 3], float(bins))
    buys, sells = state[at + 4], state[at + 5]
    row[column] = branching_ratio(closed, buys + sells, state[at + 8])
    row[column + 1] = branching_ratio(closed, buys, state[at + 6]) - branching_ratio(closed, sells, state[at + 7])
    return column + 2


@njit(error_model="numpy", forceinline=True)
def close_bin(state: np.ndarray, at: int, bins: int) -> None:
    """Move the counts in hand into the window, where they take the place of the oldest, and start an empty bin."""
    slot = at + COUNTS_HEAD + int(state[at + 3]) % bins
    old_buys, old_sells = state[slot], state[slot + bins]
    buys, sells = state[at + 1], state[at + 2]
    old, new = old_buys + old_sells, buys + sells
    state[at + 4] += buys - old_buys
    state[at + 5] += sells - old_sells
    state[at + 6] += buys * buys - old_buys * old_buys
    state[at + 7] += sells * sells - old_sells * old_sells
    state[at + 8] += new * new - old * old
    state[slot] = buys
    state[slot + bins] = sells
    state[at + 1] = 0.0
    state[at + 2] = 0.0
    state[at + 3] += 1.0


@njit(error_model="numpy", forceinline=True)
def branching_ratio(bins: float, total: float, squares: float) -> float:
    """1 - √(mean / variance) of `bins` counts, the variance with bins - 1; 0 for counts no wider than a Poisson's."""
    if bins < 2.0:
        return 0.0
    variance = (squares - total * total / bins) / (bins - 1.0)
    mean = total / bins
    return 1.0 - math.sqrt(mean / variance) if variance > mean else 0.0
