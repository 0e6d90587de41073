"""The statistics against worked examples in the papers that define them, and against other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import kurtosis, skew
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss
from statsmodels.stats.proportion import proportion_confint
from statsmodels.tsa.stattools import diebold_mariano_test

from envs import performance
from envs.sharpe import sharpe_estimate, sharpe_standard_error
from evaluation import forecasts, intervals, overfitting, sharpe
from supervised.diebold_mariano import diebold_mariano, long_run_variance


class TestDeflatedSharpePaper:
    """Bailey & López de Prado (2014): annual Sharpe 2.5 on five years of 250 daily returns, V[SR] = 1/2 a year."""

    daily = 2.5 / math.sqrt(250)
    variance = 0.5 / 250

    def test_expected_maximum(self):
        assert sharpe.expected_maximum_sharpe(100, self.variance) == pytest.approx(0.1132, abs=5e-5)

    def test_hundred_trials_are_not_enough(self):
        found = sharpe.deflated_sharpe(self.daily, 1250, 100, self.variance, skew=-3, kurtosis=10)
        assert found == pytest.approx(0.9004, abs=5e-5)

    def test_forty_six_trials_would_have_been(self):
        found = sharpe.deflated_sharpe(self.daily, 1250, 46, self.variance, skew=-3, kurtosis=10)
        assert found == pytest.approx(0.9505, abs=5e-5)

    def test_normal_returns_would_have_allowed_eighty_eight(self):
        assert sharpe.deflated_sharpe(self.daily, 1250, 88, self.variance) == pytest.approx(0.9505, abs=5e-5)


class TestSharpeFrontierPaper:
    """Bailey & López de Prado (2012): a fund with 24 monthly returns and a monthly Sharpe ratio of 0.458."""

    def test_probabilistic_sharpe_of_normal_returns(self):
        assert sharpe.probabilistic_sharpe(0.458, 24) == pytest.approx(0.982, abs=5e-4)

    def test_probabilistic_sharpe_of_the_fund(self):
        assert sharpe.probabilistic_sharpe(0.458, 24, skew=-2.448, kurtosis=10.164) == pytest.approx(0.913, abs=5e-4)

    @pytest.mark.parametrize(
        ("periods", "skew", "kurtosis", "years"),
        [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
    )
    def test_minimum_track_record_of_sharpe_two_against_one(self, periods, skew, kurtosis, years):
        scale = math.sqrt(periods)
        found = sharpe.minimum_track_record(2 / scale, skew, kurtosis, benchmark=1 / scale, confidence=0.95)
        assert found / periods == pytest.approx(years, abs=5e-3)


class TestLoPaper:
    """Lo (2002), table 1: standard errors of the monthly Sharpe ratio under independent returns."""

    @pytest.mark.parametrize(
        ("ratio", "n", "error"), [(0.50, 12, 0.306), (0.50, 60, 0.137), (1.00, 24, 0.250), (3.00, 500, 0.105)]
    )
    def test_standard_error(self, ratio, n, error):
        assert sharpe_standard_error(ratio, n) == pytest.approx(error, abs=5e-4)


def test_moments_agree_with_scipy():
    returns = np.random.default_rng(3).standard_t(5, 400) * 0.01 + 0.001
    found = sharpe_estimate(returns)
    assert found.skew == pytest.approx(skew(returns))
    assert found.kurtosis == pytest.approx(kurtosis(returns, fisher=False))
    assert found.annual == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (7, 10), (512, 1000), (10, 10)])
def test_wilson_agrees_with_statsmodels(hits, n):
    found = intervals.wilson(hits, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(5)
    p = np.round(rng.uniform(0.05, 0.95, 500), 2)  # rounding makes ties
    up = rng.uniform(size=500) < p
    assert forecasts.auc(up, p).value == pytest.approx(roc_auc_score(up, p))
    assert forecasts.squared_errors(up, p).mean() == pytest.approx(brier_score_loss(up, p))
    assert forecasts.log_losses(up, p).mean() == pytest.approx(sklearn_log_loss(up, p))


def test_delong_interval_agrees_with_the_bootstrap():
    rng = np.random.default_rng(6)
    p = rng.uniform(0.2, 0.8, 800)
    up = rng.uniform(size=800) < p
    draws = [roc_auc_score(up[rows], p[rows]) for rows in rng.integers(0, 800, (400, 800))]
    found = forecasts.auc(up, p)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(np.std(draws), rel=0.1)


def test_long_run_variance_is_the_mean_square_of_a_regression_on_cosines():
    d = np.random.default_rng(8).standard_normal(777).cumsum()
    variance, cosines = long_run_variance(d)
    phase = np.pi * (np.arange(777) + 0.5) / 777
    columns = np.stack([np.cos(j * phase) for j in range(1, cosines + 1)], axis=1)
    assert variance == pytest.approx(sm.OLS(d, sm.add_constant(columns)).fit().mse_model, rel=1e-9)


@pytest.mark.parametrize("overlap", [1, 5])
def test_diebold_mariano_agrees_with_statsmodels_on_a_long_series(overlap):
    rng = np.random.default_rng(9)
    noise = rng.standard_normal((2, 60_004))
    y, other = (sum(part[lag : lag + 60_000] for lag in range(5)) for part in noise)
    first, second = y + 1.01 * other, y + other[::-1]
    theirs = diebold_mariano_test(y, first, second, lags=200, criterion="mse")
    ours = diebold_mariano((y - first) ** 2, (y - second) ** 2, overlap=overlap)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=0.1)
    assert ours.n == 60_000 // overlap


def test_long_run_variance_agrees_with_newey_west_on_a_long_series():
    d = np.convolve(np.random.default_rng(7).standard_normal(50_000), [1.0, 0.6, 0.3], mode="valid")
    model = sm.OLS(d, np.ones(d.size)).fit(cov_type="HAC", cov_kwds={"maxlags": 200, "use_correction": False})
    variance, cosines = long_run_variance(d)
    assert cosines == 542
    assert variance == pytest.approx(model.bse[0] ** 2 * d.size, rel=0.1)
    assert variance == pytest.approx((1.0 + 0.6 + 0.3) ** 2, rel=0.15)


def test_pesaran_timmermann_by_hand():
    """n = 100, 30 rises called and 20 missed, 35 falls called and 15 missed: P̂ = .65, Py = .5, Px = .45, P* = .5."""
    up = np.repeat([True, False], 50)
    called = np.concatenate([np.repeat([True, False], [30, 20]), np.repeat([True, False], [15, 35])])
    variance = 0.25 / 100 - (0.0 + 0.01 * 0.25 / 100 + 4 * 0.5 * 0.45 * 0.5 * 0.55 / 100**2)
    assert forecasts.pesaran_timmermann(up, called).statistic == pytest.approx(0.15 / math.sqrt(variance))


def test_break_even_accuracy_of_the_findings():
    """A 4 bps round trip against 5 bps moves needs 90 %; 58.5 % needs moves of about 24 bps."""
    assert forecasts.break_even_accuracy(4.0, 5.0) == pytest.approx(0.9)
    assert forecasts.break_even_accuracy(4.0, 23.53) == pytest.approx(0.585, abs=1e-4)


def test_overfitting_of_four_blocks_by_hand():
    """Two configurations that swap places between halves: whichever wins inside always loses outside."""
    a = np.array([0.02, 0.01] * 2 + [-0.02, -0.01] * 2)
    found = overfitting.probability_of_overfitting(np.column_stack([a, -a]), blocks=2)
    assert found.probability == 1.0
    np.testing.assert_allclose(found.logits, math.log(0.5))  # rank 1 of 2: ω = 1/3
    assert found.probability_of_loss == 1.0


def test_drawdown_by_hand():
    equity = np.array([110.0, 121.0, 99.0, 90.75, 130.0, 117.0])
    found = performance.max_drawdown(equity, 100.0)
    assert (found.depth, found.peak, found.trough, found.recovered) == (pytest.approx(0.25), 1, 3, 4)
    assert performance.max_drawdown(np.array([95.0, 90.0]), 100.0) == performance.Drawdown(
        pytest.approx(0.1), -1, 1, -1
    )


def test_profit_factor_by_hand():
    assert performance.profit_factor(np.array([3.0, -1.0, 2.0, -1.5])) == pytest.approx(2.0)
    assert performance.profit_factor(np.array([1.0])) == math.inf
    assert math.isnan(performance.profit_factor(np.zeros(0)))


def test_daily_returns_by_hand():
    hours = np.arange(0, 60, 6, dtype=np.int64) * 3_600_000
    equity = np.array([101.0, 102, 103, 104, 100, 101, 102, 104, 105, 52], dtype=np.float64)
    days, found = performance.daily_returns(hours, equity, 100.0)
    np.testing.assert_array_equal(days, np.arange(3) * 86_400_000)
    np.testing.assert_allclose(found, [0.04, 0.0, -0.5])
