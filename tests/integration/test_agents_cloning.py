"""A start from demonstrations: what is shown, what a clone makes of it, and that training does not lose it again.

Run with `-s` to see the figures. SCALPING_CLONING_SEEDS=5 repeats the profits on that many markets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agents_market import DAY, signal_market
from test_agents_train import CONFIG, MARKET, policy_weights

from agents import checkpoints
from agents.cloning import Demonstrations
from agents.config import CloningSettings, NetworkConfig, agent_preset
from agents.policy import load_policy
from agents.train import train
from data_pipeline.errors import InputError
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.policy import Policy
from evaluation.demonstrations import best_rule, demonstrate, demonstrator

SEEDS = range(int(os.environ.get("SCALPING_CLONING_SEEDS", "1")))
SMALL = replace(
    CONFIG,
    iterations=2,
    validate_every=0,
    cloning=CloningSettings("rule", rows=3200, epochs=10, batch=128, learning_rate=5e-3),
)


def net(policy: Policy, market: Market, config: MarketConfig) -> float:
    """Net log return of one account."""
    result = Backtest(market, config).run(policy)
    return float(np.log(result.equity[-1, 0] / result.initial_capital[0]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_clone_recovers_the_rule_and_training_does_not_lose_it(seed: int, tmp_path: Path) -> None:
    market, rules = signal_market(32, seed + 1), MarketConfig(action_mode="multi_discrete")
    days = [market.slice(0, 22 * DAY), market.slice(22 * DAY, len(market))]
    config = agent_preset(
        "ppo", iterations=8, device="cpu", seed=seed, validate_every=0, cloning=CloningSettings("rule", critic_rows=0)
    )
    result = train(days[0], rules, config, tmp_path, demonstrations=demonstrator(rules, config))
    rule = net(best_rule([days[0]], rules).rule(market, rules), days[1], rules)
    cloned = net(load_policy(tmp_path / checkpoints.FOLDER / "iteration-000000"), days[1], rules)
    tuned = net(load_policy(result.last_checkpoint), days[1], rules)
    print(f"\nseed {seed}: rule {rule:.3f}, clone {cloned / rule:.0%}, trained on {tuned / rule:.0%}")
    assert rule > 0.05
    assert cloned > 0.7 * rule
    assert tuned > 0.7 * rule


@pytest.mark.parametrize(
    ("algorithm", "network"),
    [
        ("ppo", NetworkConfig(hidden=(16, 16))),
        ("ddpg", NetworkConfig(hidden=(16, 16))),
        ("ppo", NetworkConfig(hidden=(16, 16), encoder="gru", encoder_width=8, normalise=True)),
    ],
)
def test_only_the_critic_learns_at_first(algorithm: str, network: NetworkConfig, tmp_path: Path) -> None:
    """Up to `critic_rows` no weight of the policy's own body moves; after them it does. (An encoder is the critic's
    too.) The demonstrations are asked for with the training market and no other."""
    market, rules = signal_market(3, seed=3), replace(MARKET, action_mode="continuous")
    shown: list[Sequence[Market]] = []

    def watched(markets: Sequence[Market]) -> Demonstrations:
        shown.append(markets)
        return demonstrate(markets, rules, config)

    rows = SMALL.lanes * SMALL.fragment
    config = replace(SMALL, algorithm=algorithm, network=network, checkpoint_every=1, checkpoints_kept=3, iterations=3)
    config = replace(config, cloning=replace(config.cloning, critic_rows=2 * rows))
    training = market.slice(0, 2 * DAY)
    result = train(training, rules, config, tmp_path, validation=market.slice(2 * DAY, 3 * DAY), demonstrations=watched)
    assert [[len(each) for each in markets] for markets in shown] == [[len(training)]]
    first = result.history[0]
    assert first["iteration"] == 0.0
    assert first["cloning/agreement"] > 0.75
    assert "validation/return_log" in first
    weights = [policy_weights(checkpoints.path_of(tmp_path / checkpoints.FOLDER, k)) for k in (1, 2, 3)]
    body = [name for name in weights[0] if name.startswith("pi.")]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in body)
    assert not all(np.array_equal(weights[1][name], weights[2][name]) for name in body)
    again = train(training, rules, config, tmp_path, demonstrations=watched, resume=True)  # asks for nothing
    assert len(shown) == 1
    assert again.history == result.history
    with pytest.raises(InputError, match="cloning without demonstrations"):
        train(training, rules, config, tmp_path / "other")


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
@pytest.mark.parametrize("source", ["rule", "foresight"])
def test_demonstrations_are_made_of_the_days_they_are_given(source: str, mode: str) -> None:
    """The same, bit for bit, whatever comes after those days; what is shown has the policy's columns and no others."""
    market, rules = signal_market(3, seed=5), replace(MARKET, action_mode=mode)  # type: ignore[arg-type]
    config = replace(SMALL, cloning=replace(SMALL.cloning, source=source))  # type: ignore[arg-type]
    cut = 2 * DAY
    other = replace(
        market,
        prices=np.concatenate([market.prices[:cut], market.prices[cut:][::-1]]),
        observations=np.concatenate([market.observations[:cut], -market.observations[cut:]]),
    )
    one, two = (demonstrate([each.slice(0, cut)], rules, config) for each in (market, other))
    for name, values in one.rollout.columns().items():
        assert np.array_equal(values, two.rollout.columns()[name]), name
    assert np.array_equal(one.wanted, two.wanted)
    rollout, columns = one.rollout, observation_columns(market)
    assert rollout.observations.shape == (16, 201, len(columns))
    side = rollout.observations[:, :-1, columns.index("account_side")][rollout.valid]
    assert set(np.unique(side)) == {-1.0, 0.0, 1.0}  # of accounts that traded
    rows = {row.tobytes() for row in market.observations[:cut]}
    seen = rollout.observations[:, ::40, : len(market.columns)].reshape(-1, len(market.columns))
    assert all(row.tobytes() in rows for row in seen)
    follows = ((rollout.actions == one.wanted).all(2) | ~rollout.valid).all(1)
    assert follows.sum() == (8 if source == "rule" else 0)


def test_a_continuous_clone_wants_what_the_rule_wants(tmp_path: Path) -> None:
    """DDPG begins with the demonstrations in its replay, and samples nothing at random."""
    market, rules = signal_market(6, seed=3), replace(MARKET, action_mode="continuous")
    config = replace(
        SMALL,
        algorithm="ddpg",
        iterations=1,
        cloning=CloningSettings("rule", rows=16_000, epochs=12, batch=128, learning_rate=3e-3),
    )
    config = replace(config, ddpg=replace(config.ddpg, replay_rows=20_000, warmup_rows=1_000_000))
    result = train(market.slice(0, 5 * DAY), rules, config, tmp_path, demonstrations=demonstrator(rules, config))
    assert "learn/critic_loss" in result.history[-1]
    rule = best_rule([market.slice(0, 5 * DAY)], rules).rule(market, rules)
    seen = demonstrate([market.slice(5 * DAY, 6 * DAY)], rules, config).rollout.observations.reshape(-1, 15)
    clone, wanted = load_policy(tmp_path).act(seen), rule.act(seen)
    assert np.mean(np.abs(clone[:, 0] - wanted[:, 0]) < 0.5) > 0.9
    assert np.abs(clone[:, 1:] - wanted[:, 1:]).mean() < 0.1
