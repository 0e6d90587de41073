"""The feature page's claims against simulated truths: intervals cover, and chance is not taken for knowledge."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from evaluation.rank_ic import blocks_of, rank, rank_ic
from evaluation.stepdown import stepdown_p_values

MINUTE = 60_000
ROWS = 12_000
HORIZON = 60


def autoregression(noise: np.ndarray, memory: float) -> np.ndarray:
    """x_t = memory x_(t-1) + noise_t."""
    return lfilter([1.0], [1.0, -memory], noise)


def overlapping_labels(rng: np.random.Generator) -> np.ndarray:
    """Sums of 60 returns with heavy tails and volatility in clusters, one starting at every row."""
    volatility = np.exp(0.03 * autoregression(rng.normal(size=ROWS + HORIZON), 0.99))
    sums = np.concatenate(([0.0], np.cumsum(volatility * rng.standard_t(4, size=ROWS + HORIZON))))
    return sums[HORIZON + 1 :] - sums[1:-HORIZON]


def test_intervals_hold_the_truth_though_labels_overlap_and_features_are_slow() -> None:
    blocks = blocks_of(np.arange(ROWS) * MINUTE, MINUTE, HORIZON)
    held = naive = 0
    runs = 200
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        feature, label = autoregression(rng.normal(size=ROWS), 0.99), overlapping_labels(rng)
        interval = rank_ic(rank(feature), rank(label), blocks.index, blocks.count).interval
        held += interval.low <= 0.0 <= interval.high
        naive += abs(interval.value) <= 1.96 / np.sqrt(ROWS)
    assert 0.90 <= held / runs <= 0.99
    assert naive / runs < 0.4  # what the formula for independent rows would have held


def test_chance_alone_is_listed_as_seldom_as_promised() -> None:
    """Thirty related slow features, two horizons, no knowledge: the share of runs with any find is about 5 %."""
    blocks = blocks_of(np.arange(ROWS) * MINUTE, MINUTE, HORIZON)
    finds = 0
    runs = 100
    for seed in range(runs):
        rng = np.random.default_rng(1000 + seed)
        label = overlapping_labels(rng)
        ranks = (rank(label), rank(np.append(np.diff(label), 0.0)))
        base = autoregression(rng.normal(size=ROWS), 0.98)
        contributions = []
        for k in range(15):
            feature = rank(base + (0.5 + k) * autoregression(rng.normal(size=ROWS), 0.9))
            contributions += [rank_ic(feature, side, blocks.index, blocks.count).contributions for side in ranks]
        finds += stepdown_p_values(np.stack(contributions, axis=1), flips=999, seed=seed).min() <= 0.05
    assert finds / runs <= 0.10  # 5 % and two standard errors
