"""What the trade features do at the edges: extreme prices and sizes, equal stamps, one-sided tapes, long tapes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import compute_features
from features.catalogue import feature_names
from features.config import TradeParameters
from features.events import Events
from features.stream import FeatureStream
from tests.trade_tools import make_trades, synthetic_trades

PARAMETERS = TradeParameters(
    short=10, long=40, fast_ms=100, slow_ms=2_000, sign_lags=(1, 7), count_bins=8, vpin_trades=5, vpin_buckets=6
)
NAMES = feature_names(None, PARAMETERS, "trades")
WARMUP = FeatureStream(None, PARAMETERS, "trades").warmup
UNBOUNDED = {
    "trade_duration_40",
    "hawkes_buy",
    "hawkes_sell",
    "vwap_gap_40",
    "price_change_per_trade_10",
    "trade_volatility_40",
    "trade_roll_40",
    "trade_kyle_lambda_40",
}
"""Every other feature lies in [-1, 1], whatever the trades."""


@st.composite
def odd_tapes(draw: st.DrawFn) -> Events:
    """Stretches of still, ticking, jumping, one-sided, bursting and empty trade at any price and size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    log_price = math.log(draw(st.sampled_from([1e-8, 1e-4, 1.0, 99.99, 1e6])))
    size = draw(st.sampled_from([1e-12, 1e-3, 1.0, 1e12]))
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, 120))
        sigma = draw(st.sampled_from([0.0, 1e-12, 1e-5, 0.5]))
        path = np.clip(np.cumsum(sigma * rng.standard_normal(count)), -8.0, 8.0)
        waits = draw(st.sampled_from([0, 1, 10**6, 10**9, 59 * 10**9])) * rng.integers(0, 2, count)
        spread = draw(st.sampled_from([0.0, 1.0, 12.0]))
        qty = (
            size
            * np.exp(spread * rng.standard_normal(count))
            * (rng.random(count) >= draw(st.sampled_from([0, 0.5, 1])))
        )
        buys = rng.random(count) < draw(st.sampled_from([0.0, 0.5, 1.0]))
        parts.append((waits, np.exp(log_price + path), qty, buys))
    waits, price, qty, buys = (np.concatenate(part) for part in zip(*parts, strict=True))
    return make_trades(10**18 + np.cumsum(waits).astype(np.int64), price, qty, buys)


@given(odd_tapes())
@settings(max_examples=150, deadline=None)
def test_any_valid_trades_give_finite_bounded_rows(trades: Events) -> None:
    X = compute_features(trades, None, PARAMETERS, "trades")
    assert np.isnan(X[:WARMUP]).all()
    warm = X[WARMUP:]
    assert np.isfinite(warm).all(), [n for n, bad in zip(NAMES, ~np.isfinite(warm).all(0), strict=True) if bad]
    for name, column in zip(NAMES, warm.T, strict=True):
        if name not in UNBOUNDED:
            assert np.abs(column).max(initial=0.0) <= 1.0 + 1e-12, name


@pytest.mark.parametrize("price", [1e-8, 0.1, 1e6])
@pytest.mark.parametrize("qty", [0.0, 0.1])
def test_a_tape_that_stands_still_gives_the_documented_values(price: float, qty: float) -> None:
    """One price, one size, one side, one time stamp."""
    count = 200
    stamp = np.full(count, 10**18)
    trades = make_trades(stamp, np.full(count, price), np.full(count, qty), np.ones(count, dtype=bool))
    row = dict(zip(NAMES, compute_features(trades, None, PARAMETERS, "trades")[-1], strict=True))
    sides = {name: 1.0 for name in NAMES if name.startswith("trade_sign")} | {"propagator": 1.0}
    flows = dict.fromkeys([n for n in NAMES if n.startswith("trade_flow") or n == "vpin"], 1.0 if qty else 0.0)
    p = PARAMETERS
    buy, sell = count * p.hawkes_self, count * p.hawkes_cross
    expected = dict.fromkeys(NAMES, 0.0) | sides | flows
    expected |= {
        "trade_volatility_40": math.log(1e4 * 1e-7),
        "hawkes_buy": math.log((p.hawkes_base + buy) / p.hawkes_base),
        "hawkes_sell": math.log((p.hawkes_base + sell) / p.hawkes_base),
        "hawkes_imbalance": (buy - sell) / (2 * p.hawkes_base + buy + sell),
    }
    for name in NAMES:
        assert row[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-15), name


