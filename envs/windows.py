"""The last W rows of a market as a policy sees them, without copying them and never across a gap.

Rows lie one after another in `Market.observations`, so a window is a slice of it. A learner of many lanes keeps row
numbers instead of windows, and gathers the windows of a minibatch when it needs them.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from data_pipeline.errors import InputError
from envs.compiled import kernel
from envs.env import ScalpingEnv
from envs.lanes import ROW
from envs.market import Market
from envs.observation import ACCOUNT_BOUND, ACCOUNT_COLUMNS, OBSERVATION_BOUND
from envs.vector_env import ScalpingVectorEnv


class MarketWindows:
    """Windows of `length` rows of one market. What lies before the first row of a contiguous stretch is not known: a
    window that reaches there is shorter, or padded with zeros at its beginning."""

    def __init__(self, market: Market, length: int) -> None:
        """Raises InputError for a length under 1."""
        if length < 1:
            raise InputError(f"a window of {length} rows", where="market windows", remedy="use 1 or more")
        self.market = market
        self.length = length
        self._begins = np.concatenate([[0], np.unique(market.segment_stop)])

    def known(self, rows: np.ndarray) -> np.ndarray:
        """How many rows each window holds: int64 (N,) in 1 ... length, for the windows that end with `rows` (N,)."""
        first = self._begins[np.searchsorted(self._begins, rows, side="right") - 1]
        return np.minimum(rows - first + 1, self.length)

    def view(self, row: int) -> np.ndarray:
        """The window that ends with `row`, as far as it is known: a read-only view float32 (1 ... length, C)."""
        return self.market.observations[row + 1 - int(self.known(np.array([row]))[0]) : row + 1]

    def padded(self, row: int) -> np.ndarray:
        """The same, always (length, C): a view, but for the first length - 1 rows of a stretch, where it is fresh."""
        known = self.view(row)
        if len(known) == self.length:
            return known
        out = np.zeros((self.length, known.shape[1]), dtype=known.dtype)
        out[self.length - len(known) :] = known
        return out

    def gather(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The windows that end with `rows` int64 (N,), zero-padded, written to `out` float32 (N, length, C) or a fresh
        array. Raises InputError for an `out` of another shape or type, and rows that the market does not have."""
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        shape = (len(rows), self.length, len(self.market.columns))
        if out is None:
            out = np.empty(shape, dtype=np.float32)
        if out.shape != shape or out.dtype != np.float32:
            raise InputError(f"out is {out.dtype} {out.shape}, not float32 {shape}", where="market windows")
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self.market)):
            raise InputError(f"rows are not all in [0, {len(self.market)})", where="market windows")
        _gather(self.market.observations, rows, self.known(rows), out)
        return out


@kernel
def _gather(observations: np.ndarray, rows: np.ndarray, known: np.ndarray, out: np.ndarray) -> None:
    length, columns = out.shape[1], out.shape[2]
    for i in range(rows.shape[0]):
        pad = length - known[i]
        for k in range(length):
            for c in range(columns):
                out[i, k, c] = observations[rows[i] + 1 - length + k, c] if k >= pad else np.float32(0.0)


def lane_rows(env: ScalpingVectorEnv) -> list[np.ndarray]:
    """Where the lanes of a vector env stand: for each of its markets (`env.markets`) the row, int64 (N_m,), at whose
    close each lane of that market is; fresh arrays.

    Row numbers stand for whole windows in a replay buffer: `MarketWindows(market, W).gather(rows)`.
    """
    return [block.batch.state.count(ROW).copy() for block in env._blocks]


class WindowObservation(gym.Wrapper):
    """A `ScalpingEnv` that shows the last `length` rows of the market beside the account.

    Observation: a dict of `window` float32 (length, C), oldest row first, and `account` float32 (A,). The window shares
    the market's memory and is read-only wherever it is whole; it reaches back before the episode's first row, for what
    the market did then is known, and never across a gap.
    """

    def __init__(self, env: gym.Env, length: int) -> None:
        """Raises InputError for an env that is no `ScalpingEnv`, and a length under 1."""
        super().__init__(env)
        core = env.unwrapped
        if not isinstance(core, ScalpingEnv):
            raise InputError(f"{type(core).__name__} has no market", where="window", remedy="wrap a ScalpingEnv")
        self._core = core
        self.windows = MarketWindows(core.market, length)
        columns = len(core.market.columns)
        self.observation_space = spaces.Dict(
            {
                "window": spaces.Box(-OBSERVATION_BOUND, OBSERVATION_BOUND, (length, columns), np.float32),
                "account": spaces.Box(-ACCOUNT_BOUND, ACCOUNT_BOUND, (len(ACCOUNT_COLUMNS),), np.float32),
            }
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict[str, Any]]:
        """As `ScalpingEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._look(observation), info

    def step(self, action: Any) -> tuple[dict, Any, bool, bool, dict[str, Any]]:
        """As `ScalpingEnv.step`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._look(observation), reward, terminated, truncated, info

    def _look(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        row = int(self._core._batch.state.clock[ROW, 0])
        return {"window": self.windows.padded(row), "account": observation[len(self.windows.market.columns) :]}
