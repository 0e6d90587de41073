"""Moments and comoments over windows, for a whole block of rows at once, by doubling; see `features.columns`.

Blocks of 1, 2, 4, .. values carry the sum of the distances from their own newest value and the sum of squares about
their mean; two blocks of one size merge into one of twice the size (Chan, Golub & LeVeque 1983), and a window is a few
blocks of different sizes, merged one after the other from the newest on. No large number ever enters a difference: a
level of 1e6 costs no digit, and equal values give exactly 0. Relative error of the squares (of a product, relative to
the root of both squares): at most 16 √W log2(W) u, u = 2^-53.

Every loop writes one column: with two, the compiler would have to rule out too many overlaps to use vectors.
"""

import numpy as np
from numba import njit

from features.columns import LEVELS, TABLE, WINDOWS, copy, fetch, keep
from features.compiled import COLUMN, FORMULA


@njit(**COLUMN)
def moments(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, n: int) -> None:
    """Over all windows of the table at `p`: newest value of the column at `x` minus the mean, and Σ (x - mean)^2.

    Table: two columns of scratch; the column of values and its depth; per level (blocks of 2^k) the columns of
    distances and squares and their depth; per window where to write both, its length, the number of blocks, and the
    level and shift of each, newest and smallest first.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    older, gap, values, depth = plan[q], plan[q + 1], plan[q + 2], plan[q + 3]
    level = q + 4
    at = fetch(m, values, depth, state, s)
    for c in range(level + 3, level + 3 * levels, 3):
        at = fetch(m, plan[c], plan[c + 2], state, at)
        at = fetch(m, plan[c + 1], plan[c + 2], state, at)
    copy(m, values, m, x, n)
    half = 1
    for c in range(level + 3, level + 3 * levels, 3):
        own, squares = plan[c - 3], plan[c - 2]
        join_distances(m, plan[c], own, own - half, values, half, half, half, older, gap, n)
        join_squares(m, plan[c + 1], squares, squares - half, gap, gap, 0.5 * half, n)
        half *= 2
    w = level + 3 * levels
    for _ in range(plan[p + WINDOWS]):
        distances, squares, window, blocks = plan[w], plan[w + 1], plan[w + 2], plan[w + 3]
        c = level + 3 * plan[w + 4]
        copy(m, distances, m, plan[c], n)
        copy(m, squares, m, plan[c + 1], n)
        joined = 1 << plan[w + 4]
        for j in range(w + 6, w + 4 + 2 * blocks, 2):
            size, shift = 1 << plan[j], plan[j + 1]
            c = level + 3 * plan[j]
            join_distances(m, distances, distances, plan[c] - shift, values, shift, size, joined, older, gap, n)
            join_squares(m, squares, squares, plan[c + 1] - shift, gap, gap, joined * size / (joined + size), n)
            joined += size
        scale_column(m, distances, -1.0 / window, n)
        w += 4 + 2 * blocks
    at = keep(m, values, depth, state, s, n)
    for c in range(level + 3, level + 3 * levels, 3):
        at = keep(m, plan[c], plan[c + 2], state, at, n)
        at = keep(m, plan[c + 1], plan[c + 2], state, at, n)


@njit(**COLUMN)
def comoments(m: np.ndarray, plan: np.ndarray, p: int, x: int, y: int, state: np.ndarray, s: int, n: int) -> None:
    """Over all windows of the table at `p`: Σ (x - mean x)^2, Σ (x - mean x) (y - mean y) and Σ (y - mean y)^2.

    Table: five columns of scratch (older half, gaps of x and y, distances of x and y in the window); the columns of
    both values and their depth; per level the columns of the distances of x and y, of the squares of x, the products
    and the squares of y, and their depth; per window where to write the three sums, the number of blocks, and the
    level and shift of each, newest and smallest first.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    older, gap_x, gap_y, own_x, own_y = plan[q], plan[q + 1], plan[q + 2], plan[q + 3], plan[q + 4]
    xs, ys, depth = plan[q + 5], plan[q + 6], plan[q + 7]
    level = q + 8
    at = fetch(m, xs, depth, state, s)
    at = fetch(m, ys, depth, state, at)
    for c in range(level + 6, level + 6 * levels, 6):
        for column in range(c, c + 5):
            at = fetch(m, plan[column], plan[c + 5], state, at)
    copy(m, xs, m, x, n)
    copy(m, ys, m, y, n)
    half = 1
    for c in range(level + 6, level + 6 * levels, 6):
        dx, dy, weight = plan[c - 6], plan[c - 5], 0.5 * half
        join_distances(m, plan[c], dx, dx - half, xs, half, half, half, older, gap_x, n)
        join_distances(m, plan[c + 1], dy, dy - half, ys, half, half, half, older, gap_y, n)
        join_squares(m, plan[c + 2], plan[c - 4], plan[c - 4] - half, gap_x, gap_x, weight, n)
        join_squares(m, plan[c + 3], plan[c - 3], plan[c - 3] - half, gap_x, gap_y, weight, n)
        join_squares(m, plan[c + 4], plan[c - 2], plan[c - 2] - half, gap_y, gap_y, weight, n)
        half *= 2
    w = level + 6 * levels
    for _ in range(plan[p + WINDOWS]):
        xx, xy, yy, blocks = plan[w], plan[w + 1], plan[w + 2], plan[w + 3]
        c = level + 6 * plan[w + 4]
        copy(m, own_x, m, plan[c], n)
        copy(m, own_y, m, plan[c + 1], n)
        for j in range(3):
            copy(m, plan[w + j], m, plan[c + 2 + j], n)
        joined = 1 << plan[w + 4]
        for j in range(w + 6, w + 4 + 2 * blocks, 2):
            size, shift = 1 << plan[j], plan[j + 1]
            c = level + 6 * plan[j]
            weight = joined * size / (joined + size)
            join_distances(m, own_x, own_x, plan[c] - shift, xs, shift, size, joined, older, gap_x, n)
            join_distances(m, own_y, own_y, plan[c + 1] - shift, ys, shift, size, joined, older, gap_y, n)
            join_squares(m, xx, xx, plan[c + 2] - shift, gap_x, gap_x, weight, n)
            join_squares(m, xy, xy, plan[c + 3] - shift, gap_x, gap_y, weight, n)
            join_squares(m, yy, yy, plan[c + 4] - shift, gap_y, gap_y, weight, n)
            joined += size
        w += 4 + 2 * blocks
    at = keep(m, xs, depth, state, s, n)
    at = keep(m, ys, depth, state, at, n)
    for c in range(level + 6, level + 6 * levels, 6):
        for column in range(c, c + 5):
            at = keep(m, plan[column], plan[c + 5], state, at, n)


