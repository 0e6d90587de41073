"""The further bar features against slow transcriptions of their formulas, row by row, on made and on recorded bars."""

import math
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.readers import read_bars
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.bars.catalogue import bar_catalogue
from features.batch import available_features, compute_features
from features.catalogue import feature_names
from features.config import BarParameters
from features.spec import FeatureSpec
from tests.bar_references import flow, liquidity, trend, volatility
from tests.bar_references.history import History, Reference
from tests.golden.test_features_golden import references as core_references

ROWS = 11_000
PARAMETERS = {
    "default": BarParameters(),
    "other": BarParameters(
        horizons=(1, 3, 7, 90),
        short=9,
        long=31,
        aggregation=3,
        fast_span=4,
        slow_span=11,
        day=50,
        days=3,
        lags=(2, 7),
        other_aggregations=(2, 5, 7),
        macd=(5, 11, 4),
        fraction_orders=(0.3, 0.7),
        fraction_taps=33,
        cusum_threshold=3.0,
        word=4,
        signs=33,
    ),
}
SLOW_TO_WARM = 200
"""Warm-up from which a feature is checked apart, so that the others are compared from early rows on."""


def references(p: BarParameters) -> dict[str, Reference]:
    return trend.references(p) | volatility.references(p) | flow.references(p) | liquidity.references(p)


def referenced(p: BarParameters, slow: bool) -> list[FeatureSpec]:
    names = references(p)
    return [spec for spec in bar_catalogue(p) if spec.name in names and (spec.warmup >= SLOW_TO_WARM) == slow]


def stretch_ages(bars: BarArrays) -> np.ndarray:
    """Bars that came before each one in its contiguous stretch."""
    rows = np.arange(len(bars))
    starts = np.diff(bars.open_time_ms, prepend=0) != 60_000
    return rows - np.maximum.accumulate(np.where(starts, rows, 0))


def assert_rows_match(
    bars: BarArrays, p: BarParameters, specs: Iterable[FeatureSpec], wanted: np.ndarray, atol: float = 1e-7
) -> None:
    names = [spec.name for spec in specs if spec.name in available_features(bars, parameters=p)]
    rows = dict(zip(names, compute_features(bars, names, p).T, strict=True))
    formulas = references(p)
    ages = stretch_ages(bars)
    for t in wanted:
        past = History.at(bars, int(t), int(ages[t]), p)
        expected = {name: formulas[name](past) for name in names}
        wrong = {
            name: (rows[name][t], value)
            for name, value in expected.items()
            if not math.isclose(rows[name][t], value, rel_tol=1e-7, abs_tol=atol)
        }
        assert not wrong, f"row {t}"


@pytest.fixture(scope="module")
def synthetic() -> BarArrays:
    return bar_arrays(synthetic_market(SyntheticConfig(bars=ROWS, seed=5)).bars)


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_has_one_reference(key: str) -> None:
    """Of the core in its own tests, of all others here: a feature without one fails."""
    p = PARAMETERS[key]
    core, further = core_references(p), references(p)
    assert not core.keys() & further.keys()
    assert core.keys() | further.keys() == set(feature_names(None, p))


@pytest.mark.parametrize("key", PARAMETERS)
def test_synthetic_rows_match_the_formulas(synthetic: BarArrays, key: str) -> None:
    p = PARAMETERS[key]
    specs = referenced(p, slow=False)
    first = max(spec.warmup for spec in specs)
    # The first 130 rows after the warm-up pass through every phase of both windows, the rest are spread out.
    wanted = np.concatenate((np.arange(first, first + 130), np.arange(first + 130, 4_000, 97)))
    assert_rows_match(synthetic.slice(0, 4_000), p, specs, wanted)


