"""Action masks: what is masked can do nothing, and what is not masked can."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs import lanes
from envs.config import MarketConfig, RiskLimits
from envs.env import ScalpingEnv
from envs.risk import RiskControl
from envs.vector_env import ScalpingVectorEnv
from tests.market_tools import SPOT, random_market, rich_market

SHORT = {"episode_bars": 60, "min_episode_bars": 20}


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete"])
def test_shapes(mode: str) -> None:
    config = MarketConfig(action_mode=mode, **SHORT)
    env, vector = ScalpingEnv(random_market(1), config), ScalpingVectorEnv(5, random_market(1), config)
    env.reset(seed=0)
    vector.reset(seed=0)
    width = 3 if mode == "discrete" else 3 + len(config.tp_grid_bps) + len(config.sl_grid_bps)
    assert env.action_masks().shape == (width,)
    assert vector.action_masks().shape == (5, width)
    assert env.action_masks().dtype == bool
    assert vector.action_masks().all()


def test_continuous_actions_have_none() -> None:
    env = ScalpingEnv(random_market(1), MarketConfig(action_mode="continuous", **SHORT))
    env.reset(seed=0)
    with pytest.raises(InputError, match="continuous actions have no mask"):
        env.action_masks()


def test_spot_cannot_be_sold_short() -> None:
    env = ScalpingEnv(random_market(1, instrument=SPOT), MarketConfig(**SHORT))
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, True, False]


def test_lanes_of_several_markets_keep_their_places() -> None:
    env = ScalpingVectorEnv(4, [random_market(1), random_market(2, instrument=SPOT)], MarketConfig(**SHORT))
    env.reset(seed=0)
    assert env.action_masks()[:, 2].tolist() == [True, False, True, False]


def test_by_hand() -> None:
    env = ScalpingEnv(random_market(1), MarketConfig(**SHORT, default_tp_bps=np.inf, default_sl_bps=np.inf))
    env.reset(seed=0)
    control = RiskControl(env._batch.state)
    env.step(1)
    control.reduce("stale_data")
    assert env.action_masks().tolist() == [True, True, False]
    control.stop("kill_switch")
    assert env.action_masks().tolist() == [True, False, False]
    control.rearm()
    assert env.action_masks().all()


@pytest.mark.parametrize("limit_offset_bps", [np.inf, 0.0])
def test_a_masked_side_is_flat_and_an_open_one_is_not(limit_offset_bps: float) -> None:
    """At every close, on copies of the same state: a masked side does what flat does, to the last bit."""
    risk = RiskLimits(losing_streak=2, cool_down_bars=5, entries_per_day=12, daily_loss=0.01, volatility_multiple=6.0)
    config = MarketConfig(
        episode_bars=300, min_episode_bars=20, risk=risk, limit_offset_bps=limit_offset_bps, impact=0.0, latency_ms=0.0
    )
    market = rich_market(11, 600, holes=False)
    env, probe = ScalpingVectorEnv(1, market, config), ScalpingVectorEnv(1, market, config)
    env.reset(seed=3)
    probe.reset(seed=3)
    rng = np.random.default_rng(0)
    masked = lifted = 0
    wanted = 1
    for _ in range(290):
        mask, state = env.action_masks()[0], env.get_state()
        restricted = state["blocks"][0][0]["clock"][lanes.RISK_STATE, 0] != 0
        outcomes = []
        for action in (0, 1, 2):
            probe.set_state(state)
            outcomes.append(probe.step(np.array([action]))[0][0])
        for action in (1, 2):
            if not mask[action]:
                masked += 1
                # Closing by a breaker or by wish is the same fill; everything that the policy sees is equal.
                np.testing.assert_array_equal(outcomes[action], outcomes[0])
        lifted += bool(restricted and mask.all() and not np.array_equal(outcomes[1], outcomes[2]))
        wanted = wanted if rng.random() < 0.7 else int(rng.integers(3))
        env.step(np.array([wanted]))
    assert masked > 50
    assert lifted > 0  # the mask opens for the bar in which a breaker lifts
