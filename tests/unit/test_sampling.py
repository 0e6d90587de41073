"""Event rows at decision times: the last one received, never one that was still on its way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from features.sampling import known_rows, sample_asof

TIMES = st.lists(st.integers(-50, 50), max_size=30)


def int_array(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(TIMES, TIMES, st.one_of(st.none(), st.integers(0, 60)))
def test_known_rows_are_those_of_a_search_by_hand(decisions: list[int], received: list[int], age: int | None) -> None:
    """Received in the order of the list; a row is known once its stamp and every stamp ahead of it have passed."""
    expected = []
    for now in decisions:
        last = -1
        for i in range(len(received)):
            if max(received[: i + 1]) <= now:
                last = i
        if last >= 0 and age is not None and now - max(received[: last + 1]) > age:
            last = -1
        expected.append(last)
    assert known_rows(int_array(decisions), int_array(received), age).tolist() == expected


def test_rows_are_copied_and_nan_before_the_first_and_when_too_old() -> None:
    rows = np.array([[1.0, -1.0], [2.0, np.nan], [3.0, -3.0]])
    sampled = sample_asof(int_array([9, 10, 19, 20, 31, 36]), int_array([10, 20, 30]), rows, max_age=5)
    expected = [[np.nan] * 2, [1.0, -1.0], [np.nan] * 2, [2.0, np.nan], [3.0, -3.0], [np.nan] * 2]
    np.testing.assert_array_equal(sampled, expected)


def test_of_events_received_together_the_last_counts() -> None:
    assert known_rows(int_array([7]), int_array([7, 7, 7])).tolist() == [2]


def test_a_row_that_arrives_later_is_never_seen() -> None:
    """Delay: moving every arrival by 3 gives what the undelayed events gave 3 earlier, though exchange time agrees."""
    rng = np.random.default_rng(0)
    exchange = np.sort(rng.integers(0, 10_000, 500))
    rows = rng.standard_normal((500, 3))
    decisions = np.arange(0, 10_000, 7)
    late = sample_asof(decisions, exchange + 3, rows)
    assert late.tobytes() == sample_asof(decisions - 3, exchange, rows).tobytes()
    assert late.tobytes() != sample_asof(decisions, exchange, rows).tobytes()


@pytest.mark.parametrize(
    ("decisions", "received", "rows", "age", "message"),
    [
        (np.zeros(2), int_array([1]), np.zeros((1, 1)), None, "decision_time .* float64"),
        (int_array([1]), np.zeros((1, 1), np.int64), np.zeros((1, 1)), None, "event_local_time has shape"),
        (int_array([1]), int_array([1, 2]), np.zeros((1, 1)), None, "for 2 events"),
        (int_array([1]), int_array([1]), np.zeros(1), None, r"shape \(1,\)"),
        (int_array([1]), int_array([1]), np.zeros((1, 1)), -1, "max_age -1 is negative"),
    ],
)
def test_what_does_not_fit_is_refused(decisions, received, rows, age, message) -> None:
    with pytest.raises(InputError, match=message):
        sample_asof(decisions, received, rows, max_age=age)
