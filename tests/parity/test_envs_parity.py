"""One kernel, many doors: scalar env, vector env of any size, backtest and replay must agree bit for bit."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest

from envs.actions import ActionDecoder
from envs.backtest import Backtest
from envs.batch import LaneBatch
from envs.config import MarketConfig, RiskLimits
from envs.env import ScalpingEnv
from envs.kernel import open_lanes
from envs.lanes import TRADES, LaneState
from envs.market import Market
from envs.observation import observation_columns
from envs.plain import serves
from envs.vector_env import ScalpingVectorEnv
from features.vectors import PAYS
from tests.market_tools import random_market, rich_market

MODES = ("discrete", "multi_discrete", "continuous")
RISK = RiskLimits(daily_loss=0.05, drawdown=0.2, losing_streak=6, cool_down_bars=9, volatility_multiple=6.0)
RULES: dict[str, dict] = {
    "market orders": {},
    "limit orders": {"limit_offset_bps": 3.0, "limit_ttl_bars": 3.0, "both_touched": "target_first"},
    "breakers": {"risk": RISK, "trailing_bps": 15.0, "break_even_bps": 8.0, "latency_ms": 800.0},
}
every_rule = pytest.mark.parametrize("rules", RULES)


def sticky_actions(env: ScalpingVectorEnv | ScalpingEnv, steps: int, seed: int) -> np.ndarray:
    """Actions (steps, ...) of the env's space, each kept for some steps so that positions live."""
    env.action_space.seed(seed)
    fresh = np.array([env.action_space.sample() for _ in range(steps)])
    keep = np.random.default_rng(seed).random(fresh.shape[:2] if fresh.ndim > 1 else fresh.shape) < 0.9
    for step in range(1, steps):
        if isinstance(env, ScalpingEnv):
            if keep[step].all():
                fresh[step] = fresh[step - 1]
        else:
            fresh[step][keep[step]] = fresh[step - 1][keep[step]]
    return fresh


def unroll(env: ScalpingVectorEnv, actions: np.ndarray, seed: int) -> list[tuple[np.ndarray, ...]]:
    observations, _ = env.reset(seed=seed)
    return [(observations,), *(env.step(row)[:4] for row in actions)]


