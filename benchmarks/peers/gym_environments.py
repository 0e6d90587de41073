"""Steps a second of gym-trading-env and gym-anytrading; runs in the peers' environment.

Each function prepares an env once and keeps it: later calls step the same one. What favours the peer is chosen: no
rendering, no wrappers, endless episodes whose resets are not timed (both make an episode start dear).
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
from gym_anytrading.envs import StocksEnv
from gym_trading_env.environments import TradingEnv


@functools.cache
def _table(folder: str, bars: int) -> pd.DataFrame:
    """The benchmark's bars and features as gym-trading-env takes them."""
    prices = np.load(f"{folder}/prices.npy", mmap_mode="r")[:bars]
    features = np.load(f"{folder}/features.npy", mmap_mode="r")[:bars]
    frame = pd.DataFrame(np.array(features), columns=[f"feature_{k}" for k in range(features.shape[1])])
    frame.index = pd.date_range("2024-01-01", periods=len(frame), freq="min")
    for k, name in enumerate(("open", "high", "low", "close", "volume")):
        frame[name] = np.array(prices[:, k])
    return frame


def _trading_env(folder: str, bars: int, episode_bars: int | str) -> TradingEnv:
    return TradingEnv(
        df=_table(folder, bars),
        positions=[-1, 0, 1],
        trading_fees=5e-4,
        borrow_interest_rate=0.0,
        max_episode_duration=episode_bars,
        verbose=0,
    )


class _AnyTrading(StocksEnv):
    """gym-anytrading on given features, the way its documentation extends it."""

    def _process_data(self) -> tuple[np.ndarray, np.ndarray]:
        return self.df["close"].to_numpy(np.float32), self.df.iloc[:, :-5].to_numpy(np.float32)


def _any_trading(folder: str, bars: int, episode_bars: int | str) -> _AnyTrading:
    if episode_bars != "max":
        raise ValueError("gym-anytrading has no shorter episodes")
    return _AnyTrading(_table(folder, bars), window_size=1, frame_bound=(1, bars))


_PEERS: dict[str, tuple[Callable[..., gymnasium.Env], int]] = {
    "gym_trading_env": (_trading_env, 3),
    "gym_anytrading": (_any_trading, 2),
}


@functools.cache
def _prepared(peer: str, folder: str, bars: int, lanes: int, form: str, episode_bars: int | str) -> tuple[Any, Any]:
    """An env after its reset, and random actions."""
    make, choices = _PEERS[peer]
    one = functools.partial(make, folder, bars, episode_bars)
    rng = np.random.default_rng(1)
    if form == "single":
        return one(), rng.integers(0, choices, 4096).tolist()
    vector = gymnasium.vector.SyncVectorEnv if form == "sync" else gymnasium.vector.AsyncVectorEnv
    return vector([one] * lanes), rng.integers(0, choices, (4096, lanes))


def steps_per_s(
    peer: str, folder: str, bars: int, steps: int, form: str = "single", lanes: int = 1, episode_bars: int | str = "max"
) -> float:
    """Steps a second over `steps` calls. CPU time, but for "async", which works in other processes: wall time."""
    env, actions = _prepared(peer, folder, bars, lanes, form, episode_bars)
    clock = time.perf_counter if form == "async" else time.process_time
    if form != "single" or episode_bars == "max":
        env.reset(seed=0)
        start = clock()
        for step in range(steps):
            env.step(actions[step & 4095])
        return steps * lanes / (clock() - start)
    start = clock()
    env.reset(seed=0)
    for step in range(steps):
        _, _, over, cut, _ = env.step(actions[step & 4095])
        if over or cut:
            env.reset()
    return steps / (clock() - start)
