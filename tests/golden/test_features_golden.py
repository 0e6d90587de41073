"""Every feature against a slow transcription of its formula, row by row, and against libraries where one has it."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arch.unitroot import VarianceRatio
from scipy import stats

from data_pipeline.config import SyntheticConfig
from data_pipeline.readers import read_bars
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.bars.catalogue import bar_catalogue
from features.batch import available_features, compute_features
from features.catalogue import feature_names, select_features
from features.config import BarParameters

ROWS = 4_000
PARAMETERS = {
    "default": BarParameters(),
    "other": BarParameters(horizons=(1, 3, 7, 90), short=9, long=31, aggregation=3, fast_span=4, slow_span=11),
}

WARMUP = max(spec.warmup for spec in select_features(None))


class Past:
    """The bars from the stretch's start (400 at most) to row t, as plain Python numbers; index 0 is the newest."""

    def __init__(self, bars: BarArrays, t: int, parameters: BarParameters, age: int) -> None:
        def newest_first(values: np.ndarray) -> list[float]:
            return values[t - min(age, 400) : t + 1][::-1].tolist()

        self.o, self.h, self.low = newest_first(bars.open), newest_first(bars.high), newest_first(bars.low)
        self.c, self.v, self.q = newest_first(bars.close), newest_first(bars.volume), newest_first(bars.quote_volume)
        self.n, self.buy = newest_first(bars.trades), newest_first(bars.taker_buy_volume)
        self.time_ms = int(bars.open_time_ms[t])
        self.p = parameters
        self.delta = [b - (v - b) for b, v in zip(self.buy, self.v, strict=True)]  # bought minus sold by takers

    def r(self, i: int) -> float:
        return math.log(self.c[i] / self.c[i + 1])

    def rv(self, n: int) -> float:
        return math.fsum(self.r(i) ** 2 for i in range(n)) / n

    @property
    def sigma(self) -> float:
        return math.sqrt(self.rv(self.p.long))


def balance(a: float, b: float) -> float:
    return math.tanh(0.5 * math.log(a / b))


def zscore(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return (values[0] - mean) / math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))


def pearson(x: list[float], y: list[float]) -> float:
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    sxy = math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return sxy / math.sqrt(math.fsum((a - mx) ** 2 for a in x) * math.fsum((b - my) ** 2 for b in y))


def candle(past: Past, value: float) -> float:
    return value / (past.h[0] - past.low[0]) if past.h[0] > past.low[0] else 0.0


def ema_ratio(past: Past, span: int) -> float:
    weights = [(1 - 2 / (span + 1)) ** i for i in range(len(past.v))]
    upper = math.fsum(w * d for w, d in zip(weights, past.delta, strict=True))
    return upper / math.fsum(w * v for w, v in zip(weights, past.v, strict=True))


def standardised_delta(past: Past, n: int) -> float:
    return math.fsum(past.delta[:n]) / math.sqrt(math.fsum(d * d for d in past.delta[:n]))


def bipower(past: Past) -> float:
    n = past.p.long
    return math.pi / 2 * math.fsum(abs(past.r(i)) * abs(past.r(i + 1)) for i in range(n)) / n


def garman_klass(past: Past, n: int) -> float:
    terms = (
        0.5 * math.log(past.h[i] / past.low[i]) ** 2 - (2 * math.log(2) - 1) * math.log(past.c[i] / past.o[i]) ** 2
        for i in range(n)
    )
    return math.fsum(terms) / n


def rogers_satchell(past: Past, n: int) -> float:
    terms = (
        math.log(past.h[i] / past.c[i]) * math.log(past.h[i] / past.o[i])
        + math.log(past.low[i] / past.c[i]) * math.log(past.low[i] / past.o[i])
        for i in range(n)
    )
    return math.fsum(terms) / n


def semivariance(past: Past, n: int) -> float:
    up = math.fsum(past.r(i) ** 2 for i in range(n) if past.r(i) > 0)
    down = math.fsum(past.r(i) ** 2 for i in range(n) if past.r(i) < 0)
    return (up - down) / (up + down)


