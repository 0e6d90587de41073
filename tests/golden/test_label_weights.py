"""Sample weights against the definitions written out label by label, and against figures of another library."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from features.labels import Labels
from features.weights import attribution_weights, average_uniqueness, concurrency, time_decay


def labels_of(spans: dict[int, int], rows: int) -> Labels:
    """Labels of the rows t in `spans`, each using the bars t + 1 .. last."""
    valid = np.isin(np.arange(rows), list(spans))
    until = np.full(rows, rows)
    until[list(spans)] = np.array(list(spans.values()), dtype=np.int64) + 1
    return Labels(np.where(valid, 1.0, np.nan), until.copy(), until, valid)


def test_figures_of_mlfinpy() -> None:
    """mlfinpy 0.1.2 (`sample_weights.attribution`, `sampling.concurrent`) on the same spans and closes."""
    close = np.array([100.0, 101.0, 100.5, 102.0, 101.0, 103.0, 102.5, 104.0, 103.0, 105.0, 104.0, 106.0])
    labels = labels_of({0: 4, 1: 3, 3: 7, 4: 9, 7: 10}, 12)
    rows = labels.valid
    assert concurrency(labels).tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0]
    uniqueness = average_uniqueness(labels)
    np.testing.assert_allclose(uniqueness[rows], [0.625, 0.5, 0.5, 0.5, 0.6666666666666666], rtol=1e-14)
    returns = np.append(np.nan, np.diff(np.log(close)))
    expected = [1.0197066378598918, 0.504830051852112, 0.9949795305908992, 1.990146681070054, 0.49033709862704283]
    np.testing.assert_allclose(attribution_weights(labels, returns)[rows], expected, rtol=1e-12)
    decays = {
        1.0: [1.0, 1.0, 1.0, 1.0, 1.0],
        0.5: [0.6119402985074627, 0.7014925373134329, 0.791044776119403, 0.8805970149253732, 1.0],
        0.0: [0.2238805970149254, 0.4029850746268657, 0.582089552238806, 0.7611940298507464, 1.0],
        -0.4: [0.0, 0.00497512437810943, 0.3034825870646767, 0.6019900497512438, 1.0],
    }
    for oldest, factors in decays.items():
        np.testing.assert_allclose(time_decay(uniqueness, oldest)[rows], factors, rtol=1e-12, atol=1e-15)
    for weights in (uniqueness, attribution_weights(labels, returns), time_decay(uniqueness)):
        assert np.isnan(weights[~rows]).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 90))
@settings(max_examples=60, deadline=None)
def test_weights_equal_the_definitions_in_exact_arithmetic(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(rng.random(rows - 1) < rng.choice([0.1, 0.5, 1.0]))
    spans = {int(t): int(min(t + rng.integers(1, 15), rows - 1)) for t in chosen}
    labels = labels_of(spans, rows)
    bars = {t: range(t + 1, last + 1) for t, last in spans.items()}
    count = [sum(k in used for used in bars.values()) for k in range(rows)]
    assert concurrency(labels).tolist() == count
    uniqueness = average_uniqueness(labels)
    returns = rng.standard_normal(rows) * 10.0 ** rng.integers(-9, 3, rows)  # digits that a plain prefix sum loses
    attribution = {
        t: abs(sum((Fraction(float(returns[k])) / count[k] for k in used), Fraction(0))) for t, used in bars.items()
    }
    total = sum(attribution.values(), Fraction(0))
    weights = attribution_weights(labels, returns)
    for t, used in bars.items():
        exact = sum((Fraction(1, count[k]) for k in used), Fraction(0)) / len(used)
        assert uniqueness[t] == pytest.approx(float(exact), rel=1e-14)
        largest = max(abs(returns[k]) for k in used) * len(bars) / float(total)
        assert weights[t] == pytest.approx(float(attribution[t] * len(bars) / total), rel=1e-13, abs=1e-14 * largest)
    unused = np.setdiff1d(np.arange(rows), list(spans))
    assert np.isnan(uniqueness[unused]).all()
    assert np.isnan(weights[unused]).all()


def test_a_long_history_keeps_the_digits() -> None:
    """A tiny label at the end of a long loud history: a plain prefix sum would leave it eight digits."""
    rng = np.random.default_rng(1)
    returns = 1e3 * rng.standard_normal(400_000)
    returns[-10:] = 1e-5 * rng.random(10)
    spans = {t: t + 3 for t in range(0, 399_000, 3)} | {399_990: 399_992, 399_995: 399_999}
    labels = labels_of(spans, len(returns))
    weights = attribution_weights(labels, returns)
    ratio = returns[399_996:].sum() / returns[399_991:399_993].sum()
    assert weights[399_995] / weights[399_990] == pytest.approx(ratio, rel=1e-12)


def test_labels_that_share_no_bar_are_unique_and_copies_share_alike() -> None:
    apart = labels_of({0: 5, 5: 10, 10: 15}, 16)
    assert average_uniqueness(apart)[apart.valid].tolist() == [1.0, 1.0, 1.0]
    nested = labels_of(dict.fromkeys(range(8), 15), 16)
    assert average_uniqueness(nested)[7] == pytest.approx(1 / 8)
    alone = replace(nested, valid=np.arange(16) == 7)
    assert average_uniqueness(alone)[7] == 1.0


def test_edges() -> None:
    none = labels_of({}, 5)
    assert concurrency(none).tolist() == [0] * 5
    for weights in (average_uniqueness(none), attribution_weights(none, np.zeros(5)), time_decay(np.full(5, np.nan))):
        assert np.isnan(weights).all()
    labels = labels_of({0: 2, 1: 3}, 5)
    assert attribution_weights(labels, np.zeros(5))[:2].tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match="row 3"):
        attribution_weights(labels, np.array([np.nan, 1.0, 1.0, np.nan, np.nan]))
    with pytest.raises(InputError, match="one for each row"):
        attribution_weights(labels, np.zeros(4))
    for oldest in (-1.0, 1.1, np.nan):
        with pytest.raises(InputError, match="oldest"):
            time_decay(np.ones(3), oldest)
