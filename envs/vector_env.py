"""`ScalpingVectorEnv`: many accounts stepped together, each in an episode of its own."""

import copy
import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from data_pipeline.errors import InputError
from envs.actions import ORDER_WIDTH, ActionDecoder, action_space
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.demo import demo_market
from envs.episodes import EpisodeStarter, StatisticsTables
from envs.lanes import FIRST_ROW, INITIAL
from envs.market import Market, MarketSource, open_market
from envs.masks import action_masks
from envs.observation import observation_columns, observation_space


class Block:
    """The lanes of one market: every M-th lane of the env, as a slice."""

    def __init__(
        self, open_batch: type[LaneBatch], market: Market, config: MarketConfig, lanes: slice, num_envs: int, width: int
    ) -> None:
        numbers = np.arange(num_envs)[lanes]
        self.lanes: slice | np.ndarray = lanes
        self.batch = open_batch(market, config, len(numbers))
        self.starter = EpisodeStarter(market, config, self.batch.state, numbers)
        self.orders = np.zeros((len(numbers), ORDER_WIDTH))
        self.observations = np.zeros((len(numbers), width), dtype=np.float32)
        self.statistics = StatisticsTables()
        self.ended = 0
        self.look()

    def look(self) -> None:
        """Keep views of the batch's results: looking them up costs as much as copying them."""
        self.rewards, self.terminated, self.truncated = self.batch.rewards, self.batch.terminated, self.batch.truncated

    def restart_ended(self) -> None:
        if self.ended:
            self.starter.restart()


