"""The gate and the ensemble around it: causal, the same row by row as over arrays, useful where regimes tell, harmless
where they do not."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervised.config import EnsembleConfig
from supervised.diebold_mariano import diebold_mariano
from supervised.ensemble import log_losses, stretch_bound
from supervised.gate import LARGEST, regime_of
from supervised.meta import Ensemble

FEATURES = ("return_1", "realised_volatility_60", "time_of_day_sin")
MEMBERS = ("a", "b", "c")


def market(rows: int, seed: int, horizons: tuple[int, ...], *, helpful: bool = True) -> tuple[np.ndarray, ...]:
    """Member a knows the truth while volatility is high, b while it is low, c never. With some NaN rows and labels.

    Returns probabilities (T, H, 3), scaled (T, F), y (T, H), t1 (T, H).
    """
    random = np.random.default_rng(seed)
    scaled = random.normal(size=(rows, len(FEATURES))).astype(np.float32)
    high = scaled[:, 1:2] > 0 if helpful else random.random((rows, 1)) < 0.5
    truth = random.uniform(0.25, 0.75, size=(rows, len(horizons)))
    noise = random.uniform(0.25, 0.75, size=truth.shape)
    y = np.where(random.random(truth.shape) < truth, 3.0, -2.0)
    probabilities = np.stack([np.where(high, truth, noise), np.where(high, noise, truth), noise], axis=-1)
    hole = random.random(rows) < 0.02
    probabilities[hole], scaled[hole] = np.nan, np.nan
    y[random.random(y.shape) < 0.02] = np.nan
    t1 = np.arange(rows)[:, None] + 1 + np.array(horizons)
    return probabilities, scaled, y, t1


def losses_of(probabilities: np.ndarray, mixture: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, H, M + 1) of the rows on which everybody spoke; the ensemble is last."""
    losses = log_losses(np.concatenate([probabilities, mixture[..., None]], axis=-1), y)
    return losses[losses.any(axis=(1, 2))]


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(5, 90), seed=st.integers(0, 1000), rate=st.sampled_from([0.0, 0.3]), cut=st.integers(0, 90))
def test_row_by_row_is_the_run_over_arrays_to_the_bit(rows: int, seed: int, rate: float, cut: int) -> None:
    horizons, config = (1, 4), EnsembleConfig(half_life=20, share=0.01, gate_rate=rate)
    probabilities, scaled, y, t1 = market(rows, seed, horizons)
    research = Ensemble.start(config, horizons, MEMBERS, FEATURES)
    mixture, weights = research.run(probabilities, scaled, y, t1)
    live = Ensemble.start(config, horizons, MEMBERS, FEATURES)
    experts = np.empty((rows, 2, len(live.hedge.members)))
    regimes = [live.regime(row) for row in scaled]
    for row in range(rows):
        if row == cut:
            live = Ensemble.from_dict(json.loads(json.dumps(live.to_dict())), config)
        back = [max(row - 1 - h, 0) for h in horizons]
        known = np.array([y[row - 1 - h, i] if row > h else np.nan for i, h in enumerate(horizons)])
        then = np.stack([experts[at, i] for i, at in enumerate(back)])
        live.online_update(then, np.stack([regimes[at] for at in back]), known)
        experts[row] = live.experts(probabilities[row], regimes[row])
        np.testing.assert_array_equal(live.combine(experts[row]), mixture[row])
    assert live.to_dict() == research.to_dict()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 80), seed=st.integers(0, 1000), data=st.data())
def test_the_gate_knows_nothing_before_a_label_ends(rows: int, seed: int, data: st.DataObject) -> None:
    horizons, config = (1, 3), EnsembleConfig(gate_rate=0.5)
    now = data.draw(st.integers(0, rows - 1))
    probabilities, scaled, y, t1 = market(rows, seed, horizons)
    other = market(rows, seed + 1, horizons)
    changed = [value.copy() for value in (probabilities, scaled, y)]
    for value, replacement in zip(changed, other, strict=False):
        value[now + 1 :] = replacement[now + 1 :]
    unknown = t1 > now
    changed[2][unknown] = other[2][unknown]
    before = Ensemble.start(config, horizons, MEMBERS, FEATURES).run(probabilities, scaled, y, t1)
    after = Ensemble.start(config, horizons, MEMBERS, FEATURES).run(*changed, t1)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[: now + 1], two[: now + 1])


