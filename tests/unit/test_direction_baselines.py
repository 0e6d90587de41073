"""Baselines of the direction: right where they can be, and from nothing but what the models of a fold may see."""

from __future__ import annotations

import builtins
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from data_pipeline.errors import InputError
from supervised.baselines import CHEAP, Baseline, baseline_predictions, fit_logistic, past_moves
from supervised.config import TrainConfig, WalkForwardConfig
from supervised.dataset import Dataset
from supervised.splits import plan_folds

ROWS, HORIZON = 4000, 3
CONFIG = WalkForwardConfig(horizons=(HORIZON,), folds=2, embargo_rows=10, train=TrainConfig(threads=1))
ALL = (*CHEAP, Baseline("lightgbm", "lightgbm"), Baseline("blind", "logistic", (1,)))


def planted(seed: int = 0) -> tuple[Dataset, np.ndarray]:
    """Column 0 gives the odds of an up label, column 1 nothing; the past move points the way of 7 labels in 10."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, 2))
    up = rng.uniform(size=ROWS) < expit(1.5 * X[:, 0])
    y = np.where(up, 1.0, -1.0) * rng.uniform(1.0, 5.0, ROWS)
    past = np.where(rng.uniform(size=ROWS) < 0.7, y, -y)[:, None]
    t1 = np.arange(ROWS)[:, None] + HORIZON
    y[-HORIZON:] = np.nan
    X[:20] = np.nan
    times = 60_000 * np.arange(ROWS, dtype=np.int64)
    return Dataset(X, y.astype(np.float32)[:, None], t1, np.array([[0, ROWS]]), times), past


def of(predictions, name: str) -> np.ndarray:
    return predictions.values[:, predictions.columns.index(f"p_up_{name}_h{HORIZON}")]


def test_each_says_what_its_name_promises():
    data, past = planted()
    found = baseline_predictions(data, past, CONFIG, ALL)
    asked = (found.fold >= 0) & np.isfinite(data.y[:, 0])
    up = data.y[asked, 0] > 0

    def accuracy(name: str) -> float:
        return float(((of(found, name)[asked] > 0.5) == up).mean())

    assert accuracy("persistence") == pytest.approx(0.7, abs=0.03)
    assert accuracy("reversal") == pytest.approx(0.3, abs=0.03)
    best = float(expit(1.5 * np.abs(data.X[asked, 0])).mean())
    assert accuracy("logistic") == pytest.approx(best, abs=0.03)
    assert accuracy("lightgbm") == pytest.approx(best, abs=0.05)
    assert abs(accuracy("blind") - 0.5) < 0.05
    majority = of(found, "majority")[asked]
    assert len(np.unique(majority)) <= CONFIG.folds
    assert np.abs(majority - 0.5).max() < 0.05
    assert set(np.sign(of(found, "persistence")[asked] - 0.5)) == {-1.0, 1.0}
    assert of(found, "persistence")[asked].max() == pytest.approx(0.7, abs=0.03)
    assert of(found, "reversal")[asked].max() < 0.51  # it failed in training, and says so


def test_no_label_that_ends_after_the_cut_matters():
    data, past = planted()
    fold = plan_folds(ROWS, CONFIG)[0]
    y = data.y.copy()
    y[data.t1[:, 0] >= fold.cut] *= -1
    found, other = (baseline_predictions(replace(data, y=labels), past, CONFIG, ALL) for labels in (data.y, y))
    rows = slice(fold.start, fold.stop)
    assert np.array_equal(found.values[rows], other.values[rows])
    assert not np.array_equal(found.values[fold.stop :], other.values[fold.stop :])
    y[fold.cut - HORIZON - 1] *= -1  # the last label that the first fold may see
    assert not np.array_equal(
        found.values[rows], baseline_predictions(replace(data, y=y), past, CONFIG, ALL).values[rows]
    )


def test_rows_without_features_get_nothing_and_rows_without_a_past_the_base_rate():
    data, past = planted()
    data.X[3000] = np.nan
    past[3001] = np.nan
    found = baseline_predictions(Dataset(data.X, data.y, data.t1, data.segments, data.open_time_ms), past, CONFIG)
    assert np.isnan(found.values[3000]).all()
    assert of(found, "persistence")[3001] == of(found, "majority")[3001]
    assert np.isnan(found.values[found.fold < 0]).all()


def test_logistic_is_the_minimum():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((500, 4))
    up = rng.uniform(size=500) < expit(X[:, 0] - 0.4)
    weights = fit_logistic(X, up, 0.01, np.zeros(5))

    def value(w):
        z = X @ w[:-1] + w[-1]
        return np.logaddexp(0, np.where(up, -z, z)).mean() + 0.005 * (w[:-1] ** 2).sum()

    assert all(value(weights) < value(weights + step) for step in 1e-3 * rng.standard_normal((50, 5)))


def test_past_moves_carry_the_last_move_but_not_across_a_gap():
    price = np.exp(np.array([1.0, 2, 2, 2, 1, 5, 5, 7]) / 100)
    found = 100 * past_moves(price, (1,), np.array([[0, 5], [5, 8]]))[:, 0]
    assert found == pytest.approx([np.nan, 1, 1, 1, -1, np.nan, np.nan, 2], nan_ok=True)


def test_lightgbm_missing_is_said_plainly(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "lightgbm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    data, past = planted()
    with pytest.raises(InputError, match=r"LightGBM is not installed; pip install .*\[learning\]"):
        baseline_predictions(data, past, CONFIG, [Baseline("lightgbm", "lightgbm")])


def test_nothing_to_learn_from_is_refused():
    data, past = planted()
    with pytest.raises(InputError, match="no label is known"):
        baseline_predictions(replace(data, y=np.full_like(data.y, np.nan)), past, CONFIG)
