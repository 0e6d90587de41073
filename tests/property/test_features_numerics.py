"""What the features do at the edges: extreme prices, silence, and millions of bars."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.bars.graph import Node
from features.bars.graphs import bar_graphs
from features.bars.ops import Op
from features.batch import compute_features
from features.catalogue import feature_names
from features.stream import FeatureStream
from features.windows import window_comoments, window_moments, window_sum
from tests.feature_tools import QUICK, QUICK_WARMUP

UNIT_ROUNDOFF = 2.0**-53
BOUNDED_BY_ONE = (
    *("efficiency_ratio", "rsi", "sign_balance", "trend_r2", "donchian", "aroon", "yang_zhang", "taker_imbalance"),
    *("imbalance_trend", "bulk_imbalance", "vpin", "money_flow", "accumulation", "volume_concentration"),
)
BOUNDED = {  # name: largest magnitude the formula allows, whatever the bars
    **dict.fromkeys(("close_location", "body", "upper_wick", "lower_wick"), 1.0),
    **dict.fromkeys(("taker_imbalance", "taker_imbalance_ema_5", "taker_imbalance_ema_30"), 1.0),
    **dict.fromkeys(("semivariance_60", "parkinson_60", "garman_klass_60", "rogers_satchell_60"), 1.0),
    **dict.fromkeys(("volatility_ratio_15_60", "jump_share_60", "autocorrelation_60", "kyle_lambda_60"), 1.0),
    **dict.fromkeys(("amihud_15_60", "time_of_day_sin", "time_of_day_cos"), 1.0),
    **dict.fromkeys(("volume_zscore_60", "trade_count_zscore_60", "trade_size_zscore_60"), 59 / math.sqrt(60)),
    **{f"{name}_{w}": 1.0 for w in (15, 60) for name in BOUNDED_BY_ONE},
    **dict.fromkeys(("sign_run_60", "directional_movement_15", "directional_index_15", "range_expansion_15"), 1.0),
    **dict.fromkeys(("minimum_variance_60", "median_variance_60", "leverage_effect_60", "largest_move_60"), 1.0),
    **dict.fromkeys(("autocorrelation_2_60", "autocorrelation_10_60", "volatility_clustering_60"), 1.0),
    **dict.fromkeys(("sign_entropy_3_60", "permutation_entropy_60", "bulk_imbalance", "bulk_vpin_60"), 1.0),
    **dict.fromkeys(("imbalance_autocorrelation_60", "imbalance_lead_60", "buyers_balance_60"), 1.0),
    **dict.fromkeys(("volume_ratio_15_60", "trade_count_ratio_15_60", "trade_size_ratio_15_60"), 1.0),
    **dict.fromkeys(("volume_autocorrelation_60", "volume_volatility_60", "volume_return_60"), 1.0),
    **dict.fromkeys(("trade_count_dispersion_60", "volume_centre_60", "amihud_asymmetry_60", "amihud_1_60"), 1.0),
    **dict.fromkeys(("zero_returns_60", "hasbrouck_lambda_60", "kyle_lambda_15", "kyle_lambda_change_15_60"), 1.0),
    **dict.fromkeys(("seasonal_volume_zscore_3", "seasonal_range_zscore_3"), 3 / math.sqrt(4)),
    **{f"realised_skewness_{w}": math.sqrt(w) for w in (15, 60)},
    **{f"realised_kurtosis_{w}": math.log(w) for w in (15, 60)},
    "ma_zscore_60": 59 / math.sqrt(60),
    "cumulative_delta_15": math.sqrt(15),
    "cumulative_delta_60": math.sqrt(60),
    "delta_price_divergence_15": 2 * math.sqrt(15),
    "return_1": math.sqrt(60),
}

WARMUP = QUICK_WARMUP
NAMES = feature_names(None, QUICK)


def make_bars(close: np.ndarray, up: np.ndarray, down: np.ndarray, volume: np.ndarray, taker: np.ndarray) -> BarArrays:
    """Bars that open at the close before; `up` and `down` >= 0 stretch the range beyond the body, as fractions."""
    opened = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + up)
    low = np.minimum(opened, close) / (1.0 + down)
    trades = np.ceil(np.minimum(volume, 1e6))
    times = 1_577_836_800_000 + 60_000 * np.arange(len(close), dtype=np.int64)
    bought = volume * taker
    return BarArrays(times, opened, high, low, close, volume, volume * close, trades, bought, bought * close)


@st.composite
def odd_markets(draw: st.DrawFn) -> BarArrays:
    """Stretches of still, ticking, jumping and silent market at any price level."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    price = draw(st.sampled_from([1e-8, 1e-4, 1.0, 99.99, 1e6]))
    size = draw(st.sampled_from([1e-8, 1.0, 1e9, 1e15]))
    log_price = math.log(price)
    closes, ups, downs, volumes, takers = [], [], [], [], []
    for _ in range(draw(st.integers(1, 6))):
        rows = draw(st.integers(1, 150))
        sigma = draw(st.sampled_from([0.0, 1e-12, 1e-6, 1e-3, 0.5]))
        wick = draw(st.sampled_from([0.0, 1e-9, 1e-3, 2.0]))
        silent = draw(st.sampled_from([0.0, 0.5, 1.0]))
        taker = draw(st.sampled_from([0.0, 0.5, 1.0, None]))
        path = log_price + np.cumsum(sigma * rng.standard_normal(rows))
        path = math.log(price) + np.clip(path - math.log(price), -8, 8)
        log_price = path[-1]
        closes.append(np.exp(path))
        ups.append(wick * rng.random(rows))
        downs.append(wick * rng.random(rows))
        volumes.append(np.where(rng.random(rows) < silent, 0.0, size * rng.lognormal(0, 2, rows)))
        takers.append(rng.random(rows) if taker is None else np.full(rows, taker))
    parts = (np.concatenate(part) for part in (closes, ups, downs, volumes, takers))
    return make_bars(*parts)


