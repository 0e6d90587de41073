"""A triple-barrier label is what the simulator pays for that very bracket, to 1e-9 bps of what was put in."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.instruments import Instrument, default_instrument
from data_pipeline.readers import read_bars, symbol_from_path
from data_pipeline.schema import BarArrays, bar_arrays
from envs.backtest import Backtest, BacktestResult
from envs.market import Market
from features.config import TradingCosts
from features.labels import GROSS, BarrierLabels, costs_of, triple_barrier
from tests.market_tools import FIRST_MS, MINUTE_MS, plain, random_bars

CAPITAL = 1e12  # lots of 1e-5 are then nothing, and no run of losses ruins the account
REASONS = {"take_profit": 1, "stop_loss": -1, "time_out": 0}
FREE = Instrument("FREE", 0.1, 1e-5, 0.0, maker_fee_bps=0.0, taker_fee_bps=0.0)
PAID = Instrument("PAID", 0.1, 1e-5, 0.0, maker_fee_bps=2.0, taker_fee_bps=5.0)
REBATE = Instrument("REBATE", 0.5, 1e-5, 0.0, maker_fee_bps=-1.0, taker_fee_bps=4.0)


def jumpy_bars(seed: int, rows: int, gaps: bool = True) -> BarArrays:
    """Bars on a tick of 0.1 with jumps at opens, bars that reach far both ways, touches, and missing minutes."""
    rng = np.random.default_rng(seed)
    columns = [np.ascontiguousarray(column) for column in random_bars(rng, rows).T]
    minutes = np.cumsum(1 + gaps * (rng.random(rows) < 0.01) * rng.integers(1, 9, rows))
    return BarArrays(FIRST_MS + MINUTE_MS * minutes.astype(np.int64), *columns, *np.ones((5, rows)))


def every_bracket(
    bars: BarArrays, tp: np.ndarray, sl: np.ndarray, ttl: int, side: np.ndarray, instrument: Instrument, half: float
) -> BacktestResult:
    """The simulator trades row t's bracket for every t: lane j takes the rows j, j + S, ... with S = ttl + 2.

    The side is wanted from the close of t to the close before the time-out and flat at one close more, so the lane is
    flat when its next row comes. A bracket that ends early is entered again until then: those trades are not looked at.
    """
    rows, stride = len(bars), ttl + 2
    orders = np.tile([0.0, np.inf, np.inf, np.inf, np.inf], (rows, stride, 1))
    for t in range(rows):
        orders[t : t + ttl + 1, t % stride, :4] = side[t], tp[t], sl[t], ttl
    market = Market.build(bars, np.zeros((rows, 1)), ("nothing",), instrument)
    config = plain(half_spread_bps=half, stop_out_fraction=1e-9)
    return Backtest(market, config, [CAPITAL] * stride).replay(orders)


def assert_same(
    labels: BarrierLabels, bars: BarArrays, ttl: int, side: np.ndarray, result: BacktestResult, gross: bool
) -> int:
    """Compare the trade that begins in bar t + 1 with the label of row t; how many exits it saw of each kind."""
    row_of = {int(time): row for row, time in enumerate(bars.open_time_ms)}
    column = "gross_pnl" if gross else "net_pnl"
    seen = np.zeros(len(bars), dtype=bool)
    for trade in result.trades.to_pylist():
        t = row_of[trade["entry_time_ms"]] - 1
        if trade["lane"] != t % (ttl + 2) or not labels.valid[t]:
            continue
        assert not seen[t]
        seen[t] = True
        where = f"row {t}: {trade}"
        assert trade["side"] == side[t], where
        assert REASONS[trade["exit_reason"]] == labels.outcome[t], where
        assert row_of[trade["exit_time_ms"]] == labels.t1[t], where
        inside = labels.until[t] - labels.t1[t]
        assert trade["bars_held"] == labels.t1[t] - (t + 1) + inside, where
        paid = 1e4 * trade[column] / (trade["qty"] * trade["entry_price"])
        assert paid == pytest.approx(labels.values[t], rel=1e-9, abs=1e-9), where  # bps: 1e-9 is 1e-13 of the price
    assert seen.sum() == labels.valid.sum(), "a label without its trade"
    return int(seen.sum())


CASES = {
    "no costs": (FREE, 0.0),
    "half-spread and fees": (PAID, 0.5),
    "wide spread, coarse tick, rebate": (REBATE, 7.0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", [1, -1])
def test_every_label_is_what_the_simulator_pays(case: str, side: int) -> None:
    """Barriers, sides and ttl of all kinds, wider and narrower than the half-spread and the tick."""
    instrument, half = CASES[case]
    met = {-1: 0, 0: 0, 1: 0}
    ambiguous = at_open = 0
    for seed, ttl in enumerate((1, 2, 7, 30)):
        bars = jumpy_bars(seed, 700)
        rng = np.random.default_rng(seed)
        tp = rng.choice([0.5, 3.0, 10.0, 30.0, 100.0, np.inf], len(bars))
        sl = rng.choice([0.5, 5.0, 20.0, 100.0, np.inf], len(bars))
        sides = np.full(len(bars), side)
        labels = triple_barrier(
            bars, take_profit_bps=tp, stop_loss_bps=sl, ttl_bars=ttl, side=side, costs=costs_of(instrument, half)
        )
        result = every_bracket(bars, tp, sl, ttl, sides, instrument, half)
        assert assert_same(labels, bars, ttl, sides, result, gross=False) > 400
        for outcome in met:
            met[outcome] += int((labels.outcome[labels.valid] == outcome).sum())
        ambiguous += int(labels.ambiguous.sum())
        at_open += int(((labels.until == labels.t1) & (labels.outcome != 0)).sum())
    assert min(met.values()) > 100
    assert ambiguous > 20
    assert at_open > 20


def test_mixed_sides_and_ambiguous_counts() -> None:
    """One lane for each row, so that each exit in a bar that touched both barriers is one label's."""
    bars = jumpy_bars(9, 250, gaps=False)
    rows, ttl = len(bars), 12
    side = np.random.default_rng(1).choice([-1, 0, 1], rows)
    costs = costs_of(PAID, 0.5)
    labels = triple_barrier(bars, take_profit_bps=20.0, stop_loss_bps=10.0, ttl_bars=ttl, side=side, costs=costs)
    market = Market.build(bars, np.zeros((rows, 1)), ("nothing",), PAID)
    valid = np.flatnonzero(labels.valid)
    orders = np.tile([0.0, np.inf, np.inf, np.inf, np.inf], (rows, len(valid), 1))
    for lane, t in enumerate(valid):
        orders[t : labels.t1[t], lane, :4] = side[t], 20.0, 10.0, ttl  # wanted up to the exit's bar: one trade a lane
    result = Backtest(market, plain(stop_out_fraction=1e-9), [CAPITAL] * len(valid)).replay(orders)
    np.testing.assert_array_equal(result.costs.ambiguous, labels.ambiguous[valid])
    np.testing.assert_array_equal(result.costs.trades, np.ones(len(valid)))
    earned = 1e4 * (result.equity[-1] - CAPITAL) / CAPITAL
    entered = np.array(
        [t["qty"] * t["entry_price"] for t in sorted(result.trades.to_pylist(), key=lambda t: t["lane"])]
    )
    np.testing.assert_allclose(earned, labels.values[valid] * entered / CAPITAL, rtol=1e-9, atol=1e-9)
    assert 5 < labels.ambiguous.sum() < len(valid) / 2


