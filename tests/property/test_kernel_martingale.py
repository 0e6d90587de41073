"""On a driftless walk nobody earns: the mean net profit of a trade is minus its costs."""

import numpy as np
import pytest

from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.costs import TradingCosts
from envs.market import Market
from tests.market_tools import PERPETUAL, build_market, plain

TICK = PERPETUAL.tick_size
ROWS, MOVES = 240_000, 60
KINDS = ["long", "short", "random"]


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    """Bars (T, 4) of a walk of one tick up or down, 60 moves to a bar: a martingale that never jumps."""
    rng = np.random.default_rng(20_240_101)
    path = 10_000 + np.cumsum(rng.integers(0, 2, ROWS * MOVES, dtype=np.int8) * 2 - 1, dtype=np.int32)
    path = path.reshape(ROWS, MOVES)
    bars = np.stack([path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1]], axis=1)
    assert bars.min() > 1_000
    return bars / 10.0


def bracketed_orders(kind: str) -> np.ndarray:
    """Orders (T, 1, 5) with brackets whose barriers lie more than a bar's range apart, so no bar is ambiguous."""
    rng = np.random.default_rng(7)
    orders = np.full((ROWS, 1, 5), np.inf)
    orders[..., 0] = {"long": 0.01, "short": -0.01}.get(kind, 0.0)
    if kind == "random":
        orders[..., 0] = 0.01 * np.repeat(rng.choice([-1.0, 0.0, 1.0], ROWS // 50), 50)[:, None]
    orders[..., 1] = rng.choice([30.0, 40.0, 60.0], (ROWS, 1))
    orders[..., 2] = rng.choice([40.0, 50.0], (ROWS, 1))
    orders[..., 3] = rng.choice([3.0, 20.0, np.inf], (ROWS, 1))
    return orders


def columns_of(result: BacktestResult) -> dict[str, np.ndarray]:
    trades = result.trades
    return {
        name: column.to_numpy(zero_copy_only=False)
        for name, column in zip(trades.column_names, trades.columns, strict=True)
    }


def surplus_of(trades: dict[str, np.ndarray], *known: str) -> np.ndarray:
    """Net profit per unit, before the `known` costs and before the one tick that a take-profit gives away: it fills at
    its level though the walk stands one tick beyond it."""
    paid = sum(trades[name] for name in known) + TICK * trades["qty"] * (trades["exit_reason"] == "take_profit")
    return (trades["net_pnl"] + paid) / trades["qty"]


def replayed(walk: np.ndarray, kind: str, config: MarketConfig, market: Market | None = None) -> dict[str, np.ndarray]:
    result = Backtest(market or build_market(walk), config).replay(bracketed_orders(kind))
    assert result.costs.ambiguous[0] <= 8
    trades = columns_of(result)
    assert len(trades["qty"]) > 8_000
    return trades


SETTINGS = {"initial_capital": 1e7, "half_spread_bps": 0.5, "stop_out_fraction": 1e-9}


@pytest.mark.parametrize("kind", KINDS)
def test_mean_profit_is_minus_the_costs(walk: np.ndarray, kind: str) -> None:
    """Per unit traded, within 4 standard errors (a false alarm in 16,000 walks; this one is fixed by its seed)."""
    trades = replayed(walk, kind, plain(**SETTINGS))
    taken = trades["exit_reason"] == "take_profit"
    assert 0.05 < taken.mean() < 0.95
    surplus = surplus_of(trades, "fees", "spread_cost")
    costs = (trades["fees"] + trades["spread_cost"]) / trades["qty"]
    error = surplus.std(ddof=1) / np.sqrt(len(surplus))
    assert abs(surplus.mean()) < 4 * error
    assert costs.mean() > 32 * error  # so an eighth of the costs gone astray is four standard errors


@pytest.mark.parametrize("kind", KINDS)
def test_impact_and_funding_are_costs_like_others(walk: np.ndarray, kind: str) -> None:
    """Impact on every market fill, funding in every hundredth bar: told in full by their columns."""
    funding = np.zeros(ROWS)
    funding[::100] = 2e-4
    costs = TradingCosts(impact=np.full(ROWS, 2e-5), funding=funding)
    config = MarketConfig(**SETTINGS, latency_ms=0.0)
    trades = replayed(walk, kind, config, build_market(walk, costs=costs))
    surplus = surplus_of(trades, "fees", "spread_cost", "impact_cost", "funding")
    error = surplus.std(ddof=1) / np.sqrt(len(surplus))
    assert abs(surplus.mean()) < 4 * error
    assert trades["impact_cost"].sum() > 0.1 * trades["spread_cost"].sum()
    assert surplus_of(trades, "fees", "spread_cost").mean() < -4 * error


@pytest.mark.parametrize("kind", KINDS)
def test_latency_is_harsh_and_told_in_full(walk: np.ndarray, kind: str) -> None:
    """The walk goes nowhere on average while an order is on its way, yet the order's price moves against it, never for
    it: an extra cost, whatever the side, which the impact column tells; nothing else changes."""
    trades = replayed(walk, kind, MarketConfig(**SETTINGS, impact=0.0, latency_ms=3_000.0))
    assert (trades["impact_cost"] >= -1e-9).all()
    before_latency = surplus_of(trades, "fees", "spread_cost")
    error = before_latency.std(ddof=1) / np.sqrt(len(before_latency))
    assert before_latency.mean() < -4 * error  # harsh
    assert abs(surplus_of(trades, "fees", "spread_cost", "impact_cost").mean()) < 4 * error


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_limit_entries_earn_nothing_but_the_spread_they_save(walk: np.ndarray, side: float) -> None:
    """A limit entry fills at its level with the walk one tick beyond it: one tick given away, as by a take-profit. Its
    bracket starts at the fill, so nothing of the bar before it is taken for a gain."""
    orders = bracketed_orders("long" if side > 0 else "short")
    orders[..., 4] = 8.0
    trades = columns_of(Backtest(build_market(walk), plain(**SETTINGS)).replay(orders))
    assert len(trades["qty"]) > 5_000
    surplus = surplus_of(trades, "fees", "spread_cost") + TICK
    error = surplus.std(ddof=1) / np.sqrt(len(surplus))
    assert abs(surplus.mean()) < 4 * error


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_stops_that_move_earn_nothing(walk: np.ndarray, side: float) -> None:
    trades = columns_of(
        Backtest(build_market(walk), plain(**SETTINGS, trailing_bps=45.0, break_even_bps=30.0)).replay(
            bracketed_orders("long" if side > 0 else "short")
        )
    )
    surplus = surplus_of(trades, "fees", "spread_cost")
    error = surplus.std(ddof=1) / np.sqrt(len(surplus))
    assert len(surplus) > 8_000
    assert abs(surplus.mean()) < 4 * error
