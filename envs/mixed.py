"""`MixedVectorEnv`: every episode of every lane in a market drawn anew, by weights that a curriculum may move."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.market import Market, MarketSource
from envs.streams import first_streams, next_randoms
from envs.vector_env import Block, ScalpingVectorEnv


class MixedVectorEnv(ScalpingVectorEnv):
    """N lanes over several markets; where `ScalpingVectorEnv` ties lane i to market i mod M, here each episode's market
    is drawn, with probability in proportion to its weight.

    A lane draws from its own stream, so what it meets depends on the seed, its number and the weights alone, not on how
    many lanes there are. All else is as in `ScalpingVectorEnv`: an episode lies in one market and crosses no gap.
    """

    def __init__(
        self,
        num_envs: int,
        markets: Sequence[MarketSource],
        config: MarketConfig | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        """`weights` (M,) are all alike by default. Raises InputError as `ScalpingVectorEnv`, for weights that are no
        probabilities, and for episodes in sequence, which leave nothing to draw."""
        super().__init__(num_envs, markets, config)
        if self.config.episode_start == "sequential":
            raise InputError("sequential episodes are not drawn", where="mixed env", remedy="use ScalpingVectorEnv")
        self._rooms = [
            _RoomyBlock(self.batch_type, market, self.config, num_envs, self._shape[1]) for market in self.markets
        ]
        self._blocks = list[Block](self._rooms)
        self.set_weights(np.ones(len(self.markets)) if weights is None else weights)

    @property
    def lane_markets(self) -> np.ndarray:
        """Which of `markets` each lane's episode is in: int64 (N,), fresh."""
        out = np.empty(self.num_envs, dtype=np.int64)
        for number, block in enumerate(self._rooms):
            out[block.lanes] = number
        return out

    def set_weights(self, weights: Sequence[float] | np.ndarray) -> None:
        """Draw by `weights` (M,) from each lane's next episode on. InputError for weights that are no probabilities."""
        given = np.array(weights, dtype=np.float64)
        if given.shape != (len(self.markets),) or not ((given >= 0).all() and 0 < given.sum() < np.inf):
            raise InputError(
                f"weights {weights} for {len(self.markets)} markets",
                where="mixed env",
                remedy="one for each, 0 or more",
            )
        self._bounds = np.cumsum(given / given.sum())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As `ScalpingVectorEnv.reset`, with one option more: `market_weights`, as `set_weights` takes them."""
        options = dict(options or {})
        if "market_weights" in options:
            self.set_weights(options.pop("market_weights"))
        return super().reset(seed=seed, options=options)

    def step_into(
        self,
        actions: np.ndarray,
        observations: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> dict[str, Any]:
        """As `ScalpingVectorEnv.step_into`; lanes whose episode has ended go where their next one is drawn."""
        if any(block.ended for block in self._rooms):
            self._redraw()
        return super().step_into(actions, observations, rewards, terminated, truncated)

    def get_state(self) -> dict[str, Any]:
        """As `ScalpingVectorEnv.get_state`, with where the lanes are and the weights."""
        lanes = [block.lanes.copy() for block in self._rooms]
        return {**super().get_state(), "lanes": lanes, "bounds": self._bounds.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """As `ScalpingVectorEnv.set_state`."""
        if sorted(np.concatenate(state["lanes"]).tolist()) != list(range(self.num_envs)):
            raise InputError(
                "the saved state has other lanes", where="mixed env", remedy="build the env as it was saved"
            )
        for block, lanes in zip(self._rooms, state["lanes"], strict=True):
            block.hold(lanes, np.zeros(len(lanes), dtype=np.uint64))
        super().set_state(state)
        self._bounds = state["bounds"].copy()

    def _seed_lanes(self, key: int | None) -> None:
        """Draw the first market of every lane."""
        streams = np.empty(self.num_envs, dtype=np.uint64)
        if key is not None:
            streams[:] = first_streams(key, np.arange(self.num_envs))
        else:
            for block in self._rooms:
                streams[block.lanes] = block.batch.state.streams
        drawn = self._draw(streams)
        for number, block in enumerate(self._rooms):
            lanes = np.flatnonzero(drawn == number)
            block.hold(lanes, streams[lanes])

    def _draw(self, streams: np.ndarray) -> np.ndarray:
        """The next market of each of the streams uint64 (K,), which advance: int64 (K,)."""
        drawn = np.searchsorted(self._bounds, next_randoms(streams), side="right")
        return np.minimum(drawn, np.flatnonzero(np.diff(self._bounds, prepend=0.0) > 0.0)[-1])

    def _redraw(self) -> None:
        """Begin the next episodes of the lanes whose last has ended, each in the market that it draws."""
        fresh = np.zeros(self.num_envs, dtype=bool)
        coming: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for number, block in enumerate(self._rooms):
            slots = np.flatnonzero(block.batch.ended)
            lanes, streams = block.lanes[slots], block.batch.state.streams[slots]
            drawn = self._draw(streams)
            fresh[lanes] = True
            stays = drawn == number
            block.batch.state.streams[slots[stays]] = streams[stays]
            coming.append((drawn[~stays], lanes[~stays], streams[~stays]))
            block.drop(slots[~stays])
        markets, lanes, streams = (np.concatenate(parts) for parts in zip(*coming, strict=True))
        for number, block in enumerate(self._rooms):
            here = markets == number
            block.add(lanes[here], streams[here])
            block.starter.start(fresh[block.lanes])
            block.ended = 0


class _RoomyBlock(Block):
    """The lanes that are in one market now, in no order, with room for all of them.

    A lane that runs keeps its state when another leaves; one that comes has nothing but its stream until its episode is
    started.
    """

    lanes: np.ndarray

    def __init__(
        self, open_batch: type[LaneBatch], market: Market, config: MarketConfig, num_envs: int, width: int
    ) -> None:
        super().__init__(open_batch, market, config, slice(0, num_envs), num_envs, width)
        self._room = (self.batch.state.streams, self.orders, self.observations)
        self.hold(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64))

    def hold(self, lanes: np.ndarray, streams: np.ndarray) -> None:
        """Hold these lanes and no others, none of them with an episode yet."""
        self.lanes = np.empty(0, dtype=np.int64)
        self.add(lanes, streams)

    def add(self, lanes: np.ndarray, streams: np.ndarray) -> None:
        """Take in lanes with their streams."""
        before = len(self.lanes)
        self._open(np.concatenate([self.lanes, lanes]))
        self.batch.state.streams[before:] = streams

    def drop(self, slots: np.ndarray) -> None:
        """Let the lanes in these slots, rising, go; the last ones move into their places."""
        kept = len(self.lanes) - len(slots)
        holes = slots[slots < kept]
        movers = np.setdiff1d(np.arange(kept, len(self.lanes)), slots)
        state = self.batch.state
        for array in (state.account, state.clock):
            array[:, holes] = array[:, movers]
        for array in (state.trades, state.streams, self.lanes):
            array[holes] = array[movers]
        self._open(self.lanes[:kept].copy())

    def _open(self, lanes: np.ndarray) -> None:
        """Let the arrays that are handed to the step be as long as there are lanes."""
        self.lanes = lanes
        streams, orders, observations = self._room
        self.batch.state.streams = streams[: len(lanes)]
        self.orders, self.observations = orders[: len(lanes)], observations[: len(lanes)]
        self.look()
