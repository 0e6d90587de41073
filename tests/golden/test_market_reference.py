"""The kernel against the slow reference, trade by trade, and docs/fills.md run as it stands."""

import doctest
import os
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from data_pipeline.instruments import Instrument, default_instrument
from data_pipeline.readers import read_bars, symbol_from_path
from data_pipeline.schema import bar_arrays
from envs.backtest import Backtest
from envs.config import MarketConfig, RiskLimits
from envs.market import Market
from tests.market_tools import PERPETUAL, SPOT, plain, random_market, random_orders, rich_market, varied_orders
from tests.reference_market import Account, simulate

DOCS = Path(__file__).parents[2] / "docs" / "fills.md"
COARSE = Instrument("COARSE", 0.5, 0.25, 300.0, maker_fee_bps=-1.0, taker_fee_bps=4.0)
ODD_STEPS = Instrument("ODD", 0.3, 0.07, 0.0, maker_fee_bps=0.0, taker_fee_bps=0.0)
MARGINED = replace(PERPETUAL, maintenance_margin=0.02, liquidation_fee_bps=30.0)
COIN = Instrument("COIN", 0.1, 10.0, 0.005, 2.0, 5.0, "inverse", maintenance_margin=0.01, liquidation_fee_bps=20.0)
CAPITALS = (10_000.0, 100.0, 9.0)
PLAIN = {
    "perpetual": (PERPETUAL, plain(), CAPITALS),
    "leverage": (PERPETUAL, plain(leverage=10.0, half_spread_bps=2.0, stop_out_fraction=0.6), (10_000.0, 300.0)),
    "spot": (SPOT, plain(half_spread_bps=0.0), (100_000.0, 50.0)),
    "coarse": (COARSE, plain(half_spread_bps=7.0), (1_000.0, 650.0)),
    "odd steps": (ODD_STEPS, plain(half_spread_bps=0.1), (1_000.0,)),
}
MOVING = {"trailing_bps": 13.7, "break_even_bps": 7.3}
BREAKERS = {
    "drawdown": RiskLimits(drawdown=0.0131),
    "daily loss": RiskLimits(daily_loss=0.0071),
    "streak": RiskLimits(losing_streak=3, cool_down_bars=7),
    "entries": RiskLimits(entries_per_day=9),
    "volatility": RiskLimits(volatility_multiple=3.17, cool_down_bars=4.5),
    "exposure": RiskLimits(exposure=0.371),
    "collar": RiskLimits(price_collar_bps=7.7),
    "all": RiskLimits(
        daily_loss=0.0071,
        drawdown=0.0231,
        losing_streak=4,
        cool_down_bars=9,
        entries_per_day=15,
        price_collar_bps=17.7,
        volatility_multiple=4.17,
    ),
}
RICH = {
    "everything": (PERPETUAL, MarketConfig(**MOVING), CAPITALS),
    "late": (PERPETUAL, replace(plain(), latency_ms=700.0, trailing_bps=31.0), (10_000.0,)),
    "target first": (PERPETUAL, MarketConfig(both_touched="target_first", fees_bps=(0.7, 1.9)), (10_000.0, 100.0)),
    "liquidation": (MARGINED, plain(leverage=45.0, stop_out_fraction=0.01, ttl_bars=np.inf), (10_000.0, 300.0)),
    "ruin": (PERPETUAL, MarketConfig(leverage=20.0, max_participation=5.0, stop_out_fraction=0.8), (3_000.0,)),
    "inverse": (COIN, MarketConfig(leverage=60.0, stop_out_fraction=0.05, max_participation=4.0), (5.0, 0.1)),
    "spot": (SPOT, MarketConfig(latency_ms=60_000.0, impact=2.0, **MOVING), (10_000.0, 100.0)),
    "rebate": (COARSE, MarketConfig(limit_ttl_bars=2.0, max_participation=0.03), (10_000.0, 650.0)),
    "costly": (PERPETUAL, replace(plain(), impact=90.0, max_participation=0.15), (9_000_000.0, 9_000.0)),
    "paid to rest": (PERPETUAL, MarketConfig(fees_bps=(-3.0, 4.0), max_participation=np.inf), (10_000.0,)),
    "thin": (ODD_STEPS, MarketConfig(max_participation=0.01, stop_out_fraction=0.7), (30_000.0,)),
    **{f"breaker: {name}": (PERPETUAL, MarketConfig(risk=limits), (10_000.0,)) for name, limits in BREAKERS.items()},
    "careful": (PERPETUAL, plain(leverage=5.0, risk=replace(BREAKERS["all"], entries_per_day=np.inf)), (10_000.0,)),
    "careful inverse": (COIN, MarketConfig(leverage=5.0, stop_out_fraction=0.05, risk=BREAKERS["all"]), (5.0,)),
}
SEEDS = range(4)
RULES = {
    *("take_profit", "stop_loss", "signal", "time_out", "forced", "ruin", "end", "liquidation", "risk"),
    *(
        "participation",
        "under a lot",
        "under the min notional",
        "funding",
        "nan",
        "trailing",
        "break even",
        "finer gap",
    ),
    *("limit filled", "limit filled in finer", "limit cancelled", "limit replaced", "post-only", "collar", "exposure"),
    *("stopped by drawdown", "stopped by daily_loss", "reducing by daily_entries"),
    *("reducing by losing_streak", "reducing by volatility"),
}


