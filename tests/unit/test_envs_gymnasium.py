"""The environments as Gymnasium citizens: checker, registry, seeds, episodes, autoreset, infos."""

import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from envs.observation import observation_columns
from envs.registration import ENV_ID, register
from envs.vector_env import ScalpingVectorEnv
from tests.market_tools import SPOT, build_market, plain, random_market

MODES = ("discrete", "multi_discrete", "continuous")
SHORT = MarketConfig(episode_bars=40, min_episode_bars=15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("holes", [False, True])
def test_check_env_has_nothing_to_say(mode: str, holes: bool) -> None:
    market = random_market(1, 600, holes=holes)
    config = MarketConfig(action_mode=mode, episode_bars=100, min_episode_bars=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(f"envs.registration:{ENV_ID}", market=market, config=config)
        check_env(env.unwrapped)


def test_registry_offers_both_forms(tmp_path) -> None:
    folder = random_market(1, 600).save(tmp_path / "market")
    register()  # twice is once
    env = gym.make(f"envs.registration:{ENV_ID}", market=folder, config=SHORT)
    assert isinstance(env.unwrapped, ScalpingEnv)
    vector = gym.make_vec(f"envs.registration:{ENV_ID}", num_envs=3, market=folder, config=SHORT)
    assert isinstance(vector, ScalpingVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert vector.observation_space.shape == (3, *vector.single_observation_space.shape)
    observations, _ = vector.reset(seed=0)
    assert observations in vector.observation_space


def test_no_market_means_the_demo_market() -> None:
    env = gym.make(f"envs.registration:{ENV_ID}")
    assert env.unwrapped.market.symbol.startswith("SYN")
    vector = gym.make_vec(f"envs.registration:{ENV_ID}", num_envs=2)
    env.reset(seed=0)
    vector.reset(seed=0)
    np.testing.assert_array_equal(env.step(1)[0], vector.step(np.ones(2, dtype=int))[0][0])


def test_gymnasium_wrappers_work() -> None:
    env = gym.make(f"envs.registration:{ENV_ID}", market=random_market(1, 600), config=SHORT)
    env = gym.wrappers.NormalizeReward(gym.wrappers.FrameStackObservation(gym.wrappers.TimeLimit(env, 10), 4))
    env.reset(seed=0)
    for _ in range(10):
        observation, _, _, truncated, _ = env.step(1)
    assert truncated
    assert observation.shape[0] == 4


def test_every_observation_is_in_the_space_and_finite() -> None:
    config = MarketConfig(leverage=20.0, stop_out_fraction=0.05, episode_bars=200, min_episode_bars=20)
    env = ScalpingVectorEnv(16, random_market(5, 2_000), config)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(600):
        observations, rewards, *_ = env.step(env.action_space.sample())
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()
    assert observations in env.observation_space


def test_a_position_that_cannot_leave_stays_in_the_space() -> None:
    """Entered in the second bar, timed out at the next, and then nobody trades: it is held many times its life."""
    bars = np.tile([1000.0, 1001.0, 999.0, 1000.0], (40, 1))
    market = build_market(bars, volume=np.where(np.arange(40) < 2, 1e9, 0.0))
    config = replace(SHORT.without_barriers(), ttl_bars=1.0, episode_bars=30)
    env = ScalpingEnv(market, config)
    env.reset(options={"start_row": 0})
    for _ in range(30):
        observation = env.step(1)[0]
        assert observation in env.observation_space
    values = dict(zip(observation_columns(market), observation.tolist(), strict=True))
    assert (values["account_side"], values["account_held"]) == (1.0, 10.0)


def test_seed_fixes_everything_and_seeds_differ() -> None:
    env = ScalpingVectorEnv(
        8, random_market(1, 2_000), MarketConfig(initial_capital=(100.0, 1e5), episode_bars=30, min_episode_bars=20)
    )
    first, about = env.reset(seed=4)
    env.step(np.ones(8, dtype=int))
    again, same = env.reset(seed=4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(about["start_time_ms"], same["start_time_ms"])
    _, other = env.reset(seed=5)
    assert (other["start_time_ms"] != about["start_time_ms"]).sum() > 4
    _, later = env.reset()  # no seed: the streams run on
    assert (later["start_time_ms"] != other["start_time_ms"]).sum() > 4
    assert len(set(about["initial_capital"])) == 8


def test_starts_are_uniform_over_the_rows_that_fit() -> None:
    market = random_market(2, 500, holes=False)
    env = ScalpingVectorEnv(
        4_000, market, MarketConfig(episode_bars=99, min_episode_bars=20, initial_capital=(100.0, 1e5))
    )
    _, about = env.reset(seed=0)
    rows = np.searchsorted(market.open_time_ms, about["start_time_ms"])
    assert rows.min() >= 0
    assert rows.max() <= 499 - 99
    counts, _ = np.histogram(rows, bins=8, range=(0, 401))
    assert abs(counts - 500).max() < 5 * np.sqrt(500)
    decades, _ = np.histogram(np.log10(about["initial_capital"]), bins=3, range=(2, 5))
    assert abs(decades - 4_000 / 3).max() < 5 * np.sqrt(4_000 / 3)


def test_episodes_cross_no_gap_and_keep_their_length() -> None:
    market = random_market(3, 3_000)
    env = ScalpingVectorEnv(32, market, SHORT)
    known = {row.tobytes(): index for index, row in enumerate(market.observations)}
    observations, _ = env.reset(seed=1)
    rows = np.array([known[row[: len(market.columns)].tobytes()] for row in observations])
    ended, length, lengths = np.zeros(32, bool), np.zeros(32, int), []
    for _ in range(400):
        observations, _, terminated, truncated, _ = env.step(np.ones(32, dtype=int))
        now = np.array([known[row[: len(market.columns)].tobytes()] for row in observations])
        moved = ~ended
        assert (now[moved] == rows[moved] + 1).all()
        assert market.tradable[rows[moved]].all()  # so every step was decided on a complete row before no gap
        length = np.where(moved, length + 1, 0)
        ended = terminated | truncated
        lengths += length[truncated].tolist()
        rows = now
    assert set(lengths) <= set(range(15, 41))
    assert 40 in lengths
    assert min(lengths) < 40  # stretches between gaps that are shorter than an episode are used too


def test_autoreset_is_next_step() -> None:
    env = ScalpingVectorEnv(2, random_market(1, 600, holes=False), SHORT.without_barriers())
    env.reset(seed=0)
    for _ in range(40):
        _, _, terminated, truncated, infos = env.step(np.array([1, 2]))
    assert truncated.all()
    assert not terminated.any()
    assert infos["_account"].all()
    first, rewards, terminated, truncated, infos = env.step(np.array([1, 2]))
    assert (rewards == 0).all()
    assert not (terminated | truncated).any()
    assert infos == {}
    side = observation_columns(env.markets[0]).index("account_side")
    assert (first[:, side] == 0).all()  # the action was ignored: nothing is entered ...
    second = env.step(np.array([1, 2]))[0]
    assert second[:, side].tolist() == [1, -1]  # ... before the step after it


def test_truncation_leaves_the_position_open() -> None:
    market = random_market(1, 100, holes=False)
    config = MarketConfig(episode_bars=20, min_episode_bars=5).without_barriers()
    env = ScalpingEnv(market, config)
    env.reset(options={"start_row": 0})
    for _ in range(20):
        observation, _, terminated, truncated, info = env.step(1)
    assert truncated
    assert not terminated
    assert observation[observation_columns(market).index("account_side")] == 1
    assert info["account"]["trades"] == 0
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_ruin_terminates_and_closes() -> None:
    bars = np.tile([1000.0, 1001.0, 999.0, 1000.0], (40, 1))
    bars[10:] /= 8
    env = ScalpingEnv(build_market(bars), MarketConfig(episode_bars=30, min_episode_bars=5).without_barriers())
    env.reset(options={"start_row": 0})
    for _ in range(9):
        assert not env.step(1)[2]
    observation, reward, terminated, truncated, info = env.step(1)
    assert terminated
    assert not truncated
    assert info["account"]["trades"] == 1
    assert info["account"]["equity"] < 0.2 * 10_000
    assert reward == pytest.approx(100 * np.log(info["account"]["equity"] / (10_000 - 10_000 * 0.00054)), rel=1e-2)
    assert observation[-9] == 0


def test_sequential_episodes_cover_every_window_in_order() -> None:
    market = random_market(4, 1_000)
    config = MarketConfig(episode_bars=50, min_episode_bars=10, episode_start="sequential")
    env = ScalpingEnv(market, config)
    starts = [env.reset(seed=0 if k == 0 else None)[1]["start_time_ms"] for k in range(60)]
    windows = starts[: starts.index(starts[0], 1)]
    assert windows == sorted(windows)
    rows = np.searchsorted(market.open_time_ms, windows)
    assert (np.diff(rows) >= 10).all()
    vector = ScalpingVectorEnv(4, market, config)
    _, first = vector.reset(seed=0)
    _, second = vector.reset()
    assert [*first["start_time_ms"], *second["start_time_ms"]] == windows[:8]


def test_stagger_spreads_the_ends() -> None:
    env = ScalpingVectorEnv(64, random_market(1, 2_000, holes=False), SHORT)
    env.reset(seed=0, options={"stagger": True})
    ends = np.array([env.step(np.zeros(64, dtype=int))[3].sum() for _ in range(200)])
    assert ends[:40].max() < 20
    assert (ends[:40] > 0).sum() > 20
    assert ends[60:].sum() == pytest.approx(
        140 * 64 / 41, rel=0.1
    )  # later episodes have full length (and a reset step)


def test_reset_options() -> None:
    market = random_market(1, 600)
    env = ScalpingEnv(market, SHORT)
    row = int(np.flatnonzero(market.tradable)[30])
    observation, info = env.reset(options={"start_row": row, "initial_capital": 123.0})
    assert info == {"symbol": "TEST", "start_time_ms": market.open_time_ms[row], "initial_capital": 123.0}
    np.testing.assert_array_equal(observation[:3], market.observations[row])
    for options, said in (
        ({"start_row": 0}, "start_row 0 cannot be traded"),
        ({"start_row": 10_000}, "start_row 10000 cannot be traded"),
        ({"start_row": -1}, "start_row -1 cannot be traded"),
        ({"initial_capital": 0.0}, "initial_capital 0.0 is not positive"),
        ({"start": 3}, "unknown option 'start'"),
    ):
        with pytest.raises(InputError, match=said):
            env.reset(options=options)


def test_episode_statistics_tell_what_happened() -> None:
    market = random_market(9, 400, holes=False)
    config = plain(episode_bars=300, initial_capital=5_000.0, stop_out_fraction=0.01)
    env = ScalpingEnv(market, config)
    env.reset(options={"start_row": 0})
    actions = np.repeat(np.random.default_rng(0).integers(0, 3, 60), 5)
    rewards = []
    for action in actions:
        _, reward, _, truncated, info = env.step(action)
        rewards.append(reward)
    assert truncated
    said = info["account"]
    logs = np.array(rewards) / 100
    equity = 5_000 * np.exp(np.cumsum(logs))
    peak = np.maximum.accumulate(np.concatenate([[5_000], equity]))[1:]
    assert said["bars"] == 300
    assert said["equity"] == pytest.approx(equity[-1], rel=1e-9)
    assert said["return_log"] == pytest.approx(logs.sum(), abs=1e-12)
    assert said["max_drawdown"] == pytest.approx((1 - equity / peak).max(), rel=1e-9)
    assert said["sharpe"] == pytest.approx(logs.mean() / logs.std() * np.sqrt(365 * 1440), rel=1e-9)
    assert said["trades_per_day"] == pytest.approx(said["trades"] * 1440 / 300)
    assert 0 < said["win_rate"] < 1
    parts = [said[name] for name in ("fees", "spread_cost", "impact_cost")]
    assert min(parts[:2]) > 0
    assert said["funding"] == 0
    assert said["costs"] == pytest.approx(sum(parts))


def test_account_columns_by_hand() -> None:
    """Entry at 1000 (no spread), levels 1003 and 998, two bars held, close 1001."""
    bars = [(1000, 1000, 1000, 1000), (1000, 1001, 999, 1000), (1000, 1002, 999, 1001), (1001, 1001, 1001, 1001)]
    env = ScalpingEnv(build_market(np.array(bars)), plain(half_spread_bps=0.0, episode_bars=3, min_episode_bars=2))
    env.reset(options={"start_row": 0, "initial_capital": 1_000.0})
    env.step(1)
    observation = env.step(1)[0]
    values = dict(zip(observation_columns(env.market), observation.tolist(), strict=True))
    equity = 1_000 - 0.99 * 1_000 * 5e-4 + 0.99 * 1.0
    assert values == pytest.approx(
        {
            "x0": 0.0,
            "account_side": 1.0,
            "account_exposure": 0.99 * 1_001 / equity,
            "account_unrealised": 0.5,
            "account_to_take_profit": 1.0,
            "account_to_stop": 1.5,
            "account_held": 2 / 60,
            "account_log_return": np.log(equity / 1_000),
            "account_drawdown": 0.0,
            "account_capital": (np.log10(equity) - 3.5) / 1.5,
            "account_resting": 0.0,
            "account_restricted": 0.0,
        },
        abs=1e-6,
    )


def test_spot_takes_shorts_for_flat() -> None:
    env = ScalpingEnv(random_market(1, 300, instrument=SPOT), SHORT)
    env.reset(seed=0)
    for _ in range(30):
        observation, reward, *_ = env.step(2)
        assert reward == 0
        assert observation[3] == 0


def test_what_cannot_be_an_env_says_so() -> None:
    with pytest.raises(InputError, match="longest stretch of tradable rows has 19 bars, an episode needs 60"):
        ScalpingEnv(random_market(1, 20, holes=False), MarketConfig())
    with pytest.raises(InputError, match="leverage 3 on a spot instrument"):
        ScalpingEnv(random_market(1, 300, instrument=SPOT), MarketConfig(leverage=3.0))
    wide, narrow = random_market(1, 300, columns=4), random_market(1, 300)
    with pytest.raises(InputError, match="columns of TEST and TEST differ"):
        ScalpingVectorEnv(4, [wide, narrow], SHORT)
    with pytest.raises(InputError, match="2 markets for 1 lanes"):
        ScalpingVectorEnv(1, [narrow, narrow], SHORT)
    env = ScalpingEnv(narrow, SHORT)
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"action \[3\] is outside the discrete action space"):
        env.step(3)
