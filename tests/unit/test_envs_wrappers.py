"""What others put around the environments works unchanged: Gymnasium's checker and wrappers, Stable-Baselines3."""

import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import vector as vector_wrappers

from envs.config import MarketConfig, RewardMode, RiskLimits
from envs.env import ScalpingEnv
from envs.registration import ENV_ID
from envs.vector_env import ScalpingVectorEnv
from tests.market_tools import rich_market

MARKET = rich_market(1, 800, holes=False)
RISK = RiskLimits(daily_loss=0.03, losing_streak=4, volatility_multiple=6.0)
EVERYTHING = MarketConfig(
    episode_bars=60,
    min_episode_bars=20,
    initial_capital=(100.0, 1e5),
    trailing_bps=15.0,
    break_even_bps=8.0,
    limit_offset_bps=2.0,
    both_touched="target_first",
    fees_bps=(1.0, 4.0),
    risk=RISK,
)


def scalar(config: MarketConfig = EVERYTHING, **options: str) -> gym.Env:
    return gym.make(f"envs.registration:{ENV_ID}", market=MARKET, config=config, **options)


def batched(lanes: int = 4, config: MarketConfig = EVERYTHING) -> ScalpingVectorEnv:
    env = gym.make_vec(f"envs.registration:{ENV_ID}", num_envs=lanes, market=MARKET, config=config)
    assert isinstance(env, ScalpingVectorEnv)
    return env


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
@pytest.mark.parametrize("reward", ["differential_sharpe", "inventory"])
def test_check_env_is_silent_with_every_option_on(mode: str, reward: RewardMode) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(scalar(replace(EVERYTHING, action_mode=mode, reward=reward), render_mode="rgb_array").unwrapped)


def test_the_vector_env_keeps_gymnasium_s_promises() -> None:
    """What `check_env` asks of a scalar env, asked of the vector env, for which Gymnasium has no checker."""
    env = batched(6)
    assert isinstance(env, gym.vector.VectorEnv)
    assert env.observation_space == gym.vector.utils.batch_space(env.single_observation_space, 6)
    assert env.action_space == gym.vector.utils.batch_space(env.single_action_space, 6)
    assert isinstance(env.metadata["autoreset_mode"], gym.vector.AutoresetMode)
    for _ in range(2):  # the same seed twice, with the same actions, is the same episode
        observations, infos = env.reset(seed=7)
        env.action_space.seed(7)
        history = [observations]
        assert isinstance(infos, dict)
        for _ in range(100):
            observations, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
            assert observations in env.observation_space
            assert (rewards.shape, rewards.dtype) == ((6,), np.float64)
            assert terminated.dtype == truncated.dtype == bool
            assert not (terminated & truncated).any()
            history.append(observations)
        if "first" in locals():
            np.testing.assert_array_equal(first, history)  # noqa: F821 (bound in the first round)
        first = np.array(history)
    env.close()


def test_episode_statistics_of_gymnasium_and_ours_stand_side_by_side() -> None:
    env = gym.wrappers.RecordEpisodeStatistics(scalar())
    env.reset(seed=0)
    total, ended = 0.0, False
    while not ended:
        _, reward, terminated, truncated, info = env.step(1)
        total += reward
        ended = terminated or truncated
    assert info["episode"]["r"] == pytest.approx(total)
    assert info["episode"]["l"] == info["account"]["bars"]
    assert info["account"]["return_log"] * 100 == pytest.approx(total)


def test_the_same_in_the_vector_env() -> None:
    env = vector_wrappers.RecordEpisodeStatistics(batched())
    env.reset(seed=0)
    told = 0
    for _ in range(130):
        _, _, terminated, truncated, infos = env.step(np.ones(4, dtype=int))
        ended = terminated | truncated
        if ended.any():
            np.testing.assert_array_equal(infos["_episode"], ended)
            np.testing.assert_array_equal(infos["_account"], ended)
            returns = infos["account"]["return_log"] * 100
            np.testing.assert_allclose(infos["episode"]["r"][ended], returns[ended], atol=1e-9)
            np.testing.assert_array_equal(infos["episode"]["l"][ended], infos["account"]["bars"][ended])
            told += ended.sum()
    assert told >= 4


def test_scalar_wrappers() -> None:
    env = gym.wrappers.TimeLimit(scalar(), 10)
    env = gym.wrappers.FrameStackObservation(env, 4)
    env = gym.wrappers.NormalizeObservation(gym.wrappers.NormalizeReward(env))
    first, _ = env.reset(seed=0)
    assert first.shape == (4, *scalar().observation_space.shape)
    flags = [env.step(1)[2:4] for _ in range(10)]
    assert flags[-1] == (False, True)
    assert not any(over for over, _ in flags)
    again, _ = env.reset()
    assert np.isfinite(again).all()


def test_vector_wrappers() -> None:
    env = vector_wrappers.NormalizeObservation(vector_wrappers.NormalizeReward(batched()))
    env.reset(seed=0)
    for _ in range(70):
        observations, rewards, *_ = env.step(np.ones(4, dtype=int))
    assert np.isfinite(observations).all()
    assert np.isfinite(rewards).all()


def test_gymnasium_s_own_vector_env_runs_scalar_ones() -> None:
    env = gym.vector.SyncVectorEnv([scalar] * 3)
    env.reset(seed=[3, 4, 5])
    for _ in range(65):
        _, _, _, truncated, infos = env.step(np.ones(3, dtype=int))
        if truncated.any():
            assert set(infos["account"]) >= {"equity", "trades", "costs"}
            break
    else:
        pytest.fail("no episode ended")


def test_record_video_frames_are_pictures() -> None:
    env = scalar(render_mode="rgb_array")
    env.reset(seed=0)
    env.step(1)
    assert env.render().shape == (600, 1000, 3)
    assert scalar().unwrapped.render() is None


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
def test_stable_baselines3_checks_and_trains_it_unchanged(mode: str) -> None:
    """PPO with default wrappers on the scalar env: SB3 puts its Monitor and DummyVecEnv around it by itself."""
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_checker import check_env as check_for_sb3

    config = replace(EVERYTHING, action_mode=mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_for_sb3(ScalpingEnv(MARKET, config))
    model = sb3.PPO(
        "MlpPolicy", ScalpingEnv(MARKET, config), n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu"
    )
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(192)
    assert any((old != new).any() for old, new in zip(before, model.policy.parameters(), strict=True))
    assert len(model.ep_info_buffer) >= 3
    env = model.get_env()
    action, _ = model.predict(env.reset(), deterministic=True)
    assert np.isfinite(env.step(action)[1]).all()


def test_stable_baselines3_trains_over_its_own_vector_env() -> None:
    """Several unmonitored lanes in a DummyVecEnv: an `episode` of ours without its keys would break its log."""
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    def make(lane: int) -> ScalpingEnv:
        env = ScalpingEnv(MARKET, EVERYTHING)
        env.reset(seed=lane)
        return env

    lanes = VecNormalize(DummyVecEnv([lambda lane=lane: make(lane) for lane in range(3)]))
    model = sb3.PPO("MlpPolicy", lanes, n_steps=70, batch_size=70, n_epochs=1, seed=0, device="cpu")
    model.learn(420)
    assert model.num_timesteps == 420


def test_masks_answer_through_the_wrappers() -> None:
    """The name and shape that maskable learners look for."""
    env = gym.wrappers.TimeLimit(scalar(), 10)
    env.reset(seed=0)
    assert env.get_wrapper_attr("action_masks")().shape == (3,)
    assert batched(5).unwrapped.single_action_space.n == 3
