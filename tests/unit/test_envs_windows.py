"""Windows of rows: the market's own memory, the same numbers as single rows, and nothing from beyond a gap."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from envs.market import Market
from envs.vector_env import ScalpingVectorEnv
from envs.windows import MarketWindows, WindowObservation, lane_rows
from tests.market_tools import build_market, random_bars

GAPS = (40, 43, 120)  # rows before which minutes are missing


def gapped(seed: int = 0, rows: int = 300) -> Market:
    rng = np.random.default_rng(seed)
    minutes = np.arange(rows) + np.sum(np.arange(rows)[:, None] >= np.array(GAPS), axis=1) * 7
    return build_market(random_bars(rng, rows), minutes=minutes, observations=rng.normal(size=(rows, 5)))


def by_hand(market: Market, row: int, length: int) -> np.ndarray:
    """(length, C): rows one by one, from the last backwards until something is missing."""
    out = np.zeros((length, len(market.columns)), dtype=np.float32)
    for back in range(length):
        out[length - 1 - back] = market.observations[row - back]
        if row - back == 0 or market.open_time_ms[row - back] - market.open_time_ms[row - back - 1] != 60_000:
            break
    return out


@pytest.mark.parametrize("length", [1, 2, 8, 64])
def test_a_window_is_the_rows_before_it_and_never_crosses_a_gap(length: int) -> None:
    market = gapped()
    windows = MarketWindows(market, length)
    rows = np.arange(len(market))
    wanted = np.stack([by_hand(market, row, length) for row in rows])
    np.testing.assert_array_equal(windows.gather(rows), wanted)
    out = np.full((len(rows), length, 5), np.nan, dtype=np.float32)
    assert windows.gather(rows, out) is out
    np.testing.assert_array_equal(out, wanted)
    whole = 0
    for row in rows.tolist():
        view, padded = windows.view(row), windows.padded(row)
        assert np.shares_memory(view, market.observations)
        assert not view.flags.writeable
        np.testing.assert_array_equal(view, wanted[row, length - len(view) :])
        np.testing.assert_array_equal(padded, wanted[row])
        assert np.shares_memory(padded, market.observations) == (len(view) == length)
        whole += len(view) == length
    lengths = np.diff([0, *GAPS, len(market)])
    assert whole == np.maximum(lengths - length + 1, 0).sum()


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
def test_the_wrapper_shows_windows_of_the_rows_that_the_env_shows() -> None:
    market = gapped(1)
    config = MarketConfig(episode_bars=50, min_episode_bars=20)
    plain, wrapped = ScalpingEnv(market, config), WindowObservation(ScalpingEnv(market, config), 8)
    check_env(wrapped, skip_render_check=True)
    rng = np.random.default_rng(0)
    shared = 0
    for seed in range(5):
        single, _ = plain.reset(seed=seed)
        seen, info = wrapped.reset(seed=seed)
        history, done = [single[:5]], False
        while not done:
            assert seen in wrapped.observation_space
            np.testing.assert_array_equal(seen["account"], single[5:])
            together = np.array(history[-8:])
            np.testing.assert_array_equal(seen["window"][-len(together) :], together)
            shared += np.shares_memory(seen["window"], market.observations)
            action = rng.integers(3)
            single, reward, _, done, _ = plain.step(action)
            seen, other, *_ = wrapped.step(action)
            assert other == reward
            history.append(single[:5])
    assert shared > 100
    assert info["symbol"] == market.symbol


def test_row_numbers_of_a_vector_env_stand_for_its_windows() -> None:
    markets = [gapped(2), gapped(3)]
    env = ScalpingVectorEnv(7, markets, MarketConfig(episode_bars=30, min_episode_bars=20))
    observations, _ = env.reset(seed=3)
    windows = [MarketWindows(market, 4) for market in markets]
    for step in range(80):  # episodes end, and begin anew, on the way
        for m, rows in enumerate(lane_rows(env)):
            last = windows[m].gather(rows)
            np.testing.assert_array_equal(last[:, -1], observations[m::2, :5])
            np.testing.assert_array_equal(last[0], by_hand(markets[m], rows[0], 4))
        observations = env.step(np.full(7, step % 3))[0]


def test_gymnasium_stacks_the_same_window() -> None:
    """FrameStack of single rows, by Gymnasium, once it has filled up."""
    market = gapped(4)
    config = MarketConfig(episode_bars=50, min_episode_bars=20)
    stacked = gym.wrappers.FrameStackObservation(ScalpingEnv(market, config), 6)
    wrapped = WindowObservation(ScalpingEnv(market, config), 6)
    stacked.reset(seed=1)
    wrapped.reset(seed=1)
    for step in range(15):
        rows, seen = stacked.step(step % 3)[0], wrapped.step(step % 3)[0]
        if step >= 5:
            np.testing.assert_array_equal(rows[:, :5], seen["window"])


def test_windows_that_cannot_be() -> None:
    windows = MarketWindows(gapped(), 3)
    with pytest.raises(InputError, match="a window of 0 rows"):
        MarketWindows(gapped(), 0)
    with pytest.raises(InputError, match="out is float64"):
        windows.gather(np.arange(3), np.zeros((3, 3, 5)))
    for rows in ([-1], [300]):
        with pytest.raises(InputError, match=r"rows are not all in \[0, 300\)"):
            windows.gather(np.array(rows))
    with pytest.raises(InputError, match="CartPoleEnv has no market"):
        WindowObservation(gym.make("CartPole-v1"), 3)
