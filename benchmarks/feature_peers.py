"""The features of `benchmarks.features` as one would write them with pandas, TA-Lib and polars; logs are natural.

Set POLARS_MAX_THREADS before this module is imported: polars reads it once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import talib

from data_pipeline.schema import BarArrays

S, N = 15, 60
"""Short and long window of the default parameters."""
CORWIN_SCHULTZ_K = 3 - 2 * math.sqrt(2)
Columns = tuple[np.ndarray, ...]


def jump_share(bars: pd.DataFrame) -> pd.Series:
    r = np.log(bars.close).diff()
    bipower = math.pi / 2 * (r * r.shift(1)).abs().rolling(N).mean()
    return (1 - bipower / (r * r).rolling(N).mean()).clip(lower=0)


def variance_ratio(bars: pd.DataFrame) -> pd.Series:
    p = np.log(bars.close)
    r, long_r = p.diff(), p.diff(5)
    rolling = long_r.rolling(56)
    squares = 56 * (rolling.var(ddof=0) + (rolling.mean() - 5 * r.rolling(N).mean()) ** 2)
    return squares / (5 * 56 * (1 - 5 / 60)) / r.rolling(N).var() - 1


def delta_price_divergence(bars: pd.DataFrame) -> pd.Series:
    delta = 2 * bars.taker_buy_volume - bars.volume
    r = np.log(bars.close).diff()

    def standardised(x: pd.Series) -> pd.Series:
        return x.rolling(S).sum() / np.sqrt((x * x).rolling(S).sum())

    return standardised(delta) - standardised(r)


def trade_size_zscore(bars: pd.DataFrame) -> pd.Series:
    size = bars.volume / bars.trades
    rolling = size.rolling(N)
    return (size - rolling.mean()) / rolling.std()


def corwin_schultz(bars: pd.DataFrame) -> pd.Series:
    squared_range = np.log(bars.high / bars.low) ** 2
    beta = squared_range + squared_range.shift(1)
    gamma = np.log(bars.high.rolling(2).max() / bars.low.rolling(2).min()) ** 2
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / CORWIN_SCHULTZ_K - np.sqrt(gamma / CORWIN_SCHULTZ_K)
    spread = (2 * np.expm1(alpha) / (1 + np.exp(alpha))).clip(lower=0)
    r = np.log(bars.close).diff()
    return spread.rolling(N).mean() / np.sqrt((r * r).rolling(N).mean())


PANDAS_FIVE: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "jump_share_60": jump_share,
    "variance_ratio_5_60": variance_ratio,
    "delta_price_divergence_15": delta_price_divergence,
    "trade_size_zscore_60": trade_size_zscore,
    "corwin_schultz_60": corwin_schultz,
}
"""One from each family that looks back over a window."""


def polars_ten() -> dict[str, pl.Expr]:
    """Ten features as expressions over the fields of a bar."""
    high, low, close, volume, quote = (pl.col(name) for name in ("high", "low", "close", "volume", "quote_volume"))
    p = close.log()
    r = p.diff()
    squares = (r * r).rolling_sum(N)
    sigma = (squares / N).sqrt()
    delta = 2 * pl.col("taker_buy_volume") - volume
    size = volume / pl.col("trades")
    top, bottom = high.log().rolling_max(N), low.log().rolling_min(N)
    parkinson = (high / low).log().pow(2).rolling_sum(N) / (4 * math.log(2))

    def zscore(x: pl.Expr) -> pl.Expr:
        return (x - x.rolling_mean(N)) / x.rolling_std(N)

    return {
        "return_15": p.diff(S) / (sigma * math.sqrt(S)),
        "ma_zscore_60": zscore(p),
        "trade_size_zscore_60": zscore(size),
        "realised_volatility_60": (1e4 * sigma).log(),
        "jump_share_60": (1 - math.pi / 2 * (r * r.shift(1)).abs().rolling_sum(N) / squares).clip(0, None),
        "parkinson_60": (parkinson - squares) / (parkinson + squares),
        "cumulative_delta_60": delta.rolling_sum(N) / (delta * delta).rolling_sum(N).sqrt(),
        "vwap_deviation_60": (p - (quote.rolling_sum(N) / volume.rolling_sum(N)).log()) / (sigma * math.sqrt(N)),
        "efficiency_ratio_60": p.diff(N) / r.abs().rolling_sum(N),
        "donchian_60": (2 * p - top - bottom) / (top - bottom),
    }


@dataclass(frozen=True)
class TalibInputs:
    """What TA-Lib is given, made before the clock runs."""

    bars: BarArrays
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    returns: np.ndarray
    last_returns: np.ndarray
    delta: np.ndarray
    units: np.ndarray
    """Volume in small units: TA-Lib's MFI is 0 where less than one unit flowed."""


