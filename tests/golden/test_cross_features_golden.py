"""Every cross-market feature against a slow transcription of its formula and against pandas and scipy."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from features.batch import available_features, compute_features
from features.catalogue import catalogue, feature_names
from features.config import CrossParameters
from features.cross.pairs import PairedBars
from tests.cross_tools import recorded_pair, synthetic_pair

PARAMETERS = {
    "default": CrossParameters(),
    "other": CrossParameters(leader="btc", horizons=(1, 3, 70), short=9, long=31),
}
Numbers = list[float]


class Past:
    """The bars from the stretch's start to row t, as plain Python numbers; index 0 is the newest."""

    def __init__(self, pair: PairedBars, start: int, t: int) -> None:
        part = pair.slice(start, t + 1)
        self.c, self.lc = part.close[::-1].tolist(), part.leader_close[::-1].tolist()
        self.v, self.lv = part.volume[::-1].tolist(), part.leader_volume[::-1].tolist()
        self.d = [b - (v - b) for b, v in zip(part.taker_buy_volume[::-1].tolist(), self.v, strict=True)]
        self.ld = [b - (v - b) for b, v in zip(part.leader_taker_buy_volume[::-1].tolist(), self.lv, strict=True)]

    def returns(self, closes: Numbers, n: int, lag: int = 0) -> Numbers:
        return [math.log(closes[i] / closes[i + 1]) for i in range(lag, n + lag)]

    def r(self, n: int, lag: int = 0) -> Numbers:
        return self.returns(self.c, n, lag)

    def lead(self, n: int, lag: int = 0) -> Numbers:
        return self.returns(self.lc, n, lag)


def mean_square(values: Numbers) -> float:
    return math.fsum(v * v for v in values) / len(values)


def covariance(x: Numbers, y: Numbers) -> float:
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    return math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / len(x)


def correlation(x: Numbers, y: Numbers) -> float:
    return covariance(x, y) / math.sqrt(covariance(x, x) * covariance(y, y))


def beta(past: Past, n: int) -> float:
    return covariance(past.r(n), past.lead(n)) / covariance(past.lead(n), past.lead(n))


def leader_return(past: Past, k: int, n: int) -> float:
    return math.log(past.lc[0] / past.lc[k]) / math.sqrt(k * mean_square(past.lead(n)))


def residual(past: Past, k: int, n: int) -> float:
    change = math.log(past.c[0] / past.c[k]) - beta(past, n) * math.log(past.lc[0] / past.lc[k])
    return change / math.sqrt(k * mean_square(past.r(n)))


def taker_share(delta: Numbers, volume: Numbers, n: int) -> float:
    total = math.fsum(volume[:n])
    return math.fsum(delta[:n]) / total if total else 0.0


def balance(a: float, b: float) -> float:
    return (a - b) / (a + b)


def ratio_zscore(past: Past, n: int) -> float:
    x = [math.log(past.c[i] / past.lc[i]) for i in range(n)]
    mean = math.fsum(x) / n
    return (x[0] - mean) / math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (n - 1))


def references(p: CrossParameters) -> dict[str, Callable[[Past], float]]:
    """Every feature's formula by name, in catalogue order."""
    s, n, name = p.short, p.long, p.leader
    return {
        **{f"{name}_return_{k}": (lambda x, k=k: leader_return(x, k, n)) for k in p.horizons},
        **{f"{name}_residual_{k}": (lambda x, k=k: residual(x, k, n)) for k in p.horizons},
        f"{name}_correlation_{s}": lambda x: correlation(x.r(s), x.lead(s)),
        f"{name}_correlation_{n}": lambda x: correlation(x.r(n), x.lead(n)),
        f"{name}_beta_{n}": lambda x: beta(x, n),
        f"{name}_lead_{n}": lambda x: correlation(x.r(n), x.lead(n, 1)),
        f"{name}_lead_lag_{n}": lambda x: correlation(x.r(n), x.lead(n, 1)) - correlation(x.lead(n), x.r(n, 1)),
        f"{name}_taker_imbalance": lambda x: taker_share(x.ld, x.lv, 1),
        f"{name}_taker_imbalance_{s}": lambda x: taker_share(x.ld, x.lv, s),
        f"{name}_taker_gap_{s}": lambda x: taker_share(x.d, x.v, s) - taker_share(x.ld, x.lv, s),
        f"{name}_flow_impact_{n}": lambda x: correlation(x.r(n), x.ld[:n]),
        f"{name}_relative_volume_{n}": lambda x: balance(x.v[0] / math.fsum(x.v[:n]), x.lv[0] / math.fsum(x.lv[:n])),
        f"{name}_volatility_ratio_{n}": lambda x: balance(mean_square(x.r(n)), mean_square(x.lead(n))),
        f"{name}_ratio_zscore_{n}": lambda x: ratio_zscore(x, n),
    }


