"""`ScalpingEnv`: one account in one market, as a Gymnasium environment."""

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from data_pipeline.errors import InputError
from envs.actions import ORDER_WIDTH, ActionDecoder, action_space
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.demo import demo_market
from envs.episodes import EpisodeStarter, episode_statistics
from envs.lanes import EXITS_PER_BAR, FIRST_ROW, INITIAL, REWARD, TERMINATED, TRADES, TRUNCATED
from envs.market import MarketSource, open_market
from envs.masks import action_masks
from envs.observation import observation_columns, observation_space
from envs.render import EpisodeTrace, episode_image, save_episode

_FLOAT32, _empty = np.dtype(np.float32), np.empty  # quicker than to look them up, and than the scalar type


class ScalpingEnv(gym.Env):
    """Trade one symbol with bracketed positions, one decision at the close of each bar.

    It is lane 0 of the machinery that the vector env runs: the same seed and actions give the same bits.

    Observation  float32 (D,): the market's row, then the account (`observation_columns`)
    Action       the wanted position, in one of three spaces (`envs.actions.action_space`)
    Reward       reward_scale × change in log equity, net of every cost
    Terminated   equity at a close is at or under stop_out_fraction × initial capital (the position is closed)
    Truncated    the episode's last bar: an open position is marked at the close and stays open, so bootstrap
    Infos        reset: start_time_ms, initial_capital, symbol; last step: account (`episode_statistics`)
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium declares it on instances)

    batch_type = LaneBatch

    def __init__(
        self,
        market: MarketSource | None = None,
        config: MarketConfig | None = None,
        render_mode: str | None = None,
    ) -> None:
        """`market` is a Market, a folder that `Market.save` wrote, or None for `envs.demo.demo_market()`.

        Raises InputError for a render mode other than None and "rgb_array".
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode {render_mode!r} is unknown", where="env", remedy="use rgb_array or None")
        self.render_mode = render_mode
        self.market = demo_market() if market is None else open_market(market)
        self.config = config or MarketConfig()
        self.observation_space = observation_space(self.market)
        self.action_space = action_space(self.config)
        # A picture shows every exit of the episode, so its records must not be overwritten.
        slots = 1 if render_mode is None else EXITS_PER_BAR * min(self.config.episode_bars, len(self.market)) + 1
        self._batch = self.batch_type(self.market, self.config, 1, trade_slots=slots)
        self._trace: EpisodeTrace | None = None
        self._starter = EpisodeStarter(self.market, self.config, self._batch.state, np.zeros(1))
        self._decoder = ActionDecoder(self.config)
        self._orders = np.zeros((1, ORDER_WIDTH))
        self._columns = len(observation_columns(self.market))
        self._wire()
        self._seeded = False
        self._running = False

    def _wire(self) -> None:
        """Look up once what a step needs."""
        self._decode = self._decoder.decode_one
        self._move = self._batch.one_lane(self._decoder.menu)
        self._reward = memoryview(self._batch.state.account[REWARD])  # gives a float, quicker than numpy does

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what leads to the arrays of this very env, so that copies are envs of their own."""
        return {name: value for name, value in vars(self).items() if name not in ("_decode", "_move", "_reward")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._wire()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode at a place drawn from the seed's stream.

        Options, all optional: `start_row` (begin at this tradable row), `initial_capital`, `stagger` (a random
        shorter length, so that lanes which start together do not end together), `span_ms` (start, stop; None for all:
        this and later episodes keep to those dates, as a curriculum or a walk forward asks). Raises InputError for
        others.
        """
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self._starter.seed(int(self.np_random.integers(2**63)))
            self._seeded = True
        self._starter.start(np.ones(1, dtype=bool), options)
        observations = np.empty((1, self._columns), dtype=np.float32)
        self._batch.step(self._orders, observations)
        self._running = True
        state = self._batch.state
        if self.render_mode is not None:
            self._trace = EpisodeTrace(int(state.clock[FIRST_ROW, 0]))
            self._trace.add(state.account)
        info = {
            "symbol": self.market.symbol,
            "start_time_ms": int(self.market.open_time_ms[state.clock[FIRST_ROW, 0]]),
            "initial_capital": float(state.account[INITIAL, 0]),
        }
        return observations[0], info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One bar. Raises InputError for an action outside the space, ResetNeeded when no episode is running."""
        if not self._running:
            raise gym.error.ResetNeeded("the episode has ended: call reset() before step()")
        observation = _empty(self._columns, _FLOAT32)
        ended = self._move(self._decode(action), observation)
        reward = self._reward[0]
        if self._trace is not None:
            self._trace.add(self._batch.state.account)
        if not ended:
            return observation, reward, False, False, {}
        state = self._batch.state
        self._running = False
        terminated, truncated = (bool(state.clock[flag, 0]) for flag in (TERMINATED, TRUNCATED))
        statistics = episode_statistics(state, self.market.interval_ms, np.ones(1, dtype=bool))
        info = {"account": {name: values.item() for name, values in statistics.items()}}
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Which actions can do anything now, bool: (3,) flat, long, short for discrete actions; for multi_discrete the
        same with all brackets (3 + n_tp + n_sl,). Continuous actions have no mask: InputError.
        """
        return action_masks(self._batch, self.config)[0]

    def render(self) -> Any:
        """The episode so far as uint8 (600, 1000, 3); None without a render mode."""
        if self._trace is None:
            return None
        return episode_image(self.market, self._trace, self._exits())

    def save_picture(self, path: str | os.PathLike) -> None:
        """Write the episode so far as PNG. Raises InputError when the env was made without a render mode."""
        if self._trace is None:
            raise InputError("nothing was recorded", where="save_picture", remedy='make the env with "rgb_array"')
        save_episode(Path(path), self.market, self._trace, self._exits())

    def _exits(self) -> np.ndarray:
        state = self._batch.state
        return state.trades[0, : state.clock[TRADES, 0]]
