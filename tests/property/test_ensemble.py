"""The ensemble: causal with label delay, the same live as in research, and within its regret bounds."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervised.config import EnsembleConfig
from supervised.ensemble import Hedge, log_losses, run_ensemble, stretch_bound

MEMBERS = ("a", "b", "c")


def stretch(rows: int, seed: int, delay: int, horizons: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random probabilities (T, H, M), labels (T, H) with unknown and unmoved ones, and ends `delay` rows later."""
    random = np.random.default_rng(seed)
    probabilities = random.uniform(0.05, 0.95, size=(rows, horizons, len(MEMBERS)))
    y = random.choice([-1.0, 1.0, 0.0, np.nan], p=[0.45, 0.45, 0.05, 0.05], size=(rows, horizons))
    t1 = np.broadcast_to(np.arange(rows)[:, None] + delay, y.shape).copy()
    return probabilities, y, t1


def run(
    probabilities: np.ndarray, y: np.ndarray, t1: np.ndarray, config: EnsembleConfig, horizons: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, Hedge]:
    hedge = Hedge.start(config, horizons, MEMBERS)
    mixture, weights = run_ensemble(probabilities, y, t1, hedge)
    return mixture, weights, hedge


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(2, 80), seed=st.integers(0, 1000), delay=st.integers(1, 10), data=st.data())
def test_nothing_is_known_before_its_label_ends(rows: int, seed: int, delay: int, data: st.DataObject) -> None:
    """What is said up to row `now` depends on labels that ended by `now` and on predictions made by `now` alone."""
    probabilities, y, t1 = stretch(rows, seed, delay, horizons=2)
    now = data.draw(st.integers(0, rows - 1))
    other_p, other_y, _ = stretch(rows, seed + 1, delay, horizons=2)
    changed_p, changed_y = probabilities.copy(), y.copy()
    changed_p[now + 1 :] = other_p[now + 1 :]
    unknown = t1 > now
    changed_y[unknown] = other_y[unknown]
    config = EnsembleConfig(half_life=30)
    before = run(probabilities, y, t1, config, (1, 3))
    after = run(changed_p, changed_y, t1, config, (1, 3))
    np.testing.assert_array_equal(before[0][: now + 1], after[0][: now + 1])
    np.testing.assert_array_equal(before[1][: now + 1], after[1][: now + 1])


def test_a_label_counts_from_the_row_at_which_it_ends() -> None:
    probabilities = np.tile([0.9, 0.5, 0.1], (8, 1, 1))
    y = np.full((8, 1), np.nan)
    y[1] = 1.0
    _, weights, _ = run(probabilities, y, np.full((8, 1), 5), EnsembleConfig(), (1,))
    np.testing.assert_allclose(weights[:5], 1 / 3)
    assert (np.diff(weights[5, 0]) < 0).all()


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 60), seed=st.integers(0, 1000), cut=st.integers(0, 60))
def test_live_steps_and_research_agree(rows: int, seed: int, cut: int) -> None:
    """Row by row, with the state sent through JSON in between, as live; against one call over all rows."""
    delay, horizons, config = 2, (1, 4), EnsembleConfig(half_life=20)
    probabilities, y, t1 = stretch(rows, seed, delay, horizons=2)
    mixture, weights, final = run(probabilities, y, t1, config, horizons)
    live = Hedge.start(config, horizons, MEMBERS)
    losses = log_losses(probabilities, y)
    for row in range(rows):
        if row == cut:
            live = Hedge.from_dict(json.loads(json.dumps(live.to_dict())), config)
        live.advance(losses[row - delay] if row >= delay else np.zeros((2, 3)))
        np.testing.assert_array_equal(live.weights(), weights[row])
        np.testing.assert_array_equal(live.combine(probabilities[row]), mixture[row])
    np.testing.assert_array_equal(live.log_weights, final.log_weights)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 200),
    seed=st.integers(0, 1000),
    eta=st.floats(0.05, 1.0),
    half_life=st.sampled_from([3.0, 50.0, 1e12]),
    share=st.sampled_from([0.0, 1e-4, 0.05]),
    adverse=st.booleans(),
)
def test_discounted_regret_without_delay_stays_below_its_bound(
    rows: int, seed: int, eta: float, half_life: float, share: float, adverse: bool
) -> None:
    """At every row: discounted loss of the ensemble <= that of the best member + what the module's docstring says."""
    config = EnsembleConfig(learning_rate=eta, half_life=half_life, share=share)
    losses = played(*stretch(rows, seed, 1), config, adverse)
    total, fade, faded = np.zeros(len(MEMBERS) + 1), config.discount, 0.0
    for row in range(rows):
        total = fade * total + losses[row]
        assert total[-1] <= total[:-1].min() + (math.log(len(MEMBERS)) - math.log1p(-share) * faded) / eta + 1e-9
        faded = fade * (faded + 1.0)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(2, 200),
    seed=st.integers(0, 1000),
    eta=st.floats(0.05, 1.0),
    half_life=st.sampled_from([3.0, 50.0, 1e12]),
    share=st.sampled_from([1e-4, 0.05]),
    adverse=st.booleans(),
)
def test_regret_on_any_stretch_stays_below_its_bound(
    rows: int, seed: int, eta: float, half_life: float, share: float, adverse: bool
) -> None:
    """Wherever a stretch begins and ends, the best member *of that stretch* is beaten by no more than the bound."""
    config = EnsembleConfig(learning_rate=eta, half_life=half_life, share=share)
    losses = played(*stretch(rows, seed, 1), config, adverse)
    summed = np.concatenate([np.zeros((1, len(MEMBERS) + 1)), np.cumsum(losses, axis=0)])
    for start in range(0, rows, 7):
        stretches = summed[start + 1 :] - summed[start]
        regret = stretches[:, -1] - stretches[:, :-1].min(axis=1)
        bounds = [stretch_bound(config, len(MEMBERS), n) for n in range(1, len(regret) + 1)]
        assert (regret <= np.array(bounds) + 1e-9).all()


