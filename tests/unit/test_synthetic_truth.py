"""What is said to be known about the synthetic market is true: filter, accuracy, probability, best profit."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.synthetic import SyntheticMarket, drift_per_variance, mean_sigma, synthetic_market
from data_pipeline.synthetic_truth import posterior_variance

HORIZONS = (1, 5, 15)


@pytest.fixture(scope="module")
def planted() -> SyntheticMarket:
    return synthetic_market(SyntheticConfig(bars=600_000, seed=21))


def test_filter_equals_conditioning_the_joint_gaussian() -> None:
    """E[s_t | z_0..z_t, u_0..u_t] from the covariance matrix of everything, without any recursion."""
    steps = 40
    config = SyntheticConfig(bars=steps, edge_strength=0.7, state_half_life=6.0, seed=4, tick_size=1e-6, lot_step=1e-9)
    market = synthetic_market(config)
    bars, phi = market.arrays(), config.state_memory
    previous = np.concatenate(([config.initial_price], bars.close[:-1]))
    z = np.log(bars.close / previous) / market.sigma + drift_per_variance(config) * market.sigma
    share = bars.taker_buy_volume / bars.volume
    u = np.log(share / (1 - share)) - config.reading_return * z

    # Rows of `load` express each quantity in the independent standard normals (s_{-1}, eta, eps, xi).
    state = np.zeros((steps + 1, 1 + 3 * steps))
    state[0, 0] = 1.0
    for t in range(steps):
        state[t + 1] = phi * state[t]
        state[t + 1, 1 + t] += math.sqrt(1 - phi**2)
    z_load = config.kappa * state[:-1].copy()
    z_load[:, 1 + steps : 1 + 2 * steps] += np.eye(steps)
    u_load = config.reading_gain * state[1:].copy()
    u_load[:, 1 + 2 * steps :] += config.reading_noise * np.eye(steps)
    filtered = market.filtered_state()
    for t in (0, 1, 7, steps - 1):
        load = np.concatenate((z_load[: t + 1], u_load[: t + 1]))
        seen = np.concatenate((z[: t + 1], u[: t + 1]))
        exact = state[t + 1] @ load.T @ np.linalg.solve(load @ load.T, seen)
        assert filtered[t] == pytest.approx(exact, abs=1e-4)  # prices and volumes are rounded to their steps
    left = 1.0 - state[-1] @ load.T @ np.linalg.solve(load @ load.T, load @ state[-1])
    assert posterior_variance(config) == pytest.approx(left, rel=1e-3)


def test_filter_error_has_the_settled_variance(planted: SyntheticMarket) -> None:
    error = planted.state - planted.filtered_state()
    assert np.var(error) == pytest.approx(posterior_variance(planted.config), rel=0.02)
    assert np.corrcoef(error, planted.filtered_state())[0, 1] == pytest.approx(0.0, abs=0.02)


def test_posterior_variance_without_any_reading_is_the_prior() -> None:
    assert posterior_variance(SyntheticConfig(setting="no_edge", reading_gain=0.0)) == 1.0


@pytest.mark.parametrize("horizon", HORIZONS)
def test_best_accuracy_is_what_the_formula_expects(planted: SyntheticMarket, horizon: int) -> None:
    """Within 4 standard errors of the mean over 30 blocks (a redrawn seed would fail 4 times in 10,000: t with 29)."""
    blocks = list(pairwise(range(0, 600_001, 20_000)))
    realised = np.array([planted.best_accuracy(horizon, start, stop) for start, stop in blocks])
    expected = np.array([planted.expected_accuracy(horizon, start, stop) for start, stop in blocks])
    surprise = realised - expected
    assert abs(surprise.mean()) < 4 * surprise.std(ddof=1) / math.sqrt(len(blocks))
    assert expected.mean() > {1: 0.57, 5: 0.63, 15: 0.66}[horizon]


def test_nobody_beats_the_filter(planted: SyntheticMarket) -> None:
    """Not even the taker-buy share of the last bar or the sign of the last return; the true state itself does."""
    bars = planted.arrays()
    label = np.sign(bars.open[2:] - bars.open[1:-1])[1:]
    best = planted.best_accuracy(1, 1)
    for guess in (bars.taker_buy_volume / bars.volume - 0.5, np.log(bars.close / bars.open)):
        assert np.mean(np.sign(guess[1:-2]) == label) < best - 0.01
    assert np.mean(np.sign(planted.state[1:-2]) == label) > best + 0.005


def test_without_an_edge_the_best_is_a_coin(planted: SyntheticMarket) -> None:
    market = synthetic_market(replace(planted.config, setting="no_edge"))
    rule = market.best_rule(5.0)
    assert (rule.threshold, rule.profit_bps, rule.switches) == (math.inf, 0.0, 0.0)
    assert market.rule_profit(rule.threshold, 5.0) == 0.0
    assert market.rule_profit(0.0, 5.0) < -0.5
    for horizon in HORIZONS:
        assert market.expected_accuracy(horizon) == 0.5
        # Labels overlap and calls persist: at most about 20 rows share their luck, so 4 sigma is 4 / 2 / sqrt(N / 20).
        assert market.best_accuracy(horizon) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(600_000 / 20))
        np.testing.assert_allclose(market.best_probability(horizon), 0.5)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_best_probability_is_calibrated(planted: SyntheticMarket, horizon: int) -> None:
    bars = planted.arrays()
    probability = planted.best_probability(horizon)[: -1 - horizon]
    up = bars.open[1 + horizon :] > bars.open[1:-horizon]
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        inside = (probability >= low) & (probability < high)
        assert np.mean(up[inside]) == pytest.approx(np.mean(probability[inside]), abs=0.015)
    np.testing.assert_array_equal(np.sign(planted.best_probability(horizon) - 0.5), planted.best_direction(horizon))


def test_a_stronger_edge_is_worth_more() -> None:
    weak, strong = (synthetic_market(SyntheticConfig(bars=2_000, edge_strength=k)) for k in (0.1, 0.4))
    for horizon in HORIZONS:
        assert 0.5 < weak.expected_accuracy(horizon) < strong.expected_accuracy(horizon) < 1.0
    assert weak.best_rule(5.0).profit_bps < strong.best_rule(5.0).profit_bps


def test_profit_without_costs_has_a_closed_form(planted: SyntheticMarket) -> None:
    """Always on the right side of the filtered state: kappa sigma E|m| = kappa sigma sqrt(2 (1 - P) / pi)."""
    rule = planted.best_rule(0.0)
    spread = math.sqrt(2 * (1 - posterior_variance(planted.config)) / math.pi)
    assert rule.threshold == pytest.approx(0.0, abs=1e-9)
    assert rule.profit_bps == pytest.approx(1e4 * planted.config.kappa * mean_sigma(planted.config) * spread, rel=1e-3)


@pytest.mark.parametrize("cost_bps", [2.0, 5.0, 10.0])
def test_best_rule_earns_what_it_says_and_no_other_threshold_more(planted: SyntheticMarket, cost_bps: float) -> None:
    rule = planted.best_rule(cost_bps)
    # The market at hand has its own mean volatility, which scales the gross part.
    gross = rule.profit_bps + 2 * cost_bps * rule.switches
    expected = gross * planted.sigma.mean() / mean_sigma(planted.config) - 2 * cost_bps * rule.switches
    realised = planted.rule_profit(rule.threshold, cost_bps)
    assert realised == pytest.approx(expected, rel=0.05)
    for factor in (0.3, 0.6, 1.7, 2.5):
        assert planted.rule_profit(rule.threshold * factor, cost_bps) < realised


def test_costs_beyond_any_edge_stop_all_trading(planted: SyntheticMarket) -> None:
    assert planted.best_rule(10_000.0).profit_bps == 0.0


def test_requests_that_cannot_be_answered_are_refused(planted: SyntheticMarket) -> None:
    with pytest.raises(InputError, match="horizon 0"):
        planted.best_direction(0)
    with pytest.raises(InputError, match="no label of horizon 5 is known"):
        planted.best_accuracy(5, 599_995)
    with pytest.raises(InputError, match="no label of horizon 5 is known"):
        planted.expected_accuracy(5, 599_995)
    with pytest.raises(InputError, match="cost_bps -1"):
        planted.best_rule(-1.0)
    with pytest.raises(InputError, match="hold no trade"):
        planted.rule_profit(0.1, 1.0, 599_999)


def test_a_flip_turns_the_reading_round_and_nothing_else() -> None:
    """Same prices and state; who knows of the flip loses nothing, who does not is wrong as often as he was right."""
    config = SyntheticConfig(bars=100_000, seed=4)
    plain, flipped = synthetic_market(config), synthetic_market(replace(config, flip_bar=50_000))
    before, after = plain.arrays(), flipped.arrays()
    np.testing.assert_array_equal(before.close, after.close)
    np.testing.assert_array_equal(plain.state, flipped.state)
    np.testing.assert_array_equal(before.taker_buy_volume[:50_000], after.taker_buy_volume[:50_000])
    assert flipped.best_accuracy(5, 50_000) == pytest.approx(plain.best_accuracy(5, 50_000), abs=0.01)
    unaware = replace(flipped, config=config)
    assert unaware.best_accuracy(5, 0, 49_000) == plain.best_accuracy(5, 0, 49_000) > 0.62
    assert unaware.best_accuracy(5, 51_000) < 0.40
    with pytest.raises(InputError, match="flip_bar -1 is negative"):
        SyntheticConfig(flip_bar=-1)
