"""Chunks cover every wanted row once, with the context there is, and never reach across a gap."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from supervised.chunks import complete_runs, gather, plan_chunks


@st.composite
def broken_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Features with NaN rows, and segments that need not cover every row."""
    rows = draw(st.integers(1, 120))
    X = np.zeros((rows, 2), dtype=np.float32)
    X[draw(st.lists(st.integers(0, rows - 1), max_size=8)), draw(st.integers(0, 1))] = np.nan
    edges = sorted(draw(st.lists(st.integers(0, rows), min_size=2, max_size=8, unique=True)))
    return X, np.array(list(pairwise(edges)), dtype=np.int64)


@given(case=broken_rows())
def test_runs_are_the_complete_rows_of_each_segment(case: tuple[np.ndarray, np.ndarray]) -> None:
    X, segments = case
    runs = complete_runs(X, segments)
    owner = np.full(len(X), -1)
    for number, (start, stop) in enumerate(segments):
        owner[start:stop] = number
    wanted = (owner >= 0) & np.isfinite(X).all(axis=1)
    found = np.concatenate([np.arange(start, stop) for start, stop in runs]) if len(runs) else np.empty(0, int)
    np.testing.assert_array_equal(found, np.flatnonzero(wanted))
    assert all(len(set(owner[start:stop])) == 1 for start, stop in runs)
    touching = runs[1:, 0] == runs[:-1, 1]  # two runs may touch only where a segment ends
    assert all(owner[start - 1] != owner[start] for start in runs[1:, 0][touching])


@settings(max_examples=200)
@given(
    case=broken_rows(),
    context=st.integers(0, 20),
    length=st.integers(1, 30),
    min_context=st.integers(0, 10),
    window=st.tuples(st.integers(0, 120), st.integers(0, 120)),
)
def test_every_wanted_row_is_one_output_with_its_context(
    case: tuple[np.ndarray, np.ndarray], context: int, length: int, min_context: int, window: tuple[int, int]
) -> None:
    X, segments = case
    runs = complete_runs(X, segments)
    lo, hi = min(window), min(max(window), len(X))
    plan = plan_chunks(runs, lo, hi, context, length, min_context)
    wanted = [t for start, stop in runs for t in range(max(lo, start + min_context), min(hi, stop))]
    rows, outputs = plan.input_rows(), plan.output_mask()
    assert sorted(rows[outputs].tolist()) == wanted
    home = {t: (start, stop) for start, stop in runs for t in range(start, stop)}
    for chunk_rows, chunk_outputs in zip(rows, outputs, strict=True):
        start, stop = home[int(chunk_rows[0])]
        assert start <= chunk_rows.min()
        assert chunk_rows.max() < stop
        for position in np.flatnonzero(chunk_outputs):
            t = int(chunk_rows[position])
            np.testing.assert_array_equal(chunk_rows[: position + 1], np.arange(t - position, t + 1))
            assert position >= min(context, t - start)


def test_gather_reads_the_rows_of_the_chunks() -> None:
    plan = plan_chunks(np.array([[2, 9]]), 0, 10, 1, 3, 0)
    values = np.arange(10.0)[:, None]
    np.testing.assert_array_equal(gather(values, plan)[..., 0], plan.input_rows())