def starts_of(pair: PairedBars) -> np.ndarray:
    """For each row the row at which its stretch began."""
    rows = np.arange(len(pair))
    return np.maximum.accumulate(np.where(np.diff(pair.open_time_ms, prepend=0) != 60_000, rows, 0))


def assert_rows_match(pair: PairedBars, parameters: CrossParameters, rows: np.ndarray) -> None:
    names = available_features(pair, None, parameters, "cross")
    X = compute_features(pair, names, parameters, "cross")
    formulas = references(parameters)
    starts = starts_of(pair)
    for t in rows:
        past = Past(pair, int(max(starts[t], t - 200)), int(t))
        expected = np.array([formulas[name](past) for name in names])
        np.testing.assert_allclose(X[t], expected, rtol=1e-8, atol=1e-8, err_msg=f"row {t}: {names}")


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(None, PARAMETERS[key], "cross")


@pytest.mark.parametrize("key", PARAMETERS)
def test_synthetic_rows_match_the_formulas(key: str) -> None:
    parameters = PARAMETERS[key]
    pair = synthetic_pair(1_500, seed=1, gaps=(400, 700))
    first = max(spec.warmup for spec in catalogue("cross", parameters))
    warm = np.flatnonzero(np.arange(len(pair)) - starts_of(pair) >= first)
    assert_rows_match(pair, parameters, np.concatenate((warm[:70], warm[70::17])))


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_feature_is_defined_from_its_own_warmup_on(key: str) -> None:
    """The catalogue's warm-up is exact: the formula holds there and reaches too far one row earlier."""
    pair = synthetic_pair(100, seed=2)
    for spec in catalogue("cross", PARAMETERS[key]):
        X = compute_features(pair, [spec.name], PARAMETERS[key], "cross")[:, 0]
        formula = references(PARAMETERS[key])[spec.name]
        assert np.isnan(X[: spec.warmup]).all()
        assert X[spec.warmup] == pytest.approx(formula(Past(pair, 0, spec.warmup)), rel=1e-9, abs=1e-12)
        if spec.warmup > 0:
            past = Past(pair, 0, spec.warmup - 1)
            if "close" in spec.inputs or "leader_close" in spec.inputs:
                with pytest.raises(IndexError):
                    formula(past)
            else:
                assert len(past.c) < spec.window


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BNBUSDT", "SOLUSDT", "MATICUSDT"])
def test_recorded_rows_match_the_formulas(symbol: str) -> None:
    pair = recorded_pair(symbol).slice(24_000, 36_000)  # both outages, of 2 h 30 min and 4 h 43 min
    starts = starts_of(pair)
    assert len(np.unique(starts)) >= 3
    rows = np.flatnonzero(np.arange(len(pair)) - starts >= 61)
    assert_rows_match(pair, CrossParameters(), rows[::151])


def test_pandas_and_scipy_agree() -> None:
    pair = synthetic_pair(600, seed=3, lead=0.4)
    X = pd.DataFrame(compute_features(pair, kind="cross"), columns=feature_names(kind="cross"))
    r, lead = (np.log(pd.Series(closes)).diff() for closes in (pair.close, pair.leader_close))
    ratio = np.log(pd.Series(pair.close) / pd.Series(pair.leader_close))
    expected = {
        "leader_correlation_15": r.rolling(15).corr(lead),
        "leader_beta_60": r.rolling(60).cov(lead) / lead.rolling(60).var(),
        "leader_lead_60": r.rolling(60).corr(lead.shift()),
        "leader_ratio_zscore_60": (ratio - ratio.rolling(60).mean()) / ratio.rolling(60).std(),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(X[name][61:], values[61:], rtol=1e-7, atol=1e-9, err_msg=name)
    slope = stats.linregress(lead[-60:], r[-60:]).slope
    assert X["leader_beta_60"].iloc[-1] == pytest.approx(slope, rel=1e-9)


def test_the_lead_of_the_leader_is_found_and_no_other() -> None:
    """With four tenths of the leader's last return in this bar's, the lead shows; without, it is noise around 0."""
    names = ["leader_lead_lag_60", "leader_beta_60"]
    leads = compute_features(synthetic_pair(20_000, seed=4, lead=0.4), names, kind="cross")[100:]
    none = compute_features(synthetic_pair(20_000, seed=4), names, kind="cross")[100:]
    assert leads[:, 0].mean() == pytest.approx(0.4 / math.hypot(1.3, 0.4, 0.7), abs=0.03)
    assert none[:, 0].mean() == pytest.approx(0.0, abs=0.03)
    assert none[:, 1].mean() == pytest.approx(1.3, abs=0.03)
