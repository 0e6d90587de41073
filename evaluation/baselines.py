"""What a policy's result stands beside: doing nothing, holding, entering at random, a simple rule, and knowing the
future.

All of them trade the same span on the same terms as the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.actions import ORDER_WIDTH
from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from envs.policy import Policy
from evaluation.foresight import Foresight, perfect_foresight
from evaluation.random_entries import RandomEntries, random_entries
from evaluation.threshold_search import ThresholdBaseline, best_threshold_rule

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Baselines:
    """Backtests (one lane each) on the policy's test span and terms."""

    flat: BacktestResult
    buy_and_hold: BacktestResult
    random: RandomEntries
    threshold: ThresholdBaseline | None
    foresight: Foresight
    foresight_result: BacktestResult
    """The foreseen trades carried out by the market itself, with lots rounded."""


def recorded_backtest(
    market: Market, config: MarketConfig, policy: Policy, capital: float | None = None
) -> tuple[BacktestResult, Floats]:
    """Backtest `policy` in one lane; also returns the order rows it gave, float64 (T, 5)."""
    orders = np.full((len(market), 1, ORDER_WIDTH), np.inf)
    orders[..., 0] = 0.0
    result = Backtest(market, config, None if capital is None else (capital,)).run(policy, orders)
    return result, orders[:, 0]


def run_baselines(
    test: Market,
    config: MarketConfig,
    result: BacktestResult,
    orders: Floats,
    *,
    selection: Market | None = None,
    columns: Sequence[str] = (),
    random_accounts: int = 300,
    seed: int = 0,
) -> Baselines:
    """Every baseline for the policy whose `recorded_backtest` on `test` gave `result` and `orders`.

    `selection` is an earlier span, of training or validation, on which the threshold rule is chosen among `columns`
    of the observation; without one (or without columns) there is no such rule.
    """
    capitals = (float(result.initial_capital[0]),)
    market = Backtest(test, config, capitals)
    foresight = perfect_foresight(test, config)
    threshold = None
    if selection is not None and columns:
        threshold = best_threshold_rule(selection, test, config, columns, capital=capitals[0])
    return Baselines(
        flat=market.replay(_always(0.0, len(test))),
        buy_and_hold=market.replay(_always(1.0, len(test))),
        random=random_entries(test, config, result, orders, accounts=random_accounts, seed=seed),
        threshold=threshold,
        foresight=foresight,
        foresight_result=market.replay(foresight.orders(len(test))),
    )


def _always(side: float, rows: int) -> Floats:
    """Order rows that want one side throughout, without barriers: float64 (rows, 1, 5)."""
    orders = np.full((rows, 1, ORDER_WIDTH), np.inf)
    orders[:, 0, 0] = side
    return orders
