"""Distributions, their drift from month to month, and groups of features that say the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kurtosis, skew, spearmanr

from evaluation.feature_groups import group_features
from evaluation.feature_shape import BARS, LEVELS, describe, drift, periods_of

MINUTE = 60_000
JANUARY = 1_704_067_200_000


def times(days: int) -> np.ndarray:
    return JANUARY + np.arange(days * 1440, dtype=np.int64) * MINUTE


def test_a_distribution_is_what_numpy_and_scipy_say() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=5000)
    shape = describe(np.concatenate((np.full(500, np.nan), values)))
    assert shape.missing == pytest.approx(500 / 5500)
    assert (shape.mean, shape.deviation) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    assert shape.skew == pytest.approx(skew(values))
    assert shape.excess_kurtosis == pytest.approx(kurtosis(values))
    np.testing.assert_allclose(shape.quantiles, np.quantile(values, LEVELS))
    assert shape.counts.sum() == 5000
    np.testing.assert_allclose([shape.edges[0], shape.edges[-1]], np.quantile(values, [0.005, 0.995]))


def test_columns_without_values_and_constants_have_a_shape_too() -> None:
    empty = describe(np.full(10, np.nan))
    assert (empty.missing, empty.counts.size) == (1.0, 0)
    assert math.isnan(empty.mean)
    constant = describe(np.full(10, 3.0))
    assert (constant.mean, constant.deviation, constant.skew) == (3.0, 0.0, 0.0)
    assert math.isnan(constant.excess_kurtosis)
    assert (constant.counts.size, constant.counts.sum()) == (BARS, 10)


@pytest.mark.parametrize(
    ("days", "unit", "count", "first"),
    [
        (91, "month", 3, "2024-01"),
        (60, "week", 9, "2024-01-01"),
        (10, "day", 10, "2024-01-01"),
        (1, "day", 1, "2024-01-01"),
    ],
)
def test_periods_are_months_or_what_the_history_allows(days: int, unit: str, count: int, first: str) -> None:
    periods = periods_of(times(days))
    assert (periods.unit, len(periods.names), periods.names[0]) == (unit, count, first)
    assert periods.index[0] == 0
    assert periods.index[-1] == count - 1


def drift_by_definition(values: np.ndarray, index: np.ndarray, period: int) -> tuple[float, float, float]:
    edges = np.unique(np.quantile(values[np.isfinite(values)], np.arange(1, 10) / 10))

    def shares(part: np.ndarray) -> np.ndarray:
        cells = np.bincount([int((edges < v).sum()) for v in part], minlength=edges.size + 1)
        return (cells + 0.5) / (cells + 0.5).sum()

    now, past = values[(index == period) & np.isfinite(values)], values[(index < period) & np.isfinite(values)]
    p, q = shares(now), shares(past)
    return float(((p - q) * np.log(p / q)).sum()), (now.mean() - past.mean()) / past.std(), now.std() / past.std()


def test_drift_is_its_definition_and_looks_back_only() -> None:
    rng = np.random.default_rng(1)
    at = times(91)[::60]
    periods = periods_of(at)
    values = 1e6 + rng.normal(size=at.size) + 0.8 * (periods.index == 2)
    values[rng.random(at.size) < 0.1] = np.nan
    found = drift(values, periods)
    assert math.isnan(found.psi[0])
    for period in (1, 2):
        psi, shift, ratio = drift_by_definition(values, periods.index, period)
        assert found.psi[period] == pytest.approx(psi, abs=1e-9)
        assert found.mean_shift[period] == pytest.approx(shift, abs=1e-6)
        assert found.deviation_ratio[period] == pytest.approx(ratio, abs=1e-6)
    assert found.psi[1] < 0.05 < 0.25 < found.psi[2] == found.worst


def test_nothing_to_compare_with_is_unknown() -> None:
    periods = periods_of(times(3))
    assert math.isnan(drift(np.full(3 * 1440, np.nan), periods).worst)
    assert np.isnan(drift(np.ones(3 * 1440), periods).mean_shift).all()
    late = np.where(periods.index == 0, np.nan, 1.0 + np.arange(3 * 1440) % 7)
    assert np.isnan(drift(late, periods).psi[:2]).all()
    assert np.isfinite(drift(late, periods).psi[2])
    sparse = np.where(
        (periods.index == 0) & (np.arange(3 * 1440) > 300), np.nan, late
    )  # a past of 5 hours, unlike a day
    sparse[:300] = 3.0
    assert np.isnan(drift(sparse, periods).psi[:2]).all()


def test_alike_features_form_groups_and_stand_together() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 2000))
    sample = np.stack(
        [a, rng.normal(size=2000), np.exp(a + 0.1 * rng.normal(size=2000)), b, -b + 0.1 * a, np.ones(2000)], axis=1
    )
    groups = group_features(sample)
    assert {frozenset(group) for group in groups.members} == {
        frozenset(group) for group in ((0, 2), (3, 4), (1,), (5,))
    }
    assert sorted(groups.order) == list(range(6))
    assert [k for group in groups.members for k in group] == list(groups.order)
    assert groups.correlation[0, 2] == pytest.approx(spearmanr(sample[:, 0], sample[:, 2]).statistic)
    assert groups.correlation[3, 4] < -0.9
    np.testing.assert_array_equal(groups.correlation[5], [0, 0, 0, 0, 0, 1])
    alone = group_features(sample[:, :1])
    assert (alone.order, alone.members) == ((0,), ((0,),))
