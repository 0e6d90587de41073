"""What actions mean, in one place: every action space is a way to write the same order row.

An order row is float64 (5,): [target, tp_bps, sl_bps, ttl_bars, limit_offset_bps]. `target` in [-1, 1] is the wanted
position: its sign is the side, its magnitude the fraction of equity × leverage. The same side as held keeps the
position and its bracket as they are, 0 closes it, the opposite side reverses it, at the next bar's open; NaN wants
whatever is held or rests. inf means no such barrier, and entry by market order.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from data_pipeline.errors import InputError
from envs.compiled import kernel
from envs.config import MarketConfig

ORDER_WIDTH = 5
_SIDES = (0.0, 1.0, -1.0)  # action codes 0 flat, 1 long, 2 short


def action_space(config: MarketConfig) -> spaces.Space:
    """The space of `config.action_mode`.

    discrete        Discrete(3): 0 flat, 1 long, 2 short, with the default bracket
    multi_discrete  MultiDiscrete([3, n_tp, n_sl]): the same codes and an index into each grid
    continuous      Box(-1, 1, (3,)): size with sign (flat inside the dead zone); tp and sl, each mapped linearly from
                    [-1, 1] onto [first, last] of its grid
    """
    if config.action_mode == "discrete":
        return spaces.Discrete(len(_SIDES))
    if config.action_mode == "multi_discrete":
        return spaces.MultiDiscrete([len(_SIDES), len(config.tp_grid_bps), len(config.sl_grid_bps)])
    return spaces.Box(-1.0, 1.0, (3,), dtype=np.float32)


class ActionDecoder:
    """Writes the order rows that a batch of actions stands for."""

    def __init__(self, config: MarketConfig) -> None:
        self.mode = config.action_mode
        self.continuous = self.mode == "continuous"
        self.width = 1 if self.mode == "discrete" else 3
        self.dtype = np.dtype(np.float32 if self.continuous else np.int64)
        if self.mode == "discrete":
            self._counts = np.array([len(_SIDES)])
            self._menu = _menu((config.default_tp_bps,), (config.default_sl_bps,), config)
        else:
            self._counts = np.array([len(_SIDES), len(config.tp_grid_bps), len(config.sl_grid_bps)])
            self._menu = _menu(config.tp_grid_bps, config.sl_grid_bps, config)
        ends = (config.tp_grid_bps[0], config.tp_grid_bps[-1], config.sl_grid_bps[0], config.sl_grid_bps[-1])
        self._ramp = np.array([config.dead_zone, *ends, config.ttl_bars, config.limit_offset_bps])
        self._action = np.zeros((1, self.width), dtype=self.dtype)
        ready = self._menu if self.mode == "discrete" else self._menu[:0]
        self._scratch = len(ready)
        self.menu = np.concatenate([ready, np.zeros((1, ORDER_WIDTH))])

    def decode(self, actions: np.ndarray, orders: np.ndarray) -> None:
        """Turn actions (N, width) of `dtype` into `orders` float64 (N, 5), in place.

        Raises InputError naming the first lane whose action is outside the space (NaN included).
        """
        if self.continuous:
            bad = decode_sizes(actions, self._ramp, orders)
        else:
            bad = decode_choices(actions, self._counts, self._menu, orders)
        if bad >= 0:
            raise InputError(
                f"action {actions[bad].tolist()} is outside the {self.mode} action space", where=f"lane {bad}"
            )

    def decode_one(self, action: Any) -> int:
        """The row of `menu` that holds the order of one lane's action, until the next call. Raises InputError as
        `decode`."""
        if type(action) is int and 0 <= action < self._scratch:
            return action  # a quarter of the time of the general way
        self._action[0] = action
        self.decode(self._action, self.menu[self._scratch :])
        return self._scratch

    def as_batch(self, actions: np.ndarray, lanes: int) -> np.ndarray:
        """Actions of a batch as a C-contiguous (lanes, width) array of `dtype`; raises InputError on another shape."""
        batch = np.ascontiguousarray(actions, dtype=self.dtype)
        if batch.size != lanes * self.width:
            raise InputError(
                f"actions have shape {batch.shape}, {lanes} lanes of {self.mode} actions need ({lanes}, {self.width})",
                where="step",
            )
        return batch.reshape(lanes, self.width)


def encode_sides(sides: np.ndarray, config: MarketConfig) -> np.ndarray:
    """Actions that want `sides` (N,) of {-1, 0, +1} at full size with the bracket nearest to the config's defaults.

    discrete -> int64 (N,), multi_discrete -> int64 (N, 3), continuous -> float32 (N, 3).
    """
    wanted = np.asarray(sides)
    codes = np.where(wanted > 0, 1, np.where(wanted < 0, 2, 0)).astype(np.int64)
    if config.action_mode == "discrete":
        return codes
    grids = ((config.tp_grid_bps, config.default_tp_bps), (config.sl_grid_bps, config.default_sl_bps))
    if config.action_mode == "multi_discrete":
        chosen = [int(np.argmin(np.abs(np.subtract(grid, default)))) for grid, default in grids]
        return np.stack([codes, *(np.full_like(codes, index) for index in chosen)], axis=1)
    actions = np.zeros((len(codes), 3), dtype=np.float32)
    actions[:, 0] = np.sign(wanted)
    for column, (grid, default) in enumerate(grids, start=1):
        span = grid[-1] - grid[0]
        actions[:, column] = np.clip(2.0 * (default - grid[0]) / span - 1.0, -1.0, 1.0) if span > 0 else 0.0
    return actions


def _menu(tp_bps: tuple[float, ...], sl_bps: tuple[float, ...], config: MarketConfig) -> np.ndarray:
    """Order rows of every choice, the last index varying fastest: float64 (3 × n_tp × n_sl, 5)."""
    ends = (config.ttl_bars, config.limit_offset_bps)
    rows = [(side, tp, sl, *ends) for side in _SIDES for tp in tp_bps for sl in sl_bps]
    return np.array(rows, dtype=np.float64)


@kernel
def decode_choices(actions: np.ndarray, counts: np.ndarray, menu: np.ndarray, orders: np.ndarray) -> int:
    """Look up int64 choices (N, k) in the menu; returns the first lane with a choice out of range, or -1."""
    for i in range(actions.shape[0]):
        index = np.uint64(actions[i, 0])  # a negative one lies above every count
        if index >= np.uint64(counts[0]):
            return i
        for k in range(1, counts.shape[0]):
            choice = np.uint64(actions[i, k])
            if choice >= np.uint64(counts[k]):
                return i
            index = index * np.uint64(counts[k]) + choice
        orders[i, 0], orders[i, 1], orders[i, 2] = menu[index, 0], menu[index, 1], menu[index, 2]
        orders[i, 3], orders[i, 4] = menu[index, 3], menu[index, 4]
    return -1


@kernel
def decode_sizes(actions: np.ndarray, ramp: np.ndarray, orders: np.ndarray) -> int:
    """Map float32 (N, 3) onto orders; `ramp`: dead zone, tp ends, sl ends, ttl, offset. Returns as `decode_choices`."""
    dead_zone, tp_low, tp_high, sl_low, sl_high = ramp[0], ramp[1], ramp[2], ramp[3], ramp[4]
    ttl, offset = ramp[5], ramp[6]
    for i in range(actions.shape[0]):
        for j in range(3):
            if not (actions[i, j] >= -1.0 and actions[i, j] <= 1.0):
                return i
        size = np.float64(actions[i, 0])
        orders[i, 0] = size if abs(size) > dead_zone else 0.0
        orders[i, 1] = tp_low + 0.5 * (np.float64(actions[i, 1]) + 1.0) * (tp_high - tp_low)
        orders[i, 2] = sl_low + 0.5 * (np.float64(actions[i, 2]) + 1.0) * (sl_high - sl_low)
        orders[i, 3] = ttl
        orders[i, 4] = offset
    return -1
