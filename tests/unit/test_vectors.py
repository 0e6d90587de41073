"""Vectors of compiled code do to each number what the number's own operation does."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from numba.core.errors import TypingError

from features.maths import log
from features.vector_memory import copy_items, following, gather, integers, load, load_rows, store, store_rows
from features.vectors import WIDTH, any_of, bits_of, ceil, count_of, floor, larger, select, smaller

ANY_FLOAT = st.floats(width=64)
PAIRS = arrays(np.float64, (2, WIDTH), elements=ANY_FLOAT)
BINARY: dict[str, Callable] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "number first": lambda x, y: 3.0 - x * 2 + 1 / y,
    "negate, abs, root": lambda x, y: -x + math.sqrt(abs(y)),
    "round": lambda x, y: floor(x) + ceil(y),
    "smaller, larger": lambda x, y: smaller(x, y) * larger(x, y),
    "select": lambda x, y: select(x < y, x, y) + select(x != x, 1, y),
    "compare": lambda x, y: (
        select((x < y) | (x == 0.5), 1.0, 0.0)
        + select((x <= y) & ~(x >= 2.0), 2.0, 0.0)
        + select((x > y) & True, 4.0, 0.0)
        + select((x != y) | False, 8.0, 0.0)
    ),
}


def _one_and_many(rule: Callable) -> tuple[Callable, Callable]:
    """`rule` over rows of numbers, one after another and as vectors."""
    compiled = njit(error_model="numpy")(rule)

    @njit(error_model="numpy")
    def one(given: np.ndarray, out: np.ndarray) -> None:
        for k in range(WIDTH):
            out[k] = compiled(given[0, k], given[1, k])

    @njit(error_model="numpy")
    def many(given: np.ndarray, out: np.ndarray) -> None:
        store(out, 0, 0, compiled(load(given, 0, 0), load(given, 1, 0)))

    return one, many


@pytest.mark.parametrize("name", [name for name in BINARY if name != "compare"])
def test_an_operation_gives_the_bits_that_it_gives_alone(name: str) -> None:
    one, many = _one_and_many(BINARY[name])

    @given(PAIRS)
    @settings(max_examples=60, deadline=None)
    def check(pairs: np.ndarray) -> None:
        alone, together = np.empty(WIDTH), np.empty((1, WIDTH))
        one(pairs, alone)
        many(pairs, together)
        np.testing.assert_array_equal(alone, together[0])
        nan = np.isnan(alone)
        np.testing.assert_array_equal(np.signbit(alone[~nan]), np.signbit(together[0, ~nan]))

    check()


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_comparisons_and_masks_are_numpys(pairs: np.ndarray) -> None:
    x, y = pairs
    out = np.empty((1, WIDTH))
    compare(pairs, out)
    with np.errstate(invalid="ignore"):
        wanted = 1.0 * ((x < y) | (x == 0.5)) + 2.0 * ((x <= y) & ~(x >= 2.0)) + 4.0 * (x > y) + 8.0 * (x != y)
    np.testing.assert_array_equal(out[0], wanted)


compare = _one_and_many(BINARY["compare"])[1]


@given(arrays(np.float64, (1, WIDTH), elements=st.floats(5e-324, 1.7e308)))
@settings(max_examples=100, deadline=None)
def test_the_logarithm_of_a_vector_is_that_of_its_numbers(values: np.ndarray) -> None:
    out = np.empty((1, WIDTH))
    logarithms(values, out)
    assert out[0].tolist() == [log(x) for x in values[0]]


@njit
def logarithms(values: np.ndarray, out: np.ndarray) -> None:
    store(out, 0, 0, log(load(values, 0, 0)))


@given(arrays(np.bool_, WIDTH))
def test_a_mask_is_told_by_bits_count_and_any(places: np.ndarray) -> None:
    bits, count, some = tell_mask(places.astype(np.float64)[None])
    assert bits == sum(1 << k for k in np.flatnonzero(places))
    assert (count, some) == (places.sum(), places.any())


@njit
def tell_mask(values: np.ndarray) -> tuple[int, int, bool]:
    mask = load(values, 0, 0) > 0.5
    return bits_of(mask), count_of(mask), any_of(mask)


def test_select_of_numbers_keeps_whole_numbers_whole() -> None:
    chosen = njit(
        lambda condition: (select(condition, 1, 2), select(condition, 1, 2.5), select(condition, True, False))
    )
    assert chosen(True) == (1, 1.0, True)
    assert chosen(False) == (2, 2.5, False)
    assert [type(value) for value in chosen(False)] == [int, float, bool]


def test_one_truth_of_a_mask_does_not_compile() -> None:
    @njit
    def branches(values: np.ndarray) -> float:
        return 1.0 if load(values, 0, 0) > 0.0 else 2.0

    with pytest.raises(TypingError):
        branches(np.zeros((1, WIDTH)))


def test_integers_travel_as_numbers() -> None:
    given = np.arange(-20, 20, dtype=np.int64).reshape(1, -1) * 10**13
    out = np.zeros_like(given)

    @njit
    def move(given: np.ndarray, out: np.ndarray) -> tuple:
        store(out, 0, 2, load(given, 0, 3) + 1.0)
        return integers(given, 0, 5), following(7)

    found, counted = move(given, out)
    assert out[0, 2 : 2 + WIDTH].tolist() == (given[0, 3 : 3 + WIDTH] + 1).tolist()
    assert not out[0, :2].any()
    assert not out[0, 2 + WIDTH :].any()
    assert (found, counted) == (tuple(given[0, 5 : 5 + WIDTH]), tuple(range(7, 7 + WIDTH)))


def test_rows_are_gathered_into_columns_and_written_back_as_rows() -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((50, 8))
    places = rng.integers(0, 48, (1, WIDTH))

    @njit
    def columns(table: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
        rows = integers(places, 0, 0)
        found = load_rows(table, rows, 1)
        store(out, 0, 0, found[0])
        store(out, 1, 0, found[5])
        store(out, 2, 0, found[7])
        store(out, 3, 0, gather(table, rows, 2, 3))

    out = np.empty((4, WIDTH))
    columns(table, places, out)
    np.testing.assert_array_equal(out[:3], table[places[0] + 1][:, [0, 5, 7]].T)
    np.testing.assert_array_equal(out[3], table[places[0] + 2, 3])


@pytest.mark.parametrize("count", [9, 11, 16])
def test_vectors_become_rows_and_nothing_around_them_is_touched(count: int) -> None:
    values = np.random.default_rng(count).standard_normal((16, WIDTH))
    taken = {
        9: njit(lambda v: (v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8])),
        11: njit(lambda v: (v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10])),
        16: njit(lambda v: v),
    }[count]

    @njit
    def write(values: np.ndarray, out: np.ndarray) -> None:
        first = (load(values, 0, 0), load(values, 1, 0), load(values, 2, 0), load(values, 3, 0))
        second = (load(values, 4, 0), load(values, 5, 0), load(values, 6, 0), load(values, 7, 0))
        third = (load(values, 8, 0), load(values, 9, 0), load(values, 10, 0), load(values, 11, 0))
        fourth = (load(values, 12, 0), load(values, 13, 0), load(values, 14, 0), load(values, 15, 0))
        store_rows(out, 1, 2, taken(first + second + third + fourth))

    out = np.full((WIDTH + 2, count + 3), 7.0, dtype=np.float32)
    write(values, out)
    wanted = np.full_like(out, 7.0)
    wanted[1 : 1 + WIDTH, 2 : 2 + count] = values[:count].T
    np.testing.assert_array_equal(out, wanted)


def test_items_are_copied() -> None:
    source = np.random.default_rng(1).standard_normal((4, 20), dtype=np.float32)
    target = np.zeros((3, 20), dtype=np.float32)

    @njit
    def copy(source: np.ndarray, target: np.ndarray) -> None:
        copy_items(source, 2, target, 1, 3, 16)

    copy(source, target)
    np.testing.assert_array_equal(target[1, 3:19], source[2, 3:19])
    assert np.count_nonzero(target) == 16
