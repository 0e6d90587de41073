"""Lanes whose episodes are drawn over several markets: by weights, by seed, each lane by itself."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from envs.market import Market
from envs.mixed import MixedVectorEnv
from envs.streams import first_streams, next_random, next_randoms
from envs.vector_env import ScalpingVectorEnv
from envs.windows import lane_rows
from tests.market_tools import build_market, random_bars

CONFIG = MarketConfig(episode_bars=25, min_episode_bars=10, initial_capital=(100.0, 100_000.0))


def markets(count: int = 3) -> list[Market]:
    """Markets of different prices, ticks, fees and gaps; the observation names the market and the row."""
    made = []
    for k in range(count):
        rng = np.random.default_rng(k)
        rows = 150 + 10 * k
        minutes = np.arange(rows) + 5 * (np.arange(rows) >= 60 + k)
        told = np.stack([np.full(rows, float(k)), np.arange(rows)], axis=1)
        instrument = Instrument(f"S{k}", 0.1, 0.001, 1.0, 1.0 + k, 4.0 + k)
        made.append(build_market(random_bars(rng, rows), minutes=minutes, observations=told, instrument=instrument))
    return made


def play(env: ScalpingVectorEnv, steps: int, seed: int, lanes: int) -> list[np.ndarray]:
    """Everything that `lanes` lanes see and get; their actions do not depend on how many there are."""
    choices = np.random.default_rng(99).integers(0, 3, size=(steps, 64))
    seen = [env.reset(seed=seed)[0][:lanes]]
    for step in range(steps):
        observations, rewards, terminated, truncated, _ = env.step(choices[step, : env.num_envs])
        seen.append(np.column_stack([observations, rewards, terminated, truncated])[:lanes])
    return seen


def test_a_lane_depends_on_its_number_and_the_seed_alone() -> None:
    few = play(MixedVectorEnv(4, markets(), CONFIG), 200, 7, 4)
    many = play(MixedVectorEnv(40, markets(), CONFIG), 200, 7, 4)
    other = play(MixedVectorEnv(4, markets(), CONFIG), 200, 8, 4)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(few, other, strict=True))


@dataclass
class Episode:
    """What one lane saw, did and earned in one episode."""

    market: int
    seen: list[np.ndarray]
    did: list[int] = field(default_factory=list)
    earned: list[float] = field(default_factory=list)


def test_every_episode_is_that_of_a_single_env_in_its_market() -> None:
    env = MixedVectorEnv(6, markets(), replace(CONFIG, initial_capital=5_000.0))
    rng = np.random.default_rng(0)
    first, _ = env.reset(seed=2)
    running = [Episode(int(row[0]), [row]) for row in first]
    finished: list[Episode] = []
    ended = np.zeros(6, dtype=bool)
    for _ in range(150):
        actions = rng.integers(0, 3, size=6)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        for lane, row in enumerate(observations):
            if ended[lane]:  # this step only showed the next episode's first row
                finished.append(running[lane])
                running[lane] = Episode(int(row[0]), [row])
                assert env.lane_markets[lane] == row[0]
                continue
            episode = running[lane]
            episode.did.append(int(actions[lane]))
            episode.seen.append(row)
            episode.earned.append(rewards[lane])
        ended = terminated | truncated
    assert len(finished) > 25
    assert {episode.market for episode in finished} == {0, 1, 2}
    for episode in finished:
        alone = ScalpingEnv(env.markets[episode.market], env.config)
        options = {"start_row": int(episode.seen[0][1])}
        np.testing.assert_array_equal(alone.reset(options=options)[0], episode.seen[0])
        for action, row, reward in zip(episode.did, episode.seen[1:], episode.earned, strict=True):
            seen, earned, *_ = alone.step(action)
            np.testing.assert_array_equal(seen, row)
            assert earned == reward


def test_no_episode_crosses_a_gap_or_leaves_its_market() -> None:
    env = MixedVectorEnv(16, markets(), CONFIG)
    observations, _ = env.reset(seed=0)
    for _ in range(300):
        last, before = observations, env.lane_markets
        observations, *_ = env.step(np.ones(16, dtype=np.int64))
        same = env.lane_markets == before
        follows = observations[:, 1] == last[:, 1] + 1
        began = observations[:, -5] == 0.0  # no return yet
        assert (follows | began).all()
        assert (same | began).all()
        for k in range(3):
            here = (env.lane_markets == k) & follows & ~began
            times = env.markets[k].open_time_ms
            rows = observations[here, 1].astype(int)
            assert (times[rows] - times[rows - 1] == 60_000).all()


def test_markets_are_drawn_by_their_weights_and_the_curriculum_moves_them() -> None:
    env = MixedVectorEnv(300, markets(), CONFIG, weights=[1.0, 0.0, 3.0])
    env.reset(seed=1)
    counts = np.zeros(3)
    for _ in range(270):
        env.step(np.zeros(300, dtype=np.int64))
        counts += np.bincount(env.lane_markets, minlength=3)
    share = counts / counts.sum()
    assert share[1] == 0.0
    assert share[0] == pytest.approx(0.25, abs=0.05)
    env.set_weights([0.0, 1.0, 0.0])
    assert (env.lane_markets != 1).all()  # from the next episode on
    for _ in range(30):
        env.step(np.zeros(300, dtype=np.int64))
    assert (env.lane_markets == 1).all()
    env.reset(options={"market_weights": [1.0, 0.0, 0.0]})
    assert (env.lane_markets == 0).all()
    assert [len(rows) for rows in lane_rows(env)] == [300, 0, 0]


def test_a_saved_state_goes_on_as_it_would_have() -> None:
    env, other = MixedVectorEnv(9, markets(), CONFIG), MixedVectorEnv(9, markets(), CONFIG, weights=[1, 2, 3])
    env.reset(seed=5)
    actions = np.random.default_rng(3).integers(0, 3, size=(80, 9))
    for step in range(40):
        env.step(actions[step])
    saved = env.get_state()
    other.reset(seed=0)
    other.set_state(saved)
    for step in range(40, 80):
        for a, b in zip(env.step(actions[step])[:4], other.step(actions[step])[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    small = MixedVectorEnv(8, markets(), CONFIG)
    small.reset(seed=0)
    with pytest.raises(InputError, match="other lanes"):
        small.set_state(saved)


@pytest.mark.filterwarnings("ignore:overflow encountered in scalar")
def test_streams_of_numpy_are_those_of_the_kernel() -> None:
    streams = first_streams(11, np.arange(50))
    apart = streams.copy()
    for _ in range(5):
        drawn = next_randoms(streams)
        one_by_one = [next_random.py_func(apart, i) for i in range(50)]
        np.testing.assert_array_equal(drawn, one_by_one)
    np.testing.assert_array_equal(streams, apart)
    assert 0.3 < drawn.mean() < 0.7


@pytest.mark.parametrize("weights", [[1.0], [1, -1, 1], [0, 0, 0], [1, np.nan, 1]])
def test_weights_that_are_none(weights: list) -> None:
    with pytest.raises(InputError, match="for 3 markets"):
        MixedVectorEnv(4, markets(), CONFIG, weights=weights)


def test_episodes_in_sequence_leave_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="sequential episodes are not drawn"):
        MixedVectorEnv(4, markets(), MarketConfig(episode_start="sequential"))
