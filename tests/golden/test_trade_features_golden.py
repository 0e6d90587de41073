"""Every trade feature against a slow transcription of its formula, and against the processes they measure."""

import math

import numpy as np
import pandas as pd
import pytest

from features.batch import compute_features
from features.catalogue import feature_names
from features.config import TradeParameters
from features.events import Events
from features.stream import FeatureStream
from features.trades.catalogue import trade_catalogue
from features.trades.propagator import kernel_terms
from tests.trade_reference import Tape, references
from tests.trade_tools import RECORDED, recorded_trades, synthetic_trades

PARAMETERS = {
    "default": TradeParameters(),
    "other": TradeParameters(
        short=9,
        long=40,
        fast_ms=70,
        slow_ms=900,
        sign_lags=(2, 3, 17),
        sign_word=2,
        large_quantile=0.8,
        hawkes_base=0.3,
        hawkes_self=4.0,
        hawkes_cross=0.0,
        hawkes_decay=5.0,
        count_ms=250,
        count_bins=12,
        propagator_exponent=0.6,
        propagator_lag=3.0,
        propagator_memory=50,
        vpin_trades=4,
        vpin_buckets=5,
    ),
}


def stretch_starts(trades: Events, parameters: TradeParameters) -> np.ndarray:
    """For each trade the row at which its stretch began."""
    rows = np.arange(len(trades))
    silence = np.diff(trades.time_ns, prepend=0) > parameters.max_silence_ms * 1_000_000
    return np.maximum.accumulate(np.where(silence, rows, 0))


def assert_rows_match(trades: Events, parameters: TradeParameters, rows: np.ndarray) -> None:
    names = feature_names(None, parameters, "trades")
    X = compute_features(trades, parameters=parameters, kind="trades")
    formulas = references(parameters)
    starts = stretch_starts(trades, parameters)
    for row in rows:
        tape = Tape(trades, int(starts[row]), int(row), parameters)
        expected = np.array([formulas[name](tape) for name in names])
        np.testing.assert_allclose(X[row], expected, rtol=1e-8, atol=1e-8, err_msg=f"row {row}: {names}")


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(None, PARAMETERS[key], "trades")


@pytest.mark.parametrize(("key", "count", "step"), [("default", 6_000, 211), ("other", 3_000, 17)])
def test_synthetic_rows_match_the_formulas(key: str, count: int, step: int) -> None:
    parameters = PARAMETERS[key]
    trades = synthetic_trades(count, seed=4)
    warmup = FeatureStream(parameters=parameters, kind="trades").warmup
    age = np.arange(count) - stretch_starts(trades, parameters)
    warm = np.flatnonzero(age >= warmup)
    assert len(np.unique(stretch_starts(trades, parameters)[warm])) == 3
    assert_rows_match(trades, parameters, np.concatenate((warm[:3], warm[::step])))


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_feature_is_defined_from_its_own_warmup_on(key: str) -> None:
    """The catalogue's warm-up of each feature is exact: the formula holds there and reaches too far one row earlier."""
    parameters = PARAMETERS[key]
    formulas = references(parameters)
    trades = synthetic_trades(parameters.long + parameters.short + 20, seed=8, silences=0)
    for spec in trade_catalogue(parameters):
        X = compute_features(trades, [spec.name], parameters, "trades")[:, 0]
        assert np.isnan(X[: spec.warmup]).all()
        value = (
            0.0 if spec.name.startswith("trade_rate") else formulas[spec.name](Tape(trades, 0, spec.warmup, parameters))
        )
        assert X[spec.warmup] == pytest.approx(value, rel=1e-8, abs=1e-8), spec.name


@pytest.mark.parametrize("contract", RECORDED)
def test_recorded_rows_match_the_formulas(contract: str) -> None:
    trades = recorded_trades(contract).slice(0, 4_000)
    assert_rows_match(trades, TradeParameters(), np.arange(560, len(trades), 173))


