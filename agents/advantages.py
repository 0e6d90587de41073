"""Generalised advantage estimation over lanes that reset on the next step."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def generalised_advantages(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    gamma: float,
    gae_lambda: float,
) -> NDArray[np.float32]:
    """Advantages A_t = sum_k (gamma lambda)^k delta_{t+k}, delta_t = r_t + gamma V_{t+1} - V_t (Schulman et al. 2016).

    Row t + 1 of an episode that ended at step t holds its true last observation (NEXT_STEP autoreset), so a truncated
    episode is continued by V of that row and a terminated one by zero; nothing is carried over either end. The row
    after an end, in which the lane only resets, gets a number that means nothing: mask it.

    Args:
        rewards: float32 (N, T).
        values: float32 (N, T + 1), V of each observation; the last column continues the fragment.
        terminated, truncated: bool (N, T).

    Returns:
        float32 (N, T).
    """
    lanes, steps = rewards.shape
    out = np.empty((lanes, steps), np.float32)
    for lane in range(lanes):
        carried = 0.0
        for t in range(steps - 1, -1, -1):
            next_value = 0.0 if terminated[lane, t] else values[lane, t + 1]
            delta = rewards[lane, t] + gamma * next_value - values[lane, t]
            if terminated[lane, t] or truncated[lane, t]:
                carried = 0.0
            carried = delta + gamma * gae_lambda * carried
            out[lane, t] = carried
    return out
