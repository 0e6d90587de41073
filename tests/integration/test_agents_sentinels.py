"""Sentinels against self-deception: where an edge is planted the policies find it, where there is none they do not.

Train, validation and test days follow one another; the rule they are measured against is searched on the test days
themselves, so it is the best that hindsight can choose among thresholds, hysteresis and brackets. Run with `-s` to see
the figures; SCALPING_SENTINEL_SEEDS=3 repeats the planted ones on that many markets.
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agents_market import DAY, signal_market
from numpy.typing import NDArray
from scipy import stats

from agents.config import AgentConfig, agent_preset
from agents.policy import load_policy
from agents.train import train
from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market

SEEDS = range(int(os.environ.get("SCALPING_SENTINEL_SEEDS", "1")))
TRAIN, VALIDATION, TEST = 50, 6, 10
ENTER = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
EXIT = (-0.4, -0.2, 0.0, 0.2, 0.4)
FALSE_ALARM = 0.01  # of each test on the no-edge market; with two figures and two policies at most 4 % in all


def best_rule_profit(market: Market, config: MarketConfig) -> float:
    """Largest net log return of any threshold rule on the signal, with any bracket that a policy could choose."""
    enter, leave = np.array(list(itertools.product(ENTER, EXIT))).T
    signal = market.observations[:, market.columns.index("signal")].astype(np.float64)
    orders = np.full((len(market), len(enter), 5), np.inf)
    side = np.zeros(len(enter))
    for row, x in enumerate(signal):
        side = np.where(x > enter, 1.0, np.where(x < -enter, -1.0, np.where(side * x > leave, side, 0.0)))
        orders[row, :, 0] = side
    orders[..., 3] = config.ttl_bars
    brackets = [(config.default_tp_bps, config.default_sl_bps)]
    if config.action_mode != "discrete":
        brackets = list(itertools.product(config.tp_grid_bps, config.sl_grid_bps))
    best = 0.0
    for orders[..., 1], orders[..., 2] in brackets:
        result = Backtest(market, config, capitals=[10_000.0] * len(enter)).replay(orders)
        best = max(best, float(np.log(result.equity[-1] / result.initial_capital).max()))
    return best


def trained_on_unseen_days(
    setting: str, seed: int, config: AgentConfig, market_config: MarketConfig, folder: Path
) -> tuple[Market, BacktestResult]:
    """The test days, and what the policy that was best on the validation days did on them."""
    market = signal_market(TRAIN + VALIDATION + TEST, seed, setting)
    days = [market.slice(a * DAY, b * DAY) for a, b in itertools.pairwise((0, TRAIN, TRAIN + VALIDATION, len(market)))]
    train(days[0], market_config, config, folder, validation=days[1])
    return days[2], Backtest(days[2], market_config).run(load_policy(folder))


def daily(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over whole days."""
    return values[: len(values) // DAY * DAY].reshape(-1, DAY).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("algorithm", "mode", "iterations", "share"),
    [("ppo", "discrete", 40, 0.6), ("ppo", "multi_discrete", 60, 0.6), ("ddpg", "continuous", 60, 0.4)],
)
def test_finds_the_planted_edge(
    algorithm: str, mode: str, iterations: int, share: float, seed: int, tmp_path: Path
) -> None:
    market_config = MarketConfig(action_mode=mode)  # type: ignore[arg-type]
    config = agent_preset(algorithm, iterations=iterations, seed=seed, device="cpu", validate_every=20)  # type: ignore[arg-type]
    market, result = trained_on_unseen_days("planted_edge", seed, config, market_config, tmp_path)
    best = best_rule_profit(market, market_config)
    found = math.log(result.equity[-1, 0] / result.initial_capital[0])
    print(f"\n{algorithm} {mode} seed {seed}: net {found:.3f}, best rule {best:.3f}, share {found / best:.0%}")
    assert best > 0.1  # the edge is there
    assert found > share * best


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "mode", "iterations"), [("ppo", "discrete", 30), ("ddpg", "continuous", 30)])
def test_finds_nothing_where_nothing_is(algorithm: str, mode: str, iterations: int, tmp_path: Path) -> None:
    market_config = MarketConfig(action_mode=mode)  # type: ignore[arg-type]
    config = agent_preset(algorithm, iterations=iterations, device="cpu", validate_every=10)  # type: ignore[arg-type]
    market, result = trained_on_unseen_days("no_edge", 0, config, market_config, tmp_path)
    net = daily(np.diff(np.log(result.equity[:, 0]), prepend=math.log(result.initial_capital[0])))
    gross = np.zeros(len(market))
    np.add.at(
        gross,
        np.searchsorted(market.open_time_ms, result.trades["exit_time_ms"].to_numpy(), side="right") - 1,
        result.trades["gross_pnl"].to_numpy() / result.initial_capital[0],
    )
    print(f"\n{algorithm} no edge: net {net.sum():.4f}, gross {gross.sum():.4f}, trades {result.trades.num_rows}")
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