@given(odd_markets())
@settings(max_examples=150, deadline=None)
def test_any_valid_bars_give_finite_bounded_rows(bars: BarArrays) -> None:
    X = compute_features(bars, None, QUICK)
    assert np.isnan(X[:WARMUP]).all()
    warm = X[WARMUP:]
    assert np.isfinite(warm).all(), [n for n, bad in zip(NAMES, ~np.isfinite(warm).all(0), strict=True) if bad]
    for name, limit in BOUNDED.items():
        column = warm[:, NAMES.index(name)]
        worst = float(np.abs(column).max(initial=0.0))
        assert worst <= limit * (1 + 1e-9), f"{name}: {worst}"


@pytest.mark.parametrize("price", [1e-8, 1.0, 1e6])
def test_a_market_that_stands_still_gives_the_documented_values(price: float) -> None:
    rows = np.full(200, price)
    bars = make_bars(rows, 0 * rows, 0 * rows, 0 * rows, 0 * rows)
    X = compute_features(bars, None, QUICK)[WARMUP:]
    floor = math.log(1e4 * 1e-7)
    clocks = ("time_of", "quarter_hour", "funding")
    levels = ("realised_volatility", "bipower_volatility", "quarticity", "true_range")
    others = {"hurst_60": 0.5, "zero_returns_60": 1.0, "lempel_ziv_60": 2 * math.log2(60) / 60}
    for j, name in enumerate(NAMES):
        if not name.startswith(clocks):
            expected = floor if name.startswith(levels) else others.get(name, 0.0)
            np.testing.assert_allclose(X[:, j], expected, rtol=1e-14, atol=1e-15, err_msg=name)


def test_equal_volumes_are_exactly_average() -> None:
    """A constant that no float represents: a plain running variance would be rounding noise, and its z-score too."""
    rng = np.random.default_rng(0)
    close = np.exp(1e-3 * rng.standard_normal(400).cumsum())
    bars = make_bars(close, 0 * close, 0 * close, np.full(400, 0.1), np.full(400, 0.3))
    X = compute_features(bars, None, QUICK)[WARMUP:]
    for name in ("volume_zscore_60", "trade_count_zscore_60", "trade_size_zscore_60", "kyle_lambda_60"):
        assert (X[:, NAMES.index(name)] == 0.0).all(), name


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1e-2, 1.0, 7.0, 1e4]), st.sampled_from([1e-3, 1.0, 64.0]))
@settings(max_examples=25, deadline=None)
def test_units_of_price_and_volume_do_not_matter(seed: int, price: float, volume: float) -> None:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=500, seed=seed % 1000)).bars)
    scaled = BarArrays(
        bars.open_time_ms,
        *[getattr(bars, name) * price for name in ("open", "high", "low", "close")],
        bars.volume * volume,
        bars.quote_volume * volume * price,
        bars.trades,
        bars.taker_buy_volume * volume,
        bars.taker_buy_quote_volume * volume * price,
    )
    np.testing.assert_allclose(
        compute_features(scaled, None, QUICK), compute_features(bars, None, QUICK), rtol=1e-6, atol=1e-7
    )


def test_silence_longer_than_floats_can_fade_gives_no_flow() -> None:
    """An exponential average of volume halves every few bars; after days of silence it leaves the normal range."""
    rows = 20_000
    volume = np.zeros(rows)
    volume[:100] = 1e-6
    close = np.full(rows, 3.0)
    X = compute_features(make_bars(close, 0 * close, 0 * close, volume, np.full(rows, 0.9)), None, QUICK)
    for name in ("taker_imbalance_ema_5", "taker_imbalance_ema_30"):
        column = X[WARMUP:, NAMES.index(name)]
        fading = column != 0.0
        assert fading[:500].all()
        assert not fading[-1]
        np.testing.assert_allclose(column[fading], 0.8, rtol=1e-9)


