"""Sums, moments, comoments and maxima by doubling: within their stated bounds, and pure functions of the window."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from features.column_moments import comoments, moments
from features.column_tables import (
    BLOCK,
    FRONT,
    ZEROS,
    Room,
    comoments_table,
    maxima_table,
    moments_table,
    totals_table,
)
from features.columns import maxima, next_place, totals

UNIT_ROUNDOFF = 2.0**-53
HEAD = 4
TABLES = {"totals": (totals_table, 1), "maxima": (maxima_table, 1), "moments": (moments_table, 2)}
TABLES["comoments"] = (comoments_table, 3)


@njit(error_model="numpy")
def run_block(
    which: int, m: np.ndarray, plan: np.ndarray, x: int, y: int, state: np.ndarray, place: int, n: int
) -> int:
    if which == 0:
        totals(m, plan, 0, x, state, HEAD, place, n)
    elif which == 1:
        maxima(m, plan, 0, x, state, HEAD, place, n)
    elif which == 2:
        moments(m, plan, 0, x, state, HEAD, place, n)
    else:
        comoments(m, plan, 0, x, y, state, HEAD, place, n)
    return next_place(place, n)


def run(kind: str, windows: Sequence[int], x: np.ndarray, y: np.ndarray, cuts: Sequence[int] = ()) -> np.ndarray:
    """Results float64 (windows, parts, T) of the windows at every row, taken in blocks between the cuts."""
    make, parts = TABLES[kind]
    xs, ys = ZEROS + BLOCK + FRONT, ZEROS + 2 * (BLOCK + FRONT)
    first = ys + BLOCK
    targets = [tuple(first + (i * parts + j) * BLOCK for j in range(parts)) for i in range(len(windows))]
    room = Room(first + len(windows) * parts * BLOCK)
    table = make(windows, targets, xs, room)
    m, state, plan = np.full(room.end, np.nan), np.zeros(HEAD + table.state), np.array(table.numbers)
    m[: ZEROS + BLOCK] = 0.0
    out = np.empty((len(windows), parts, len(x)))
    place = 0
    for start, stop in pairwise([0, *cuts, len(x)]):
        for at in range(start, stop, BLOCK):
            n = min(BLOCK, stop - at)
            m[xs : xs + n], m[ys : ys + n] = x[at : at + n], y[at : at + n]
            place = run_block(list(TABLES).index(kind), m, plan, xs, ys, state, place, n)
            for i, row in enumerate(targets):
                for j, address in enumerate(row):
                    out[i, j, at : at + n] = m[address : address + n]
    return out


def series(kind: str, rng: np.random.Generator, rows: int) -> np.ndarray:
    return {
        "heavy": lambda: np.exp(8 * rng.standard_normal(rows)),
        "level": lambda: 1e6 + rng.standard_normal(rows),
        "mixed": lambda: rng.standard_normal(rows) * 10.0 ** rng.integers(-12, 12, rows),
        "constant": lambda: np.full(rows, 0.1),
        "steps": lambda: 0.1 + 1e-7 * rng.integers(0, 2, rows),
    }[kind]()


KINDS = st.sampled_from(["heavy", "level", "mixed", "constant", "steps"])


@given(st.integers(1, 1_023), st.integers(0, 2**32 - 1), KINDS, KINDS)
@settings(max_examples=60, deadline=None)
def test_windows_keep_their_stated_bounds(window: int, seed: int, x_kind: str, y_kind: str) -> None:
    rng = np.random.default_rng(seed)
    rows = window + 40
    check_bounds(series(x_kind, rng, rows), series(y_kind, rng, rows), window, range(window - 1, rows))


def check_bounds(x: np.ndarray, y: np.ndarray, window: int, rows: range, results: dict | None = None) -> None:
    """Compare the windows that end at `rows` with exact sums over their values alone."""
    found = results or {kind: run(kind, [window], x, y)[0] for kind in TABLES}
    u = UNIT_ROUNDOFF
    sum_bound = 5 * math.ceil(math.log(window, 4) + 1e-9) * u
    square_bound = 16 * math.sqrt(window) * max(1.0, math.log2(window)) * u
    for t in rows:
        part, other = x[t - window + 1 : t + 1].tolist(), y[t - window + 1 : t + 1].tolist()
        assert abs(found["totals"][0, t] - math.fsum(part)) <= sum_bound * math.fsum(map(abs, part))
        assert found["maxima"][0, t] == max(part)
        deviation, gaps = centred(part)
        other_gaps = centred(other)[1]
        squares, other_squares = math.fsum(d * d for d in gaps), math.fsum(d * d for d in other_gaps)
        # The reference rounds its mean and its distances: that is the last term.
        slack = window * (2 * u * max(map(abs, gaps))) ** 2
        assert abs(found["moments"][0, t] - deviation) <= square_bound * (max(part) - min(part))
        assert abs(found["moments"][1, t] - squares) <= square_bound * squares + slack
        assert abs(found["comoments"][0, t] - squares) <= square_bound * squares + slack
        assert abs(found["comoments"][2, t] - other_squares) <= square_bound * other_squares + slack
        products = math.fsum(a * b for a, b in zip(gaps, other_gaps, strict=True))
        assert abs(found["comoments"][1, t] - products) <= square_bound * math.sqrt(squares * other_squares) + slack


def centred(values: list[float]) -> tuple[float, list[float]]:
    """The newest value less the mean, and all of them, nearly exact: distances from the newest are taken first."""
    distances = [v - values[-1] for v in values]
    mean = math.fsum(distances) / len(values)
    return -mean, [d - mean for d in distances]


@given(
    st.sampled_from(list(TABLES)),
    st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 1_499), max_size=12, unique=True),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_cuts_change_no_bit(kind: str, windows: list[int], cuts: list[int], creep: bool) -> None:
    rng = np.random.default_rng(len(cuts))
    x, y = rng.standard_normal((2, 1_500))
    if creep:  # a stretch of live rows, longer than the room behind the histories
        cuts = sorted({*cuts, *range(700, 760)})
    whole = run(kind, windows, x, y)
    assert run(kind, windows, x, y, sorted(cuts)).tobytes() == whole.tobytes()
    later = run(kind, windows, x[500:], y[500:])
    for i, window in enumerate(windows):
        assert later[i, :, window - 1 :].tobytes() == whole[i, :, 500 + window - 1 :].tobytes()


@pytest.mark.parametrize("kind", TABLES)
def test_windows_of_one_table_are_those_of_their_own(kind: str) -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 1_200))
    windows = [1, 2, 3, 4, 15, 16, 17, 60, 63, 64, 240, 1_000]
    together = run(kind, windows, x, y)
    for i, window in enumerate(windows):
        assert together[i].tobytes() == run(kind, [window], x, y)[0].tobytes()


def test_five_million_values_do_not_drift() -> None:
    """Exact sums of the window alone, at the end of 5M values that began with numbers 1e12 times larger."""
    rng = np.random.default_rng(1)
    values, others = np.exp(2 * rng.standard_normal(5_000_000)), rng.standard_normal(5_000_000)
    values[:1_000_000] *= 1e12
    tail = slice(len(values) - 2_000, len(values))
    for window in (60, 240):
        found = {kind: run(kind, [window], values, others)[0][:, tail] for kind in TABLES}
        check_bounds(values[tail], others[tail], window, range(1_900, 2_000), found)