class ScalpingVectorEnv(VectorEnv):
    """N lanes over one or more markets; lane i trades market i mod M. Autoreset is NEXT_STEP.

    The step after an episode's last ignores the lane's action, returns the first observation of its next episode,
    reward 0 and neither flag. Spaces, options and infos are those of `ScalpingEnv`, batched; docs/fills.md lists them.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # noqa: RUF012
    batch_type = LaneBatch

    def __init__(
        self,
        num_envs: int,
        market: MarketSource | Sequence[MarketSource] | None = None,
        config: MarketConfig | None = None,
    ) -> None:
        """`market` is one Market or saved folder, several of them, or None for `envs.demo.demo_market()`.

        Raises InputError when markets do not share their observation columns, or there are more of them than lanes.
        """
        self.config = config or MarketConfig()
        if market is None:
            self.markets: tuple[Market, ...] = (demo_market(),)
        else:
            sources = [market] if isinstance(market, Market | str | os.PathLike) else market
            self.markets = tuple(open_market(source) for source in sources)
        count = len(self.markets)
        if not 1 <= count <= num_envs:
            raise InputError(f"{count} markets for {num_envs} lanes", where="vector env", remedy="use a lane for each")
        for other in self.markets[1:]:
            if other.columns != self.markets[0].columns:
                raise InputError(
                    f"columns of {other.symbol} and {self.markets[0].symbol} differ",
                    where="vector env",
                    remedy="build both markets with the same features and predictions",
                )
        self.num_envs = num_envs
        self.single_observation_space = observation_space(self.markets[0])
        self.single_action_space = action_space(self.config)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._decoder = ActionDecoder(self.config)
        self._orders = np.zeros((num_envs, ORDER_WIDTH))
        self._shape = (num_envs, len(observation_columns(self.markets[0])))
        self._seeded = False
        self._blocks = [
            Block(self.batch_type, item, self.config, slice(m, None, count), num_envs, self._shape[1])
            for m, item in enumerate(self.markets)
        ]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every lane; see `ScalpingEnv.reset` for seed and options."""
        super().reset(seed=seed)
        # Without a seed the streams run on; only the very first reset must have a key.
        key = int(self.np_random.integers(2**63)) if seed is not None or not self._seeded else None
        self._seeded = True
        observations = np.empty(self._shape, dtype=np.float32)
        starts = np.empty(self.num_envs, dtype=np.int64)
        capital = np.empty(self.num_envs)
        self._seed_lanes(key)
        for block in self._blocks:
            block.starter.start(np.ones(len(block.orders), dtype=bool), options)
            block.ended = block.batch.step(block.orders, block.observations)
            observations[block.lanes] = block.observations
            times = block.batch.market.open_time_ms
            starts[block.lanes] = times[block.batch.state.count(FIRST_ROW)]
            capital[block.lanes] = block.batch.state.money(INITIAL)
        return observations, {"start_time_ms": starts, "initial_capital": capital}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Observations float32 (N, D), rewards float64 (N,), terminated and truncated bool (N,): all fresh arrays."""
        count = self.num_envs
        observations = np.empty(self._shape, dtype=np.float32)
        rewards = np.empty(count)
        terminated, truncated = np.empty(count, dtype=bool), np.empty(count, dtype=bool)
        infos = self.step_into(actions, observations, rewards, terminated, truncated)
        return observations, rewards, terminated, truncated, infos

    def step_into(
        self,
        actions: np.ndarray,
        observations: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> dict[str, Any]:
        """`step`, written into the caller's arrays; returns the infos.

        observations float32 (N, D) of any strides (C-contiguous is fastest), rewards any float (N,), flags bool (N,).
        """
        if not self._seeded:
            raise gym.error.ResetNeeded("call reset() before step()")
        orders = self._orders
        self._decoder.decode(self._decoder.as_batch(actions, self.num_envs), orders)
        # Compiled code trusts shapes; whatever does not fit exactly goes through numpy, which checks them.
        direct = len(self._blocks) == 1 and observations.flags.c_contiguous
        direct = direct and observations.shape == self._shape and observations.dtype == np.float32
        for block in self._blocks:
            block.restart_ended()
            if direct:
                block.ended = block.batch.step(orders, observations)
            else:
                block.orders[:] = orders[block.lanes]
                block.ended = block.batch.step(block.orders, block.observations)
                observations[block.lanes] = block.observations
            rewards[block.lanes] = block.rewards
            terminated[block.lanes] = block.terminated if block.ended else False
            truncated[block.lanes] = block.truncated if block.ended else False
        if any(block.ended for block in self._blocks):
            return self._episode_infos(terminated | truncated)
        return {}

    def _seed_lanes(self, key: int | None) -> None:
        """Give the lanes' streams their first states by `key`; None lets them run on."""
        if key is not None:
            for block in self._blocks:
                block.starter.seed(key)

    def action_masks(self) -> np.ndarray:
        """bool (N, A): which actions can do anything, see `envs.masks.action_masks`."""
        masks = [action_masks(block.batch, self.config) for block in self._blocks]
        out = np.empty((self.num_envs, masks[0].shape[1]), dtype=np.bool_)
        for block, mask in zip(self._blocks, masks, strict=True):
            out[block.lanes] = mask
        return out

    def get_state(self) -> dict[str, Any]:
        """Copies of everything that the next step depends on besides the markets and the config."""
        return {
            "generator": self.np_random.bit_generator.state,
            "seeded": self._seeded,
            "blocks": [(copy.deepcopy(vars(block.batch.state)), block.ended) for block in self._blocks],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that an env with the same markets, config and lanes gave; InputError for another's."""
        shapes = [[array.shape for array in arrays.values()] for arrays, _ in state["blocks"]]
        own = [[array.shape for array in vars(block.batch.state).values()] for block in self._blocks]
        if shapes != own:
            raise InputError(
                "the saved state has other lanes or markets", where="vector env", remedy="build the env as it was saved"
            )
        self.np_random.bit_generator.state = state["generator"]
        self._seeded = state["seeded"]
        for block, (arrays, ended) in zip(self._blocks, state["blocks"], strict=True):
            for name, values in arrays.items():
                getattr(block.batch.state, name)[...] = values
            block.ended = ended

    def _episode_infos(self, ended: np.ndarray) -> dict[str, Any]:
        """The statistics of the lanes in bool `ended` (N,), zero elsewhere, under "account", and the mask."""
        account: dict[str, np.ndarray] = {}
        for block in self._blocks:
            told = block.statistics.tell(block.batch.state, block.batch.market.interval_ms, ended[block.lanes])
            if len(self._blocks) == 1:
                account = told
                continue
            for name, values in told.items():
                account.setdefault(name, np.empty(self.num_envs, dtype=values.dtype))[block.lanes] = values
        return {"account": account, "_account": ended}
