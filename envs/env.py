"""`ScalpingEnv`: one account in one market, as a Gymnasium environment."""

from typing import Any

import gymnasium as gym
import numpy as np

from envs.actions import ORDER_WIDTH, ActionDecoder, action_space
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.episodes import EpisodeStarter, episode_statistics
from envs.lanes import INITIAL, REWARD, START, TERMINATED, TRUNCATED
from envs.market import MarketSource, open_market
from envs.observation import observation_space


class ScalpingEnv(gym.Env):
    """Trade one symbol with bracketed positions, one decision at the close of each bar.

    It is lane 0 of the machinery that the vector env runs: the same seed and actions give the same numbers, bit for bit.

    Observation  float32 (D,): the market's row, then the account (`observation_columns`)
    Action       the wanted position, in one of three spaces (`envs.actions.action_space`)
    Reward       reward_scale × change in log equity, net of every cost
    Terminated   equity at a close is at or under stop_out_fraction × initial capital (the position is closed)
    Truncated    the episode's last bar: an open position is marked at the close and stays open, so bootstrap
    Infos        reset: start_time_ms, initial_capital, symbol; last step: episode (`episode_statistics`)
    """

    metadata = {"render_modes": []}

    def __init__(self, market: MarketSource, config: MarketConfig | None = None) -> None:
        """`market` is a Market or a folder that `Market.save` wrote."""
        self.market = open_market(market)
        self.config = config or MarketConfig()
        self.observation_space = observation_space(self.market)
        self.action_space = action_space(self.config)
        self._batch = LaneBatch(self.market, self.config, 1)
        self._starter = EpisodeStarter(self.market, self.config, self._batch.state, np.zeros(1))
        self._decoder = ActionDecoder(self.config)
        self._actions = np.zeros((1, self._decoder.width), dtype=self._decoder.dtype)
        self._orders = np.zeros((1, ORDER_WIDTH))
        self._seeded = False
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode at a place drawn from the seed's stream.

        Options, all optional: `start_row` (begin at this tradable row), `initial_capital`, `stagger` (a random
        shorter length, so that lanes which start together do not end together). Raises InputError for others.
        """
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self._starter.seed(int(self.np_random.integers(2**63)))
            self._seeded = True
        self._starter.start(np.ones(1, dtype=bool), options)
        observations = np.empty((1, *self.observation_space.shape), dtype=np.float32)
        self._batch.step(self._orders, observations)
        self._running = True
        state = self._batch.state
        info = {
            "symbol": self.market.symbol,
            "start_time_ms": int(self.market.open_time_ms[state.clock[START, 0]]),
            "initial_capital": float(state.account[INITIAL, 0]),
        }
        return observations[0], info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One bar. Raises InputError for an action outside the space, ResetNeeded when no episode is running."""
        if not self._running:
            raise gym.error.ResetNeeded("the episode has ended: call reset() before step()")
        self._actions[0] = action
        self._decoder.decode(self._actions, self._orders)
        observations = np.empty((1, *self.observation_space.shape), dtype=np.float32)
        ended = self._batch.step(self._orders, observations)
        state = self._batch.state
        reward = float(state.account[REWARD, 0])
        if not ended:
            return observations[0], reward, False, False, {}
        self._running = False
        terminated, truncated = (bool(state.clock[flag, 0]) for flag in (TERMINATED, TRUNCATED))
        statistics = episode_statistics(state, self.market.interval_ms)
        info = {"episode": {name: values.item() for name, values in statistics.items()}}
        return observations[0], reward, terminated, truncated, info
