"""Many accounts on one market at once, for searches that only want to know where each of them ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs import lanes
from envs.actions import ORDER_WIDTH
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.kernel import open_lanes
from envs.market import Market
from envs.observation import observation_columns


def open_accounts(
    market: Market, config: MarketConfig, capital: float, count: int
) -> tuple[LaneBatch, NDArray[np.float32]]:
    """`count` accounts that stand at the close of row 0, as in a backtest, and the empty array of observations that
    `envs.kernel.step_lanes` takes when nobody looks."""
    batch = LaneBatch(market, config, count)
    unwatched = np.empty((0, len(observation_columns(market))), dtype=np.float32)
    open_lanes(batch.state.account, batch.state.clock, np.full(count, capital), 0, len(market) - 1)
    batch.step(np.zeros((count, ORDER_WIDTH)), unwatched)
    return batch, unwatched


def final_equity(batch: LaneBatch) -> NDArray[np.float64]:
    """Equity of each account, float64 (L,), after closing what is open at the close of the row it stands at."""
    batch.close()
    return batch.state.money(lanes.EQUITY).copy()