def played(
    probabilities: np.ndarray, y: np.ndarray, t1: np.ndarray, config: EnsembleConfig, adverse: bool
) -> np.ndarray:
    """Losses (T, M + 1) of the members and, last, the ensemble. The adversary makes the heaviest member wrong."""
    for row in range(min(len(y), 60) if adverse else 0):
        _, weights, _ = run(probabilities, y, t1, config, (0,))
        y[row] = -1.0 if probabilities[row, 0, weights[row, 0].argmax()] > 0.5 else 1.0
    mixture, _, _ = run(probabilities, y, t1, config, (0,))
    return log_losses(np.concatenate([probabilities, mixture[..., None]], axis=-1), y)[:, 0]


def test_a_member_that_was_written_off_comes_back_within_a_few_hundred_rows() -> None:
    """After 20,000 rows of a good member and a bad one they change places. Without a share the good one is too far
    away."""
    rows, change = 21_000, 20_000
    random = np.random.default_rng(1)
    truth = random.uniform(0.2, 0.8, size=rows)
    y = np.where(random.random(rows) < truth, 1.0, -1.0)[:, None]
    good, bad = truth, 1.0 - truth
    probabilities = np.full((rows, 1, 3), 0.5)
    probabilities[:, 0, 1] = np.where(np.arange(rows) < change, good, bad)
    probabilities[:, 0, 2] = np.where(np.arange(rows) < change, bad, good)
    weight = {}
    for share in (0.0, 1e-4):
        _, weights, _ = run(
            probabilities, y, np.arange(rows)[:, None] + 2, EnsembleConfig(half_life=1e12, share=share), (1,)
        )
        weight[share] = weights[change + 300, 0, 2]
    assert weight[1e-4] > 0.9
    assert weight[0.0] < 1e-6


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 300), seed=st.integers(0, 1000), delay=st.integers(1, 30))
def test_regret_under_delay_stays_below_its_bound(rows: int, seed: int, delay: int) -> None:
    probabilities, y, t1 = stretch(rows, seed, delay)
    horizon = delay - 1
    mixture, _, _ = run(probabilities, y, t1, EnsembleConfig(half_life=1e12, share=0.0), (horizon,))
    losses = log_losses(np.concatenate([probabilities, mixture[..., None]], axis=-1), y)[:, 0]
    eta, late = 1.0 / (horizon + 1), delay - 1
    spread = np.ptp(losses[:, :-1], axis=1).max()
    bound = math.log(len(MEMBERS)) / eta + eta * spread**2 * rows * (1 / 8 + late / 4)
    assert losses[:, -1].sum() <= losses[:, :-1].sum(axis=0).min() + bound + 1e-9


@pytest.mark.parametrize("horizon", [1, 5])
def test_weights_find_the_best_member_and_follow_a_change(horizon: int) -> None:
    rows, change = 6000, 3000
    random = np.random.default_rng(0)
    truth = random.uniform(0.3, 0.7, size=rows)
    up = random.random(rows) < truth
    probabilities = np.full((rows, 1, 3), 0.5)
    probabilities[:change, 0, 1] = truth[:change]
    probabilities[change:, 0, 2] = truth[change:]
    y = np.where(up, 1.0, -1.0)[:, None]
    t1 = np.arange(rows)[:, None] + horizon + 1
    mixture, weights, _ = run(probabilities, y, t1, EnsembleConfig(half_life=500), (horizon,))
    assert weights[change, 0].argmax() == 1
    assert weights[-1, 0].argmax() == 2
    assert weights[change, 0, 1] > 0.7
    assert weights[-1, 0, 2] > 0.7
    losses = log_losses(np.concatenate([probabilities, mixture[..., None]], axis=-1), y)[:, 0].mean(axis=0)
    assert losses[-1] < losses[:-1].min()


def test_a_missing_member_silences_the_row_but_not_the_rest() -> None:
    probabilities, y, t1 = stretch(30, 0, 1)
    probabilities[10, 0, 1] = np.nan
    mixture, weights, _ = run(probabilities, y, t1, EnsembleConfig(), (1,))
    assert np.isnan(mixture[10])
    assert np.isfinite(np.delete(mixture, 10)).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0)