def test_equal_prices_and_sizes_are_exactly_equal() -> None:
    """Numbers that no float represents: quotients of running sums would be rounding noise."""
    trades = synthetic_trades(400, seed=1, silences=0)
    columns = trades.columns | {"price": np.full(400, 0.1), "qty": np.full(400, 0.3)}
    X = compute_features(Events(trades.time_ns, trades.local_time_ns, columns), None, PARAMETERS, "trades")
    for name in ("vwap_gap_40", "size_herfindahl_40", "trade_roll_40", "trade_kyle_lambda_40", "large_trade_share_10"):
        assert (X[WARMUP:, NAMES.index(name)] == 0.0).all(), name


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-8, 0.01, 7.0, 1e4]), st.sampled_from([1e-9, 3.0, 2.0**40]))
@settings(max_examples=20, deadline=None)
def test_units_of_price_and_size_and_the_epoch_do_not_matter(seed: int, price: float, size: float) -> None:
    trades = synthetic_trades(500, seed)
    columns = trades.columns | {"price": trades.price * price, "qty": trades.qty * size}
    moved = Events(trades.time_ns - 3_600_000_000_000, trades.local_time_ns, columns)
    X, Y = (compute_features(tape, None, PARAMETERS, "trades") for tape in (trades, moved))
    # A size in new units may round across the threshold of a large trade, or a bucket's rim.
    steady = [i for i, name in enumerate(NAMES) if not name.startswith("large_trade") and name != "vpin"]
    np.testing.assert_allclose(Y[:, steady], X[:, steady], rtol=1e-6, atol=1e-6)


def test_mirrored_sides_mirror_the_features() -> None:
    """Buys and sells exchanged, prices inverted: every signed feature changes its sign, every other stays."""
    trades = synthetic_trades(1_000, seed=5)
    price = trades.price**0.01  # small moves, so that 1 / P mirrors averages of prices as well as prices
    flag = trades.buyer_is_maker
    X, Y = (
        compute_features(
            Events(trades.time_ns, trades.local_time_ns, trades.columns | side), None, PARAMETERS, "trades"
        )
        for side in ({"price": price}, {"price": 1.0 / price, "buyer_is_maker": 1.0 - flag})
    )
    odd = ("trade_flow", "trade_sign", "large_trade_flow", "tick_rule", "tick_momentum", "hawkes_imbalance")
    odd += ("branching_asymmetry", "propagator", "price_change")
    for i, name in enumerate(NAMES):
        if name in ("hawkes_buy", "hawkes_sell"):
            continue
        sign = -1.0 if name.startswith(odd) and not name.startswith("tick_rule_agreement") else 1.0
        np.testing.assert_allclose(Y[:, i], sign * X[:, i], rtol=1e-3, atol=1e-6, err_msg=name)
    buy, sell = NAMES.index("hawkes_buy"), NAMES.index("hawkes_sell")
    np.testing.assert_array_equal(Y[:, [buy, sell]], X[:, [sell, buy]])


def test_one_giant_trade_fills_few_buckets() -> None:
    """Its size enters the mean that the next bucket is measured by: the loop ends however large it is."""
    trades = synthetic_trades(300, seed=2, silences=0)
    qty = trades.qty.copy()
    qty[200] = 1e15
    X = compute_features(
        Events(trades.time_ns, trades.local_time_ns, trades.columns | {"qty": qty}), ["vpin"], PARAMETERS, "trades"
    )
    assert np.isfinite(X).all()
    assert X[201, 0] > 0.9


def test_features_late_in_a_long_tape_are_those_of_a_fresh_start() -> None:
    """Nothing drifts: after 300,000 trades that began with sizes a billion times larger, only fading sums remember."""
    count, tail = 300_000, 4_000
    trades = synthetic_trades(count, seed=9, silences=0)
    qty = trades.qty.copy()
    qty[: count // 2] *= 1e9
    trades = Events(trades.time_ns, trades.local_time_ns, trades.columns | {"qty": qty})
    late = compute_features(trades, None, PARAMETERS, "trades")[-1_000:]
    fresh = compute_features(trades.slice(count - tail, count), None, PARAMETERS, "trades")[-1_000:]
    windows = [i for i, name in enumerate(NAMES) if name not in ("propagator", "vpin") and not name.endswith("ms")]
    np.testing.assert_allclose(late[:, windows], fresh[:, windows], rtol=1e-9, atol=1e-9)
    fading = [i for i, name in enumerate(NAMES) if name.endswith("ms")]
    np.testing.assert_allclose(late[:, fading], fresh[:, fading], rtol=1e-6, atol=1e-6)
