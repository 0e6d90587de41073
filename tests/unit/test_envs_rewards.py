"""Every form of the reward against its formula, computed from the equity that the same episode shows."""

import numpy as np
import pytest

from envs import lanes
from envs.config import MarketConfig, RewardMode
from envs.env import ScalpingEnv
from tests.market_tools import rich_market

STEPS, CAPITAL = 300, 5_000.0


def episode(mode: RewardMode, weight: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rewards (S,), equity (S + 1,), position value (S,)) of an episode with positions on both sides."""
    config = MarketConfig(
        episode_bars=STEPS,
        reward=mode,
        reward_weight=weight,
        reward_scale=50.0,
        initial_capital=CAPITAL,
        leverage=3.0,
        stop_out_fraction=0.01,
    )
    market = rich_market(5, STEPS + 1, holes=False)
    env = ScalpingEnv(market, config)
    env.reset(options={"start_row": 0})
    account = env._batch.state.account
    actions = np.repeat(np.random.default_rng(0).integers(0, 3, STEPS // 5), 5)
    rewards, equity, value = [], [CAPITAL], []
    for t, action in enumerate(actions, start=1):
        rewards.append(env.step(action)[1])
        equity.append(float(account[lanes.EQUITY, 0]))
        value.append(float(account[lanes.QTY, 0]) * market.prices[t, 3])
    return np.array(rewards), np.array(equity), np.array(value)


def test_log_equity() -> None:
    rewards, equity, _ = episode("log_equity", 0.0)
    np.testing.assert_allclose(rewards, 50.0 * np.diff(np.log(equity)), atol=1e-11)
    assert (rewards != 0).sum() > 100


def test_differential_sharpe_is_moody_and_saffell_s() -> None:
    """D_t = (B ΔA - A ΔB / 2) / (B - A²)^(3/2), A and B exponential moments of the return with adaptation rate η."""
    eta = 0.02
    rewards, equity, _ = episode("differential_sharpe", eta)
    a = b = 0.0
    expected = []
    for r in np.diff(np.log(equity)):
        delta_a, delta_b = r - a, r**2 - b
        variance = b - a**2
        expected.append(0.0 if variance <= 1e-16 else (b * delta_a - 0.5 * a * delta_b) / variance**1.5)
        a += eta * delta_a
        b += eta * delta_b
    np.testing.assert_allclose(rewards, 50.0 * np.array(expected), rtol=1e-6, atol=1e-8)
    assert np.count_nonzero(rewards) > 100


def test_differential_sharpe_is_the_gradient_of_the_ratio() -> None:
    """Its own definition: to first order in η, the exponential Sharpe ratio S = A / √(B - A²) moves by η D_t."""
    eta = 1e-6
    rewards, equity, _ = episode("differential_sharpe", eta)
    returns = np.diff(np.log(equity))
    a, b = np.zeros(STEPS + 1), np.zeros(STEPS + 1)
    for t, r in enumerate(returns):
        a[t + 1], b[t + 1] = a[t] + eta * (r - a[t]), b[t] + eta * (r * r - b[t])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = a / np.sqrt(b - a * a)
    late = slice(200, STEPS)  # η D_t is a small part of the ratio once enough returns have come in
    moved = np.diff(ratio)[late]
    told = eta * rewards[late] / 50.0
    known = (b[:-1] - a[:-1] ** 2)[late] > 1e-16
    assert known.sum() > 50 or (told[~known] == 0).all()
    np.testing.assert_allclose(told[known], moved[known], rtol=0.05, atol=1e-6)


def test_drawdown_penalty() -> None:
    weight = 0.7
    rewards, equity, _ = episode("drawdown", weight)
    peak = np.maximum.accumulate(equity)[1:]
    fall = np.maximum(-np.diff(equity), 0.0) / peak
    np.testing.assert_allclose(rewards, 50.0 * (np.diff(np.log(equity)) - weight * fall), atol=1e-11)
    assert fall.max() > 0


def test_inventory_penalty() -> None:
    weight = 2.0
    rewards, equity, value = episode("inventory", weight)
    rent = weight * 1e-4 * (value / equity[1:]) ** 2
    np.testing.assert_allclose(rewards, 50.0 * (np.diff(np.log(equity)) - rent), atol=1e-11)
    assert rent.max() > 1e-5


@pytest.mark.parametrize("mode", ["log_equity", "differential_sharpe", "drawdown", "inventory"])
def test_the_form_changes_nothing_but_the_reward(mode: RewardMode) -> None:
    _, equity, _ = episode(mode, 0.1)
    np.testing.assert_array_equal(equity, episode("log_equity", 0.1)[1])


def test_doing_nothing_is_worth_nothing() -> None:
    for mode in ("log_equity", "differential_sharpe", "drawdown", "inventory"):
        env = ScalpingEnv(rich_market(1, 200, holes=False), MarketConfig(episode_bars=100, reward=mode))
        env.reset(seed=0)
        assert [env.step(0)[1] for _ in range(50)] == [0.0] * 50
