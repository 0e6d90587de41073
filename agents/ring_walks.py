"""Walks along one lane of a replay ring: forward for returns over several steps, backward for what a network remembers.

A ring is flat here: row * lanes + lane, so the next step of a lane stands `lanes` rows on.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def walk_returns(
    rewards: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    drawn: NDArray[np.int64],
    lanes: int,
    n_step: int,
    gamma: float,
    following: NDArray[np.int64],
    returns: NDArray[np.float32],
    discounts: NDArray[np.float32],
) -> None:
    """Walk up to `n_step` steps from each drawn row of a flat ring (row * lanes + lane); fill the last three arrays.

    A return sums the discounted rewards on the way. The walk ends early after a terminal step (nothing follows, the
    discount is zero) and before a row that is not valid; `following` is the row whose value continues the return.
    """
    size = len(rewards)
    for place in range(len(drawn)):
        here, total, discount = drawn[place], 0.0, 1.0
        for _ in range(n_step):
            total += discount * rewards[here]
            discount *= gamma
            if terminated[here]:
                discount = 0.0
            here += lanes
            if here >= size:
                here -= size
            if discount == 0.0 or not valid[here]:
                break
        following[place], returns[place], discounts[place] = here, total, discount


@njit(cache=True)
def walk_back(
    observations: NDArray[np.float32],
    valid: NDArray[np.bool_],
    places: NDArray[np.int64],
    lanes: int,
    past: NDArray[np.float32],
) -> None:
    """Fill `past` (count, W - 1, M + 1) with the first M columns of the observations before each place of a flat ring,
    oldest first, each with a 1 behind it; zeros before the episode's first observation or the ring's oldest.

    Those before belong to the same episode as long as their rows are valid: a row in which a lane only reset shows the
    last observation of the episode before.
    """
    size, columns = len(valid), past.shape[2] - 1
    past[:] = 0.0
    for place in range(len(places)):
        here = places[place]
        for back in range(past.shape[1] - 1, -1, -1):
            here -= lanes
            if here < 0:
                here += size
            if not valid[here]:
                break
            for column in range(columns):
                past[place, back, column] = observations[here, column]
            past[place, back, columns] = 1.0
