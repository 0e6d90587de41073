"""What must hold for any market and any orders with every rule on: impact, latency, participation, limit entries, stops
that move, funding, leverage, liquidation, inverse contracts, finer bars and circuit breakers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.instruments import Instrument
from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig, RiskLimits
from envs.costs import TradingCosts
from envs.market import Market
from tests.market_tools import (
    PERPETUAL,
    SPOT,
    build_market,
    finer_bars,
    plain,
    random_bars,
    rich_market,
    varied_orders,
)

seeds = st.integers(0, 2**32 - 1)
some = settings(max_examples=40, deadline=None)
MARGINED = replace(PERPETUAL, maintenance_margin=0.02, liquidation_fee_bps=30.0)
COIN = Instrument("COIN", 0.1, 10.0, 0.0, 2.0, 5.0, "inverse", maintenance_margin=0.01, liquidation_fee_bps=20.0)
LIMITS = RiskLimits(daily_loss=0.02, losing_streak=5, cool_down_bars=9, entries_per_day=30, volatility_multiple=5.0)
MOVING = {"trailing_bps": 25.0, "break_even_bps": 9.0}
CASES = {
    "perpetual": (PERPETUAL, MarketConfig(**MOVING)),
    "guarded": (PERPETUAL, MarketConfig(risk=LIMITS, latency_ms=900.0)),
    "spot": (SPOT, MarketConfig(**MOVING, max_participation=1.0)),
    "leverage": (MARGINED, MarketConfig(leverage=40.0, max_participation=20.0, stop_out_fraction=0.05)),
    "inverse": (COIN, MarketConfig(leverage=20.0, max_participation=2.0, initial_capital=5.0, **MOVING)),
}
cases = st.sampled_from(sorted(CASES))
ROWS = 200


def rich_case(seed: int, case: str) -> tuple[Market, np.ndarray, MarketConfig]:
    instrument, config = CASES[case]
    rng = np.random.default_rng(seed)
    orders = varied_orders(rng, ROWS, hold=rng.choice([0.3, 0.9, 0.97]))
    return rich_market(seed, ROWS, instrument=instrument), orders, config


def bars_of(market: Market, times: list[int]) -> np.ndarray:
    return np.searchsorted(market.open_time_ms, times)


def worth(price: np.ndarray | float, instrument: Instrument) -> np.ndarray | float:
    return -1.0 / price if instrument.contract == "inverse" else price


def notional(price: float, instrument: Instrument) -> float:
    return 1.0 / price if instrument.contract == "inverse" else price


@some
@given(seeds, cases)
def test_cash_position_fees_and_funding_are_conserved_at_every_close(seed: int, case: str) -> None:
    """Rebuilt from the trades, the rates and nothing else; one fee for makers and takers tells the entry's share."""
    market, orders, config = rich_case(seed, case)
    fee, instrument = 4e-4, market.instrument
    result = Backtest(market, replace(config, fees_bps=(4.0, 4.0)), (config.capital_range[0],)).replay(orders)
    start = config.capital_range[0]
    cash, held = np.full(ROWS, start), np.zeros(ROWS)
    turnover = start
    for trade in result.trades.to_pylist():
        entry, leave = bars_of(market, [trade["entry_time_ms"], trade["exit_time_ms"]])
        quantity = trade["side"] * trade["qty"]
        entry_fee = trade["qty"] * notional(trade["entry_price"], instrument) * fee
        cash[entry:] -= quantity * worth(trade["entry_price"], instrument) + entry_fee
        cash[leave:] += quantity * worth(trade["exit_price"], instrument) - (trade["fees"] - entry_fee)
        held[entry:leave] += quantity
        turnover += trade["qty"] * notional(trade["entry_price"], instrument)
        costs = trade["fees"] + trade["spread_cost"] + trade["impact_cost"] + trade["funding"]
        assert trade["net_pnl"] == pytest.approx(trade["gross_pnl"] - costs, abs=1e-12 * turnover)
        assert min(trade["spread_cost"], trade["impact_cost"]) >= -1e-12 * turnover
    rate, opens = market.calendar[:, 0], market.prices[:, 0]
    paid = np.concatenate([[0.0], result.position[:-1, 0] * notional(opens[1:], instrument) * rate[1:]])
    cash -= np.cumsum(paid)
    np.testing.assert_allclose(result.position[:, 0], held, rtol=1e-9, atol=1e-9)
    value = held * worth(market.prices[:, 3], instrument)
    np.testing.assert_allclose(result.equity[:, 0], cash + value, rtol=1e-9, atol=1e-11 * turnover)
    for name in ("fees", "spread_cost", "impact_cost", "funding"):
        total = sum(result.trades[name].to_pylist())
        assert getattr(result.costs, name)[0] == pytest.approx(total, abs=1e-11 * turnover), name
    assert result.costs.funding[0] == pytest.approx(paid.sum(), abs=1e-11 * turnover)


