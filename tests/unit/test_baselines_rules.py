"""The baselines as a set: on the policy's span and terms, chosen without a look at the test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.rules import BuyAndHoldRule, FlatRule, ThresholdRule
from evaluation.baselines import recorded_backtest, run_baselines
from evaluation.threshold_search import best_threshold_rule, candidate_returns, candidates
from tests.market_tools import build_market, random_bars, random_market

CONFIG = MarketConfig()


@pytest.fixture(scope="module")
def market() -> Market:
    return random_market(3, 900, columns=2)


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
def test_recorded_orders_replay_to_the_same_backtest(market, mode):
    config = replace(CONFIG, action_mode=mode)
    rule = ThresholdRule("x1", 0.8, columns=observation_columns(market), config=config)
    result, orders = recorded_backtest(market, config, rule, capital=5000.0)
    assert orders.shape == (len(market), 5)
    again = Backtest(market, config, (5000.0,)).replay(orders[:, None])
    np.testing.assert_array_equal(again.equity, result.equity)
    assert again.trades.equals(result.trades)


def test_flat_and_buy_and_hold_are_the_rules_of_that_name(market):
    rule = ThresholdRule("x1", 0.8, columns=observation_columns(market), config=CONFIG)
    found = run_baselines(market, CONFIG, *recorded_backtest(market, CONFIG, rule), random_accounts=5)
    held = CONFIG.without_barriers()
    np.testing.assert_array_equal(found.flat.equity, Backtest(market, CONFIG).run(FlatRule(CONFIG)).equity)
    np.testing.assert_array_equal(found.buy_and_hold.equity, Backtest(market, held).run(BuyAndHoldRule(held)).equity)
    assert found.threshold is None
    assert found.foresight_result.equity[-1, 0] > found.buy_and_hold.equity[-1, 0]


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
def test_every_candidate_of_the_search_is_a_threshold_rule(market, mode):
    """The compiled search and `ThresholdRule`, candidate by candidate, to the last bit."""
    config = replace(CONFIG, action_mode=mode)
    tried = candidates(market, ("x0", "x1"))
    assert len(tried) == 32
    returns = candidate_returns(tried, market, config, 1e4)
    for candidate, found in zip(tried, returns, strict=True):
        alone = Backtest(market, config).run(candidate.rule(market, config))
        assert alone.equity[-1, 0] / 1e4 - 1.0 == found


def test_the_rule_is_chosen_before_the_test():
    """Other prices in the test change what the rule earns there, not which rule it is."""
    bars = random_bars(np.random.default_rng(4), 900)
    known = np.append(np.log(bars[1:, 3] / bars[1:, 0]), 0.0) * 1e3  # the next bar's move: a rule worth choosing
    market = build_market(bars, observations=np.stack([np.zeros(900), known], axis=1).astype(np.float32))
    before, test = market.slice(0, 500), market.slice(500, 900)
    other = replace(test, prices=test.prices[::-1])
    config = CONFIG.without_barriers()
    first, second = (best_threshold_rule(before, t, config, ("x0", "x1"), capital=1e4) for t in (test, other))
    assert first.chosen == second.chosen
    assert first.chosen.column == "x1"
    assert first.chosen.center == np.median(known[:499].astype(np.float32))
    assert first.selection_return == second.selection_return > 0
    assert first.result.equity[-1, 0] != second.result.equity[-1, 0]


def test_the_best_rule_earns_most_where_it_was_chosen(market):
    found = best_threshold_rule(market, market, CONFIG, ("x0", "x1"), capital=1e4)
    assert found.selection_return == pytest.approx(found.result.equity[-1, 0] / 1e4 - 1)
    for candidate in candidates(market, ("x1",))[::5]:
        assert Backtest(market, CONFIG).run(candidate.rule(market, CONFIG)).equity[-1, 0] <= found.result.equity[-1, 0]


def test_an_unknown_column_is_named(market):
    with pytest.raises(InputError, match=r"unknown column 'nope'.*known: x0 x1"):
        best_threshold_rule(market, market, CONFIG, ("nope",), capital=1e4)
