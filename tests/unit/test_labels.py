"""Labels: worked examples, a second implementation, and nothing across a gap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from features.config import TradingCosts
from features.labels import BarrierLabels, costs_of, end_time_ms, fixed_horizon, meta_labels, triple_barrier

MINUTE = 60_000


def bars_of(rows: list[tuple[float, float, float, float]], times: list[int] | None = None) -> BarArrays:
    """Bars from (open, high, low, close); times in minutes."""
    prices = np.array(rows, dtype=np.float64).reshape(-1, 4).T.copy()
    minutes = np.arange(len(rows)) if times is None else np.array(times)
    return BarArrays(minutes.astype(np.int64) * MINUTE, *prices, *np.ones((5, len(rows))))


def flat(price: float) -> tuple[float, float, float, float]:
    return price, price, price, price


def test_fixed_horizon_runs_from_next_open_to_open() -> None:
    opens = [100.0, 101.0, 103.0, 102.0, 99.0]
    bars = bars_of([(o, 200.0, 1.0, 50.0) for o in opens])  # closes, highs and lows do not matter
    labels = fixed_horizon(bars, 2)
    np.testing.assert_allclose(labels.values[:2], [1e4 * np.log(102 / 101), 1e4 * np.log(99 / 103)], rtol=1e-12)
    assert np.isnan(labels.values[2:]).all()
    assert labels.valid.tolist() == [True, True, False, False, False]
    assert labels.t1.tolist() == [3, 4, 5, 5, 5]
    assert end_time_ms(labels, bars.open_time_ms)[:2].tolist() == [4 * MINUTE, 5 * MINUTE]
    assert (end_time_ms(labels, bars.open_time_ms)[2:] == np.iinfo(np.int64).max).all()


def test_until_tells_an_exit_at_the_open_from_one_inside_the_bar() -> None:
    bars = bars_of([ENTRY, ENTRY, (100.0, 100.3, 100.0, 100.0), ENTRY, flat(101.0), ENTRY, ENTRY])
    labels = triple_barrier(bars, take_profit_bps=20, stop_loss_bps=10, ttl_bars=2)
    assert labels.t1.tolist() == [2, 2, 4, 5, 7, 7, 7]  # inside bar 2 twice, then opens beyond target and stop
    assert labels.until.tolist() == [3, 3, 4, 5, 7, 7, 7]
    assert fixed_horizon(bars, 2).until.tolist() == fixed_horizon(bars, 2).t1.tolist()


def test_costs_enter_as_the_docstring_says() -> None:
    bars = bars_of([ENTRY, (100.0, 102.0, 99.97, 100.0), flat(100.5), flat(100.5), flat(100.5)])
    costs = TradingCosts(half_spread_bps=1.0, maker_fee_bps=2.0, taker_fee_bps=5.0, tick_size=0.1)
    entry = 100.0 * 1.0001
    target = 100.4  # 100.01 × 1.0030 = 100.31003, rounded up
    hit = triple_barrier(bars, take_profit_bps=30, stop_loss_bps=30, ttl_bars=2, costs=costs)
    assert hit.values[0] == pytest.approx(1e4 * (target * (1 - 2e-4) - entry * (1 + 5e-4)) / entry, rel=1e-12)
    late = triple_barrier(bars, take_profit_bps=np.inf, stop_loss_bps=30, ttl_bars=2, costs=costs)
    left = 100.5 * 0.9999
    assert late.values[0] == pytest.approx(1e4 * (left * (1 - 5e-4) - entry * (1 + 5e-4)) / entry, rel=1e-12)
    venue = Instrument("X", 0.1, 0.01, 5.0, maker_fee_bps=2.0, taker_fee_bps=5.0)
    assert costs_of(venue, 1.0) == costs


def test_barriers_and_sides_by_row_equal_row_by_row_calls() -> None:
    rng = np.random.default_rng(5)
    bars = random_walk(rng, 300)
    tp, sl = rng.choice([3.0, 9.0, 30.0], (2, 300))
    side = rng.choice([-1, 0, 1], 300)
    tp[7], sl[90] = np.nan, np.nan
    labels = triple_barrier(bars, take_profit_bps=tp, stop_loss_bps=sl, ttl_bars=9, side=side)
    assert not labels.valid[[7, 90]].any()
    assert not labels.valid[side == 0].any()
    assert labels.valid.sum() > 150
    for t in range(300):
        if labels.valid[t]:
            one = triple_barrier(
                bars, take_profit_bps=float(tp[t]), stop_loss_bps=float(sl[t]), ttl_bars=9, side=int(side[t])
            )
            for name in ("values", "t1", "until", "outcome", "ambiguous"):
                assert getattr(labels, name)[t] == getattr(one, name)[t]
        else:
            assert np.isnan(labels.values[t])
            assert labels.t1[t] == labels.until[t] == 300
            assert labels.outcome[t] == 0


def test_meta_labels_ask_whether_the_side_paid_more_than_it_cost() -> None:
    rng = np.random.default_rng(6)
    bars = random_walk(rng, 300)
    side = rng.choice([-1, 0, 1], 300)
    settings = {"take_profit_bps": 10.0, "stop_loss_bps": 8.0, "ttl_bars": 9, "side": side}
    costs = TradingCosts(half_spread_bps=1.0, maker_fee_bps=2.0, taker_fee_bps=2.0)
    gross, net = triple_barrier(bars, **settings), triple_barrier(bars, **settings, costs=costs)
    meta = meta_labels(net)
    valid = side != 0
    valid[-11:] = False  # hits included: their time-out would lie behind the end
    assert np.isnan(meta.values[~meta.valid]).all()
    assert meta.values[meta.valid].tolist() == (net.values[meta.valid] > 0).tolist()
    assert meta.t1.tolist() == net.t1.tolist()
    assert 0 < meta.values[meta.valid].mean() < meta_labels(gross).values[meta.valid].mean()  # some only paid the venue


def test_fixed_horizon_stays_inside_a_stretch() -> None:
    bars = bars_of([flat(100.0 + i) for i in range(9)], [0, 1, 2, 3, 4, 10, 11, 12, 13])
    labels = fixed_horizon(bars, 1)
    assert labels.valid.tolist() == [True, True, True, False, False, True, True, False, False]
    assert labels.t1[labels.valid].tolist() == [2, 3, 4, 7, 8]
    assert np.isnan(labels.values[~labels.valid]).all()


def random_walk(rng: np.random.Generator, rows: int, gaps: float = 0.0) -> BarArrays:
    """Bars that jump between each other, with a share of missing minutes."""
    close = 100 * np.exp(1e-3 * np.cumsum(rng.standard_normal(rows)))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(3e-4 * rng.standard_normal(rows))
    high = np.maximum(opened, close) * np.exp(5e-4 * rng.random(rows))
    low = np.minimum(opened, close) * np.exp(-5e-4 * rng.random(rows))
    times = np.cumsum(np.where(rng.random(rows) < gaps, 5, 1)).tolist()
    return bars_of(list(zip(opened, high, low, close, strict=True)), times)


ENTRY = flat(100.0)
CASES = {
    # name: bars from the entry bar on, side, (value in bps, exit row - 1, outcome); tp 20 bps, sl 10 bps, ttl 3
    "through the target": ([(100.0, 100.21, 99.95, 100.0)], 1, (20.0, 0, 1)),
    "target touched only": ([(100.0, 100.2, 99.95, 100.0), ENTRY, ENTRY, flat(100.05)], 1, (5.0, 3, 0)),
    "stop touched": ([(100.0, 100.1, 99.9, 100.0)], 1, (-10.0, 0, -1)),
    "both in one bar": ([(100.0, 100.5, 99.5, 100.0)], 1, (-10.0, 0, -1)),
    "opens beyond the stop": ([ENTRY, (99.5, 99.6, 99.4, 99.5)], 1, (-50.0, 1, -1)),
    "opens beyond the target and falls to the stop": ([ENTRY, (101.0, 101.0, 99.0, 99.0)], 1, (20.0, 1, 1)),
    "opens beyond the target": ([ENTRY, (101.0, 101.0, 100.9, 101.0)], 1, (20.0, 1, 1)),
    "time-out at the open after the last bar": ([ENTRY, ENTRY, ENTRY, flat(100.07)], 1, (7.0, 3, 0)),
    "hit in the time-out bar comes too late": ([ENTRY, ENTRY, ENTRY, (100.0, 105.0, 95.0, 99.0)], 1, (0.0, 3, 0)),
    "time-out's open lies beyond the target": ([ENTRY, ENTRY, ENTRY, flat(101.0)], 1, (20.0, 3, 1)),
    "time-out's open lies beyond the stop": ([ENTRY, ENTRY, ENTRY, flat(99.0)], 1, (-100.0, 3, -1)),
    "short, target": ([(100.0, 100.05, 99.79, 100.0)], -1, (20.0, 0, 1)),
    "short, target touched only": ([(100.0, 100.05, 99.8, 100.0), ENTRY, ENTRY, ENTRY], -1, (0.0, 3, 0)),
    "short, stop": ([(100.0, 100.1, 100.0, 100.0)], -1, (-10.0, 0, -1)),
    "short, opens beyond the stop": ([ENTRY, flat(100.4)], -1, (-40.0, 1, -1)),
    "short, time-out": ([ENTRY, ENTRY, ENTRY, flat(99.95)], -1, (5.0, 3, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_triple_barrier_by_hand(name: str) -> None:
    after, side, (value, exit_bar, outcome) = CASES[name]
    padding = [ENTRY] * (4 - len(after))
    bars = bars_of([flat(95.0), *after, *padding])
    labels = triple_barrier(bars, take_profit_bps=20, stop_loss_bps=10, ttl_bars=3, side=side)
    assert labels.valid.tolist() == [True, False, False, False, False]
    assert labels.values[0] == pytest.approx(value, abs=1e-9)
    assert labels.t1[0] == 1 + exit_bar
    assert labels.outcome[0] == outcome
    assert labels.t1[1:].tolist() == [5] * 4


def test_barriers_switch_off_with_inf() -> None:
    bars = bars_of([ENTRY, ENTRY, (100.0, 1e9, 1e-9, 100.0), ENTRY, flat(101.0)])
    for side in (1, -1):
        labels = triple_barrier(bars, take_profit_bps=np.inf, stop_loss_bps=np.inf, ttl_bars=3, side=side)
        assert labels.values[0] == pytest.approx(side * 100.0)
        assert labels.outcome[0] == 0


def test_a_label_that_might_cross_a_gap_is_not_valid_even_when_hit_before() -> None:
    rising = [(100.0, 101.0, 100.0, 100.0)] * 8
    labels = triple_barrier(
        bars_of(rising, [0, 1, 2, 3, 9, 10, 11, 12]), take_profit_bps=10, stop_loss_bps=10, ttl_bars=2
    )
    assert labels.valid.tolist() == [True, False, False, False] * 2
    assert labels.outcome.tolist() == [1, 0, 0, 0] * 2


def slow_triple_barrier(bars: BarArrays, tp: float, sl: float, ttl: int, side: int) -> list[tuple[float, int, int]]:
    """Plain Python in prices seen from the position's side: a short in price p is a long in -p."""
    out = []
    for t in range(len(bars)):
        needed = range(t, t + 2 + ttl)
        contiguous = needed[-1] < len(bars) and all(
            bars.open_time_ms[k + 1] - bars.open_time_ms[k] == MINUTE for k in needed[:-1]
        )
        if not contiguous:
            out.append((float("nan"), len(bars), 0))
            continue
        entry = side * bars.open[t + 1]
        target, stop = entry + abs(entry) * tp * 1e-4, entry - abs(entry) * sl * 1e-4
        result = None
        for k in range(t + 1, t + 2 + ttl):
            opened, low, high = side * bars.open[k], *sorted((side * bars.low[k], side * bars.high[k]))
            stretches = [] if k == t + 1 else [(opened, opened)]  # the open decides before the bar does
            if k < t + 1 + ttl:
                stretches.append((low, high))
            for lowest, highest in stretches:
                if lowest <= stop:
                    result = (min(stop, opened), k, -1)
                elif highest > target:
                    result = (target, k, 1)
                if result:
                    break
            if result:
                break
        price, row, outcome = result or (side * bars.open[t + 1 + ttl], t + 1 + ttl, 0)
        out.append((1e4 * (price - entry) / abs(entry), row, outcome))
    return out


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([5.0, 20.0, float("inf")]),
    st.sampled_from([5.0, 30.0, float("inf")]),
    st.integers(1, 12),
    st.sampled_from([1, -1]),
)
@settings(max_examples=60, deadline=None)
def test_triple_barrier_equals_the_slow_one(seed: int, tp: float, sl: float, ttl: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    bars = random_walk(rng, 120, gaps=0.03)
    labels = triple_barrier(bars, take_profit_bps=tp, stop_loss_bps=sl, ttl_bars=ttl, side=side)
    expected = slow_triple_barrier(bars, tp, sl, ttl, side)
    np.testing.assert_allclose(labels.values, [value for value, _, _ in expected], rtol=1e-9, atol=1e-8)
    assert labels.t1.tolist() == [row for _, row, _ in expected]
    assert labels.outcome.tolist() == [outcome for _, _, outcome in expected]
    assert (labels.valid == ~np.isnan(labels.values)).all()


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_fixed_horizon_labels_end_inside_their_stretch(horizon: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(np.where(rng.random(200) < 0.05, 3, 1))
    bars = bars_of([flat(p) for p in rng.lognormal(0, 0.1, 200)], times.tolist())
    labels = fixed_horizon(bars, horizon)
    for t in range(200):
        end = t + 1 + horizon
        whole = end < 200 and times[end] - times[t] == end - t
        assert labels.valid[t] == whole
        if whole:
            assert labels.t1[t] == end
            assert labels.values[t] == pytest.approx(1e4 * np.log(bars.open[end] / bars.open[t + 1]), abs=1e-8)


def test_labels_of_too_few_bars_are_all_invalid() -> None:
    for rows in (0, 1, 2):
        bars = bars_of([flat(1.0)] * rows)
        for labels in (fixed_horizon(bars, 1), triple_barrier(bars, take_profit_bps=1, stop_loss_bps=1, ttl_bars=1)):
            assert len(labels.values) == len(labels.t1) == len(labels.valid) == rows
            assert not labels.valid.any()


def test_arguments_that_make_no_sense_are_refused() -> None:
    bars = bars_of([flat(1.0)] * 5)
    good = {"take_profit_bps": 10.0, "stop_loss_bps": 10.0, "ttl_bars": 2}
    assert isinstance(triple_barrier(bars, **good), BarrierLabels)
    with pytest.raises(InputError, match="horizon 0"):
        fixed_horizon(bars, 0)
    bad = (("take_profit_bps", 0.0), ("take_profit_bps", float("nan")), ("stop_loss_bps", -1.0), ("ttl_bars", 0))
    arrays = (
        ("take_profit_bps", np.ones(4)),
        ("stop_loss_bps", np.array([1.0, 1.0, -1.0, 1.0, 1.0])),
        ("side", np.ones(4)),
        ("side", np.array([1, -1, 2, 0, 0])),
    )
    for name, value in (*bad, ("side", 0), *arrays):
        with pytest.raises(InputError, match=name):
            triple_barrier(bars, **{**good, name: value})
    for cost in ({"half_spread_bps": -1.0}, {"taker_fee_bps": np.nan}, {"maker_fee_bps": -1.0}, {"tick_size": np.inf}):
        with pytest.raises(InputError, match=next(iter(cost))):
            TradingCosts(**cost)
