"""What must hold of the statistics whatever the numbers are, and how often the tests raise a false alarm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from envs import performance
from envs.sharpe import sharpe_estimate
from evaluation import forecasts, intervals, overfitting, sharpe
from supervised.diebold_mariano import diebold_mariano

ratios = st.floats(-2.0, 2.0)
trial_counts = st.integers(1, 10_000)
variances = st.floats(1e-6, 1.0)


def assert_size(rejections: int, experiments: int, level: float) -> None:
    """The number of rejections is what a test of this level gives, two-sided at 1 in 10 000."""
    assert binom.ppf(5e-5, experiments, level) <= rejections <= binom.ppf(1 - 5e-5, experiments, level)


@st.composite
def return_series(draw: st.DrawFn) -> np.ndarray:
    return np.array(draw(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=60)))


@given(return_series(), trial_counts, variances)
def test_deflation_only_takes_away(returns, trials, variance):
    e = sharpe_estimate(returns)
    if math.isnan(e.per_period) or math.isnan(e.skew):
        return
    plain = sharpe.probabilistic_sharpe(e.per_period, e.n, e.skew, e.kurtosis)
    deflated = sharpe.deflated_sharpe(e.per_period, e.n, trials, variance, e.skew, e.kurtosis)
    assert 0.0 <= deflated <= plain <= 1.0


@given(ratios, st.integers(2, 5000), trial_counts, st.integers(1, 1000), variances)
def test_more_trials_deflate_more(ratio, n, trials, more, variance):
    assert sharpe.deflated_sharpe(ratio, n, trials + more, variance) <= sharpe.deflated_sharpe(
        ratio, n, trials, variance
    )


@given(st.floats(0.01, 2.0), st.floats(-3.0, 0.5), st.floats(0.0, 20.0))
def test_track_record_of_the_minimum_length_is_just_enough(ratio, skew, excess):
    kurtosis = 1 + skew**2 + excess
    n = sharpe.minimum_track_record(ratio, skew, kurtosis)
    exact = (ratio * math.sqrt(n - 1)) / math.sqrt(max(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2, 1e-12))
    assert exact == pytest.approx(1.6448536269514722)


@given(return_series(), st.floats(0.01, 100.0))
def test_sharpe_does_not_depend_on_leverage(returns, factor):
    before, after = sharpe_estimate(returns), sharpe_estimate(returns * factor)
    if np.ptp(returns) > 1e-9:
        assert after.per_period == pytest.approx(before.per_period, rel=1e-6, abs=1e-9)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_its_share_and_stays_a_share(hits, n):
    hits = min(hits, n)
    found = intervals.wilson(hits, n)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@given(st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=80))
def test_drawdown_is_a_share_below_the_peak(values):
    equity = np.array(values)
    falls = performance.drawdown(equity, 100.0)
    assert np.all((falls >= 0.0) & (falls < 1.0))
    deepest = performance.max_drawdown(equity, 100.0)
    assert deepest.depth == falls.max()
    if deepest.depth > 0:
        top = 100.0 if deepest.peak == -1 else equity[deepest.peak]
        assert 1 - equity[deepest.trough] / top == pytest.approx(deepest.depth)


@given(st.lists(st.floats(-0.9, 2.0), min_size=1, max_size=30), st.integers(1, 5))
def test_daily_returns_compound_to_the_total(changes, bars_a_day):
    equity = 1000.0 * np.cumprod(1.0 + np.array(changes))
    times = np.arange(equity.size, dtype=np.int64) * (86_400_000 // bars_a_day)
    _, daily = performance.daily_returns(times, equity, 1000.0)
    assert intervals.total_return(daily) == pytest.approx(equity[-1] / 1000.0 - 1.0, rel=1e-9, abs=1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=120), st.integers(1, 15))
@settings(deadline=None)  # the first call compiles
def test_picked_labels_never_overlap_and_none_more_would_fit(usable, horizon):
    rows = np.arange(len(usable))
    picked = np.flatnonzero(forecasts.non_overlapping(rows + 1 + horizon, np.array(usable)))
    assert np.all(np.diff(picked) >= horizon)
    for row in np.flatnonzero(usable):
        assert picked.size
        assert np.min(np.abs(picked - row)) < horizon


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_auc_is_blind_to_the_scale_of_the_forecast(n, seed):
    rng = np.random.default_rng(seed)
    p, up = rng.uniform(size=2 * n), np.repeat([True, False], n)
    assert forecasts.auc(up, p).value == pytest.approx(forecasts.auc(up, p**3).value)
    assert forecasts.auc(~up, p).value == pytest.approx(1 - forecasts.auc(up, p).value)


def test_perfect_calibration_is_seen_and_overconfidence_too():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.8, 20_000)
    up = rng.uniform(size=p.size) < p
    honest = forecasts.expected_calibration_error(forecasts.calibration_curve(up, p))
    boastful = forecasts.expected_calibration_error(forecasts.calibration_curve(up, np.where(p > 0.5, 0.95, 0.05)))
    assert honest < 0.02 < 0.2 < boastful


def test_false_alarms_of_pesaran_timmermann():
    """Calls made blindly, with both outcomes and calls lopsided, are taken for skill 5 % of the time."""
    rng = np.random.default_rng(11)
    up, called = rng.uniform(size=(2000, 300)) < 0.53, rng.uniform(size=(2000, 300)) < 0.6
    alarms = sum(forecasts.pesaran_timmermann(u, c).p_value < 0.05 for u, c in zip(up, called, strict=True))
    assert_size(alarms, 2000, 0.05)


def test_pesaran_timmermann_sees_skill():
    rng = np.random.default_rng(12)
    up = rng.uniform(size=1000) < 0.5
    called = np.where(rng.uniform(size=1000) < 0.58, up, ~up)
    assert forecasts.pesaran_timmermann(up, called).p_value < 0.001
    assert forecasts.pesaran_timmermann(up, ~called).p_value > 0.999


def test_false_alarms_of_diebold_mariano():
    """Equally good forecasts differ at 5 % 5 % of the time, also five bars ahead, with losses correlated over four
    lags."""
    rng = np.random.default_rng(13)
    noise = rng.standard_normal((1500, 604))
    for losses in (noise[:, :600], sum(noise[:, lag : lag + 600] for lag in range(5))):
        alarms = sum(diebold_mariano(loss, np.zeros(600)).p_value < 0.05 for loss in losses)
        assert_size(alarms, 1500, 0.05)


def test_false_alarms_of_diebold_mariano_with_long_overlaps():
    """Labels over 60 of 4000 rows: whole rows alone would alarm more than twice as often as they say."""
    noise = np.random.default_rng(15).standard_normal((1500, 4059))
    sums = np.cumsum(noise, axis=1)
    losses = sums[:, 60:] - sums[:, :-60]
    alarms = sum(diebold_mariano(loss, np.zeros(loss.size), overlap=60).p_value < 0.05 for loss in losses)
    assert_size(alarms, 1500, 0.05)
    assert sum(diebold_mariano(loss, np.zeros(loss.size)).p_value < 0.05 for loss in losses) > 2 * alarms


def test_diebold_mariano_prefers_the_smaller_loss():
    rng = np.random.default_rng(14)
    better, worse = rng.exponential(1.0, 500), rng.exponential(1.3, 500)
    found = diebold_mariano(better, worse)
    assert found.statistic < 0
    assert found.p_value < 0.01
    assert diebold_mariano(worse, better).statistic == pytest.approx(-found.statistic)


@pytest.mark.parametrize("days", [20, 60])
def test_bootstrap_interval_covers_the_truth(days):
    """95 % intervals of the mean of fat-tailed days hold the truth in 92 % of 300 worlds or more (binomial, 1 in
    1000)."""
    rng = np.random.default_rng(15)
    covered = 0
    for world in range(300):
        returns = 0.01 * rng.standard_t(4, days)
        found = intervals.bootstrap_intervals(returns, {"mean": intervals.mean_return}, resamples=300, seed=world)[
            "mean"
        ]
        covered += found.low <= 0.0 <= found.high
    assert covered >= binom.ppf(1e-3, 300, 0.92)


def test_bootstrap_keeps_dependence():
    """A slowly swinging series carries less information than the same values shuffled: its interval is wider."""
    rng = np.random.default_rng(16)
    shocks = rng.standard_normal(400)
    swinging = np.zeros(400)
    for row in range(1, 400):
        swinging[row] = 0.9 * swinging[row - 1] + shocks[row]
    width = {}
    for name, series in (("swinging", swinging), ("shuffled", rng.permutation(swinging))):
        found = intervals.bootstrap_intervals(series, {"mean": intervals.mean_return}, resamples=500)["mean"]
        width[name] = found.high - found.low
    assert width["swinging"] > 2 * width["shuffled"]


def test_overfitting_of_pure_noise_is_a_coin_and_of_one_good_strategy_is_not():
    rng = np.random.default_rng(17)
    noise = [overfitting.probability_of_overfitting(rng.standard_normal((128, 20)), 8).probability for _ in range(60)]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.12)
    skilled = rng.standard_normal((512, 20))
    skilled[:, 7] += 0.5
    assert overfitting.probability_of_overfitting(skilled).probability < 0.01


@pytest.mark.parametrize(
    ("shape", "blocks", "message"), [((100, 1), 16, "configurations"), ((100, 3), 7, "even"), ((20, 3), 16, "too few")]
)
def test_overfitting_refuses_what_it_cannot_split(shape, blocks, message):
    with pytest.raises(ValueError, match=message):
        overfitting.probability_of_overfitting(np.zeros(shape), blocks)


def test_what_cannot_be_known_is_nan():
    assert math.isnan(sharpe_estimate(np.array([0.01])).per_period)
    assert math.isnan(sharpe_estimate(np.full(5, 0.01)).per_period)
    assert sharpe_estimate(np.zeros(5)).per_period == 0.0
    assert math.isnan(sharpe.probabilistic_sharpe(math.nan, 10))
    assert sharpe.minimum_track_record(-0.1) == math.inf
    assert math.isnan(forecasts.pesaran_timmermann(np.array([True, False]), np.array([True, True])).p_value)
    assert math.isnan(diebold_mariano(np.ones(50), np.ones(50)).p_value)
    assert math.isnan(forecasts.auc(np.array([True, True]), np.array([0.5, 0.6])).value)
    assert math.isnan(intervals.wilson(0, 0).value)
    assert math.isnan(intervals.bootstrap_intervals(np.zeros(3), {"mean": intervals.mean_return})["mean"].low)
    with pytest.raises(ValueError, match="at least the one being judged"):
        sharpe.expected_maximum_sharpe(0, 0.1)
