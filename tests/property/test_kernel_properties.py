"""What must hold for any bars and any orders."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.instruments import Instrument
from envs.actions import encode_sides
from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from tests.market_tools import PERPETUAL, SPOT, build_market, plain, random_bars, random_market, random_orders

seeds = st.integers(0, 2**32 - 1)
some = settings(max_examples=60, deadline=None)
FLAT = [0.0, np.inf, np.inf, np.inf, np.inf]


def random_case(seed: int, config: MarketConfig, instrument: Instrument = PERPETUAL) -> tuple[Market, np.ndarray]:
    rng = np.random.default_rng(seed)
    market = random_market(seed, int(rng.integers(20, 200)), instrument=instrument)
    return market, random_orders(rng, len(market), hold=rng.choice([0.0, 0.5, 0.95]))


def settings_of(data: st.DataObject) -> MarketConfig:
    return plain(
        half_spread_bps=data.draw(st.sampled_from([0.0, 0.5, 20.0])),
        leverage=data.draw(st.sampled_from([0.5, 1.0, 5.0])),
        initial_capital=data.draw(st.sampled_from([60.0, 1_000.0, 1e6])),
    )


def bar_of(market: Market, time_ms: int) -> int:
    return int(np.searchsorted(market.open_time_ms, time_ms))


def mid_of(price: float, direction: int, config: MarketConfig) -> float:
    """The bar's price that a market fill was made against (`direction` +1 bought)."""
    return price / (1.0 + direction * 1e-4 * config.half_spread_bps)


@some
@given(seeds, st.data())
def test_books_balance_at_every_close(seed: int, data: st.DataObject) -> None:
    """cash + position value, rebuilt from the fills alone, is the equity; net = gross - fees - spread."""
    config = settings_of(data)
    market, orders = random_case(seed, config)
    result = Backtest(market, config).replay(orders)
    start = config.capital_range[0]
    cash, held = np.full(len(market), start), np.zeros(len(market))
    fees = spread = net = 0.0
    turnover = start
    for trade in result.trades.to_pylist():
        entry, leave = bar_of(market, trade["entry_time_ms"]), bar_of(market, trade["exit_time_ms"])
        quantity = trade["side"] * trade["qty"]
        entry_fee = trade["qty"] * trade["entry_price"] * PERPETUAL.taker_fee_bps * 1e-4
        cash[entry:] -= quantity * trade["entry_price"] + entry_fee
        cash[leave:] += quantity * trade["exit_price"] - (trade["fees"] - entry_fee)
        held[entry:leave] += quantity
        fees += trade["fees"]
        spread += trade["spread_cost"]
        net += trade["net_pnl"]
        turnover += trade["qty"] * (trade["entry_price"] + trade["exit_price"])
        assert trade["net_pnl"] == trade["gross_pnl"] - trade["fees"] - trade["spread_cost"]
        moved = quantity * (trade["exit_price"] - trade["entry_price"]) - trade["fees"]
        assert trade["net_pnl"] == pytest.approx(moved, rel=1e-9, abs=1e-12 * turnover)
    tolerance = 1e-12 * turnover
    np.testing.assert_allclose(result.position[:, 0], held, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.equity[:, 0], cash + held * market.prices[:, 3], rtol=1e-9, atol=tolerance)
    assert result.equity[-1, 0] == pytest.approx(start + net, rel=1e-9, abs=tolerance)
    assert result.costs.fees[0] == pytest.approx(fees, rel=1e-9)
    assert result.costs.spread_cost[0] == pytest.approx(spread, rel=1e-9, abs=tolerance)


