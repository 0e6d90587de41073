"""Exploration noise for policies that give one action per observation: independent each step, or with memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr


def ornstein_uhlenbeck(
    rng: np.random.Generator, shape: tuple[int, ...], reversion: float, state: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Noise float32 (T, N, K) of mean 0 and variance 1 that moves back to its mean by `reversion` per step.

    x_t = exp(-reversion) x_{t-1} + sqrt(1 - exp(-2 reversion)) e_t with standard normal e (the exact discretisation of
    the process of Uhlenbeck & Ornstein 1930; reversion -> infinity gives independent noise). It is not reset where an
    episode ends: which lanes end is not known when the noise of a fragment is drawn, and its law is the same anywhere.

    Args:
        state: x float32 (N, K) at the end of the last fragment; zeros at the very start.

    Returns:
        the noise, and its last value for the next fragment.
    """
    noise = rng.standard_normal(shape, dtype=np.float32)
    keep = np.float32(math.exp(-reversion))
    noise *= np.float32(math.sqrt(-math.expm1(-2.0 * reversion)))
    last = state
    for step in noise:
        step += keep * last
        last = step
    return noise, last.copy()


def to_uniform(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard normal noise as actions spread evenly over [-1, 1], with whatever memory the noise has."""
    return np.float32(2.0) * ndtr(noise) - np.float32(1.0)


def scale_after(sampled: int, rows: int, first: float, last: float) -> float:
    """A value that falls linearly from `first` to `last` over the first `rows` sampled rows, then stays."""
    return first + min(1.0, sampled / max(1, rows)) * (last - first)
