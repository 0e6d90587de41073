"""Features on one scale, by statistics that only look back: exponentially weighted mean and variance of each column.

With decay λ = 2^(-1 / half-life) and the values x_0 .. x_t of a column, in rows that are not NaN,

    w_t = Σ λ^k over those rows,  m_t = Σ λ^k x_{t-k} / w_t,  v_t = Σ λ^k (x_{t-k} - m_t)² / w_t

    z_t = (x_t - m_t) / √v_t, clipped, by West's update (1979, Comm. ACM 22): no sum is ever subtracted, so v_t >= 0.

These are pandas' `ewm(halflife=..., adjust=True)` mean and `var(bias=True)`. The row at t counts in its own statistics
and nothing later does. Where v_t is no more than what the rounding of m_t can make, as in a column that stands still,
z_t is 0.

Statistics survive a gap, unlike the windows of the features: they answer how large a feature usually is, which an
outage of the feed does not change, and they are made of finished feature values, none of which reaches across the gap.
They forget by rows, not by the clock: rows that are NaN, as in the warm-up after a gap, leave them as they stand.

All state is one flat float64 array (`normaliser_size`). A block of any number of rows gives the same bytes: per column
there is one order of operations, and division and root round alike in scalar and in vector registers.
"""

import hashlib
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
from numba import njit

from features.config import NormaliserConfig

CHUNK = 512
"""Rows taken at a time, so that what is kept between the two passes over them stays in the nearest cache."""

WEIGHT, SEEN, FIRST_MEAN = range(3)
"""Slots of the state: w_t, rows seen, then the means of all columns and after them the variances."""

DECAY, MIN_ROWS, CLIP, OUTLIER_SD = range(4)
"""Slots of the settings."""

NOISE = 2.0**-46
"""A deviation below this × w_t × |m_t| counts as none: 128 times the distance at which rounding can hold m_t back."""

NORMALISER_FINGERPRINT = int.from_bytes(hashlib.blake2b(Path(__file__).read_bytes(), digest_size=6).digest(), "big")
"""Marks saved states: 48 bits of a hash over this file."""


def normaliser_size(columns: int) -> int:
    """Floats of state for so many columns; all zeros before the first row."""
    return FIRST_MEAN + 2 * columns


def normaliser_settings(config: NormaliserConfig) -> np.ndarray:
    """The config as `normalise` takes it, float64 (4,). The decay is rounded from decimals: the same on any machine."""
    decay = float(Decimal(2) ** (-1 / Decimal(config.half_life_rows)))
    return np.array((decay, config.min_rows, config.clip, config.outlier_sd))


class Normaliser:
    """The state of one stream's columns with its settings, ready to be applied to blocks of rows."""

    def __init__(self, config: NormaliserConfig, columns: int) -> None:
        self.config = config
        self.state = np.zeros(normaliser_size(columns))
        """float64 (any,), to be saved and restored as it is."""
        self._settings = normaliser_settings(config)

    @property
    def ready(self) -> bool:
        """Whether enough rows have come for values to appear."""
        return bool(self.state[SEEN] >= self.config.min_rows)

    def apply(self, block: np.ndarray, first: int, rows: int) -> None:
        """Normalise the rows `first` .. `first + rows - 1` of `block` float64 (F, any) in place."""
        normalise(block, first, rows, self._settings, self.state)


@njit(cache=True, nogil=True, error_model="numpy")
def normalise(block: np.ndarray, first: int, rows: int, settings: np.ndarray, state: np.ndarray) -> None:
    """Replace the rows `first` .. `first + rows - 1` of `block` by their z-scores and move the state past them.

    block     float64 (F, first + rows or more), one feature a row, C-contiguous; a row of features (a column of this)
              is NaN in all of them or in none
    settings  float64 (4,), `normaliser_settings`; state float64, `normaliser_size(F)`

    Rows are NaN until `min_rows` rows with values have come, the current one included.
    """
    columns = block.shape[0]
    gains, noise = np.empty(CHUNK), np.empty(CHUNK)
    means, variances = np.empty(CHUNK), np.empty(CHUNK)
    for start in range(first, first + rows, CHUNK):
        stop = min(start + CHUNK, first + rows)
        early = _gains(block[0, start:stop], settings, state, gains, noise)
        for j in range(columns):
            values = block[j, start:stop]
            at_mean = FIRST_MEAN + j
            _moments(values, gains, noise, settings, state, at_mean, at_mean + columns, means, variances)
            _scores(values, means, variances, noise, settings[CLIP])
            values[:early] = np.nan


@njit(error_model="numpy", forceinline=True)
def _gains(values: np.ndarray, settings: np.ndarray, state: np.ndarray, gains: np.ndarray, noise: np.ndarray) -> int:
    """Write 1 / w_t of each row (0 where it is NaN) and the least spread over |m_t|; how many rows come too early."""
    decay, weight, seen = settings[DECAY], state[WEIGHT], state[SEEN]
    early = 0
    for i in range(len(values)):
        gains[i] = 0.0
        if values[i] == values[i]:
            weight = decay * weight + 1.0
            seen += 1.0
            gains[i] = 1.0 / weight
        noise[i] = NOISE * weight  # a value nearer than half a unit in m_t's last place × w_t no longer moves m_t
        if seen < settings[MIN_ROWS]:
            early = i + 1
    state[WEIGHT], state[SEEN] = weight, seen
    return early


@njit(error_model="numpy", forceinline=True)
def _moments(
    values: np.ndarray,
    gains: np.ndarray,
    noise: np.ndarray,
    settings: np.ndarray,
    state: np.ndarray,
    at_mean: int,
    at_variance: int,
    means: np.ndarray,
    variances: np.ndarray,
) -> None:
    """Write m_t and v_t of one column. Where nothing but rounding is spread out, a value is not bounded by that."""
    mean, variance = state[at_mean], state[at_variance]
    bounded = settings[OUTLIER_SD] < math.inf
    for i in range(len(values)):
        gain, value = gains[i], values[i]
        if gain > 0.0 and value == value:
            distance = value - mean
            floor = noise[i] * mean
            if bounded and variance > floor * floor:
                limit = settings[OUTLIER_SD] * math.sqrt(variance)
                distance = min(max(distance, -limit), limit)
            mean += gain * distance
            variance = (1.0 - gain) * (variance + gain * distance * distance)
        means[i] = mean
        variances[i] = variance
    state[at_mean], state[at_variance] = mean, variance


@njit(error_model="numpy", forceinline=True)
def _scores(values: np.ndarray, means: np.ndarray, variances: np.ndarray, noise: np.ndarray, clip: float) -> None:
    """Turn one column's values into z-scores; NaN stay NaN. No branches, so that it runs four or eight rows at once."""
    for i in range(len(values)):
        floor = noise[i] * means[i]
        score = (values[i] - means[i]) / math.sqrt(variances[i] if variances[i] > floor * floor else math.inf)
        score = clip if score > clip else score
        values[i] = -clip if score < -clip else score