def variance_ratio(past: Past, n: int, q: int) -> float:
    """Lo & MacKinlay 1988, equations (11)-(13), for the n + 1 prices that end here."""
    prices = [math.log(past.c[i]) for i in range(n, -1, -1)]
    mu = (prices[-1] - prices[0]) / n
    one = math.fsum((prices[k] - prices[k - 1] - mu) ** 2 for k in range(1, n + 1)) / (n - 1)
    m = q * (n - q + 1) * (1 - q / n)
    many = math.fsum((prices[k] - prices[k - q] - q * mu) ** 2 for k in range(q, n + 1)) / m
    return many / one - 1


def amihud(past: Past, n: int) -> float:
    days = [abs(past.r(i)) / past.q[i] for i in range(n) if past.q[i] > 0]
    return math.fsum(days) / len(days)


def corwin_schultz(past: Past, n: int) -> float:
    """Corwin & Schultz 2012, equations (14) and (18), a two-bar estimate at a time, negative ones set to 0."""
    k = 3 - 2 * math.sqrt(2)
    spreads = []
    for i in range(n):
        beta = math.log(past.h[i] / past.low[i]) ** 2 + math.log(past.h[i + 1] / past.low[i + 1]) ** 2
        gamma = math.log(max(past.h[i], past.h[i + 1]) / min(past.low[i], past.low[i + 1])) ** 2
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
        spreads.append(max(0.0, 2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha))))
    return math.fsum(spreads) / n


def abdi_ranaldo(past: Past, n: int) -> float:
    """Abdi & Ranaldo 2017, equation (11): s^2 = 4 E[(c_t - eta_t)(c_t - eta_{t+1})], negative set to 0."""

    def eta(i: int) -> float:
        return (math.log(past.h[i]) + math.log(past.low[i])) / 2

    terms = [(math.log(past.c[i + 1]) - eta(i + 1)) * (math.log(past.c[i + 1]) - eta(i)) for i in range(n)]
    return math.sqrt(max(0.0, 4 * math.fsum(terms) / n))


def kyle(past: Past, n: int) -> float:
    """Slope of return on signed volume, times sd of signed volume over sd of return."""
    x, y = past.delta[:n], [past.r(i) for i in range(n)]
    slope, *_ = np.polyfit(np.array(x) - np.mean(x), y, 1)
    return float(slope * np.std(x) / np.std(y))


def clock(past: Past) -> float:
    return 2 * math.pi * ((past.time_ms + 60_000) % 86_400_000) / 86_400_000


