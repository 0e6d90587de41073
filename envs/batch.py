"""Some lanes on one market: their state, the market's arrays, and the only calls into the compiled step."""

from collections.abc import Callable
from functools import partial

import numpy as np

from envs.alone import array_table, step_alone
from envs.config import MarketConfig
from envs.kernel import close_lanes, replay_orders, step_lanes
from envs.lanes import REWARD, TERMINATED, TRUNCATED, LaneState
from envs.market import Market
from envs.terms import trading_terms


class LaneBatch:
    """N lanes that trade one market on one set of terms; `state` holds everything that changes.

    Single trades are kept where `trade_slots` asks for them; without, many lanes move quicker (`envs.plain`).
    """

    def __init__(self, market: Market, config: MarketConfig, lanes: int, *, trade_slots: int = 0) -> None:
        self.state = LaneState.create(lanes, trade_slots)
        self.terms = trading_terms(market.instrument, config, market.interval_ms, funded=market.funded)
        self.move_to(market)

    def move_to(self, market: Market) -> None:
        """From now on the lanes stand in `market`, of the same instrument and columns, at the row numbers they have."""
        self.market = market
        state = self.state
        # Put together once: a single lane's step feels every attribute that is looked up.
        self._given = (
            state.account,
            state.clock,
            state.trades,
            market.prices,
            market.calendar,
            market.finer,
            market.observations,
            self.terms,
        )

    def step(self, orders: np.ndarray, observations: np.ndarray) -> int:
        """Move every lane one bar by `kernel.step_lanes`; returns how many episodes ended."""
        return step_lanes(*self._given, orders, observations)

    def one_lane(self, menu: np.ndarray) -> Callable[[int, np.ndarray], int]:
        """A quick `step` for a batch of one lane that has shown its first row, as long as its market stays.

        Called with the number of a row of `menu` float64 (K, 5) and an observation float32 (D,) to write, it returns
        how many episodes ended, 0 or 1.
        """
        arrays = (*self._given, menu)
        step = partial(step_alone, array_table(*arrays))
        vars(step)["arrays"] = arrays  # the table holds addresses only
        return step

    def replay(self, orders: np.ndarray, equity: np.ndarray, position: np.ndarray) -> None:
        """Step through order rows (S, N, 5) unwatched; `equity` and `position` (S, N) take every close."""
        state, market = self.state, self.market
        replay_orders(
            state.account,
            state.clock,
            market.prices,
            market.calendar,
            market.finer,
            self.terms,
            orders,
            state.trades,
            equity,
            position,
        )

    def close(self) -> None:
        """Close what is open where each lane stands: the end of the data."""
        state = self.state
        close_lanes(state.account, state.clock, self.market.prices, self.terms, state.trades)

    @property
    def rewards(self) -> np.ndarray:
        """float64 (N,) of the last step; a view."""
        return self.state.money(REWARD)

    @property
    def terminated(self) -> np.ndarray:
        """int64 (N,), 0 or 1, of the last step; a view."""
        return self.state.count(TERMINATED)

    @property
    def truncated(self) -> np.ndarray:
        """int64 (N,), 0 or 1, of the last step; a view."""
        return self.state.count(TRUNCATED)

    @property
    def ended(self) -> np.ndarray:
        """bool (N,): whose episode the last step ended, in one way or the other; fresh."""
        return self.terminated != self.truncated
