"""Where episodes begin, when not everywhere alike."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from envs.market import Market
from envs.vector_env import ScalpingVectorEnv
from tests.market_tools import MINUTE_MS, random_market

DAY_MS = 86_400_000


def starts(env: ScalpingVectorEnv, market: Market, **reset: object) -> np.ndarray:
    _, about = env.reset(**reset)
    return np.searchsorted(market.open_time_ms, about["start_time_ms"])


def test_recency_halves_the_density_every_so_many_days() -> None:
    market = random_market(2, 2_000, holes=False)
    days = 2_000 / 1_440
    config = MarketConfig(episode_bars=60, recency_days=days / 2)
    rows = starts(ScalpingVectorEnv(20_000, market, config), market, seed=0)
    first, second = np.histogram(rows, bins=2, range=(0, 1_941))[0]
    assert second / first == pytest.approx(2.0, rel=0.06)
    quarters = np.histogram(rows, bins=4, range=(0, 1_941))[0]
    assert quarters[1:] / quarters[:-1] == pytest.approx(np.full(3, 2**0.5), rel=0.1)


def test_a_span_holds_until_another_is_given() -> None:
    market = random_market(2, 2_000, holes=False)
    env = ScalpingVectorEnv(64, market, MarketConfig(episode_bars=30, min_episode_bars=10))
    span = (int(market.open_time_ms[500]), int(market.open_time_ms[700]))
    rows = starts(env, market, seed=0, options={"span_ms": span})
    assert rows.min() >= 500
    assert rows.max() <= 700 - 30
    assert np.ptp(rows) > 100
    for _ in range(100):
        env.step(np.zeros(64, dtype=np.int64))
    places = np.array([block.batch.state.count(0) for block in env._blocks])
    assert ((places >= 500) & (places <= 700)).all()
    assert np.ptp(starts(env, market)) <= 200
    assert np.ptp(starts(env, market, options={"span_ms": None})) > 1_000


def test_a_span_without_room_is_refused_and_changes_nothing() -> None:
    market = random_market(2, 2_000, holes=False)
    env = ScalpingEnv(market, MarketConfig(episode_bars=30, min_episode_bars=10))
    first = int(market.open_time_ms[0])
    with pytest.raises(InputError, match="an episode needs 10"):
        env.reset(options={"span_ms": (first, first + 5 * MINUTE_MS)})
    assert env.reset(seed=0)[1]["start_time_ms"] >= first


def test_recency_must_be_positive() -> None:
    with pytest.raises(InputError, match="recency_days"):
        MarketConfig(recency_days=0.0)
