"""Latencies of more than a step: what holds for every tape and every order, however many decisions are under way."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from envs.actions import ORDER_WIDTH
from envs.book.backtest import BookBacktest, BookResult
from envs.book.columns import ASKS, FIRST, KNOWN
from envs.book.config import BookConfig
from envs.book.market import BookMarket
from tests.book_market_tools import build, random_orders, random_recording

SEEDS = range(4)
CAPITALS = (100.0, 400.0, 3_000.0)
STEP_NS = 1_000_000_000
LATENCIES = (1_000.0, 1_400.0, 3_700.0)


def play(market: BookMarket, orders: np.ndarray, latency_ms: float) -> BookResult:
    config = BookConfig(latency_ms=latency_ms, limit_ttl_bars=3.0)
    return BookBacktest(market, config, [CAPITALS[k % 3] for k in range(orders.shape[1])]).replay(orders)


def made_at(market: BookMarket, fills: pd.DataFrame, latency_ms: float) -> np.ndarray:
    """Row whose decision arrived at each fill's time; a fill at another time has none and fails."""
    ends = market.open_time_ms * 1_000_000 + STEP_NS
    moment = fills["time_ns"].to_numpy() - round(latency_ms * 1e6)
    rows = np.searchsorted(ends, moment)
    np.testing.assert_array_equal(ends[rows], moment)
    return rows


@pytest.mark.parametrize("latency_ms", LATENCIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_long_latency_is_a_short_one_for_decisions_made_as_much_earlier(seed: int, latency_ms: float) -> None:
    """Market orders without brackets for sides that last longer than the latency know all that they need to know."""
    market = build(random_recording(seed))
    rng = np.random.default_rng(seed)
    rows, delay = len(market), int(latency_ms // 1_000)
    orders = np.full((rows, 3, ORDER_WIDTH), np.inf)
    orders[:, :, 0] = np.repeat(rng.choice([1.0, 0.5, -1.0, 0.0], (rows, 3)), delay + 3, axis=0)[:rows]
    earlier = orders.copy()
    earlier[:delay, :, 0], earlier[delay:] = 0.0, orders[:-delay]
    config = BookConfig(latency_ms=latency_ms, ttl_bars=np.inf)
    late = BookBacktest(market, config, CAPITALS).replay(orders)
    short = BookBacktest(market, replace(config, latency_ms=latency_ms % 1_000), CAPITALS).replay(earlier)
    assert late.trades.num_rows > 10
    np.testing.assert_array_equal(late.equity, short.equity)
    assert late.fills.equals(short.fills)


@pytest.mark.parametrize("latency_ms", LATENCIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_filled_before_its_decision_has_arrived(seed: int, latency_ms: float) -> None:
    market = build(random_recording(seed, gap=seed % 2 == 0))
    orders = random_orders(np.random.default_rng(seed), len(market), 24)
    fills = play(market, orders, latency_ms).fills.to_pandas()
    swept = fills[(fills["reason"] == "none") & ~fills["maker"]]
    rows = made_at(market, swept, latency_ms)
    wanted = orders[rows, swept["lane"]]
    assert len(swept) > 20
    np.testing.assert_array_equal(np.sign(wanted[:, 0]), swept["side"])
    assert np.isinf(wanted[:, 4]).all()
    # From any row on: other orders change nothing before they can arrive.
    cut, delay = len(market) // 2, int(latency_ms // 1_000)
    other = orders.copy()
    other[cut:, :, 0] = np.where(np.nan_to_num(orders[cut:, :, 0]) > 0.0, -1.0, 1.0)
    one, two = play(market, orders, latency_ms), play(market, other, latency_ms)
    np.testing.assert_array_equal(one.equity[: cut + delay + 1], two.equity[: cut + delay + 1])
    assert not np.array_equal(one.equity[cut + delay + 1 :], two.equity[cut + delay + 1 :])


@pytest.mark.parametrize("latency_ms", [700.0, *LATENCIES])
def test_a_limit_keeps_the_price_of_its_decision(latency_ms: float) -> None:
    market = build(random_recording(7, seconds=200))
    rows = np.arange(2, len(market) - 12)
    orders = np.full((len(market), len(rows), ORDER_WIDTH), np.inf)
    orders[:, :, 0] = np.nan
    side = np.where(np.arange(len(rows)) % 2, -1.0, 1.0)
    orders[rows, np.arange(len(rows)), 0], orders[rows, np.arange(len(rows)), 4] = side, 0.0
    fills = play(market, orders, latency_ms).fills.to_pandas()
    first = fills[fills["reason"] == "none"].groupby("lane").first()
    lanes = first.index.to_numpy()
    column = np.where(side[lanes] > 0, 0, ASKS)
    known = market.books[market.schedule[rows[lanes], KNOWN], column]
    np.testing.assert_array_equal(first["price"], known)
    decided = market.open_time_ms[rows[lanes]] * 1_000_000 + STEP_NS
    assert (first["time_ns"] >= decided + latency_ms * 1e6).all()
    later = market.books[market.schedule[rows[lanes] + 1 + int(latency_ms // 1_000), KNOWN], column]
    assert len(lanes) > 30
    assert (known != later).mean() > 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_under_way_can_be_closed(seed: int) -> None:
    """Flat from a row on: what is seen then, and what was under way, is gone two latencies later."""
    market = build(random_recording(seed, seconds=80))
    orders = random_orders(np.random.default_rng(seed), len(market), 12)
    cut, delay = 40, 5
    orders[cut:, :, 0], orders[:, :, 1:3] = 0.0, np.inf
    position = play(market, orders, 5_300.0).position
    assert position[cut].any()
    assert position[cut + delay + 1].any()
    assert not position[cut + 2 * delay + 2 :].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lane_is_the_same_alone_and_among_others(seed: int) -> None:
    market = build(random_recording(seed, gap=True))
    orders = random_orders(np.random.default_rng(seed), len(market), 3)
    together = play(market, orders, 2_300.0)
    for lane in range(3):
        config = BookConfig(latency_ms=2_300.0, limit_ttl_bars=3.0)
        alone = BookBacktest(market, config, CAPITALS[lane : lane + 1]).replay(orders[:, lane : lane + 1])
        np.testing.assert_array_equal(alone.equity[:, 0], together.equity[:, lane])


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_a_gap_loses_what_is_under_way(seed: int) -> None:
    market = build(random_recording(seed, gap=True))
    orders = random_orders(np.random.default_rng(seed), len(market), 12)
    orders[:, :, 1:3] = np.inf
    after = int(np.argmax(np.diff(market.open_time_ms) > 1_000)) + 1
    assert market.schedule[after, FIRST] != market.schedule[after - 1, FIRST]
    fills = play(market, orders, 3_400.0).fills.to_pandas()
    opens = market.open_time_ms[after] * 1_000_000
    soon = fills[(fills["time_ns"] >= opens) & (fills["time_ns"] < opens + 3_400_000_000)]
    assert not (soon["reason"] == "none").any()
    forced = fills[fills["reason"] == "forced"]
    assert len(forced) > 0
    assert (forced["time_ns"] >= opens + 3_400_000_000).all()