def test_gross_of_spread_and_fees_equals_labels_without_them() -> None:
    """Without half-spread the levels are the same, so the simulator's own gross figure is the label without fees."""
    bars = jumpy_bars(3, 600)
    side = np.ones(len(bars), dtype=int)
    tp, sl = np.full(len(bars), 20.0), np.full(len(bars), 10.0)
    labels = triple_barrier(
        bars, take_profit_bps=20.0, stop_loss_bps=10.0, ttl_bars=9, costs=TradingCosts(tick_size=PAID.tick_size)
    )
    result = every_bracket(bars, tp, sl, 9, side, PAID, 0.0)
    assert assert_same(labels, bars, 9, side, result, gross=True) > 400


def test_rounding_to_a_fine_tick_approaches_the_unrounded_label() -> None:
    """The default label rounds no level. The simulator always has a tick: at 1e-6 it is within 1e-3 bps of it."""
    bars = jumpy_bars(4, 600)
    fine = replace(FREE, tick_size=1e-6)
    plain = triple_barrier(bars, take_profit_bps=17.0, stop_loss_bps=11.0, ttl_bars=9, costs=GROSS)
    stepped = triple_barrier(bars, take_profit_bps=17.0, stop_loss_bps=11.0, ttl_bars=9, costs=costs_of(fine, 0.0))
    assert plain.outcome.tolist() == stepped.outcome.tolist()
    np.testing.assert_allclose(plain.values, stepped.values, rtol=0, atol=1.1e-5)  # a tick of 1e-6 at a price near 1000
    side = np.ones(len(bars), dtype=int)
    tp, sl = np.full(len(bars), 17.0), np.full(len(bars), 11.0)
    result = every_bracket(bars, tp, sl, 9, side, fine, 0.0)
    assert assert_same(stepped, bars, 9, side, result, gross=True) > 400


@pytest.mark.skipif("SCALPING_REAL_DATA" not in os.environ, reason="SCALPING_REAL_DATA is not set")
@pytest.mark.parametrize(
    "file", ["binance_spot_BTCUSDT_1m_2026-03_04.parquet", "binance_um_FILUSDT_1m_2023-2024_14months.parquet"]
)
@pytest.mark.parametrize("side", [1, -1])
def test_real_bars_too(file: str, side: int) -> None:
    """Real ticks, real touches and real jumps, with volatility-scaled barriers and the venue's own costs."""
    bars = bar_arrays(read_bars(Path(os.environ["SCALPING_REAL_DATA"]) / "klines" / file)).slice(0, 6_000)
    instrument = replace(default_instrument(symbol_from_path(file), "linear"), lot_step=1e-5, min_notional=0.0)
    bar_bps = 1e4 * np.log(bars.high / bars.low)
    scale = np.convolve(bar_bps, np.ones(30) / 30)[: len(bars)]
    tp, sl = np.maximum(2.0 * scale, 1.0), np.maximum(1.5 * scale, 1.0)
    sides = np.full(len(bars), side)
    labels = triple_barrier(
        bars, take_profit_bps=tp, stop_loss_bps=sl, ttl_bars=20, side=side, costs=costs_of(instrument, 0.5)
    )
    result = every_bracket(bars, tp, sl, 20, sides, instrument, 0.5)
    assert assert_same(labels, bars, 20, sides, result, gross=False) == labels.valid.sum() > 5_000
    assert min((labels.outcome[labels.valid] == k).sum() for k in (-1, 0, 1)) > 50
