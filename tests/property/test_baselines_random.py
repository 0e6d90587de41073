"""Random entries: they keep what they promise to keep, and the test made of them raises false alarms as often as it
says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, kstest

from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from evaluation.random_entries import FOREVER, RandomEntries, _intended_lengths, random_entries
from tests.market_tools import PERPETUAL, build_market, random_market

FREE = replace(PERPETUAL, tick_size=1e-6, lot_step=1e-9, min_notional=0.0, maker_fee_bps=0.0, taker_fee_bps=0.0)
BRACKET = MarketConfig(half_spread_bps=0.0, default_tp_bps=30.0, default_sl_bps=20.0, ttl_bars=60.0)


def walk(rng: np.random.Generator, rows: int, drift_by_bar: np.ndarray | float = 0.0) -> Market:
    """Bars of a random walk of 8 bps a bar whose high and low belong to the path."""
    steps = rng.standard_normal((rows, 6)) * 8e-4 / np.sqrt(6) + np.reshape(drift_by_bar, (-1, 1)) / 6
    path = 100.0 * np.exp(np.cumsum(steps.ravel())).reshape(rows, 6)
    opens = np.concatenate([[100.0], path[:-1, -1]])
    bars = [opens, np.maximum(path.max(axis=1), opens), np.minimum(path.min(axis=1), opens), path[:, -1]]
    return build_market(np.stack(bars, axis=1), instrument=FREE)


def blind_orders(rng: np.random.Generator, rows: int, longest: int = 40) -> np.ndarray:
    """Sides wanted for random stretches, decided without a look at the market: float64 (rows, 1, 5)."""
    lengths = rng.integers(2, longest, rows)
    sides = np.repeat(rng.choice([-1.0, 0.0, 0.0, 1.0], rows), lengths)[:rows]
    orders = np.full((rows, 1, 5), np.inf)
    orders[:, 0] = (0.0, BRACKET.default_tp_bps, BRACKET.default_sl_bps, BRACKET.ttl_bars, np.inf)
    orders[:, 0, 0] = sides
    return orders


def judged(market: Market, orders: np.ndarray, seed: int, accounts: int = 99) -> tuple[BacktestResult, RandomEntries]:
    result = Backtest(market, BRACKET).replay(orders)
    return result, random_entries(market, BRACKET, result, orders[:, 0], accounts=accounts, seed=seed)


def p_value(result: BacktestResult, random: RandomEntries) -> float:
    net = result.equity[-1, 0] / result.initial_capital[0] - 1.0
    return (1 + np.sum(random.net_return >= net)) / (1 + random.net_return.size)


@pytest.mark.parametrize("longest", [40, 200])
def test_blind_policies_are_called_skilled_as_often_as_the_level_says(longest):
    """250 blind policies on a driftless walk, whose trades end mostly by their own wish or mostly by their brackets."""
    p_values = []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        p_values.append(p_value(*judged(walk(rng, 1200), blind_orders(rng, 1200, longest), seed)))
    p = np.array(p_values)
    assert np.sum(p <= 0.05) <= binom.ppf(1 - 5e-4, 250, 0.05)
    assert np.sum((p <= 0.05) | (p > 0.95)) <= binom.ppf(1 - 5e-4, 250, 0.1)
    assert kstest(p, "uniform").pvalue > 1e-3


def test_a_policy_that_times_its_entries_is_found():
    """Longs in stretches that rise by 2 bps a bar, shorts in those that fall."""
    rng = np.random.default_rng(1)
    orders = blind_orders(rng, 3000)
    drift = np.concatenate([[0.0], 2e-4 * orders[:-1, 0, 0]])
    result, random = judged(walk(rng, 3000, drift), orders, 1)
    assert p_value(result, random) == 0.01
    inverted = orders.copy()
    inverted[:, 0, 0] *= -1
    assert p_value(*judged(walk(np.random.default_rng(1), 3000, drift), inverted, 1)) > 0.9


def test_random_accounts_make_the_policys_trades_at_other_times():
    rng = np.random.default_rng(2)
    result, random = judged(walk(rng, 4000), blind_orders(rng, 4000), 2, accounts=50)
    trades = result.trades.num_rows
    assert np.all(np.abs(random.trades - trades) <= max(3, 0.03 * trades))
    assert np.unique(random.net_return).size == 50
    assert random.equity.shape == (random.open_time_ms.size, 50)
    np.testing.assert_allclose(random.equity[-1] / 1e4 - 1, random.net_return, atol=1e-6)
    assert np.all(random.equity[0] == 1e4)


def test_a_policy_that_knows_when_to_be_long_and_when_short_is_found():
    """Its entries are blind but for the side: long while prices rise, short while they fall. Order is part of
    timing."""
    rng = np.random.default_rng(3)
    orders = blind_orders(rng, 3000)
    half = np.where(np.arange(3000) < 1500, 1.0, -1.0)
    orders[:, 0, 0] = np.abs(orders[:, 0, 0]) * half
    assert p_value(*judged(walk(rng, 3000, 2e-4 * half), orders, 3)) == 0.01


def test_side_and_size_are_kept_and_trades_are_spread_evenly():
    """On prices that only fall, a policy that only shorts half its equity has random twins that gain, steadily.

    The orders after each entry want the whole equity; a held position ignores that, and so must the twins."""
    falling = 100.0 * np.exp(-1e-4 * np.arange(2001))
    bars = np.stack([falling[:-1], falling[:-1], falling[1:], falling[1:]], axis=1)
    market = build_market(bars, instrument=FREE)
    orders = np.full((2000, 1, 5), np.inf)
    place = np.arange(2000) % 40
    orders[:, 0, 0] = np.where(place == 0, -0.5, np.where(place < 10, -1.0, 0.0))
    result, random = judged(market, orders, 3, accounts=100)
    made = result.equity[-1, 0] / 1e4 - 1
    assert made > 0
    np.testing.assert_allclose(random.net_return, made, rtol=0.1)
    middle = np.searchsorted(random.open_time_ms, market.open_time_ms[1000])
    assert (random.equity[middle] / 1e4 - 1).mean() == pytest.approx(made / 2, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_gaps_and_untradable_rows_are_respected(seed):
    market = random_market(seed, 1500, instrument=FREE)
    rng = np.random.default_rng(seed)
    result, random = judged(market, blind_orders(rng, 1500), seed, accounts=30)
    assert np.isfinite(random.equity).all()
    assert random.trades.mean() == pytest.approx(result.trades.num_rows, rel=0.15)


def test_same_seed_same_accounts():
    rng = np.random.default_rng(4)
    market, orders = walk(rng, 1000), blind_orders(rng, 1000)
    first, second = judged(market, orders, 5)[1], judged(market, orders, 5)[1]
    np.testing.assert_array_equal(first.net_return, second.net_return)
    assert not np.array_equal(first.net_return, judged(market, orders, 6)[1].net_return)


def test_a_policy_that_never_trades_has_idle_twins():
    orders = blind_orders(np.random.default_rng(0), 500)
    orders[:, 0, 0] = 0.0
    result, random = judged(walk(np.random.default_rng(0), 500), orders, 0)
    assert np.all(random.net_return == 0.0)
    assert p_value(result, random) == 1.0


def test_censored_lengths_follow_kaplan_meier():
    """Lengths 2, 3+, 5, 7+ (+: a bracket ended it). Survival after 3 is spread over 5 and beyond, one half each."""
    held, meant = np.array([2, 3, 5, 7]), np.array([True, False, True, False])
    drawn = _intended_lengths(held, meant, 20_000, np.random.default_rng(0))
    assert np.all(drawn[:, 0] == 2)
    assert np.all(drawn[:, 2] == 5)
    assert np.all(drawn[:, 3] == FOREVER)
    assert np.mean(drawn[:, 1] == 5) == pytest.approx(0.5, abs=0.02)
    assert np.mean(drawn[:, 1] == FOREVER) == pytest.approx(0.5, abs=0.02)