def assert_equal(
    market: Market,
    orders: np.ndarray,
    config: MarketConfig,
    capitals: tuple[float, ...],
    reference: MarketConfig | None = None,
) -> list[Account]:
    """Every trade, equity and count of the backtest is the reference's; returns the reference's accounts."""
    result = Backtest(market, config, capitals).replay(orders)
    trades = result.trades.to_pylist()
    accounts = []
    for lane, capital in enumerate(capitals):
        account, equity = simulate(market, orders[:, lane].tolist(), reference or config, capital)
        ours = [trade for trade in trades if trade["lane"] == lane]
        for mine, theirs in zip(ours, account.trades, strict=False):
            where = f"lane {lane}, {theirs}"
            assert mine["exit_reason"] == theirs["exit_reason"], where
            assert (mine["side"], mine["bars_held"]) == (theirs["side"], theirs["bars_held"]), where
            assert mine["entry_time_ms"] == market.open_time_ms[theirs["entry_bar"]], where
            assert mine["exit_time_ms"] == market.open_time_ms[theirs["exit_bar"]], where
            for name in ("qty", "entry_price", "exit_price"):
                assert mine[name] == pytest.approx(float(theirs[name]), rel=1e-9), (name, where)
            for name in ("fees", "spread_cost", "impact_cost", "funding", "net_pnl"):
                assert mine[name] == pytest.approx(float(theirs[name]), rel=1e-9, abs=1e-11 * capital), (name, where)
        assert len(ours) == len(account.trades)
        np.testing.assert_allclose(result.equity[:, lane], np.array(equity, dtype=float), rtol=1e-9)
        for name, count in account.counts.items():
            assert getattr(result.costs, name)[lane] == count, name
        assert result.ruined[lane] == account.ruined
        accounts.append(account)
    return accounts


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_trade_and_every_equity_equals_the_reference(case: str, seed: int) -> None:
    instrument, config, capitals = PLAIN[case]
    market = random_market(seed, 400, instrument=instrument)
    rng = np.random.default_rng(1_000 + seed)
    orders = random_orders(rng, len(market), len(capitals), hold=rng.choice([0.3, 0.9, 0.98]))
    assert_equal(market, orders, config, capitals)


@cache
def rich_accounts(case: str, seed: int) -> list[Account]:
    instrument, config, capitals = RICH[case]
    market = rich_market(seed, 500, instrument=instrument, finer=seed % 4 != 3)
    rng = np.random.default_rng(2_000 + seed)
    orders = varied_orders(rng, len(market), len(capitals), hold=rng.choice([0.5, 0.9, 0.98]))
    return assert_equal(market, orders, config, capitals)


@pytest.mark.parametrize("case", RICH)
def test_every_rule_and_their_combinations_equal_the_reference(case: str) -> None:
    for seed in SEEDS:
        assert rich_accounts(case, seed)


def test_the_cases_above_meet_every_rule() -> None:
    """A comparison proves nothing about a rule that never came into play; each does several times."""
    met: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for case in RICH:
        for seed in SEEDS:
            for account in rich_accounts(case, seed):
                met.update(account.met)
                totals.update(account.counts)
                totals["ruined"] += account.ruined
    assert set(met) == RULES
    assert min(met.values()) >= 3, met
    assert min(totals.values()) >= 3, totals


def test_docs_are_true() -> None:
    outcome = doctest.testfile(str(DOCS), module_relative=False)
    assert outcome.attempted > 40
    assert outcome.failed == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"half_spread_bps": 0.51},
        {"impact": 1.01},
        {"latency_ms": 101.0},
        {"max_participation": 0.099},
        {"trailing_bps": 13.8},
        {"break_even_bps": 21.0},
        {"limit_ttl_bars": 6.0},
        {"fees_bps": (2.0, 5.01)},
        {"both_touched": "target_first"},
    ],
)
def test_a_different_rule_would_be_noticed(changed: dict) -> None:
    """The reference itself must bite: one changed term of the market shows in it."""
    config = MarketConfig(**MOVING)
    market = rich_market(0, 500)
    orders = varied_orders(np.random.default_rng(0), len(market), hold=0.8)
    assert_equal(market, orders, config, (10_000.0,))
    with pytest.raises(AssertionError):
        assert_equal(market, orders, config, (10_000.0,), reference=replace(config, **changed))


@pytest.mark.skipif("SCALPING_REAL_DATA" not in os.environ, reason="SCALPING_REAL_DATA is not set")
@pytest.mark.parametrize(
    ("file", "contract"),
    [
        ("binance_spot_BTCUSDT_1m_2026-03_04.parquet", "spot"),
        ("binance_um_FILUSDT_1m_2023-2024_14months.parquet", "linear"),
    ],
)
def test_real_bars_equal_the_reference_too(file: str, contract: Literal["spot", "linear"]) -> None:
    """Real ticks and real touches: prices are the float64 of the exchange's decimals."""
    table = read_bars(Path(os.environ["SCALPING_REAL_DATA"]) / "klines" / file)
    rows = bar_arrays(table).slice(0, 4_000)
    instrument = default_instrument(symbol_from_path(file), contract)
    market = Market.build(rows, np.zeros((len(rows), 1)), ("x",), instrument)
    rng = np.random.default_rng(5)
    orders = random_orders(rng, len(rows), hold=0.9)
    config = plain(stop_out_fraction=0.01)
    (account,) = assert_equal(market, orders, config, (10_000.0,))
    assert len(account.trades) > 300