@some
@given(seeds, st.data())
def test_fills_keep_to_bars_and_barriers(seed: int, data: st.DataObject) -> None:
    """Before the half-spread: entries at opens, stops never better than their level, takes never better than theirs."""
    config = settings_of(data)
    market, orders = random_case(seed, config)
    result = Backtest(market, config).replay(orders)
    for trade in result.trades.to_pylist():
        entry, leave = bar_of(market, trade["entry_time_ms"]), bar_of(market, trade["exit_time_ms"])
        side, reason = trade["side"], trade["exit_reason"]
        target, tp_bps, sl_bps, ttl, _ = orders[entry - 1, 0]
        opening, high, low, close = market.prices[leave, :4]
        assert np.sign(target) == side
        assert market.tradable[entry - 1]
        assert mid_of(trade["entry_price"], side, config) == pytest.approx(market.prices[entry, 0], rel=1e-12)
        take = trade["entry_price"] * (1 + side * tp_bps * 1e-4)
        stop = trade["entry_price"] * (1 - side * sl_bps * 1e-4)
        tick = PERPETUAL.tick_size * (1 + 1e-5)
        if reason == "take_profit":
            assert -1e-9 <= side * (trade["exit_price"] - take) <= tick  # rounded away from entry, no further
            assert side * ((high if side > 0 else low) - trade["exit_price"]) > 0
            continue
        mid = mid_of(trade["exit_price"], -side, config)
        if reason == "stop_loss":
            assert side * (mid - stop) <= 1e-9
            worst = low if side > 0 else high
            assert side * (mid - worst) >= -1e-9
            assert mid == pytest.approx(opening, rel=1e-12) or side * (mid - stop) >= -tick
        elif reason in ("signal", "forced", "time_out"):
            assert mid == pytest.approx(opening, rel=1e-12)
        else:
            assert reason in ("ruin", "end")
            assert mid == pytest.approx(close, rel=1e-12)
        assert low * (1 - 1e-12) <= mid <= high * (1 + 1e-12)
        if reason == "time_out":
            assert trade["bars_held"] == np.ceil(ttl)
        assert trade["bars_held"] <= np.ceil(ttl)


@some
@given(seeds, st.data())
def test_sizes_are_whole_lots_that_the_account_can_carry(seed: int, data: st.DataObject) -> None:
    config = settings_of(data)
    market, orders = random_case(seed, config)
    result = Backtest(market, config).replay(orders)
    for trade in result.trades.to_pylist():
        entry = bar_of(market, trade["entry_time_ms"])
        lots = trade["qty"] / PERPETUAL.lot_step
        assert lots == pytest.approx(round(lots), abs=1e-9)
        notional = trade["qty"] * trade["entry_price"]
        assert notional >= PERPETUAL.min_notional
        target = abs(orders[entry - 1, 0, 0])
        # A reversal sizes by the cash of that moment, which a close at the same open has just changed.
        before = result.equity[entry - 1, 0]
        if result.position[entry - 1, 0] == 0.0:
            assert notional <= target * config.leverage * before * (1 + 1e-9) + 1e-6 * trade["entry_price"]


@some
@given(seeds, st.data())
def test_spot_is_never_short(seed: int, data: st.DataObject) -> None:
    config = replace(settings_of(data), leverage=1.0)
    market, orders = random_case(seed, config, SPOT)
    result = Backtest(market, config).replay(orders)
    assert (result.position >= 0).all()
    flat_instead = orders.copy()
    flat_instead[orders[..., 0] < 0, 0] = 0.0
    same = Backtest(market, config).replay(flat_instead)
    np.testing.assert_array_equal(result.equity, same.equity)


def one_lot(fee_bps: float, **fees: float) -> Instrument:
    return Instrument("LOT", 0.1, 1.0, 0.0, **({"maker_fee_bps": fee_bps, "taker_fee_bps": fee_bps} | fees))


@some
@given(seeds, st.floats(0.0, 30.0), st.floats(0.0, 30.0), st.floats(0.0, 10.0))
def test_equity_never_rises_with_fees_at_fixed_fills(seed: int, fee: float, more: float, spread: float) -> None:
    """An account that can always afford exactly one lot makes the same fills under any fee."""
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, 60)
    orders = random_orders(rng, 60, hold=0.8)
    orders[..., 0] = np.sign(orders[..., 0])
    config = plain(half_spread_bps=spread, initial_capital=1_600.0, stop_out_fraction=1e-9)
    cheap = Backtest(build_market(bars, instrument=one_lot(fee)), config).replay(orders)
    dear = Backtest(build_market(bars, instrument=one_lot(fee + more)), config).replay(orders)
    fills = ["side", "qty", "entry_time_ms", "entry_price", "exit_time_ms", "exit_price", "exit_reason"]
    if cheap.trades.select(fills).equals(dear.trades.select(fills)):
        assert (dear.equity <= cheap.equity + 1e-9).all()
        assert dear.costs.fees[0] >= cheap.costs.fees[0]