@njit(**FORMULA)
def join_distances(
    m: np.ndarray,
    target: int,
    own: int,
    block: int,
    values: int,
    shift: int,
    size: int,
    joined: int,
    older: int,
    gap: int,
    n: int,
) -> None:
    """Join an older block of `size` values, `shift` rows back, to one of `joined`: distances from the newest value.

    `own` and `block` are the columns of both blocks' own distances (the latter shifted); what the older block adds goes
    to `older`, the difference of the means to `gap`.
    """
    o, b, xa, xb = np.uint64(older), np.uint64(block), np.uint64(values), np.uint64(values - shift)
    count = float(size)
    for t in range(np.uint64(n)):
        m[o + t] = m[b + t] + count * (m[xb + t] - m[xa + t])
    g, w, per_size, per_joined = np.uint64(gap), np.uint64(own), 1.0 / size, 1.0 / joined
    for t in range(np.uint64(n)):
        m[g + t] = m[o + t] * per_size - m[w + t] * per_joined
    d = np.uint64(target)
    for t in range(np.uint64(n)):
        m[d + t] = m[w + t] + m[o + t]


@njit(**FORMULA)
def join_squares(
    m: np.ndarray, target: int, own: int, block: int, gap_x: int, gap_y: int, weight: float, n: int
) -> None:
    """(Co)squares about the mean of two joined blocks: both blocks' own, and `weight` times the gaps of their means."""
    d, a, b, x, y = np.uint64(target), np.uint64(own), np.uint64(block), np.uint64(gap_x), np.uint64(gap_y)
    for t in range(np.uint64(n)):
        m[d + t] = (m[a + t] + m[b + t]) + weight * (m[x + t] * m[y + t])


@njit(**FORMULA)
def scale_column(m: np.ndarray, target: int, factor: float, n: int) -> None:
    """Multiply a column by a number."""
    d = np.uint64(target)
    for t in range(np.uint64(n)):
        m[d + t] *= factor
