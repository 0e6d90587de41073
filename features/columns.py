"""Sums and maxima over windows for a whole block of rows at once, by doubling; for moments see `column_moments`.

Where `features.windows` walks row by row, these work on columns: 4 neighbouring values make sums of 4, sums of 4 make
sums of 16, and a window of 60 is three sums of 4 and three of 16, set end to end. Every step is one addition of shifted
columns, which the compiler turns into vector instructions. Like there, nothing is ever subtracted from a sum. And each
result is one fixed tree over the values in its window and nothing else: the same bits however the rows are cut into
blocks, and wherever the stretch began.

- `totals`: |error| <= 5 ⌈log4 W⌉ u Σ|x|, u = 2^-53, over the values in the window only.
- `maxima`: exact.

All memory is flat: `m` is scratch, `state` keeps the newest rows of every level from one call to the next, addresses
come from the plan (tables laid out by `features.bars.plan`). A column is a run of rows in `m`; its history lies right
in front of it.
"""

import numpy as np
from numba import njit

from features.compiled import COLUMN, FORMULA

LEVELS, WINDOWS, TABLE = 0, 1, 2
"""A table starts with its number of levels and windows; then come the levels' columns, then the windows."""


@njit(**FORMULA)
def copy(target: np.ndarray, d: int, source: np.ndarray, s: int, n: int) -> None:
    """target[d : d + n] = source[s : s + n]; unsigned indices, for signed ones may be negative and stop the vectors."""
    to, at = np.uint64(d), np.uint64(s)
    for t in range(np.uint64(n)):
        target[to + t] = source[at + t]


@njit(**FORMULA)
def fetch(m: np.ndarray, base: int, depth: int, state: np.ndarray, at: int) -> int:
    """Put the history of the column at `base` in front of it; return where the state goes on."""
    copy(m, base - depth, state, at, depth)
    return at + depth


@njit(**FORMULA)
def keep(m: np.ndarray, base: int, depth: int, state: np.ndarray, at: int, n: int) -> int:
    """Keep the newest `depth` rows of the column at `base`, which has `n` rows; return where the state goes on."""
    copy(state, at, m, base + n - depth, depth)
    return at + depth


@njit(**COLUMN)
def totals(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, n: int) -> None:
    """Sums of the column at `x` over all windows of the table at `p`.

    Table: per level k (blocks of 4^k) its column and depth, those of level 0 being `x` itself; per window where to
    write, the number of addresses in sixes, and these: rows shifted by their place in the window, padded with zeros.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    at = fetch(m, x, plan[q + 1], state, s)
    for k in range(1, levels):
        at = fetch(m, plan[q + 2 * k], plan[q + 2 * k + 1], state, at)
    step = 1
    for k in range(1, levels):
        add_four(m, plan[q + 2 * k], plan[q + 2 * k - 2], step, n)
        step *= 4
    w = q + 2 * levels
    for _ in range(plan[p + WINDOWS]):
        sixes = plan[w + 1]
        set_six(m, plan[w], plan, w + 2, n)
        for j in range(1, sixes):
            add_six(m, plan[w], plan, w + 2 + 6 * j, n)
        w += 2 + 6 * sixes
    at = keep(m, x, plan[q + 1], state, s, n)
    for k in range(1, levels):
        at = keep(m, plan[q + 2 * k], plan[q + 2 * k + 1], state, at, n)


@njit(**FORMULA)
def add_four(m: np.ndarray, target: int, source: int, step: int, n: int) -> None:
    """Sums of four: the source's rows, and those 1, 2 and 3 steps before."""
    d, a = np.uint64(target), np.uint64(source)
    b, c, e = np.uint64(source - step), np.uint64(source - 2 * step), np.uint64(source - 3 * step)
    for t in range(np.uint64(n)):
        m[d + t] = (m[a + t] + m[b + t]) + (m[c + t] + m[e + t])


@njit(**FORMULA)
def set_six(m: np.ndarray, target: int, plan: np.ndarray, p: int, n: int) -> None:
    """Sum of the six columns whose addresses stand at `p`."""
    d, a, b, c = np.uint64(target), np.uint64(plan[p]), np.uint64(plan[p + 1]), np.uint64(plan[p + 2])
    e, f, g = np.uint64(plan[p + 3]), np.uint64(plan[p + 4]), np.uint64(plan[p + 5])
    for t in range(np.uint64(n)):
        m[d + t] = ((m[a + t] + m[b + t]) + m[c + t]) + ((m[e + t] + m[f + t]) + m[g + t])


@njit(**FORMULA)
def add_six(m: np.ndarray, target: int, plan: np.ndarray, p: int, n: int) -> None:
    """Add the six columns whose addresses stand at `p`."""
    d, a, b, c = np.uint64(target), np.uint64(plan[p]), np.uint64(plan[p + 1]), np.uint64(plan[p + 2])
    e, f, g = np.uint64(plan[p + 3]), np.uint64(plan[p + 4]), np.uint64(plan[p + 5])
    for t in range(np.uint64(n)):
        m[d + t] += ((m[a + t] + m[b + t]) + m[c + t]) + ((m[e + t] + m[f + t]) + m[g + t])


@njit(**COLUMN)
def maxima(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, n: int) -> None:
    """Largest values of the column at `x` over all windows of the table at `p`.

    Table: as for `totals`; per window where to write and the addresses of four blocks of one level that together
    cover it (they may overlap).
    """
    levels, q = plan[p + LEVELS], p + TABLE
    at = fetch(m, x, plan[q + 1], state, s)
    for k in range(1, levels):
        at = fetch(m, plan[q + 2 * k], plan[q + 2 * k + 1], state, at)
    step = 1
    for k in range(1, levels):
        source = plan[q + 2 * k - 2]
        largest_of_four(m, plan[q + 2 * k], source, source - step, source - 2 * step, source - 3 * step, n)
        step *= 4
    w = q + 2 * levels
    for _ in range(plan[p + WINDOWS]):
        largest_of_four(m, plan[w], plan[w + 1], plan[w + 2], plan[w + 3], plan[w + 4], n)
        w += 5
    at = keep(m, x, plan[q + 1], state, s, n)
    for k in range(1, levels):
        at = keep(m, plan[q + 2 * k], plan[q + 2 * k + 1], state, at, n)


@njit(**FORMULA)
def largest_of_four(m: np.ndarray, target: int, first: int, second: int, third: int, fourth: int, n: int) -> None:
    """The largest of four columns, row by row."""
    d = np.uint64(target)
    a, b, c, e = np.uint64(first), np.uint64(second), np.uint64(third), np.uint64(fourth)
    for t in range(np.uint64(n)):
        m[d + t] = max(max(m[a + t], m[b + t]), max(m[c + t], m[e + t]))
