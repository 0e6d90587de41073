"""Some lanes on one book market: their state, the market's arrays, and the only calls into the compiled step."""

import math
from collections.abc import Callable

import numpy as np

from data_pipeline.errors import InputError
from envs.batch import LaneBatch
from envs.book.config import MOST_STEPS_UNDER_WAY, BookConfig
from envs.book.kernel import close_lanes, step_lanes
from envs.book.lanes import BookLaneState
from envs.book.market import BookMarket
from envs.config import MarketConfig
from envs.lanes import EQUITY, QTY
from envs.market import Market
from envs.observation import observation_columns
from envs.terms import trading_terms


class BookBatch(LaneBatch):
    """N lanes that trade one book market on one set of terms; `state` holds everything that changes."""

    market: BookMarket
    state: BookLaneState

    def __init__(
        self, market: Market, config: MarketConfig, lanes: int, *, trade_slots: int = 1, fill_slots: int = 1
    ) -> None:
        """Raises InputError for another market or config, and for a latency of too many steps."""
        if not isinstance(market, BookMarket) or not isinstance(config, BookConfig):
            raise InputError(
                f"{type(market).__name__} and {type(config).__name__} are not of the book mode",
                where="book market",
                remedy="pass a BookMarket and a BookConfig",
            )
        delay, self._arrival = divmod(round(config.latency_ms * 1_000_000), market.interval_ms * 1_000_000)
        if delay > MOST_STEPS_UNDER_WAY:
            shortest = math.floor(config.latency_ms / (MOST_STEPS_UNDER_WAY + 1)) + 1
            raise InputError(
                f"latency_ms {config.latency_ms:g} is {delay} steps of {market.interval_ms} ms",
                where=f"market {market.symbol}",
                remedy=f"at most {MOST_STEPS_UNDER_WAY} may be under way: use steps of {shortest} ms or more",
            )
        self.market = market
        self.state = BookLaneState.create(lanes, trade_slots, fill_slots, delay)
        self.terms = trading_terms(market.instrument, config, market.interval_ms)
        self._proportional = config.queue == "proportional"

    def step(self, orders: np.ndarray, observations: np.ndarray) -> int:
        """Move every lane one step by `kernel.step_lanes`; returns how many episodes ended."""
        state, market = self.state, self.market
        return step_lanes(
            state.account,
            state.clock,
            state.queue,
            state.marks,
            state.fills,
            state.flight,
            state.trades,
            market.prices,
            market.calendar,
            market.observations,
            market.schedule,
            market.open_time_ms,
            market.event_time_ns,
            market.events,
            market.books,
            self.terms,
            self._arrival,
            market.interval_ms * 1_000_000,
            self._proportional,
            orders,
            observations,
        )

    def one_lane(self, menu: np.ndarray) -> Callable[[int, np.ndarray], int]:
        """`step` for a batch of one lane, by a row of `menu`, into an observation float32 (D,)."""
        return lambda choice, observation: self.step(menu[choice : choice + 1], observation[None])

    def replay(self, orders: np.ndarray, equity: np.ndarray, position: np.ndarray) -> None:
        """Step through order rows (S, N, 5) unwatched; `equity` and `position` (S, N) take the end of every step."""
        unwatched = np.empty((0, len(observation_columns(self.market))), dtype=np.float32)
        for step, rows in enumerate(orders):
            self.step(rows, unwatched)
            equity[step] = self.state.money(EQUITY)
            position[step] = self.state.money(QTY)

    def close(self) -> None:
        """Close what is open where each lane stands: the end of the data."""
        state, market = self.state, self.market
        close_lanes(
            state.account,
            state.clock,
            state.marks,
            state.fills,
            state.trades,
            market.prices,
            market.schedule,
            market.events,
            market.books,
            self.terms,
        )
