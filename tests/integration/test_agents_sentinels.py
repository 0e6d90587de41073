"""Sentinels against self-deception: where an edge is planted the policies find it, where there is none they do not.

Train, validation and test days follow one another; the rule they are measured against is searched on the test days
themselves, so it is the best that hindsight can choose among thresholds, hysteresis and brackets. The budgets below
were chosen on markets 100 to 102 and are judged on 0 to 4. The suite takes one market of each; run with `-s` to see
the figures, SCALPING_SENTINEL_SEEDS=5 for all.
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agents_market import DAY, best_rule_profit, signal_market
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax

from agents.config import AgentConfig, PPOSettings, agent_preset
from agents.policy import load_policy
from agents.train import train
from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns

SEEDS = range(int(os.environ.get("SCALPING_SENTINEL_SEEDS", "1")))
TRAIN, VALIDATION, TEST = 50, 6, 10
SHARE = 0.85  # of the best rule's profit, for both algorithms
LOSS = 0.05  # of what random trading loses, where there is nothing to be found
RANDOM_ACCOUNTS = 16
FALSE_ALARM = 0.01  # of each test on the no-edge market; with two figures and two policies at most 4 % in all


class Untrained:
    """Random trading as often as PPO's preset trades before it has learned anything: its habits without a network.

    An action is drawn at every close. The odds of an account that is flat are exp(flat_bias) for staying out and 1 for
    either side; with a position exp(hold_bias) for the side held, exp(flat_bias) for flat, exp(-hold_bias) for the
    other. That is about 130 trades a day on the default bracket; at a fifth of its capital an account is closed, which
    bounds what random trading can lose.
    """

    def __init__(self, market: Market, seed: int) -> None:
        settings = PPOSettings()
        self._side = observation_columns(market).index("account_side")
        self._flat, self._hold = settings.flat_bias, settings.hold_bias
        self._rng = np.random.default_rng(seed)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        side = observations[:, self._side].astype(np.float64)
        odds = softmax(np.stack([np.full_like(side, self._flat), self._hold * side, -self._hold * side], 1), axis=1)
        return (self._rng.random((len(side), 1)) > odds.cumsum(axis=1)).sum(axis=1).astype(np.int64)


def random_trading(market: Market, seed: int) -> tuple[float, float]:
    """Mean net log return of `Untrained` accounts on the market with discrete actions, and their trades."""
    rules = MarketConfig()
    result = Backtest(market, rules, [10_000.0] * RANDOM_ACCOUNTS).run(Untrained(market, seed))
    return float(np.log(result.equity[-1] / result.initial_capital).mean()), result.trades.num_rows / RANDOM_ACCOUNTS


def trained_on_unseen_days(
    setting: str, seed: int, config: AgentConfig, market_config: MarketConfig, folder: Path
) -> tuple[Market, BacktestResult]:
    """The test days, and what the policy that was best on the validation days did on them."""
    market = signal_market(TRAIN + VALIDATION + TEST, seed, setting)
    days = [market.slice(a * DAY, b * DAY) for a, b in itertools.pairwise((0, TRAIN, TRAIN + VALIDATION, len(market)))]
    train(days[0], market_config, config, folder, validation=days[1])
    return days[2], Backtest(days[2], market_config).run(load_policy(folder))


def net_log_return(result: BacktestResult) -> float:
    return math.log(result.equity[-1, 0] / result.initial_capital[0])


def daily(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over whole days."""
    return values[: len(values) // DAY * DAY].reshape(-1, DAY).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("algorithm", "mode", "iterations"),
    [("ppo", "discrete", 40), ("ppo", "multi_discrete", 60), ("ddpg", "continuous", 120)],
)
def test_finds_the_planted_edge(algorithm: str, mode: str, iterations: int, seed: int, tmp_path: Path) -> None:
    market_config = MarketConfig(action_mode=mode)  # type: ignore[arg-type]
    config = agent_preset(algorithm, iterations=iterations, seed=seed, device="cpu", validate_every=20)  # type: ignore[arg-type]
    market, result = trained_on_unseen_days("planted_edge", seed, config, market_config, tmp_path)
    best, found = best_rule_profit(market, market_config), net_log_return(result)
    print(f"\n{algorithm} {mode} seed {seed}: net {found:.3f}, best rule {best:.3f}, share {found / best:.0%}")
    assert best > 0.1  # the edge is there
    assert found > SHARE * best


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("algorithm", "mode", "iterations"), [("ppo", "discrete", 30), ("ddpg", "continuous", 30)])
def test_finds_nothing_where_nothing_is(algorithm: str, mode: str, iterations: int, seed: int, tmp_path: Path) -> None:
    """It loses less than 5 % of what `Untrained` loses on the same days, and earns nothing beyond chance."""
    market_config = MarketConfig(action_mode=mode)  # type: ignore[arg-type]
    config = agent_preset(algorithm, iterations=iterations, seed=seed, device="cpu", validate_every=10)  # type: ignore[arg-type]
    market, result = trained_on_unseen_days("no_edge", seed, config, market_config, tmp_path)
    found, (random, random_trades) = net_log_return(result), random_trading(market, seed)
    net = daily(np.diff(np.log(result.equity[:, 0]), prepend=math.log(result.initial_capital[0])))
    gross = np.zeros(len(market))
    np.add.at(
        gross,
        np.searchsorted(market.open_time_ms, result.trades["exit_time_ms"].to_numpy(), side="right") - 1,
        result.trades["gross_pnl"].to_numpy() / result.initial_capital[0],
    )
    print(
        f"\n{algorithm} no edge seed {seed}: net {found:.4f} in {result.trades.num_rows} trades, gross "
        f"{gross.sum():.4f}; random trading {random:.3f} in {random_trades:.0f} trades, share {found / random:.2%}"
    )
    assert random < -0.5  # random trading costs a lot, so there is something to be learned
    assert found > LOSS * random
    for figure in (net, daily(gross)):
        if figure.any():
            assert stats.ttest_1samp(figure, 0.0, alternative="greater").pvalue > FALSE_ALARM


def test_the_sentinel_sees_a_leak(tmp_path: Path) -> None:
    """A signal that knows the next bar must fail the no-edge check, or the check sees nothing."""
    market = signal_market(10, 0, "no_edge")
    config = replace(MarketConfig(), half_spread_bps=0.0)
    ahead = np.sign(np.append(np.diff(market.prices[:, 0]), 0.0))
    orders = np.full((len(market), 1, 5), np.inf)
    orders[..., 0] = np.append(ahead[1:], 0.0)[:, None]
    orders[..., 1:4] = (30.0, 20.0, 60.0)
    gross = Backtest(market, config).replay(orders).trades["gross_pnl"].to_numpy()
    assert stats.ttest_1samp(gross, 0.0, alternative="greater").pvalue < FALSE_ALARM
