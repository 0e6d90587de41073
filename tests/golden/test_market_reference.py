"""The kernel against the slow reference, trade by trade, and docs/fills.md run as it stands."""

import doctest
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from data_pipeline.instruments import Instrument, default_instrument
from data_pipeline.readers import read_bars, symbol_from_path
from data_pipeline.schema import bar_arrays
from envs.backtest import Backtest
from envs.market import Market
from tests.market_tools import PERPETUAL, SPOT, plain, random_market, random_orders
from tests.reference_market import simulate

DOCS = Path(__file__).parents[2] / "docs" / "fills.md"
COARSE = Instrument("COARSE", 0.5, 0.25, 60.0, maker_fee_bps=-1.0, taker_fee_bps=4.0)
ODD_STEPS = Instrument("ODD", 0.3, 0.07, 0.0, maker_fee_bps=0.0, taker_fee_bps=0.0)
CASES = {
    "perpetual": (PERPETUAL, plain(), (10_000.0, 100.0, 9.0)),
    "leverage": (PERPETUAL, plain(leverage=10.0, half_spread_bps=2.0, stop_out_fraction=0.6), (10_000.0, 300.0)),
    "spot": (SPOT, plain(half_spread_bps=0.0), (100_000.0, 50.0)),
    "coarse": (COARSE, plain(half_spread_bps=7.0), (1_000.0, 450.0)),
    "odd steps": (ODD_STEPS, plain(half_spread_bps=0.1), (1_000.0,)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(4))
def test_every_trade_and_every_equity_equals_the_reference(case: str, seed: int) -> None:
    instrument, config, capitals = CASES[case]
    market = random_market(seed, 400, instrument=instrument)
    rng = np.random.default_rng(1_000 + seed)
    orders = random_orders(rng, len(market), len(capitals), hold=rng.choice([0.3, 0.9, 0.98]))
    result = Backtest(market, config, capitals).replay(orders)
    trades = result.trades.to_pylist()
    for lane, capital in enumerate(capitals):
        account, equity = simulate(
            market.prices[:, :4].tolist(),
            market.tradable.tolist(),
            orders[:, lane].tolist(),
            instrument,
            config,
            capital,
        )
        np.testing.assert_allclose(result.equity[:, lane], np.array(equity, dtype=float), rtol=1e-9)
        ours = [trade for trade in trades if trade["lane"] == lane]
        assert [t["exit_reason"] for t in ours] == [t["exit_reason"] for t in account.trades]
        for mine, theirs in zip(ours, account.trades, strict=True):
            assert (mine["side"], mine["bars_held"]) == (theirs["side"], theirs["bars_held"])
            assert mine["entry_time_ms"] == market.open_time_ms[theirs["entry_bar"]]
            assert mine["exit_time_ms"] == market.open_time_ms[theirs["exit_bar"]]
            for name in ("qty", "entry_price", "exit_price", "fees", "spread_cost", "net_pnl"):
                assert mine[name] == pytest.approx(float(theirs[name]), rel=1e-9, abs=1e-7), name
        assert result.costs.ambiguous[lane] == account.ambiguous
        assert result.costs.refused[lane] == account.refused
        assert result.ruined[lane] == account.ruined


def test_the_cases_above_meet_every_rule() -> None:
    """A comparison proves nothing about a rule that never came into play."""
    reasons: set[str] = set()
    ambiguous = refused = ruined = 0
    for instrument, config, capitals in CASES.values():
        for seed in range(4):
            market = random_market(seed, 400, instrument=instrument)
            rng = np.random.default_rng(1_000 + seed)
            orders = random_orders(rng, len(market), len(capitals), hold=rng.choice([0.3, 0.9, 0.98]))
            result = Backtest(market, config, capitals).replay(orders)
            reasons |= set(result.trades["exit_reason"].to_pylist())
            ambiguous += result.costs.ambiguous.sum()
            refused += result.costs.refused.sum()
            ruined += result.ruined.sum()
    assert reasons == {"take_profit", "stop_loss", "signal", "time_out", "forced", "ruin", "end"}
    assert min(ambiguous, refused, ruined) > 0


def test_docs_are_true() -> None:
    outcome = doctest.testfile(str(DOCS), module_relative=False)
    assert outcome.attempted > 40
    assert outcome.failed == 0


def test_a_different_rule_would_be_noticed() -> None:
    """The reference itself must bite: one changed term of the market shows in it."""
    market = random_market(0, 400)
    orders = random_orders(np.random.default_rng(0), len(market))
    result = Backtest(market, plain(half_spread_bps=0.5)).replay(orders)
    changed = replace(plain(), half_spread_bps=0.51)
    _, equity = simulate(
        market.prices[:, :4].tolist(), market.tradable.tolist(), orders[:, 0].tolist(), PERPETUAL, changed, 10_000.0
    )
    assert not np.allclose(result.equity[:, 0], np.array(equity, dtype=float), rtol=1e-9)


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
    result = Backtest(market, config).replay(orders)
    account, equity = simulate(
        market.prices[:, :4].tolist(),
        market.tradable.tolist(),
        orders[:, 0].tolist(),
        instrument,
        config,
        10_000.0,
    )
    assert len(account.trades) > 300
    assert result.trades["exit_reason"].to_pylist() == [trade["exit_reason"] for trade in account.trades]
    np.testing.assert_allclose(result.equity[:, 0], np.array(equity, dtype=float), rtol=1e-9)