def references(p: BarParameters) -> dict[str, Callable[[Past], float]]:
    s, n, q = p.short, p.long, p.aggregation

    def level(variance: float) -> float:
        return math.log(1e4 * math.sqrt(variance))

    returns = {f"return_{k}": (lambda x, k=k: math.log(x.c[0] / x.c[k]) / x.sigma / math.sqrt(k)) for k in p.horizons}
    return {
        **returns,
        "close_location": lambda x: candle(x, 2 * x.c[0] - x.h[0] - x.low[0]),
        "body": lambda x: candle(x, x.c[0] - x.o[0]),
        "upper_wick": lambda x: candle(x, x.h[0] - max(x.o[0], x.c[0])),
        "lower_wick": lambda x: candle(x, min(x.o[0], x.c[0]) - x.low[0]),
        "range": lambda x: math.log(x.h[0] / x.low[0]) / x.sigma,
        f"ma_zscore_{n}": lambda x: zscore([math.log(c) for c in x.c[:n]]),
        f"realised_volatility_{n}": lambda x: level(x.rv(n)),
        f"bipower_volatility_{n}": lambda x: level(bipower(x)),
        f"jump_share_{n}": lambda x: max(0.0, 1 - bipower(x) / x.rv(n)),
        f"semivariance_{n}": lambda x: semivariance(x, n),
        f"parkinson_{n}": lambda x: balance(
            math.fsum(math.log(x.h[i] / x.low[i]) ** 2 for i in range(n)) / n / (4 * math.log(2)), x.rv(n)
        ),
        f"garman_klass_{n}": lambda x: balance(garman_klass(x, n), x.rv(n)),
        f"rogers_satchell_{n}": lambda x: balance(rogers_satchell(x, n), x.rv(n)),
        f"volatility_ratio_{s}_{n}": lambda x: balance(x.rv(s), x.rv(n)),
        f"variance_ratio_{q}_{n}": lambda x: variance_ratio(x, n, q),
        f"autocorrelation_{n}": lambda x: pearson([x.r(i) for i in range(n)], [x.r(i + 1) for i in range(n)]),
        "taker_imbalance": lambda x: x.delta[0] / x.v[0] if x.v[0] > 0 else 0.0,
        f"taker_imbalance_ema_{p.fast_span}": lambda x: ema_ratio(x, p.fast_span),
        f"taker_imbalance_ema_{p.slow_span}": lambda x: ema_ratio(x, p.slow_span),
        f"cumulative_delta_{s}": lambda x: standardised_delta(x, s),
        f"cumulative_delta_{n}": lambda x: standardised_delta(x, n),
        f"delta_price_divergence_{s}": lambda x: (
            standardised_delta(x, s) - math.log(x.c[0] / x.c[s]) / math.sqrt(s * x.rv(s))
        ),
        f"volume_zscore_{n}": lambda x: zscore(x.v[:n]),
        f"trade_count_zscore_{n}": lambda x: zscore(x.n[:n]),
        f"trade_size_zscore_{n}": lambda x: zscore(
            [v / k if k else 0.0 for v, k in zip(x.v[:n], x.n[:n], strict=True)]
        ),
        "vwap_deviation": lambda x: math.log(x.c[0] / (x.q[0] / x.v[0])) / x.sigma if x.v[0] > 0 else 0.0,
        f"vwap_deviation_{n}": lambda x: (
            math.log(x.c[0] / (math.fsum(x.q[:n]) / math.fsum(x.v[:n]))) / x.sigma / math.sqrt(n)
        ),
        f"amihud_{s}_{n}": lambda x: balance(amihud(x, s), amihud(x, n)),
        f"corwin_schultz_{n}": lambda x: corwin_schultz(x, n) / x.sigma,
        f"abdi_ranaldo_{n}": lambda x: abdi_ranaldo(x, n) / x.sigma,
        f"kyle_lambda_{n}": lambda x: kyle(x, n),
        "time_of_day_sin": lambda x: math.sin(clock(x)),
        "time_of_day_cos": lambda x: math.cos(clock(x)),
    }


def ages(bars: BarArrays) -> np.ndarray:
    """Bars that came before each one in its contiguous stretch."""
    rows = np.arange(len(bars))
    starts = np.diff(bars.open_time_ms, prepend=0) != 60_000
    return rows - np.maximum.accumulate(np.where(starts, rows, 0))


def assert_rows_match(bars: BarArrays, parameters: BarParameters, rows: np.ndarray) -> None:
    names = available_features(bars, parameters=parameters)
    X = compute_features(bars, parameters=parameters)
    formulas = references(parameters)
    age = ages(bars)
    for t in rows:
        past = Past(bars, int(t), parameters, int(age[t]))
        expected = np.array([formulas[name](past) for name in names])
        np.testing.assert_allclose(X[t], expected, rtol=1e-8, atol=1e-8, err_msg=f"row {t}: {names}")


@pytest.fixture(scope="module")
def synthetic() -> BarArrays:
    return bar_arrays(synthetic_market(SyntheticConfig(bars=ROWS, seed=5)).bars)


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(parameters=PARAMETERS[key])


