"""The grid is the backtest: every figure, for every point, whatever the rules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.backtest import Backtest
from envs.config import MarketConfig, RiskLimits
from envs.grid import GridPoint, grid_points, grid_search
from envs.market import Market
from tests.market_tools import PERPETUAL, SPOT, random_market

MARGINED = replace(PERPETUAL, maintenance_margin=0.02, liquidation_fee_bps=30.0)
COIN = Instrument("COIN", 0.1, 10.0, 0.0, 2.0, 5.0, contract="inverse", maintenance_margin=0.01)
CONFIGS = {
    "perpetual": (PERPETUAL, MarketConfig(ttl_bars=25.0)),
    "spot": (SPOT, MarketConfig(ttl_bars=np.inf)),
    "leverage": (MARGINED, MarketConfig(leverage=20.0, ttl_bars=200.0, stop_out_fraction=0.05)),
    "inverse": (COIN, MarketConfig(initial_capital=5.0, leverage=3.0, stop_out_fraction=0.5)),
    "ruin": (PERPETUAL, MarketConfig(leverage=10.0, stop_out_fraction=0.9)),
    "thin": (PERPETUAL, MarketConfig(max_participation=4e-9, ttl_bars=7.0)),
}


def market_of(seed: int, instrument: Instrument, rows: int) -> Market:
    """Random bars with gaps, untradable rows and, on perpetuals, funding every 50 bars."""
    market = random_market(seed, rows, instrument=instrument)
    if instrument.contract == "spot":
        return market
    calendar = market.calendar.copy()
    calendar[::50, 0] = 1e-3
    return replace(market, calendar=calendar)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), case=st.sampled_from(sorted(CONFIGS)))
def test_every_point_is_its_backtest(seed: int, case: str) -> None:
    instrument, config = CONFIGS[case]
    market = market_of(seed, instrument, 400)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 60, 400)
    sides = np.repeat(rng.choice([-1.0, -0.5, 0.0, 1.0, np.nan], 400), lengths)[:400]
    fees = [(-1.0, 5.0), (0.0, 0.0), (10.0, 10.0)]
    capital = config.capital_range[0]
    points = grid_points(config, [5.0, 30.0, np.inf], [3.0, 20.0, np.inf], fees, [capital, 3 * capital])
    table = grid_search(market, sides, config, points).to_pylist()
    for point, row in zip(points, table, strict=True):
        orders = np.full((400, 1, 5), np.inf)
        orders[:, 0, 0] = sides
        orders[:, 0, 1:4] = (point.tp_bps, point.sl_bps, config.ttl_bars)
        result = Backtest(market, replace(config, fees_bps=point.fees_bps), (point.capital,)).replay(orders)
        assert row["equity"] == result.equity[-1, 0]
        for name in ("fees", "spread_cost", "impact_cost", "funding", "trades", "ambiguous", "refused"):
            assert row[name] == getattr(result.costs, name)[0], name
        assert row["ruined"] == result.ruined[0]


def test_the_cases_meet_what_they_are_for() -> None:
    """Funding, liquidation, ruin and partial fills must come up, or their parity says nothing."""
    seen = {"funding": 0.0, "liquidated": 0, "partial": 0, "ruined": 0}
    for instrument, config in CONFIGS.values():
        for seed in range(6):
            market = market_of(seed, instrument, 400)
            orders = np.full((400, 1, 5), np.inf)
            orders[:, 0, 0] = np.repeat([1.0, -1.0], 200)
            orders[:, 0, 3] = config.ttl_bars
            result = Backtest(market, config).replay(orders)
            seen["funding"] += abs(result.costs.funding[0])
            seen["liquidated"] += result.costs.liquidated[0]
            seen["partial"] += result.costs.partial[0]
            seen["ruined"] += result.ruined[0]
    assert all(seen.values()), seen


@pytest.mark.parametrize(
    "config",
    [MarketConfig(trailing_bps=5.0), MarketConfig(limit_offset_bps=1.0), MarketConfig(risk=RiskLimits(drawdown=0.1))],
)
def test_what_acts_at_every_close_is_refused(config: MarketConfig) -> None:
    market = random_market(0, 50)
    with pytest.raises(InputError, match="act at every close"):
        grid_search(market, np.zeros(50), config, [GridPoint(5.0, 5.0, (0.0, 0.0), 1e4)])


def test_bad_input_is_named() -> None:
    market, point = random_market(0, 50), GridPoint(5.0, 5.0, (0.0, 0.0), 1e4)
    with pytest.raises(InputError, match=r"give \(50,\)"):
        grid_search(market, np.zeros(49), MarketConfig(), [point])
    with pytest.raises(InputError, match="no point"):
        grid_search(market, np.zeros(50), MarketConfig(), [])