@given(
    st.integers(8, 240),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["heavy", "level", "mixed", "constant"]),
)
@settings(max_examples=60, deadline=None)
def test_windows_keep_their_stated_bounds(window: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    rows = 3 * window + 7
    values = {
        "heavy": np.exp(8 * rng.standard_normal(rows)),
        "level": 1e6 + rng.standard_normal(rows),
        "mixed": rng.standard_normal(rows) * 10.0 ** rng.integers(-12, 12, rows),
        "constant": np.full(rows, 0.1),
    }[kind]
    check_windows(values, rng.standard_normal(rows), window, range(window - 1, rows))


@pytest.mark.slow
def test_a_million_bars_do_not_drift() -> None:
    """Against exact sums of the window alone, at the end of 1M bars that began with numbers 1e12 times larger."""
    rng = np.random.default_rng(1)
    values = np.exp(2 * rng.standard_normal(1_000_000))
    values[:200_000] *= 1e12
    others = rng.standard_normal(len(values))
    for window in (15, 60, 240):
        check_windows(values, others, window, range(len(values) - 300, len(values)))


@pytest.mark.slow
def test_features_after_five_million_bars_are_those_of_a_fresh_start() -> None:
    """To the bit where a feature looks back over windows alone; what never quite forgets comes as close as it fades."""
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=1_000_000, seed=9)).bars)
    stream = FeatureStream(None, QUICK)
    for lap in range(5):
        later = replace(bars, open_time_ms=bars.open_time_ms + lap * len(bars) * 60_000)
        for start in range(0, len(bars), 20_000):
            rows = stream.update_many(later.slice(start, start + 20_000))
    fresh = compute_features(later.slice(len(bars) - 2_000, len(bars)), None, QUICK)[1_500:]
    graphs = bar_graphs(QUICK)
    for j, name in enumerate(stream.names):
        if fades(graphs[name]):
            np.testing.assert_allclose(rows[-500:, j], fresh[:, j], rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            assert rows[-500:, j].tobytes() == fresh[:, j].tobytes(), name


def fades(node: Node) -> bool:
    """Whether anything it is made of remembers the whole stretch."""
    averages = (Op.FADING_RATIO, Op.WILDER_RATIO, Op.WILDER_MEAN, Op.MACD_LINE, Op.AVERAGE_GAP, Op.CUSUM)
    return node.op in averages or any(fades(x) for x in node.inputs)


def check_windows(x: np.ndarray, y: np.ndarray, window: int, rows: range) -> None:
    """Compare every window at `rows` with math.fsum over its values alone, within the bounds stated in the module."""
    sums, deviations, ss, pairs = run_windows(x, y, window)
    u = UNIT_ROUNDOFF
    for t in rows:
        part, other = x[t - window + 1 : t + 1].tolist(), y[t - window + 1 : t + 1].tolist()
        exact = math.fsum(part)
        assert abs(sums[t] - exact) <= window * u * math.fsum(map(abs, part))
        mean, other_mean = exact / window, math.fsum(other) / window
        exact_ss = math.fsum((v - mean) ** 2 for v in part)
        other_ss = math.fsum((v - other_mean) ** 2 for v in other)
        # The reference rounds its mean by up to two units: that is the second term.
        slack = window * (2 * u * max(map(abs, part))) ** 2
        bound = 4 * window**2 * u
        assert abs(ss[t] - exact_ss) <= bound * exact_ss + slack
        deviation = math.fsum([part[-1]] * window + [-v for v in part]) / window
        assert abs(deviations[t] - deviation) <= 4 * window * u * (max(part) - min(part))
        assert abs(pairs[t, 1] - exact_ss) <= bound * exact_ss + slack
        assert abs(pairs[t, 3] - other_ss) <= bound * other_ss + window * (u * 10) ** 2
        exact_xy = math.fsum((a - mean) * (b - other_mean) for a, b in zip(part, other, strict=True))
        assert abs(pairs[t, 2] - exact_xy) <= bound * math.sqrt(exact_ss * other_ss) + slack


@njit
def run_windows(x: np.ndarray, y: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All three windows over whole arrays: sums, means, ss (T,) and the four comoments (T, 4)."""
    sum_state = np.zeros(window + 1)
    moments_state = np.zeros(3 * window + 3)
    comoments_state = np.zeros(7 * window + 7)
    sums, deviations, ss, pairs = np.empty(len(x)), np.empty(len(x)), np.empty(len(x)), np.empty((len(x), 4))
    for t in range(len(x)):
        slot = t % window
        sums[t] = window_sum(sum_state, 0, window, slot, x[t])
        deviations[t], ss[t] = window_moments(moments_state, 0, window, slot, x[t])
        pairs[t, 0], pairs[t, 1], pairs[t, 2], pairs[t, 3] = window_comoments(
            comoments_state, 0, window, slot, x[t], y[t]
        )
    return sums, deviations, ss, pairs