def test_the_fee_property_compares_something() -> None:
    bars = random_bars(np.random.default_rng(1), 60)
    orders = random_orders(np.random.default_rng(1), 60, hold=0.8)
    orders[..., 0] = np.sign(orders[..., 0])
    config = plain(initial_capital=1_600.0, stop_out_fraction=1e-9)
    results = [Backtest(build_market(bars, instrument=one_lot(fee)), config).replay(orders) for fee in (1.0, 9.0)]
    assert results[0].trades.num_rows > 5
    assert results[0].trades["exit_price"].equals(results[1].trades["exit_price"])
    assert results[1].equity[-1, 0] < results[0].equity[-1, 0]


def histories(result: BacktestResult, rows: int) -> tuple[np.ndarray, np.ndarray]:
    return result.equity[:rows], result.position[:rows]


@some
@given(seeds, st.integers(1, 150))
def test_nothing_later_changes_anything_earlier(seed: int, cut: int) -> None:
    """Bars after `cut`, and orders from `cut` on, leave equity and position up to the close of `cut` alone."""
    config = plain()
    rng = np.random.default_rng(seed)
    bars, orders = random_bars(rng, 160), random_orders(rng, 160)
    base = Backtest(build_market(bars), config).replay(orders)
    other_bars = bars.copy()
    other_bars[cut + 1 :] = random_bars(np.random.default_rng(seed + 1), 160)[cut + 1 :]
    other_orders = orders.copy()
    other_orders[cut:] = random_orders(np.random.default_rng(seed + 1), 160)[cut:]
    for changed in (
        Backtest(build_market(other_bars), config).replay(orders),
        Backtest(build_market(bars), config).replay(other_orders),
    ):
        for before, after in zip(histories(base, cut + 1), histories(changed, cut + 1), strict=True):
            np.testing.assert_array_equal(before, after)


class Recorder:
    """Plays given sides and keeps what it was shown."""

    def __init__(self, sides: np.ndarray, config: MarketConfig) -> None:
        self.sides, self.config = sides, config
        self.seen: list[np.ndarray] = []

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.seen.append(observations)
        return encode_sides(self.sides[len(self.seen) - 1], self.config)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 78))
def test_no_observation_knows_a_later_bar_or_action(seed: int, cut: int) -> None:
    config = plain(default_tp_bps=15.0, default_sl_bps=10.0)
    rng = np.random.default_rng(seed)
    bars, features = random_bars(rng, 80), rng.normal(size=(80, 2)).astype(np.float32)
    sides = np.repeat(rng.integers(-1, 2, (20, 1)), 4, axis=0)
    base = Recorder(sides, config)
    Backtest(build_market(bars, observations=features), config).run(base)
    later = np.arange(80) > cut
    bars = np.where(later[:, None], random_bars(rng, 80), bars)
    features = np.where(later[:, None], 0.5, features).astype(np.float32)
    other = Recorder(np.where(np.arange(80)[:, None] >= cut, -1, sides), config)
    Backtest(build_market(bars, observations=features), config).run(other)
    np.testing.assert_array_equal(base.seen[: cut + 1], other.seen[: cut + 1])


@some
@given(seeds, st.sampled_from([5.0, 20.0, 70.0, np.inf]), st.sampled_from([5.0, 20.0, 70.0, np.inf]))
def test_a_short_in_the_mirror_is_a_long(seed: int, tp_bps: float, sl_bps: float) -> None:
    """Prices reflected about the entry open, no costs: same size, same exit, and the same profit up to rounding.

    With costs the two differ, for fees and half-spreads are parts of a price, and the mirrored price is another one.
    """
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, 40)
    axis = bars[1, 0]
    mirrored = 2 * axis - bars[:, [0, 2, 1, 3]]
    mirrored = np.round(mirrored * 10) / 10  # back onto the tick
    free = replace(PERPETUAL, maker_fee_bps=0.0, taker_fee_bps=0.0)
    config = plain(half_spread_bps=0.0)
    results = []
    for side, prices in ((1.0, bars), (-1.0, mirrored)):
        if not (prices > 0).all():
            return
        orders = np.tile(FLAT, (40, 1, 1))
        orders[:20] = [side, tp_bps, sl_bps, 15.0, np.inf]
        first = Backtest(build_market(prices, instrument=free), config).replay(orders).trades.to_pylist()[0]
        results.append(first)
    long, short = results
    for name in ("qty", "entry_time_ms", "entry_price", "exit_time_ms", "exit_reason", "bars_held"):
        assert long[name] == short[name], name
    assert long["gross_pnl"] == pytest.approx(short["gross_pnl"], abs=1e-9 * axis * long["qty"])
