"""Rank information coefficients against scipy and a jackknife; the step-down against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from evaluation.rank_ic import BLOCK_HORIZONS, MOST_BLOCKS, blocks_of, rank, rank_ic, rank_influence
from evaluation.stepdown import stepdown_p_values

MINUTE = 60_000


def tied(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, n).astype(float)
    return x, np.round(0.4 * x + rng.normal(size=n), 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_correlation_is_scipys_also_with_ties(seed: int) -> None:
    x, y = tied(400, seed)
    found, influence = rank_influence(rank(x), rank(y))
    assert found == pytest.approx(spearmanr(x, y).statistic, abs=1e-14)
    assert influence.mean() == pytest.approx(0.0, abs=1e-13)


def test_the_influence_is_what_leaving_a_row_out_changes() -> None:
    x, y = tied(300, 7)
    _, influence = rank_influence(rank(x), rank(y))
    whole, n = spearmanr(x, y).statistic, x.size
    left_out = np.array([spearmanr(np.delete(x, k), np.delete(y, k)).statistic for k in range(n)])
    pseudo = n * whole - (n - 1) * left_out - whole
    np.testing.assert_allclose(influence, pseudo, atol=0.05)
    assert np.corrcoef(influence, pseudo)[0, 1] > 0.9999


def test_contributions_of_blocks_sum_to_the_ic() -> None:
    x, y = tied(5000, 3)
    blocks = blocks_of(np.arange(5000) * MINUTE, MINUTE, 10)
    assert blocks.bars == BLOCK_HORIZONS * 10
    ic = rank_ic(rank(x), rank(y), blocks.index, blocks.count)
    assert ic.contributions.size == blocks.count == 42
    assert ic.contributions.sum() == pytest.approx(ic.interval.value, abs=1e-14)
    assert ic.interval.low < ic.interval.value < ic.interval.high
    # independent rows: the error over blocks is that of the usual formula, √((1 - ρ²)² / n) to first order
    width = (ic.interval.high - ic.interval.low) / 2 / 2.02
    assert width == pytest.approx((1 - ic.interval.value**2) / math.sqrt(5000), rel=0.3)


def test_blocks_are_spans_of_time_and_never_too_many() -> None:
    times = np.concatenate((np.arange(1000), np.arange(500_000, 501_000))) * MINUTE
    blocks = blocks_of(times, MINUTE, 1)
    assert blocks.bars == math.ceil(501_000 / MOST_BLOCKS)
    assert blocks.count == 2  # a block without rows is none
    np.testing.assert_array_equal(blocks.index, np.repeat([0, 1], 1000))


def test_what_cannot_be_judged_is_unknown() -> None:
    blocks = blocks_of(np.arange(600) * MINUTE, MINUTE, 1)
    varied, constant = rank(np.random.default_rng(0).normal(size=600)), rank(np.ones(600))
    assert math.isnan(rank_ic(constant, varied, blocks.index, blocks.count).interval.value)
    few = blocks_of(np.arange(600) * MINUTE, MINUTE, 20)
    assert few.count < 10
    assert rank_ic(varied, varied, few.index, few.count).contributions.size == 0
    nothing = rank(np.empty(0))
    assert rank_ic(nothing, nothing, np.empty(0, np.int64), 0).interval.n == 0


def adjusted_by_definition(contributions: np.ndarray) -> np.ndarray:
    """Romano & Wolf's adjusted p-values over every sign flip there is, written down as defined."""
    blocks, tests = contributions.shape
    scaled = contributions / np.sqrt((contributions**2).sum(axis=0))
    observed = np.abs(scaled.sum(axis=0))
    flips = np.array(list(itertools.product((-1.0, 1.0), repeat=blocks)))
    statistics = np.abs(flips @ scaled)
    p, last = np.empty(tests), 0.0
    left = list(range(tests))
    while left:
        k = max(left, key=lambda j: observed[j])
        reached = np.mean(statistics[:, left].max(axis=1) >= observed[k] * (1 - 1e-12))
        p[k] = last = max(last, float(reached))
        left.remove(k)
    return p


@pytest.mark.parametrize("seed", range(4))
def test_the_stepdown_follows_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(12, 1))
    contributions = rng.normal(size=(12, 6)) + common + np.array([1.2, 0.6, 0.3, 0.0, 0.0, -0.8])
    found = stepdown_p_values(contributions, flips=20_000, seed=seed)
    np.testing.assert_allclose(found, adjusted_by_definition(contributions), atol=0.012)


def test_copies_of_a_test_cost_nothing_and_a_column_of_zeros_is_no_find() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(0.45, 1.0, size=(40, 1))
    alone = stepdown_p_values(one)
    np.testing.assert_allclose(stepdown_p_values(np.repeat(one, 50, axis=1)), alone[0], atol=0)
    assert stepdown_p_values(np.hstack((one, np.zeros((40, 1)))))[1] == 1.0
    strangers = stepdown_p_values(np.hstack((one, rng.normal(size=(40, 50)))))
    assert strangers[0] > 3 * alone[0]
