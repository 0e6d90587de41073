"""Predictions and features: skill is seen where it is, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from evaluation.signal_quality import feature_quality, prediction_quality

ROWS, HORIZON = 12_000, 5
T1 = np.arange(ROWS, dtype=np.int64) + 1 + HORIZON


def overlapping_labels(rng: np.random.Generator) -> np.ndarray:
    """Sums of the next `HORIZON` moves of 5 bps: neighbours share four of five."""
    moves = 5.0 * rng.standard_normal(ROWS + HORIZON + 1)
    return np.convolve(moves, np.ones(HORIZON), mode="valid")[1 : ROWS + 1]


def quality(p, y, **options):
    return prediction_quality("tcn", p, y, T1, horizon=HORIZON, round_trip_bps=11.0, **options)


def test_blind_predictions_show_no_skill():
    rng = np.random.default_rng(0)
    found = quality(rng.uniform(0.4, 0.6, ROWS), overlapping_labels(rng))
    assert found.n == ROWS // HORIZON
    assert found.rows == ROWS
    assert found.accuracy.low < 0.5 < found.accuracy.high
    assert found.auc.low < 0.5 < found.auc.high
    assert found.timing.p_value > 0.05
    assert found.against_coin.statistic > 0  # needless confidence costs log-loss


def test_skill_is_measured_as_it_is():
    rng = np.random.default_rng(1)
    y = overlapping_labels(rng)
    right = rng.uniform(size=ROWS) < 0.6
    found = quality(np.where((y > 0) == right, 0.6, 0.4), y)
    assert found.accuracy.low < 0.6 < found.accuracy.high
    assert found.timing.p_value < 1e-3
    assert found.against_coin.statistic < 0
    assert found.against_coin.p_value < 1e-3
    assert found.log_loss.value == pytest.approx(-0.6 * np.log(0.6) - 0.4 * np.log(0.4), abs=0.01)
    assert found.minutes == 5.0
    assert found.break_even == pytest.approx(0.5 + 11.0 / (2 * found.move_bps))
    assert found.confident.n == found.n // 10
    assert found.confident_move_bps.value > 0


def test_unknown_rows_and_zero_moves_are_left_out():
    rng = np.random.default_rng(2)
    p, y = rng.uniform(0.4, 0.6, ROWS), overlapping_labels(rng)
    p[:1000], y[1000:2000], y[2000:2500] = np.nan, np.nan, 0.0
    found = quality(p, y)
    assert found.rows == ROWS - 2500
    assert prediction_quality("x", p[:1000], y[:1000], T1[:1000], horizon=5, round_trip_bps=1.0) is None


def test_the_informative_feature_is_found_and_noise_is_not():
    rng = np.random.default_rng(3)
    y = overlapping_labels(rng)
    X = rng.standard_normal((ROWS, 30))
    X[:, 7] = y + 40.0 * rng.standard_normal(ROWS)
    X[:, 11] = 1.0
    X[:600, 7] = np.nan
    names = tuple(f"f{k}" for k in range(30))
    found = feature_quality(X, y, T1, names, horizon=HORIZON)
    assert found.strongest(1) == [7]
    assert found.q_value[7] < 0.001
    assert np.nanmin(np.delete(found.q_value, 7)) > 0.05
    assert found.coverage[7] == pytest.approx(0.95)
    assert np.isnan(found.ic[11].value)
    assert 11 not in found.strongest(29)
    rows = np.arange(600, ROWS, HORIZON)
    assert found.ic[7].value == pytest.approx(spearmanr(X[rows, 7], y[rows]).statistic)
    assert found.ic[7].low < found.ic[7].value < found.ic[7].high
    assert found.ic[7].n == rows.size
