"""The perfect-foresight bound: no sequence of trades at opens beats it, and the market itself can carry it out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.backtest import Backtest
from envs.columns import HALF_SPREAD
from envs.config import MarketConfig
from envs.market import Market
from evaluation.foresight import foreseen_sides, perfect_foresight
from tests.market_tools import PERPETUAL, SPOT, build_market, plain, random_bars, random_market, random_orders

FINE = replace(PERPETUAL, lot_step=1e-9, min_notional=0.0)
FREE_OF_STOPS = plain(initial_capital=1e6, stop_out_fraction=1e-6)


def replayed(market: Market, config: MarketConfig) -> tuple[float, float]:
    """The bound, and what the market made of its trades."""
    found = perfect_foresight(market, config)
    result = Backtest(market, config).replay(found.orders(len(market)))
    assert result.trades.num_rows == found.entry.size
    return found.growth, result.equity[-1, 0] / config.capital_range[0]


@given(
    st.integers(0, 10_000),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 8.0]),
    st.sampled_from([1.0, 3.0]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_nothing_beats_it_and_the_market_can_do_it(seed, shorts, half_spread, leverage, by_row):
    """Every sequence of positions over seven bars, with a gap and an untradable row, by the market's own step.
    `by_row`: most bars have a half-spread of their own."""
    instrument = FINE if shorts else replace(SPOT, lot_step=1e-9, min_notional=0.0)
    config = replace(FREE_OF_STOPS, half_spread_bps=half_spread, leverage=leverage if shorts else 1.0)
    rng = np.random.default_rng(seed)
    rows = 8
    minutes = np.arange(rows) + (np.arange(rows) >= rng.integers(1, 12)) * 5
    observations = np.zeros((rows, 1), dtype=np.float32)
    observations[rng.integers(0, 3 * rows) % rows if rng.random() < 0.5 else 0, 0] = np.nan
    market = build_market(random_bars(rng, rows), instrument=instrument, minutes=minutes, observations=observations)
    if by_row:
        prices = market.prices.copy()
        prices[:, HALF_SPREAD] = rng.choice([np.nan, 0.0, 5e-4, 3e-3], rows)
        market = replace(market, prices=prices)
    sides = (-1.0, 0.0, 1.0) if shorts else (0.0, 1.0)
    every = np.array(list(product(sides, repeat=rows - 1)))
    orders = np.full((rows, len(every), 5), np.inf)
    orders[:-1, :, 0], orders[-1, :, 0] = every.T, 0.0
    best = Backtest(market, config, [1e6] * len(every)).replay(orders).equity[-1].max() / 1e6
    bound, carried_out = replayed(market, config)
    assert bound == pytest.approx(best, rel=1e-8)
    assert carried_out == pytest.approx(bound, rel=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_long_markets_with_gaps_are_carried_out_exactly(seed):
    market = random_market(seed, 3000, instrument=FINE)
    bound, carried_out = replayed(market, FREE_OF_STOPS)
    assert bound > 1.0
    assert carried_out == pytest.approx(bound, rel=1e-6)


def test_random_orders_stay_below_it():
    """Any sizes and holding times at opens (no brackets, which may fill better than an open)."""
    market = random_market(7, 2000, instrument=FINE)
    orders = random_orders(np.random.default_rng(8), len(market), lanes=40)
    orders[:, :, 1:3] = np.inf
    result = Backtest(market, FREE_OF_STOPS, [1e6] * 40).replay(orders)
    assert result.equity[-1].max() / 1e6 < perfect_foresight(market, FREE_OF_STOPS).growth


def test_higher_costs_and_no_shorts_lower_it():
    market = random_market(9, 1500, instrument=FINE)
    dear = replace(market, instrument=replace(FINE, taker_fee_bps=20.0))
    long_only = replace(market, instrument=replace(FINE, contract="spot"))
    bounds = [perfect_foresight(m, FREE_OF_STOPS).growth for m in (market, dear, long_only)]
    assert bounds[0] > bounds[1] > 1.0
    assert bounds[0] > bounds[2] > 1.0


def test_a_market_that_pays_less_than_the_costs_is_left_alone():
    market = build_market(np.full((50, 4), 1000.0), instrument=FINE)
    found = perfect_foresight(market, FREE_OF_STOPS)
    assert found.growth == 1.0
    assert found.entry.size == 0


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 0.5, 8.0]))
@settings(max_examples=20, deadline=None)
def test_what_is_best_from_anywhere_earns_the_bound_from_flat(seed, shorts, half_spread):
    """Carried out from the first bar on, `foreseen_sides` makes what the bound says, but for logs that make a loss of
    cost dearer than it is: costs are c in the one and ln(1 + c) in the other."""
    instrument = FINE if shorts else replace(SPOT, lot_step=1e-9, min_notional=0.0)
    config = replace(FREE_OF_STOPS, half_spread_bps=half_spread)
    market = build_market(random_bars(np.random.default_rng(seed), 200), instrument=instrument)
    wanted = foreseen_sides(market, config)
    side, orders = 0, np.full((len(market), 1, 5), np.inf)
    for row, choices in enumerate(wanted):
        orders[row, 0, 0] = side = int(choices[side])
    assert shorts or side >= 0
    reached = np.log(Backtest(market, config, [1e6]).replay(orders).equity[-1, 0] / 1e6)
    assert reached == pytest.approx(np.log(perfect_foresight(market, config).growth), rel=0.02, abs=1e-3)
