"""Sums and maxima over windows for a whole block of rows at once, by doubling; for moments see `column_moments`.

Where `features.windows` walks row by row, these work on columns: 4 neighbouring values make sums of 4, sums of 4 make
sums of 16, and a window of 60 is three sums of 4 and three of 16, set end to end. Every step is one addition of shifted
columns, which the compiler turns into vector instructions. Like there, nothing is ever subtracted from a sum. And each
result is one fixed tree over the values in its window and nothing else: the same bits however the rows are cut into
blocks, and wherever the stretch began.

- `totals`: |error| <= 5 ⌈log4 W⌉ u Σ|x|, u = 2^-53, over the values in the window only.
- `maxima`: exact.

All memory is flat: `m` is scratch, `state` keeps the newest rows of every level from one call to the next, addresses
come from the plan (tables laid out by `features.column_tables`). A column is a run of rows; its history lies right in
front of it. Behind the history in the state there is room for a few rows more. While they fit, the work is done there,
and nothing is moved: that is what a live row costs. Longer blocks are worked on in scratch, where all windows use the
same few kilobytes again. `place` says how many rows stand in that room; it is the same for all windows of a plan.
"""

import numpy as np
from numba import njit

from features.column_tables import SPARE
from features.compiled import COLUMN, FORMULA

LEVELS, WINDOWS, TABLE = 0, 1, 2
"""A table starts with its number of levels and windows; then come the levels' columns, then the windows."""
IN_SCRATCH, IN_STATE, DEPTH, LEVEL = range(4)
"""Slots of a level: its column in scratch, its column in the state from the instruction's own place on, its history."""


@njit(**FORMULA)
def copy(target: np.ndarray, d: int, source: np.ndarray, s: int, n: int) -> None:
    """target[d : d + n] = source[s : s + n]; unsigned indices, for signed ones may be negative and stop the vectors."""
    to, at = np.uint64(d), np.uint64(s)
    for t in range(np.uint64(n)):
        target[to + t] = source[at + t]


@njit(**FORMULA)
def fetch(m: np.ndarray, base: int, depth: int, state: np.ndarray, at: int) -> None:
    """Put the history that ends at `at` of the state in front of the column at `base`."""
    copy(m, base - depth, state, at - depth, depth)


@njit(**FORMULA)
def keep(m: np.ndarray, base: int, depth: int, state: np.ndarray, at: int, place: int, n: int) -> None:
    """Keep the newest `depth` of the `n` rows of the column at `base` and those before; `at` as for `place` 0."""
    if place + n <= SPARE:
        copy(state, at + place, m, base, n)
    else:
        copy(state, at - depth, m, base + n - depth, depth)


@njit(**FORMULA)
def next_place(place: int, n: int) -> int:
    """Rows that stand in the room behind the histories after `n` more."""
    return place + n if place + n <= SPARE else 0


@njit(**COLUMN)
def totals(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, place: int, n: int) -> None:
    """Sums of the column at `x` over all windows of the table at `p`.

    Table: per level k (blocks of 4^k) where its column lies and its depth, level 0 being `x` itself; per window where
    to write and the number of sixes of blocks, filled up with blocks of zeros, and per six their addresses in scratch,
    then in the state.
    """
    if place + n <= SPARE:
        copy(state, s + place + plan[p + TABLE + IN_STATE], m, x, n)
        add_up(m, state, plan, p, IN_STATE, s + place, n)
    else:
        fetch_levels(m, plan, p, state, s + place)
        add_up(m, m, plan, p, IN_SCRATCH, 0, n)
        keep_levels(m, plan, p, state, s, n)


@njit(**FORMULA)
def fetch_levels(m: np.ndarray, plan: np.ndarray, p: int, state: np.ndarray, s: int) -> None:
    """`fetch` for every level of the table at `p`."""
    for level in range(p + TABLE, p + TABLE + LEVEL * plan[p + LEVELS], LEVEL):
        fetch(m, plan[level + IN_SCRATCH], plan[level + DEPTH], state, s + plan[level + IN_STATE])


@njit(**FORMULA)
def keep_levels(m: np.ndarray, plan: np.ndarray, p: int, state: np.ndarray, s: int, n: int) -> None:
    """Keep the newest rows of every level of the table at `p`, the room behind them empty."""
    for level in range(p + TABLE, p + TABLE + LEVEL * plan[p + LEVELS], LEVEL):
        depth = plan[level + DEPTH]
        copy(state, s + plan[level + IN_STATE] - depth, m, plan[level + IN_SCRATCH] + n - depth, depth)