def assert_same(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> None:
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@every_rule
@pytest.mark.parametrize("mode", MODES)
def test_scalar_env_is_lane_zero_of_the_vector_env(mode: str, rules: str) -> None:
    market = rich_market(1, 900)
    config = MarketConfig(
        action_mode=mode,
        episode_bars=120,
        min_episode_bars=20,
        initial_capital=(80.0, 1e5),
        stop_out_fraction=0.985,
        **RULES[rules],
    )
    scalar, vector = ScalpingEnv(market, config), ScalpingVectorEnv(3, market, config)
    actions = sticky_actions(vector, 1_500, 3)
    observation, _ = scalar.reset(seed=11)
    batch, _ = vector.reset(seed=11)
    np.testing.assert_array_equal(observation, batch[0])
    ended, endings = False, {"terminated": 0, "truncated": 0}
    for row in actions:
        batch, rewards, terminated, truncated, infos = vector.step(row)
        if ended:  # the vector env resets itself in the step after the last; the scalar env is told to
            observation, _ = scalar.reset()
            reward, over, cut, info = 0.0, False, False, {}
        else:
            observation, reward, over, cut, info = scalar.step(row[0])
        np.testing.assert_array_equal(observation, batch[0])
        assert (reward, over, cut) == (rewards[0], terminated[0], truncated[0])
        ended = over or cut
        endings["terminated"] += over
        endings["truncated"] += cut
        if ended:
            assert infos["_account"][0]
            assert info["account"] == {name: values[0] for name, values in infos["account"].items()}
    assert min(endings.values()) > 0


@every_rule
@pytest.mark.parametrize("mode", MODES)
def test_a_lane_is_the_same_in_any_batch(mode: str, rules: str) -> None:
    markets = [rich_market(seed, 700) for seed in (2, 3)]
    config = MarketConfig(
        action_mode=mode, episode_bars=60, min_episode_bars=20, initial_capital=(80.0, 1e5), **RULES[rules]
    )
    wide = ScalpingVectorEnv(16, markets, config)
    narrow = ScalpingVectorEnv(6, markets, config)
    actions = sticky_actions(wide, 300, 5)
    for full, part in zip(unroll(wide, actions, 7), unroll(narrow, actions[:, :6], 7), strict=True):
        assert_same(tuple(array[:6] for array in full), part)


def test_two_markets_in_one_env_are_two_envs() -> None:
    markets = [random_market(seed, 700) for seed in (2, 3)]
    config = MarketConfig(episode_bars=60, min_episode_bars=20)
    both = ScalpingVectorEnv(8, markets, config)
    first = ScalpingVectorEnv(7, markets[0], config)
    actions = sticky_actions(both, 200, 5)
    alone = np.zeros((200, 7), dtype=np.int64)
    alone[:, ::2] = actions[:, ::2]  # lanes 0, 2, 4, 6 trade the first market in both
    for together, single in zip(unroll(both, actions, 7), unroll(first, alone, 7), strict=True):
        assert_same(tuple(array[::2] for array in together), tuple(array[::2] for array in single))


class Scripted:
    """A policy that plays given actions and remembers what it was shown."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions
        self.seen: list[np.ndarray] = []

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.seen.append(observations)
        return self.actions[len(self.seen) - 1]


@every_rule
@pytest.mark.parametrize("mode", MODES)
def test_backtest_replay_and_env_agree_step_by_step(mode: str, rules: str) -> None:
    market = rich_market(4, 500, holes=False)
    capitals = (10_000.0, 150.0)
    config = MarketConfig(action_mode=mode, episode_bars=len(market), stop_out_fraction=0.01, **RULES[rules])
    env = ScalpingVectorEnv(2, market, config)
    actions = sticky_actions(env, len(market), 9)
    orders = np.full((len(market), 2, 5), np.inf)
    decoder = ActionDecoder(config)
    for t in range(len(market)):
        decoder.decode(decoder.as_batch(actions[t], 2), orders[t])

    policy = Scripted(actions)
    run = Backtest(market, config, capitals).run(policy)
    replay = Backtest(market, config, capitals).replay(orders)
    np.testing.assert_array_equal(run.equity, replay.equity)
    np.testing.assert_array_equal(run.position, replay.position)
    assert run.trades.equals(replay.trades)
    assert run.trades.num_rows > 20

    for lane, capital in enumerate(capitals):
        scalar = ScalpingEnv(market, config)
        observation, _ = scalar.reset(seed=0, options={"start_row": 0, "initial_capital": capital})
        log_equity = np.log(capital)
        for t in range(len(market) - 1):
            np.testing.assert_array_equal(observation, policy.seen[t][lane])
            observation, reward, terminated, truncated, info = scalar.step(actions[t, lane])
            log_equity += reward / config.reward_scale
            assert not terminated
            assert truncated == (t == len(market) - 2)
            if not truncated:
                assert log_equity == pytest.approx(np.log(run.equity[t + 1, lane]), abs=1e-11)
        open_value = info["account"]["equity"] - run.equity[-1, lane]
        assert open_value >= 0  # the backtest pays for the exit that the truncated episode leaves open
        assert info["account"]["trades"] + (open_value > 0) == run.costs.trades[lane]


def test_long_backtests_collect_every_trade() -> None:
    """Rings of trades go round many times; the log must not lose or repeat one."""
    market = random_market(6, 13_000, holes=False, columns=1)
    orders = np.tile([1.0, 5.0, 5.0, 1.0, np.inf], (len(market), 1, 1))
    orders[::2, 0, 0] = -1.0
    result = Backtest(market, MarketConfig(stop_out_fraction=1e-9), (1e9,)).replay(orders)
    assert result.trades.num_rows == result.costs.trades[0] > 8_000
    assert sum(result.trades["fees"].to_pylist()) == pytest.approx(result.costs.fees[0], rel=1e-9)
    exits = result.trades["exit_time_ms"].to_numpy()
    assert (np.diff(exits) >= 0).all()


def test_step_into_writes_what_step_returns() -> None:
    market = random_market(1, 600)
    config = MarketConfig(episode_bars=50, min_episode_bars=20)
    one, other = ScalpingVectorEnv(5, market, config), ScalpingVectorEnv(5, market, config)
    actions = sticky_actions(one, 200, 1)
    one.reset(seed=1)
    other.reset(seed=1)
    rollout = np.full((5, 200, one.single_observation_space.shape[0]), np.nan, dtype=np.float32)  # env-major: strided
    rewards, flags = np.full((5, 200), np.nan, dtype=np.float32), np.zeros((2, 5, 200), dtype=bool)
    for t, row in enumerate(actions):
        expected = one.step(row)
        infos = other.step_into(row, rollout[:, t], rewards[:, t], flags[0, :, t], flags[1, :, t])
        written = (rollout[:, t], rewards[:, t], flags[0, :, t], flags[1, :, t])
        for got, want in zip(written, expected[:4], strict=True):
            np.testing.assert_array_equal(got, want.astype(got.dtype))
        assert infos.keys() == expected[4].keys()


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    env = ScalpingVectorEnv(5, random_market(1, 600), MarketConfig())
    actions, width = np.zeros(5, dtype=int), env.single_observation_space.shape[0]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(actions)
    env.reset(seed=1)
    flags = np.zeros(5, dtype=bool)
    for shape in ((4, width), (5, width - 1)):
        with pytest.raises(ValueError, match="broadcast"):
            env.step_into(actions, np.zeros(shape, dtype=np.float32), np.zeros(5), flags, flags.copy())


def test_step_returns_fresh_arrays() -> None:
    env = ScalpingVectorEnv(4, random_market(1, 600), MarketConfig())
    env.reset(seed=0)
    first = env.step(np.ones(4, dtype=np.int64))
    kept = [array.copy() for array in first[:4]]
    second = env.step(np.full(4, 2))
    for array, copy_, later in zip(first[:4], kept, second[:4], strict=True):
        np.testing.assert_array_equal(array, copy_)
        assert not np.shares_memory(array, later)


def test_scalar_observations_are_kept_by_whoever_kept_them() -> None:
    env = ScalpingEnv(random_market(1, 600), MarketConfig(episode_bars=60, min_episode_bars=20))
    kept = [env.reset(seed=5)[0], *(env.step(1)[0] for _ in range(9))]
    copies = [observation.copy() for observation in kept]
    for _ in range(9):
        env.step(2)
    np.testing.assert_array_equal(kept, copies)


@pytest.mark.parametrize("wrong", [np.zeros((2, 5), dtype=np.float32), np.zeros(5), np.zeros((4, 5))[::2]])
def test_compiled_code_is_told_of_no_array_of_another_kind(wrong: np.ndarray) -> None:
    batch = LaneBatch(random_market(1, 60), MarketConfig(), 1)
    with pytest.raises(TypeError, match="is not"):
        batch.one_lane(wrong)


def test_saved_state_goes_on_exactly() -> None:
    market = random_market(1, 900)
    config = MarketConfig(episode_bars=40, min_episode_bars=20, initial_capital=(80.0, 1e5))
    env = ScalpingVectorEnv(6, market, config)
    actions = sticky_actions(env, 300, 2)
    env.reset(seed=3)
    for row in actions[:150]:
        env.step(row)
    state = pickle.loads(pickle.dumps(env.get_state()))
    ahead = [env.step(row)[:4] for row in actions[150:]]
    other = ScalpingVectorEnv(6, market, config)
    other.reset(seed=99)
    other.set_state(state)
    for row, expected in zip(actions[150:], ahead, strict=True):
        assert_same(other.step(row)[:4], expected)
    with pytest.raises(ValueError, match="other lanes or markets"):
        ScalpingVectorEnv(7, market, config).set_state(state)
    env.set_state(state)  # the state handed out is a copy: stepping on did not touch it
    assert_same(env.step(actions[150])[:4], ahead[0])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copied_env_lives_its_own_life(clone) -> None:
    env = ScalpingEnv(random_market(1, 600), MarketConfig(episode_bars=60, min_episode_bars=20))
    env.reset(seed=5)
    actions = sticky_actions(env, 40, 2)
    env.step(actions[0])
    twin = clone(env)
    expected = [twin.step(action)[0] for action in actions[1:]]
    for action, observation in zip(actions[1:], expected, strict=True):
        np.testing.assert_array_equal(env.step(action)[0], observation)


def test_a_saved_market_trades_the_same(tmp_path) -> None:
    market = random_market(8, 700)
    reopened = Market.load(market.save(tmp_path / "market"))
    config = MarketConfig(episode_bars=60, min_episode_bars=20)
    one, other = ScalpingVectorEnv(4, market, config), ScalpingVectorEnv(4, str(tmp_path / "market"), config)
    assert reopened.columns == market.columns
    actions = sticky_actions(one, 100, 2)
    for first, second in zip(unroll(one, actions, 1), unroll(other, actions, 1), strict=True):
        assert_same(first, second)


def test_lane_state_needs_a_lane() -> None:
    with pytest.raises(ValueError, match="0 lanes"):
        LaneState.create(0)


@pytest.mark.parametrize("rules", [{}, {"leverage": 40.0, "stop_out_fraction": 0.3}, {"max_participation": 1e-4}])
def test_lanes_move_together_as_one_by_one(rules: dict) -> None:
    """Lanes whose trades are kept move one by one, the others together: the same bits."""
    market = rich_market(3, 400)
    capitals = np.geomspace(100.0, 1e5, 40)  # two vectors and half of one
    config = MarketConfig(initial_capital=(100.0, 1e5), **rules)
    together, one_by_one = (LaneBatch(market, config, len(capitals), trade_slots=slots) for slots in (0, 1))
    for batch in (together, one_by_one):
        open_lanes(batch.state.account, batch.state.clock, capitals, 0, len(market) - 1)
    assert serves.py_func(together.terms, together.state.trades) == PAYS
    assert not serves.py_func(one_by_one.terms, one_by_one.state.trades)
    rng = np.random.default_rng(4)
    orders = np.tile([0.0, 30.0, 20.0, 12.0, np.inf], (len(capitals), 1))
    observations = np.empty((2, len(capitals), len(observation_columns(market))), dtype=np.float32)
    for _ in range(len(market) - 1):
        orders[:, 0] = rng.choice([-1.0, -0.4, 0.0, 1.0, np.nan], len(capitals), p=[0.3, 0.2, 0.15, 0.3, 0.05])
        orders[:, 4] = np.where(rng.random(len(capitals)) < 0.05, 2.0, np.inf)
        assert together.step(orders, observations[0]) == one_by_one.step(orders, observations[1])
        assert_same(
            (together.state.account, together.state.clock, observations[0]),
            (one_by_one.state.account, one_by_one.state.clock, observations[1]),
        )
    assert together.state.count(TRADES).sum() > 1_000
