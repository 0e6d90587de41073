"""Windows of the trade and cross-market features: what does not fit is refused, names follow what is set."""

import pytest

from data_pipeline.errors import InputError
from features.catalogue import catalogue
from features.config import CrossParameters, TradeParameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"short": 7}, "short 7 and long 500"),
        ({"long": 50}, "short 50 and long 50"),
        ({"fast_ms": 0}, "fast_ms 0"),
        ({"slow_ms": 1_000}, "slow_ms 1000"),
        ({"sign_lags": ()}, "sign_lags"),
        ({"sign_lags": (0, 1)}, "sign_lags"),
        ({"sign_lags": (3, 3)}, "sign_lags"),
        ({"sign_word": 11}, "sign_word 11"),
        ({"large_quantile": 1.0}, "large_quantile 1.0"),
        ({"hawkes_base": 0.0}, "Hawkes"),
        ({"hawkes_cross": -0.1}, "Hawkes"),
        ({"hawkes_decay": 1.4}, "explode"),
        ({"hawkes_decay": float("inf")}, "explode"),
        ({"count_bins": 1}, "1 bins"),
        ({"propagator_exponent": 1.0}, "propagator_exponent 1.0"),
        ({"propagator_lag": 2_000.0}, "propagator_lag 2000.0"),
        ({"vpin_buckets": 0}, "0 buckets"),
        ({"max_silence_ms": 0}, "max_silence_ms 0"),
    ],
)
def test_trade_windows_that_do_not_fit_are_refused(parameters: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TradeParameters(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"leader": "BTC/USDT"}, "is not a name"),
        ({"interval_ms": 0}, "interval_ms 0"),
        ({"horizons": (2, 1)}, "horizons"),
        ({"short": 60}, "short 60 and long 60"),
    ],
)
def test_cross_windows_that_do_not_fit_are_refused(parameters: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CrossParameters(**parameters)


@pytest.mark.parametrize(
    ("kind", "parameters", "count"),
    [("trades", TradeParameters(sign_lags=(1, 2, 3)), 33), ("cross", CrossParameters(horizons=(1,)), 14)],
)
def test_names_follow_the_windows_and_never_repeat(kind: str, parameters: object, count: int) -> None:
    specs = catalogue(kind, parameters)
    names = [spec.name for spec in specs]
    assert len(names) == len(set(names)) == count
    assert all(spec.formula and spec.reference and spec.inputs and spec.warmup >= 0 for spec in specs)
    assert not set(names) & {spec.family for spec in specs}