def talib_inputs(bars: BarArrays) -> TalibInputs:
    close = np.log(bars.close)
    r = np.diff(close, prepend=close[0])
    delta = 2 * bars.taker_buy_volume - bars.volume
    return TalibInputs(
        bars, np.log(bars.high), np.log(bars.low), close, r, np.concatenate(([0.0], r[:-1])), delta, 1e9 * bars.volume
    )


@dataclass(frozen=True)
class TalibFeature:
    """A feature that TA-Lib has, up to a scale or a z-score that is made of two of its functions."""

    run: Callable[[TalibInputs], Columns]
    """Its functions, and nothing else: this is timed."""
    same: Callable[[TalibInputs, Columns], np.ndarray]
    """Our value from their results; not timed."""


def talib_set() -> dict[str, TalibFeature]:
    """By our names; both windows where TA-Lib's function has one."""
    features: dict[str, TalibFeature] = {
        "channel_index_15": TalibFeature(lambda x: (talib.CCI(x.high, x.low, x.close, S),), lambda _, y: 0.015 * y[0]),
        "directional_movement_15": TalibFeature(
            lambda x: (talib.PLUS_DI(x.high, x.low, x.close, S), talib.MINUS_DI(x.high, x.low, x.close, S)),
            lambda _, y: (y[0] - y[1]) / (y[0] + y[1]),
        ),
        "directional_index_15": TalibFeature(
            lambda x: (talib.ADX(x.high, x.low, x.close, S),), lambda _, y: y[0] / 100
        ),
        "true_range_15": TalibFeature(
            lambda x: (talib.ATR(x.high, x.low, x.close, S),), lambda _, y: np.log(1e4 * y[0])
        ),
        "autocorrelation_60": TalibFeature(lambda x: (talib.CORREL(x.returns, x.last_returns, N),), lambda _, y: y[0]),
        "volume_return_60": TalibFeature(lambda x: (talib.CORREL(x.bars.volume, x.returns, N),), lambda _, y: y[0]),
        "volume_zscore_60": TalibFeature(
            lambda x: (talib.SMA(x.bars.volume, N), talib.STDDEV(x.bars.volume, N)),
            lambda x, y: (x.bars.volume - y[0]) / y[1] * math.sqrt(1 - 1 / N),
        ),
    }
    for w in (S, N):
        features |= {
            f"rsi_{w}": TalibFeature(lambda x, w=w: (talib.RSI(x.close, w),), lambda _, y: y[0] / 50 - 1),
            f"donchian_{w}": TalibFeature(
                lambda x, w=w: (talib.WILLR(x.high, x.low, x.close, w),), lambda _, y: y[0] / 50 + 1
            ),
            f"aroon_{w}": TalibFeature(lambda x, w=w: (talib.AROONOSC(x.high, x.low, w - 1),), lambda _, y: y[0] / 100),
            f"money_flow_{w}": TalibFeature(
                lambda x, w=w: (talib.MFI(x.bars.high, x.bars.low, x.bars.close, x.units, w),),
                lambda _, y: y[0] / 50 - 1,
            ),
            f"ma_zscore_{w}": TalibFeature(
                lambda x, w=w: (talib.SMA(x.close, w), talib.STDDEV(x.close, w)),
                lambda x, y, w=w: (x.close - y[0]) / y[1] * math.sqrt(1 - 1 / w),
            ),
            f"kyle_lambda_{w}": TalibFeature(lambda x, w=w: (talib.CORREL(x.returns, x.delta, w),), lambda _, y: y[0]),
        }
    return features
