"""Chunks of several symbols: none reaches over a symbol, a gap or a cut, and every usable label is met once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from supervised.chunk_set import ChunkSet, LabelledRows, labelled_chunks
from supervised.chunks import complete_runs
from supervised.outputs import Bracket, OutputLayout

LAYOUT = OutputLayout((1,), (Bracket(10.0, 10.0, 5),))
SYMBOL, ROW = 0, 1  # the features of a row say whose it is and which one


@st.composite
def symbol_rows(draw: st.DrawFn, symbol: int) -> LabelledRows:
    """Rows with gaps, unknown features and labels of random reach."""
    count = draw(st.integers(1, 80))
    X = np.stack([np.full(count, symbol), np.arange(count)], axis=1).astype(np.float32)
    X[draw(st.lists(st.integers(0, count - 1), max_size=5)), 1] = np.nan
    edges = sorted({0, count, *draw(st.lists(st.integers(0, count), max_size=3))})
    runs = complete_runs(X, np.array([*pairwise(edges)], dtype=np.int64).reshape(-1, 2))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    y = random.choice([-1.0, 0.0, 1.0, np.nan], (count, 2)).astype(np.float32)
    t1 = np.arange(count)[:, None] + random.integers(1, 9, (count, 2))
    start, cut = sorted(draw(st.tuples(st.integers(0, 90), st.integers(0, 90))))
    return LabelledRows(X, y, t1, runs, start, cut, symbol)


@st.composite
def symbols(draw: st.DrawFn) -> list[LabelledRows]:
    return [draw(symbol_rows(number)) for number in range(1, draw(st.integers(1, 3)) + 1)]


def usable(part: LabelledRows, min_context: int) -> set[tuple[int, int, int]]:
    """(symbol, row, column) of every label that may be met, row by row."""
    found = set()
    for start, stop in part.runs:
        for row in range(start + min_context, stop):
            for column in range(2):
                ended = part.t1[row, column] < part.cut
                if row >= part.start and ended and np.isfinite(part.y[row, column]):
                    found.add((part.symbol, row, column))
    return found


@settings(max_examples=150, deadline=None)
@given(
    parts=symbols(),
    context=st.integers(0, 12),
    length=st.integers(1, 20),
    min_context=st.integers(0, 6),
    seed=st.integers(0, 9),
)
def test_every_usable_label_is_met_once_behind_rows_of_its_own_stretch(
    parts: list[LabelledRows], context: int, length: int, min_context: int, seed: int
) -> None:
    wanted = set().union(*(usable(part, min_context) for part in parts))
    try:
        chunks = labelled_chunks("training", parts, LAYOUT, context=context, length=length, min_context=min_context)
    except InputError:
        moved = {(s, row) for s, row, column in wanted if column == 0 and parts[s - 1].y[row, 0] != 0}
        assert not moved  # it was refused for want of a direction that can be learned
        return
    batch = chunks.batch(np.random.default_rng(seed).permutation(len(chunks)))
    x, targets = batch.x.numpy(), batch.targets.numpy()
    assert np.isfinite(x).all()
    met: list[tuple[int, int, int]] = []
    for chunk, symbol in enumerate(batch.symbol.tolist()):
        assert (x[chunk, :, SYMBOL] == symbol).all()  # of one symbol
        numbers = x[chunk, :, ROW].astype(int)
        assert set(np.diff(numbers)) <= {0, 1}  # contiguous; the last row may repeat to fill the chunk up
        part = parts[symbol - 1]
        assert any(first <= numbers[0] and numbers[-1] < stop for first, stop in part.runs)  # of one stretch
        for place, column in np.argwhere(np.isfinite(targets[chunk])):
            row = int(numbers[place])
            home = next(first for first, stop in part.runs if first <= row < stop)
            assert place >= min(context, row - home)  # all the context there is
            assert targets[chunk, place, column] == part.y[row, column]
            met.append((symbol, row, int(column)))
    assert len(met) == len(set(met))
    assert set(met) <= wanted
    lacking = wanted - set(met)  # chunks without a single direction are left out
    assert not any(parts[s - 1].y[row, 0] != 0 for s, row, column in lacking if column == 0)
    assert chunks.tally.direction.sum() == sum(
        1 for s, row, column in met if column == 0 and parts[s - 1].y[row, 0] != 0
    )


def test_a_symbol_without_labels_is_no_hindrance() -> None:
    X = np.ones((30, 2), dtype=np.float32)
    t1 = np.arange(30)[:, None] + [1, 1]
    runs = np.array([[0, 30]])
    some = LabelledRows(X, np.ones((30, 2), dtype=np.float32), t1, runs, 0, 31, 1)
    none = LabelledRows(X, np.full((30, 2), np.nan, dtype=np.float32), t1, runs, 0, 31, 2)

    def chunks(*parts: LabelledRows) -> ChunkSet:
        return labelled_chunks("training", parts, LAYOUT, context=2, length=8, min_context=0)

    assert len(chunks(none, some)) == len(chunks(some)) == 4
    assert set(chunks(none, some).batch(np.arange(4)).symbol.tolist()) == {1}
    with pytest.raises(InputError, match="no training row has a known label"):
        chunks(none)