@pytest.mark.parametrize("key", PARAMETERS)
def test_synthetic_rows_match_the_formulas(synthetic: BarArrays, key: str) -> None:
    parameters = PARAMETERS[key]
    first = max(spec.warmup for spec in bar_catalogue(parameters))
    # The first 130 rows after the warm-up pass through every phase of both windows, the rest are spread out.
    rows = np.concatenate((np.arange(first, first + 130), np.arange(first + 130, ROWS, 37)))
    assert_rows_match(synthetic, parameters, rows)


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_feature_is_defined_from_its_own_warmup_on(synthetic: BarArrays, key: str) -> None:
    """The catalogue's warm-up of each feature is exact: the formula works there and reaches too far one row earlier."""
    parameters = PARAMETERS[key]
    formulas = references(parameters)
    for spec in bar_catalogue(parameters):
        formulas[spec.name](Past(synthetic, spec.warmup, parameters, spec.warmup))
        if spec.warmup > 0:
            past = Past(synthetic, spec.warmup - 1, parameters, spec.warmup - 1)
            needs_prices = "close" in spec.inputs and not spec.name.startswith(("ma_zscore", "cumulative"))
            if needs_prices:
                with pytest.raises(IndexError):
                    formulas[spec.name](past)
            else:
                assert len(past.c) < spec.window


@pytest.mark.parametrize(
    "file",
    [
        "binance_spot_BTCUSDT_1m_2026-03_04",
        "binance_um_FILUSDT_1m_2023-2024_14months",
        "bitfinex_BTCUSD_1m_2017_2018",
        "binance_spot_BTCUSDT_1m_2026-01-02_09_trades",
    ],
)
def test_real_rows_match_the_formulas(file: str) -> None:
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    bars = bar_arrays(read_bars(Path(root) / "klines" / f"{file}.parquet")).slice(0, 20_000)
    rows = np.flatnonzero(ages(bars) >= WARMUP)
    assert len(rows) > 4_000
    assert_rows_match(bars, BarParameters(), rows[:: len(rows) // 200])


def test_pandas_agrees_on_rolling_statistics(synthetic: BarArrays) -> None:
    X = pd.DataFrame(compute_features(synthetic), columns=feature_names())
    volume, close = pd.Series(synthetic.volume), pd.Series(synthetic.close)
    delta = pd.Series(2 * synthetic.taker_buy_volume) - volume
    r = np.log(close).diff()
    expected = {
        "volume_zscore_60": (volume - volume.rolling(60).mean()) / volume.rolling(60).std(),
        "ma_zscore_60": (np.log(close) - np.log(close).rolling(60).mean()) / np.log(close).rolling(60).std(),
        "autocorrelation_60": r.rolling(60).corr(r.shift(1)),
        "kyle_lambda_60": r.rolling(60).corr(delta),
        "taker_imbalance_ema_30": delta.ewm(span=30).mean() / volume.ewm(span=30).mean(),
        "realised_volatility_60": np.log(1e4 * np.sqrt((r**2).rolling(60).mean())),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(X[name][61:], values[61:], rtol=1e-6, atol=1e-7, err_msg=name)


def test_arch_and_scipy_agree(synthetic: BarArrays) -> None:
    X = pd.DataFrame(compute_features(synthetic), columns=feature_names())
    log_close = np.log(synthetic.close)
    for t in range(100, ROWS, 311):
        window = log_close[t - 60 : t + 1]
        ratio = VarianceRatio(window, lags=5, trend="c", debiased=True, overlap=True).vr
        assert X["variance_ratio_5_60"][t] == pytest.approx(ratio - 1, rel=1e-8)
        z = stats.zscore(synthetic.trades[t - 59 : t + 1], ddof=1)[-1]
        assert X["trade_count_zscore_60"][t] == pytest.approx(z, rel=1e-8, abs=1e-12)
        r = np.diff(log_close[t - 61 : t + 1])
        assert X["autocorrelation_60"][t] == pytest.approx(stats.pearsonr(r[1:], r[:-1]).statistic, rel=1e-8)