def test_the_gate_learns_whom_to_trust_when_and_beats_every_member_and_plain_weights() -> None:
    data = market(20_000, 1, (1,))
    gated, _ = Ensemble.start(EnsembleConfig(), (1,), MEMBERS, FEATURES).run(*data)
    plain, _ = Ensemble.start(EnsembleConfig(gate_rate=0.0), (1,), MEMBERS, FEATURES).run(*data)
    probabilities, _, y, _ = data
    losses = losses_of(np.concatenate([probabilities, plain[..., None]], axis=-1), gated, y)[5_000:, 0]
    for other in range(4):
        found = diebold_mariano(losses[:, -1], losses[:, other])
        assert found.statistic < -4, (other, found)
        assert losses[:, other].mean() - losses[:, -1].mean() > 0.005


def test_a_gate_that_nothing_can_be_learned_by_costs_nothing_beyond_noise() -> None:
    data = market(20_000, 2, (1,), helpful=False)
    gated, _ = Ensemble.start(EnsembleConfig(), (1,), MEMBERS, FEATURES).run(*data)
    plain, _ = Ensemble.start(EnsembleConfig(gate_rate=0.0), (1,), MEMBERS, FEATURES).run(*data)
    losses = losses_of(np.concatenate([data[0], plain[..., None]], axis=-1), gated, data[2])[:, 0]
    assert losses[:, -1].mean() - losses[:, 3].mean() < 2e-3


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(2, 150), seed=st.integers(0, 1000), adverse=st.booleans(), rate=st.sampled_from([0.05, 1.0]))
def test_the_bound_on_any_stretch_covers_members_and_gate(rows: int, seed: int, adverse: bool, rate: float) -> None:
    config = EnsembleConfig(half_life=200, share=1e-3, gate_rate=rate)
    probabilities, scaled, y, t1 = market(rows, seed, (0,))
    for row in range(min(rows, 50) if adverse else 0):  # what the ensemble thinks less likely
        mixture, _ = Ensemble.start(config, (0,), MEMBERS, FEATURES).run(probabilities, scaled, y, t1)
        y[row] = -1.0 if mixture[row, 0] > 0.5 else 1.0
    mixture, _ = Ensemble.start(config, (0,), MEMBERS, FEATURES).run(probabilities, scaled, y, t1)
    losses = log_losses(np.concatenate([probabilities, mixture[..., None]], axis=-1), y)[:, 0]
    summed = np.concatenate([np.zeros((1, 4)), np.cumsum(losses, axis=0)])
    for start in range(0, rows, 5):
        stretches = summed[start + 1 :] - summed[start]
        regret = stretches[:, -1] - stretches[:, :-1].min(axis=1)
        bounds = [stretch_bound(config, len(MEMBERS) + 1, n) for n in range(1, len(regret) + 1)]
        assert (regret <= np.array(bounds) + 1e-9).all()


def test_online_update_returns_the_loss_before_it_and_lowers_it() -> None:
    ensemble = Ensemble.start(EnsembleConfig(), (1,), MEMBERS, FEATURES)
    p = np.array([[0.9, 0.5, 0.2]])
    regime = ensemble.regime(np.zeros(3, dtype=np.float32))
    experts = ensemble.experts(p, regime)
    assert math.isnan(ensemble.online_update(experts, regime[None], np.array([np.nan])))
    said = ensemble.combine(experts)[0]
    assert ensemble.online_update(experts, regime[None], np.array([7.0])) == pytest.approx(-math.log(said))
    assert ensemble.combine(ensemble.experts(p, regime))[0] > said


def test_members_that_join_later_start_with_the_trust_they_are_given() -> None:
    probabilities, scaled, y, t1 = market(400, 3, (1,))
    ensemble = Ensemble.start(EnsembleConfig(), (1,), MEMBERS, FEATURES)
    ensemble.run(probabilities, scaled, y, t1)
    grown = ensemble.extended({"a_online": "a"}, fresh=("linear",))
    assert grown.members == (*MEMBERS, "a_online", "linear")
    assert grown.hedge.members == (*MEMBERS, "a_online", "linear", "gate")
    old, new = ensemble.hedge.weights()[0], grown.hedge.weights()[0]
    assert new.sum() == pytest.approx(1.0)
    assert new[3] == new[0]
    np.testing.assert_allclose(new[[0, 1, 2, 5]] / new[0], old / old[0])
    assert old[:3].min() / old[0] <= new[4] / new[0] <= old[:3].max() / old[0]


def test_the_regime_is_a_constant_and_the_features_there_are_cut_off() -> None:
    found = regime_of(np.array([[1.0, 99.0, -0.5], [np.nan, -99.0, 0.0]], dtype=np.float32), FEATURES)
    np.testing.assert_array_equal(found, [[1.0, LARGEST, -0.5], [1.0, -LARGEST, 0.0]])
