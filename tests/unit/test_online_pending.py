"""Nothing is learned from a label before its time: the queue, and leaks planted in front of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from supervised.online.pending import KnownLabel, PendingRows
from supervised.outputs import Bracket, OutputLayout
from supervised.predictions import LeakError

LAYOUT = OutputLayout((1, 3))


def queue(rows: int = 0, context: int = 4, least: int = 0, layout: OutputLayout = LAYOUT) -> PendingRows:
    pending = PendingRows(2, layout, context, least)
    for row in range(rows):
        pending.push(np.full(2, row, dtype=np.float32), follows=row > 0)
    return pending


def rows_of(chunk: torch.Tensor) -> list[int]:
    return chunk[:, 0].int().tolist()


def test_a_label_of_the_future_is_refused() -> None:
    pending = queue(10)
    pending.settle(KnownLabel(row=7, column=0, value=1.0, end=9))
    with pytest.raises(LeakError, match="the label ends at row 10, the newest is 9"):
        pending.settle(KnownLabel(row=8, column=0, value=1.0, end=10))
    with pytest.raises(LeakError, match="row 8 column 0: the label cannot end at row 9 already"):
        pending.settle(KnownLabel(row=8, column=0, value=1.0, end=9))  # a caller that lies about the end
    with pytest.raises(LeakError, match="cannot end at row 9 already"):
        pending.settle(KnownLabel(row=6, column=1, value=1.0, end=9))


def test_a_bracket_may_end_in_the_entry_bar_and_not_sooner() -> None:
    pending = queue(10, layout=OutputLayout((1,), (Bracket(10.0, 10.0, ttl_bars=5),)))
    pending.settle(KnownLabel(row=8, column=1, value=-1.0, end=9))
    with pytest.raises(LeakError, match="cannot end at row 9"):
        pending.settle(KnownLabel(row=9, column=1, value=-1.0, end=9))


def test_a_row_comes_once_with_context_when_all_its_labels_have_had_their_time() -> None:
    pending = queue(10)
    for row in range(6):
        pending.settle(KnownLabel(row, 1, 10.0 + row, row + 4))
    ((x, y),) = pending.take()
    assert rows_of(x) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(y[:, 1], [10, 11, 12, 13, 14, 15])
    assert torch.isnan(y[:, 0]).all()
    assert pending.take() == []
    for row in range(10, 12):
        pending.push(np.full(2, row, dtype=np.float32), follows=True)
        pending.settle(KnownLabel(row - 4, 1, 10.0 + row - 4, row))
    ((x, y),) = pending.take()
    assert rows_of(x) == [2, 3, 4, 5, 6, 7]  # four rows of context that teach nothing again
    np.testing.assert_array_equal(torch.isfinite(y[:, 1]), [False] * 4 + [True] * 2)


def test_gaps_and_incomplete_rows_part_the_chunks() -> None:
    pending = PendingRows(2, LAYOUT, 4)
    for row in range(20):
        x = np.full(2, np.nan if row == 5 else row, dtype=np.float32)
        pending.push(x, follows=row != 10)
    for row in range(16):
        pending.settle(KnownLabel(row, 1, 1.0, row + 4))
    assert [rows_of(x) for x, _ in pending.take()] == [[0, 1, 2, 3, 4], [6, 7, 8, 9], [10, 11, 12, 13, 14, 15]]


def test_rows_with_too_little_context_are_not_learned_from() -> None:
    pending = queue(10, least=3)
    for row in range(6):
        pending.settle(KnownLabel(row, 0, 1.0, row + 2))
    ((_, y),) = pending.take()
    np.testing.assert_array_equal(torch.isfinite(y[:, 0]), [False] * 3 + [True] * 3)


def test_a_label_that_comes_after_its_row_was_taken_changes_nothing() -> None:
    pending = queue(10)
    pending.take()
    pending.settle(KnownLabel(0, 0, 5.0, 2))
    pending.push(np.zeros(2, dtype=np.float32), follows=True)
    assert pending.take() == []


@given(steps=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80), cut=st.integers(0, 80))
def test_a_restored_queue_gives_the_same_chunks(steps: list[tuple[bool, bool]], cut: int) -> None:
    """At every row: maybe a gap, maybe a taking."""
    straight, other = queue(), queue()
    for row, (gap, takes) in enumerate(steps):
        if row == cut:
            restored = queue()
            restored.restore(other.state())
            other = restored
        chunks = []
        for pending in (straight, other):
            pending.push(np.full(2, row, dtype=np.float32), follows=not gap)
            if row >= 4:
                pending.settle(KnownLabel(row - 4, 1, float(row), row))
            chunks.append(pending.take() if takes else [])
        for (x, y), (other_x, other_y) in zip(*chunks, strict=True):
            np.testing.assert_array_equal(x, other_x)
            np.testing.assert_array_equal(y, other_y)
