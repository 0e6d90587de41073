"""An account's numbers: they add up, whether the account is one lane or several together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.performance import drawdown
from evaluation.account import account_of, carried, combine, summarise_account
from tests.market_tools import random_market, random_orders

CONFIG = MarketConfig()


def accounts(seed: int = 1, rows: int = 4000):
    market = random_market(seed, rows)
    orders = random_orders(np.random.default_rng(seed), rows, lanes=2)
    result = Backtest(market, CONFIG, (1e4, 5e3)).replay(orders)
    return [account_of(result, f"lane {lane}", lane) for lane in (0, 1)]


def test_a_lane_becomes_an_account():
    first, second = accounts()
    assert (first.initial_capital, second.initial_capital) == (1e4, 5e3)
    assert first.trades.num_rows + second.trades.num_rows > 50
    assert set(first.trades.column("lane").to_pylist()) == {0}
    assert set(np.unique(first.in_market)) <= {0.0, 1.0}


def test_costs_and_trades_explain_the_result():
    for account in accounts():
        found = summarise_account(account, 60_000, resamples=200)
        assert found.costs.net == pytest.approx(account.equity[-1] - account.initial_capital, abs=1e-6)
        assert found.net_return.value == pytest.approx(account.net_return)
        assert found.paid == pytest.approx((found.costs.gross - found.costs.net) / account.initial_capital)
        assert found.drawdown.depth == pytest.approx(drawdown(account.equity, account.initial_capital).max())
        assert found.trades == account.trades.num_rows
        assert found.trades_per_day == pytest.approx(found.trades / found.days)
        assert found.win_rate.value == pytest.approx(np.mean(account.trade_column("net_pnl") > 0))
        assert found.sharpe_bars.n == found.bars == account.equity.size
        assert found.sharpe_bars.periods_per_year == 525_600
        for interval in (found.net_return, found.mean_daily, found.trade_bps, found.profit_factor):
            assert math.isnan(interval.low) or interval.low <= interval.value <= interval.high


def test_together_they_add_up():
    parts = accounts()
    whole = combine(parts, "both")
    assert whole.initial_capital == 15e3
    np.testing.assert_allclose(whole.equity, parts[0].equity + parts[1].equity)
    assert whole.trades.num_rows == sum(part.trades.num_rows for part in parts)
    assert combine(parts[:1], "one") is parts[0]


def test_an_account_waits_with_its_capital_where_it_has_no_bars():
    early, late = accounts(1, 1000)[0], accounts(2, 4000)[0]
    whole = combine([early, late], "both")
    assert np.all(np.diff(whole.open_time_ms) > 0)
    last = np.searchsorted(late.open_time_ms, whole.open_time_ms[-1])
    assert whole.equity[-1] == pytest.approx(early.equity[-1] + late.equity[last])


def test_values_are_carried_forward_and_begin_with_what_was_before():
    found = carried(np.array([10, 20]), np.array([[1.0, 5.0], [2.0, 6.0]]), 0.5, np.array([5, 10, 19, 20, 99]))
    np.testing.assert_array_equal(found, [[0.5, 0.5], [1, 5], [1, 5], [2, 6], [2, 6]])


def test_an_account_without_trades_has_numbers_all_the_same():
    market = random_market(3, 2000)
    idle = np.full((2000, 1, 5), np.inf)
    idle[:, 0, 0] = 0.0
    found = summarise_account(account_of(Backtest(market, CONFIG).replay(idle), "idle"), 60_000)
    assert (found.net_return.value, found.trades, found.drawdown.depth, found.sharpe.annual) == (0.0, 0, 0.0, 0.0)
    assert math.isnan(found.win_rate.value)
    assert math.isnan(found.profit_factor.value)