def test_slow_windows_match_the_formulas(synthetic: BarArrays) -> None:
    p = BarParameters()
    specs = referenced(p, slow=True)
    wanted = np.arange(max(spec.warmup for spec in specs), ROWS, 61)
    assert len(wanted) > 10
    assert_rows_match(synthetic, p, specs, wanted)


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
    p = BarParameters()
    bars = bar_arrays(read_bars(Path(root) / "klines" / f"{file}.parquet")).slice(0, 12_000)
    ages = stretch_ages(bars)
    for slow, count in ((False, 60), (True, 4)):
        specs = referenced(p, slow)
        rows = np.flatnonzero(ages >= max(spec.warmup for spec in specs))
        assert slow or len(rows) > 2_000
        assert_rows_match(bars, p, specs, rows[:: max(1, len(rows) // count)])


def coarse(bars: BarArrays, tick: float) -> BarArrays:
    """The bars with prices rounded to a tick as wide as their moves."""
    return replace(
        bars, **{name: tick * np.round(getattr(bars, name) / tick) for name in ("open", "high", "low", "close")}
    )


@pytest.mark.parametrize("key", PARAMETERS)
def test_wide_ticks_match_the_formulas(synthetic: BarArrays, key: str) -> None:
    """Equal closes, equal extremes, opens at the high: ties in every feature that orders or counts."""
    p = PARAMETERS[key]
    bars = coarse(synthetic.slice(0, 2_000), 10.0)
    assert 0.2 < np.mean(np.diff(bars.close) == 0.0) < 0.8
    assert_rows_match(bars, p, referenced(p, slow=False), np.arange(300, 2_000, 29))


def still(bars: BarArrays, start: int, stop: int) -> BarArrays:
    """The bars with one price and no trade in the rows `start` .. `stop`."""

    def held(values: np.ndarray, value: float) -> np.ndarray:
        return np.concatenate((values[:start], np.full(stop - start, value), values[stop:]))

    price = float(bars.close[start - 1])
    prices = {name: held(getattr(bars, name), price) for name in ("open", "high", "low", "close")}
    sizes = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
    return replace(bars, **prices, **{name: held(getattr(bars, name), 0.0) for name in sizes})


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_market_that_stands_still_gives_the_documented_values(synthetic: BarArrays, key: str) -> None:
    """300 bars without a trade: no window holds anything else at their end. Rows into and out of them count too."""
    p = PARAMETERS[key]
    bars = still(synthetic.slice(0, 1_000), 400, 700)
    specs = referenced(p, slow=False)
    assert_rows_match(bars, p, specs, np.concatenate((np.arange(395, 410), np.arange(440, 960, 13))))


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_feature_is_defined_from_its_own_warmup_on(synthetic: BarArrays, key: str) -> None:
    """The catalogue's warm-up is exact: the formula works there and reaches too far one row earlier."""
    p = PARAMETERS[key]
    formulas = references(p)
    for spec in [*referenced(p, slow=False), *referenced(p, slow=True)]:
        formulas[spec.name](History.at(synthetic, spec.warmup, spec.warmup, p))
        if spec.warmup > 0:
            with pytest.raises(IndexError):
                formulas[spec.name](History.at(synthetic, spec.warmup - 1, spec.warmup - 1, p))


@pytest.mark.parametrize("scale", [1e-12, 1e5])
def test_the_unit_of_price_and_volume_does_not_matter(synthetic: BarArrays, scale: float) -> None:
    """Prices near 1e-8 and 1e6 (the synthetic market starts at 1e4) give what they give near 1e4."""
    bars = synthetic.slice(0, 1_500)
    volume = 7.3
    other = replace(
        bars,
        **{name: getattr(bars, name) * scale for name in ("open", "high", "low", "close")},
        **{name: getattr(bars, name) * volume for name in ("volume", "taker_buy_volume")},
        **{name: getattr(bars, name) * volume * scale for name in ("quote_volume", "taker_buy_quote_volume")},
    )
    names = [spec.name for spec in referenced(BarParameters(), slow=False)]
    np.testing.assert_allclose(compute_features(other, names), compute_features(bars, names), rtol=1e-5, atol=1e-5)