def one_lot_case(seed: int, **costs: float) -> BacktestResult:
    """Bars on which an account that can always afford exactly one lot, without a bracket, makes the same fills."""
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, 60)
    orders = np.full((60, 1, 5), np.inf)
    orders[:, 0, 0] = np.repeat(rng.integers(-1, 2, 20), 3)
    orders[:, 0, 3] = rng.choice([4.0, np.inf])
    lot = Instrument("LOT", 0.1, 1.0, 0.0, costs.pop("fee", 0.0), costs.pop("fee_taker", 0.0))
    market = build_market(bars, instrument=lot, costs=TradingCosts(impact=np.full(60, costs.pop("coefficient", 0.0))))
    config = MarketConfig(initial_capital=1_700.0, stop_out_fraction=1e-9, **{"half_spread_bps": 0.0, **costs})
    return Backtest(market, config).replay(orders)


@some
@given(
    seeds,
    st.sampled_from(["half_spread_bps", "coefficient", "latency_ms", "impact", "fee_taker"]),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_equity_never_rises_with_a_cost_at_fixed_fills(seed: int, cost: str, low: float, more: float) -> None:
    scale = {"half_spread_bps": 20.0, "coefficient": 2e-3, "latency_ms": 3e4, "impact": 2.0, "fee_taker": 20.0}[cost]
    rest = {"coefficient": 1e-3} if cost == "impact" else {}
    cheap = one_lot_case(seed, **rest, **{cost: scale * low})
    dear = one_lot_case(seed, **rest, **{cost: scale * (low + more)})
    fills = ["side", "qty", "entry_time_ms", "exit_time_ms", "exit_reason"]
    if cheap.trades.select(fills).equals(dear.trades.select(fills)):
        assert (dear.equity <= cheap.equity + 1e-9).all()


def test_the_cost_property_compares_something() -> None:
    for cost, high in {"half_spread_bps": 20.0, "coefficient": 2e-3, "latency_ms": 3e4, "fee_taker": 20.0}.items():
        cheap, dear = one_lot_case(3, **{cost: 0.0}), one_lot_case(3, **{cost: high})
        assert cheap.trades.num_rows > 5
        assert cheap.trades["exit_time_ms"].equals(dear.trades["exit_time_ms"])
        assert dear.equity[-1, 0] < cheap.equity[-1, 0] - 1.0


@some
@given(seeds, cases)
def test_fills_keep_to_their_bar_and_their_barrier(seed: int, case: str) -> None:
    """Uncapped, so that every exit is where its rule puts it: the price before costs lies inside the bar, unless that
    gapped over a resting take-profit or limit entry; no take-profit or limit is better than its level, no stop either,
    and none is worse than the bar allows."""
    market, orders, config = rich_case(seed, case)
    config = replace(config, max_participation=np.inf)
    result = Backtest(market, config).replay(orders)
    inverse = market.instrument.contract == "inverse"
    moving = np.isfinite(config.trailing_bps)
    tick = market.instrument.tick_size
    for trade in result.trades.to_pylist():
        entry, leave = bars_of(market, [trade["entry_time_ms"], trade["exit_time_ms"]])
        side, quantity, reason = trade["side"], trade["qty"], trade["exit_reason"]
        opening, high, low, _, _, half_spread = market.prices[leave, :6]
        by_limit = on_tick(trade["entry_price"], tick)  # half-spread, impact and latency take the others off it
        entry_mid = trade["entry_price"] if by_limit else market.prices[entry, 0]
        gained = side * trade["gross_pnl"] / quantity
        mid = 1.0 / (1.0 / entry_mid - gained) if inverse else entry_mid + gained
        if reason == "take_profit":
            assert side * ((high if side > 0 else low) - trade["exit_price"]) > 0
            assert trade["exit_price"] == pytest.approx(mid, rel=1e-9)
            assert on_tick(trade["exit_price"], tick)
            continue
        if reason in ("stop_loss", "liquidation") and by_limit and entry == leave:
            # At its level, though the bar may have gapped over that and the limit alike.
            assert side * (mid - trade["entry_price"]) <= 1e-6
            continue
        assert low - 1e-6 <= mid <= high + 1e-6, (reason, mid, low, high)
        coefficient = market.prices[leave - 1 if reason != "end" else leave, 6]
        half_spread = config.half_spread_bps * 1e-4 if np.isnan(half_spread) else half_spread
        cost = half_spread + config.impact * coefficient * np.sqrt(quantity)
        adverse = low if side > 0 else high
        latest = mid + np.sqrt(config.latency_ms / 60_000) * (adverse - opening)
        worst = (latest if reason in ("signal", "forced", "time_out", "risk") else mid) * (1 - side * cost)
        assert trade["exit_price"] == pytest.approx(worst, rel=1e-9)
        if reason == "stop_loss" and not moving:
            # The order that set the bracket: for a limit entry, one of those while it rested.
            placed = [orders[t, 0, 2] for t in (range(max(entry - 5, 0), entry) if by_limit else [entry - 1])]
            stops = [trade["entry_price"] * (1 - side * 1e-4 * distance) for distance in placed]
            assert any(side * (mid - stop) <= 1e-6 for stop in stops)
            assert any(abs(mid - stop) <= 1.00001 * tick for stop in stops) or gapped(market, leave, mid, config)


def on_tick(price: float, tick: float) -> bool:
    return abs(price / tick - round(price / tick)) < 1e-6


def gapped(market: Market, bar: int, mid: float, config: MarketConfig) -> bool:
    """Whether `mid` is a first price: the bar's open, or what an entry met after it, or a finer bar's open."""
    following = market.calendar[bar + 1, 2] if bar + 1 < len(market) else len(market.finer)
    opens = [market.prices[bar, 0], *market.finer[int(market.calendar[bar, 2]) : int(following), 0]]
    extremes = market.prices[bar, 1:3]
    arrivals = opens[0] + np.sqrt(config.latency_ms / 60_000) * (extremes - opens[0])
    prices = np.array([*opens, *arrivals])
    return bool(np.isclose(prices, mid, rtol=1e-9).any())


@some
@given(seeds, cases)
def test_no_bar_is_traded_beyond_the_cap(seed: int, case: str) -> None:
    market, orders, config = rich_case(seed, case)
    config = replace(config, max_participation=config.max_participation / 10)
    trades = Backtest(market, config).replay(orders).trades.to_pylist()
    filled = np.zeros(ROWS)
    for trade in trades:
        entry, leave = bars_of(market, [trade["entry_time_ms"], trade["exit_time_ms"]])
        filled[entry] += trade["qty"]
        if trade["exit_reason"] not in ("liquidation", "ruin", "end"):
            filled[leave] += trade["qty"]
    cap = config.max_participation * market.prices[:, 4]
    within = np.isnan(cap) | (filled <= cap + 1.001e-6 * market.instrument.lot_step)
    assert within.all()


def changed_after(market: Market, cut: int, seed: int) -> Market:
    """The market with everything about its bars after row `cut` replaced by another's."""
    other = rich_market(seed, ROWS, instrument=market.instrument)
    arrays = {}
    for name in ("prices", "calendar"):
        array = getattr(market, name).copy()
        array[cut + 1 :] = getattr(other, name)[cut + 1 :]
        arrays[name] = array
    first = int(market.calendar[cut + 1, 2])
    tail = other.finer[int(other.calendar[cut + 1, 2]) :]
    arrays["calendar"][cut + 1 :, 2] += first - other.calendar[cut + 1, 2]
    return replace(market, finer=np.concatenate([market.finer[:first], tail]), **arrays)


@some
@given(seeds, cases, st.integers(0, ROWS - 2))
def test_nothing_after_a_close_changes_anything_up_to_it(seed: int, case: str, cut: int) -> None:
    market, orders, config = rich_case(seed, case)
    other_orders = orders.copy()
    other_orders[cut:] = varied_orders(np.random.default_rng(seed + 1), ROWS)[cut:]
    base = Backtest(market, config).replay(orders)
    for result in (
        Backtest(market, config).replay(other_orders),
        Backtest(changed_after(market, cut, seed + 1), config).replay(orders),
    ):
        np.testing.assert_array_equal(result.equity[: cut + 1], base.equity[: cut + 1])
        np.testing.assert_array_equal(result.position[: cut + 1], base.position[: cut + 1])


@some
@given(seeds, cases)
def test_nan_wants_what_is_held(seed: int, case: str) -> None:
    """NaN in place of the side that is held, and in place of 0 where nothing is held or rests, changes nothing."""
    market, orders, config = rich_case(seed, case)
    orders[..., 0] = np.nan_to_num(orders[..., 0], nan=1.0)
    orders[..., 4] = np.inf
    base = Backtest(market, config).replay(orders)
    position = base.position[:, 0]
    silent = orders.copy()
    silent[np.sign(orders[:, 0, 0]) == np.sign(position), 0, 0] = np.nan
    same = Backtest(market, config).replay(silent)
    assert same.trades.equals(base.trades)
    np.testing.assert_array_equal(same.equity, base.equity)


@some
@given(seeds, st.integers(0, 50))
def test_nan_leaves_a_resting_entry_alone(seed: int, start: int) -> None:
    """A limit order placed once fills or expires as if its side had been wanted all along, and is not renewed."""
    market = rich_market(seed, ROWS)
    config = MarketConfig(limit_ttl_bars=8)
    wanted = np.full((ROWS, 1, 5), np.inf)
    wanted[:, 0, 0] = 0.0
    wanted[start : start + 8, 0] = [1.0, 30.0, 20.0, np.inf, 5.0]
    silent = wanted.copy()
    silent[start + 1 : start + 8, 0] = [np.nan, np.inf, np.inf, np.inf, np.inf]
    first, other = (Backtest(market, config).replay(orders) for orders in (wanted, silent))
    placed = other.position[start + 1 : start + 9, 0]
    if placed.any():
        entered = start + 2 + int(np.argmax(placed != 0))
        np.testing.assert_array_equal(first.equity[:entered], other.equity[:entered])
    else:
        assert other.trades.num_rows <= 1
        assert other.costs.expired[0] + other.costs.refused[0] + other.trades.num_rows <= 1


@some
@given(seeds, st.booleans(), st.sampled_from(["stop_first", "target_first"]), st.booleans())
def test_a_short_in_the_mirror_is_a_long(seed: int, by_limit: bool, rule: str, capped: bool) -> None:
    """All prices, finer ones too, reflected about the price of the entry, no costs: the first position enters, is left
    (in parts, if capped) and earns the same."""
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, 40)
    # Market orders meet the close of the decision, the reflection's axis; limit orders rest on it, away from the open.
    bars[1:] += bars[0, 3] - bars[1, 0] + 0.3 * by_limit
    bars = np.round(bars * 10) / 10
    axis = bars[0, 3]
    minutes = np.arange(40)
    volume = rng.lognormal(3.0, 1.5, 40) if capped else 1e9
    inside = finer_bars(rng, bars, minutes)
    free = replace(PERPETUAL, maker_fee_bps=0.0, taker_fee_bps=0.0)
    settings_ = {"break_even_bps": 8.0, "both_touched": rule, "half_spread_bps": 0.0, "max_participation": 0.1}
    config = replace(plain(), **settings_)
    order = [
        1.0,
        rng.choice([5.0, 20.0, 60.0, np.inf]),
        rng.choice([5.0, 20.0, 60.0, np.inf]),
        15.0,
        0.0 if by_limit else np.inf,
    ]
    outcomes = []
    for side in (1.0, -1.0):
        prices, finer = bars, inside
        if side < 0:
            prices = np.round((2 * axis - bars[:, [0, 2, 1, 3]]) * 10) / 10
            finer = inside.slice(0, len(inside))
            for name, other in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
                reflected = np.round((2 * axis - getattr(inside, other)) * 10) / 10
                finer = replace(finer, **{name: reflected})
        if not (prices > 0).all():
            return
        orders = np.full((40, 1, 5), np.inf)
        orders[:, 0, 0] = 0.0
        orders[0, 0] = order
        orders[0, 0, 0] = side
        orders[1:30, 0, 0] = np.nan
        market = build_market(prices, instrument=free, volume=volume, finer=finer)
        result = Backtest(market, config).replay(orders)
        outcomes.append((result.trades.to_pylist(), result.costs))
    (longs, costs), (shorts, mirrored) = outcomes
    assert len(longs) == len(shorts)
    for name in ("ambiguous", "resolved", "refused", "expired", "partial"):
        assert getattr(costs, name) == getattr(mirrored, name), name
    for long, short in zip(longs, shorts, strict=True):
        for name in ("qty", "entry_time_ms", "entry_price", "exit_time_ms", "exit_reason", "bars_held"):
            assert long[name] == short[name], name
        assert long["gross_pnl"] == pytest.approx(short["gross_pnl"], abs=1e-9 * axis * long["qty"])


def test_the_properties_meet_what_they_are_about() -> None:
    reasons: set[str] = set()
    seen = dict.fromkeys(("ambiguous", "resolved", "refused", "expired", "partial", "liquidated"), 0)
    for case in CASES:
        for seed in range(6):
            market, orders, config = rich_case(seed, case)
            result = Backtest(market, config).replay(orders)
            reasons |= set(result.trades["exit_reason"].to_pylist())
            for name in seen:
                seen[name] += int(getattr(result.costs, name)[0])
    assert reasons >= {"take_profit", "stop_loss", "signal", "time_out", "forced", "liquidation"}
    assert min(seen.values()) > 0, seen