@pytest.mark.parametrize(("contract", "share"), [("spot", 0.95), ("um", 0.95), ("cm", 0.80)])
def test_the_tick_rule_mostly_agrees_with_the_venue(contract: str, share: float) -> None:
    """The rule guesses the taker's side from prices alone; on these tapes 83 % (COIN-M) to 97 % are right."""
    trades = recorded_trades(contract)
    rule = np.sign(pd.Series(trades.price).diff()).replace(0.0, np.nan).ffill()
    ours = compute_features(trades, ["tick_rule"], kind="trades")[:, 0]
    np.testing.assert_array_equal(ours, rule.fillna(0.0))
    right = (ours == 1.0 - 2.0 * trades.buyer_is_maker)[ours != 0.0].mean()
    assert share < right < share + 0.05


@pytest.mark.parametrize(("exponent", "lag", "memory"), [(0.1, 20.0, 1_000), (0.5, 1.0, 200), (0.9, 7.0, 5_000)])
def test_the_sum_of_exponentials_is_a_power_law(exponent: float, lag: float, memory: int) -> None:
    k = np.arange(memory + 1)
    decays, weights = (np.array(terms) for terms in kernel_terms(exponent, lag, memory))
    kernel = (weights * decays ** k[:, None]).sum(axis=1)
    np.testing.assert_allclose(kernel, (1.0 + k / lag) ** -exponent, rtol=0.01)
    assert kernel[0] == pytest.approx(1.0, rel=1e-14)
    assert (weights > 0.0).all()


def simulate_hawkes(p: TradeParameters, seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and sides of a two-sided Hawkes process, by Ogata's thinning."""
    rng = np.random.default_rng(seed)
    now, excited = 0.0, np.zeros(2)
    times, sides = [], []
    while now < seconds:
        bound = 2 * p.hawkes_base + excited.sum()
        wait = rng.exponential(1 / bound)
        now += wait
        excited *= math.exp(-p.hawkes_decay * wait)
        if rng.random() * bound < 2 * p.hawkes_base + excited.sum():
            side = int(rng.random() * (2 * p.hawkes_base + excited.sum()) < p.hawkes_base + excited[1])
            excited += np.where(np.arange(2) == side, p.hawkes_self, p.hawkes_cross)
            times.append(now)
            sides.append(side)
    return np.array(times), np.array(sides)


def test_the_hawkes_intensities_are_those_the_trades_came_from() -> None:
    """Random time change: with the true intensities, compensated waits between trades are exponential with mean 1."""
    p = TradeParameters(max_silence_ms=10**9)
    times, sides = simulate_hawkes(p, 3_000.0, seed=1)
    trades = synthetic_trades(len(times), seed=0)
    columns = {**trades.columns, "buyer_is_maker": 1.0 - sides}
    trades = Events((times * 1e9).astype(np.int64), trades.local_time_ns, columns)
    X = compute_features(trades, ["hawkes_buy", "hawkes_sell"], p, "trades")
    total = p.hawkes_base * np.exp(X).sum(axis=1)[:-1]
    waits = np.diff(times)
    faded = (total - 2 * p.hawkes_base) * (1 - np.exp(-p.hawkes_decay * waits)) / p.hawkes_decay
    compensated = 2 * p.hawkes_base * waits + faded
    assert len(waits) > 10_000
    assert compensated.mean() == pytest.approx(1.0, abs=0.03)
    assert compensated.var() == pytest.approx(1.0, abs=0.08)
    assert np.corrcoef(compensated[1:], compensated[:-1])[0, 1] == pytest.approx(0.0, abs=0.03)
    wrong = compute_features(trades, ["hawkes_buy", "hawkes_sell"], TradeParameters(hawkes_self=0.1), "trades")
    assert not np.allclose(wrong, X)


def test_the_branching_ratio_is_that_of_the_process() -> None:
    """A trade of this process brings about (self + cross) / decay others; windows are long against its memory."""
    p = TradeParameters(count_ms=10_000, count_bins=290, max_silence_ms=10**9)
    times, sides = simulate_hawkes(p, 3_000.0, seed=2)
    trades = synthetic_trades(len(times), seed=0)
    columns = {**trades.columns, "buyer_is_maker": 1.0 - sides}
    trades = Events((times * 1e9).astype(np.int64), trades.local_time_ns, columns)
    X = compute_features(trades, ["branching_ratio", "branching_asymmetry"], p, "trades")
    assert X[-1, 0] == pytest.approx((p.hawkes_self + p.hawkes_cross) / p.hawkes_decay, abs=0.06)
    assert X[-1, 1] == pytest.approx(0.0, abs=0.1)
