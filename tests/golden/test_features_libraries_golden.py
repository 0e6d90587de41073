"""Bar features against the libraries that have them, whole columns at a time."""

import bidask
import numpy as np
import pandas as pd
import pytest
import talib
from arch.unitroot import VarianceRatio
from scipy import stats
from statsmodels.regression.rolling import RollingOLS
from statsmodels.tools import add_constant

from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.batch import compute_features
from features.config import BarParameters

ROWS = 6_000
SETTLED = 2_500
"""Row from which the start of Wilder's and Appel's averages, where TA-Lib takes another, is forgotten to 1e-15."""
S, N = 15, 60


@pytest.fixture(scope="module")
def bars() -> BarArrays:
    return bar_arrays(synthetic_market(SyntheticConfig(bars=ROWS, seed=11)).bars)


@pytest.fixture(scope="module")
def logs(bars: BarArrays) -> dict[str, np.ndarray]:
    return {name: np.log(getattr(bars, name)) for name in ("open", "high", "low", "close")}


@pytest.fixture(scope="module")
def sigma(logs: dict[str, np.ndarray]) -> np.ndarray:
    return np.sqrt(pd.Series(logs["close"]).diff().pow(2).rolling(N).mean().to_numpy())


def column(bars: BarArrays, name: str) -> np.ndarray:
    return compute_features(bars, [name])[SETTLED:, 0]


def assert_same(actual: np.ndarray, expected: np.ndarray, atol: float = 1e-8) -> None:
    np.testing.assert_allclose(actual, expected[SETTLED:], rtol=1e-7, atol=atol)


@pytest.mark.parametrize("w", [S, N])
def test_talib_agrees_over_each_window(bars: BarArrays, logs: dict[str, np.ndarray], sigma: np.ndarray, w: int) -> None:
    high, low, close = logs["high"], logs["low"], logs["close"]
    assert_same(column(bars, f"rsi_{w}"), talib.RSI(close, w) / 50 - 1)
    assert_same(column(bars, f"donchian_{w}"), talib.WILLR(high, low, close, w) / 50 + 1)
    assert_same(column(bars, f"aroon_{w}"), talib.AROONOSC(high, low, w - 1) / 100)
    assert_same(column(bars, f"trend_slope_{w}"), talib.LINEARREG_SLOPE(close, w) * np.sqrt(w) / sigma, atol=1e-5)
    assert_same(column(bars, f"drawdown_{w}"), (close - talib.MAX(high, w)) / sigma / np.sqrt(w))
    assert_same(column(bars, f"rally_{w}"), (close - talib.MIN(low, w)) / sigma / np.sqrt(w))
    paths = talib.SUM(talib.TRANGE(high, low, close), w)
    assert_same(column(bars, f"choppiness_{w}"), np.log(paths / (talib.MAX(high, w) - talib.MIN(low, w))) / np.log(w))
    size = 1e9 * bars.volume  # MFI is 0 in TA-Lib where less than one unit flowed
    flows = talib.MFI(bars.high, bars.low, bars.close, size, w) / 50 - 1
    # Where equal typical prices differ by their rounding, TA-Lib counts a rise or a fall.
    changes = abs(np.diff((bars.high + bars.low + bars.close) / 3, prepend=0.0))
    clear = pd.Series((changes == 0) | (changes > 1e-9)).rolling(w).min().to_numpy()[SETTLED:] == 1
    assert clear.mean() > 0.9
    np.testing.assert_allclose(column(bars, f"money_flow_{w}")[clear], flows[SETTLED:][clear], rtol=1e-7, atol=1e-8)
    lines = pd.Series(talib.AD(bars.high, bars.low, bars.close, bars.volume)).diff(w)
    assert_same(column(bars, f"accumulation_{w}"), (lines / talib.SUM(bars.volume, w)).to_numpy(), atol=1e-6)


def test_talib_agrees_over_the_short_window(bars: BarArrays, logs: dict[str, np.ndarray], sigma: np.ndarray) -> None:
    high, low, close = logs["high"], logs["low"], logs["close"]
    assert_same(column(bars, f"channel_index_{S}"), 0.015 * talib.CCI(high, low, close, S), atol=1e-6)
    assert_same(abs(column(bars, f"directional_movement_{S}")), talib.DX(high, low, close, S) / 100)
    assert_same(column(bars, f"directional_index_{S}"), talib.ADX(high, low, close, S) / 100)
    average = talib.ATR(high, low, close, S)
    assert_same(column(bars, f"true_range_{S}"), np.log(1e4 * average))
    span = talib.TRANGE(high, low, close)
    assert_same(column(bars, f"range_expansion_{S}"), (span - average) / (span + average))
    line, _, histogram = talib.MACD(close, 12, 26, 9)
    assert_same(column(bars, "macd_12_26"), line / sigma)
    assert_same(column(bars, "macd_histogram_12_26_9"), histogram / sigma)


def test_bidask_agrees(bars: BarArrays, sigma: np.ndarray) -> None:
    frame = pd.DataFrame({"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close})
    spreads = bidask.edge_rolling(frame, window=N + 1, sign=True).to_numpy()
    assert_same(column(bars, f"edge_{N}"), spreads / sigma, atol=1e-5)


def test_statsmodels_agrees(bars: BarArrays, logs: dict[str, np.ndarray]) -> None:
    r = pd.Series(logs["close"]).diff().fillna(0.0)
    signed = np.sign(r.shift(1)) * pd.Series(bars.quote_volume).shift(1)
    regressors = add_constant(pd.concat([r.shift(1), signed], axis=1).fillna(0.0).to_numpy())
    gamma = RollingOLS(r.to_numpy(), regressors, window=N).fit().params[:, 2]
    scale = signed.rolling(N).std() / r.rolling(N).std()
    assert_same(column(bars, f"pastor_stambaugh_{N}"), gamma * scale.to_numpy())


def test_pandas_and_scipy_agree(bars: BarArrays, logs: dict[str, np.ndarray]) -> None:
    r = pd.Series(logs["close"]).diff()
    volume = pd.Series(bars.volume)
    for lag in (2, 5, 10):
        assert_same(column(bars, f"autocorrelation_{lag}_{N}"), r.rolling(N).corr(r.shift(lag)).to_numpy())
    assert_same(column(bars, f"volume_autocorrelation_{N}"), volume.rolling(N).corr(volume.shift(1)).to_numpy())
    assert_same(column(bars, f"volume_volatility_{N}"), volume.rolling(N).corr(r.abs()).to_numpy())
    z = stats.norm.cdf(r / np.sqrt((r**2).rolling(N).mean()))
    assert_same(column(bars, "bulk_imbalance"), 2 * z - 1)


def test_arch_agrees(bars: BarArrays, logs: dict[str, np.ndarray]) -> None:
    for q in BarParameters().other_aggregations:
        ratios = column(bars, f"variance_ratio_{q}_{N}")
        for t in range(SETTLED, ROWS, 307):
            expected = VarianceRatio(logs["close"][t - N : t + 1], lags=q, trend="c", debiased=True, overlap=True).vr
            assert ratios[t - SETTLED] == pytest.approx(expected - 1, rel=1e-8, abs=1e-10)