@njit(**FORMULA)
def add_up(m: np.ndarray, columns: np.ndarray, plan: np.ndarray, p: int, slot: int, offset: int, n: int) -> None:
    """Levels and windows of `totals`, the levels' columns in `columns` at what stands in `slot` plus `offset`."""
    levels, q = plan[p + LEVELS], p + TABLE
    step = 1
    for level in range(q + LEVEL, q + LEVEL * levels, LEVEL):
        add_four(columns, plan[level + slot] + offset, plan[level - LEVEL + slot] + offset, step, n)
        step *= 4
    w = q + LEVEL * levels
    for _ in range(plan[p + WINDOWS]):
        target, sixes = plan[w], plan[w + 1]
        w += 2
        set_six(m, target, columns, plan, w + 6 * slot, offset, n)
        for j in range(1, sixes):
            add_six(m, target, columns, plan, w + 12 * j + 6 * slot, offset, n)
        w += 12 * sixes


@njit(**FORMULA)
def set_six(m: np.ndarray, target: int, columns: np.ndarray, plan: np.ndarray, p: int, offset: int, n: int) -> None:
    """Sum of the six columns whose addresses, less the offset, stand at `p`."""
    d, a, b = np.uint64(target), np.uint64(plan[p] + offset), np.uint64(plan[p + 1] + offset)
    c, e = np.uint64(plan[p + 2] + offset), np.uint64(plan[p + 3] + offset)
    f, g = np.uint64(plan[p + 4] + offset), np.uint64(plan[p + 5] + offset)
    for t in range(np.uint64(n)):
        near = (columns[a + t] + columns[b + t]) + columns[c + t]
        m[d + t] = near + ((columns[e + t] + columns[f + t]) + columns[g + t])


@njit(**FORMULA)
def add_six(m: np.ndarray, target: int, columns: np.ndarray, plan: np.ndarray, p: int, offset: int, n: int) -> None:
    """Add the six columns whose addresses, less the offset, stand at `p`."""
    d, a, b = np.uint64(target), np.uint64(plan[p] + offset), np.uint64(plan[p + 1] + offset)
    c, e = np.uint64(plan[p + 2] + offset), np.uint64(plan[p + 3] + offset)
    f, g = np.uint64(plan[p + 4] + offset), np.uint64(plan[p + 5] + offset)
    for t in range(np.uint64(n)):
        near = (columns[a + t] + columns[b + t]) + columns[c + t]
        m[d + t] += near + ((columns[e + t] + columns[f + t]) + columns[g + t])


@njit(**FORMULA)
def add_four(m: np.ndarray, target: int, source: int, step: int, n: int) -> None:
    """Sums of four: the source's rows, and those 1, 2 and 3 steps before."""
    d, a = np.uint64(target), np.uint64(source)
    b, c, e = np.uint64(source - step), np.uint64(source - 2 * step), np.uint64(source - 3 * step)
    for t in range(np.uint64(n)):
        m[d + t] = (m[a + t] + m[b + t]) + (m[c + t] + m[e + t])


@njit(**COLUMN)
def maxima(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, place: int, n: int) -> None:
    """Largest values of the column at `x` over all windows of the table at `p`.

    Table: as for `totals`; per window where to write and the addresses of four blocks that together cover it (they may
    overlap), in scratch and in the state.
    """
    if place + n <= SPARE:
        copy(state, s + place + plan[p + TABLE + IN_STATE], m, x, n)
        climb(m, state, plan, p, IN_STATE, s + place, n)
    else:
        fetch_levels(m, plan, p, state, s + place)
        climb(m, m, plan, p, IN_SCRATCH, 0, n)
        keep_levels(m, plan, p, state, s, n)


@njit(**FORMULA)
def climb(m: np.ndarray, columns: np.ndarray, plan: np.ndarray, p: int, slot: int, offset: int, n: int) -> None:
    """Levels and windows of `maxima`; arguments as for `add_up`."""
    levels, q = plan[p + LEVELS], p + TABLE
    step = 1
    for level in range(q + LEVEL, q + LEVEL * levels, LEVEL):
        a = plan[level - LEVEL + slot] + offset
        largest_of_four(columns, plan[level + slot] + offset, columns, a, a - step, a - 2 * step, a - 3 * step, n)
        step *= 4
    w = q + LEVEL * levels
    for _ in range(plan[p + WINDOWS]):
        c = w + 1 + 4 * slot
        first, second, third, fourth = plan[c], plan[c + 1], plan[c + 2], plan[c + 3]
        largest_of_four(m, plan[w], columns, first + offset, second + offset, third + offset, fourth + offset, n)
        w += 9


@njit(**FORMULA)
def largest_of_four(
    m: np.ndarray, target: int, columns: np.ndarray, first: int, second: int, third: int, fourth: int, n: int
) -> None:
    """The largest of four columns, row by row."""
    d = np.uint64(target)
    a, b, c, e = np.uint64(first), np.uint64(second), np.uint64(third), np.uint64(fourth)
    for t in range(np.uint64(n)):
        m[d + t] = max(max(columns[a + t], columns[b + t]), max(columns[c + t], columns[e + t]))
