"""Moments and comoments over windows, for a whole block of rows at once, by doubling; see `features.columns`.

Blocks of 1, 2, 4, .. values carry the sum of the distances from their own newest value and the sum of squares about
their mean; two blocks of one size merge into one of twice the size (Chan, Golub & LeVeque 1983), and a window is a few
blocks of different sizes, merged one after the other from the newest on. No large number ever enters a difference: a
level of 1e6 costs no digit, and equal values give exactly 0. Relative error of the squares (of a product, relative to
the root of both squares): at most 16 √W log2(W) u, u = 2^-53.
"""

import numpy as np
from numba import njit

from features.columns import LEVELS, TABLE, WINDOWS, copy, fetch, keep


@njit(error_model="numpy")
def moments(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, n: int) -> None:
    """Over all windows of the table at `p`: newest value of the column at `x` minus the mean, and Σ (x - mean)^2.

    Table: the column of values and its depth; per level k >= 1 (blocks of 2^k) the columns of distances and squares
    and their depth; per window where to write both, its length, the number of blocks, and the level and shift of
    each, newest and smallest first.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    values = plan[q]
    at = fetch(m, values, plan[q + 1], state, s)
    for k in range(1, levels):
        c = q + 3 * k - 1
        at = fetch(m, plan[c], plan[c + 2], state, at)
        at = fetch(m, plan[c + 1], plan[c + 2], state, at)
    copy(m, values, m, x, n)
    if levels > 1:
        pair_distances(m, plan[q + 2], values, n)
        square_halves(m, plan[q + 3], plan[q + 2], plan[q + 2], n)
    half = 2
    for k in range(2, levels):
        c = q + 3 * k - 1
        merge_halves(m, plan[c], plan[c + 1], plan[c - 3], plan[c - 2], values, half, n)
        half *= 2
    w = q + 3 * levels - 1
    for _ in range(plan[p + WINDOWS]):
        distances, squares, length, blocks = plan[w], plan[w + 1], plan[w + 2], plan[w + 3]
        joined = 0
        for j in range(blocks):
            level, shift = plan[w + 4 + 2 * j], plan[w + 5 + 2 * j]
            size = 1 << level
            c = q + 3 * level - 1
            if joined == 0:
                first_block(m, distances, plan[c], level, n)
                first_block(m, squares, plan[c + 1], level, n)
            elif level == 0:
                join_value(m, distances, squares, values, shift, joined, n)
            else:
                join_block(m, distances, squares, plan[c] - shift, plan[c + 1] - shift, values, shift, joined, size, n)
            joined += size
        scale_column(m, distances, -1.0 / length, n)
        w += 4 + 2 * blocks
    at = keep(m, values, plan[q + 1], state, s, n)
    for k in range(1, levels):
        c = q + 3 * k - 1
        at = keep(m, plan[c], plan[c + 2], state, at, n)
        at = keep(m, plan[c + 1], plan[c + 2], state, at, n)


@njit(error_model="numpy", forceinline=True)
def pair_distances(m: np.ndarray, target: int, values: int, n: int) -> None:
    """Σ (x - newest) over blocks of two."""
    d, a, b = np.uint64(target), np.uint64(values), np.uint64(values - 1)
    for t in range(np.uint64(n)):
        m[d + t] = m[b + t] - m[a + t]


@njit(error_model="numpy", forceinline=True)
def square_halves(m: np.ndarray, target: int, x: int, y: int, n: int) -> None:
    """½ x y: sum of (co)squares about the mean of two values that lie x and y apart."""
    d, a, b = np.uint64(target), np.uint64(x), np.uint64(y)
    for t in range(np.uint64(n)):
        m[d + t] = 0.5 * m[a + t] * m[b + t]


@njit(error_model="numpy", forceinline=True)
def merge_halves(
    m: np.ndarray, target: int, target_squares: int, distances: int, squares: int, values: int, half: int, n: int
) -> None:
    """Blocks of 2 `half` values from pairs of blocks of `half`, the older one `half` rows back."""
    d, e = np.uint64(target), np.uint64(target_squares)
    da, db, sa, sb = np.uint64(distances), np.uint64(distances - half), np.uint64(squares), np.uint64(squares - half)
    xa, xb = np.uint64(values), np.uint64(values - half)
    size, weight = float(half), 0.5 / half
    for t in range(np.uint64(n)):
        older = m[db + t] + size * (m[xb + t] - m[xa + t])
        gap = older - m[da + t]
        m[d + t] = m[da + t] + older
        m[e + t] = (m[sa + t] + m[sb + t]) + weight * (gap * gap)


@njit(error_model="numpy", forceinline=True)
def first_block(m: np.ndarray, target: int, source: int, level: int, n: int) -> None:
    """Start a window with its newest block; a block of one value has no distance from itself."""
    if level > 0:
        copy(m, target, m, source, n)
    else:
        to = np.uint64(target)
        for t in range(np.uint64(n)):
            m[to + t] = 0.0


@njit(error_model="numpy", forceinline=True)
def join_value(m: np.ndarray, distances: int, squares: int, values: int, shift: int, joined: int, n: int) -> None:
    """Add one older value, `shift` rows back, to windows of `joined` values."""
    d, e, xa, xb = np.uint64(distances), np.uint64(squares), np.uint64(values), np.uint64(values - shift)
    inverse, weight = 1.0 / joined, joined / (joined + 1.0)
    for t in range(np.uint64(n)):
        older = m[xb + t] - m[xa + t]
        gap = older - m[d + t] * inverse
        m[d + t] += older
        m[e + t] += weight * (gap * gap)


@njit(error_model="numpy", forceinline=True)
def join_block(
    m: np.ndarray,
    distances: int,
    squares: int,
    block_distances: int,
    block_squares: int,
    values: int,
    shift: int,
    joined: int,
    size: int,
    n: int,
) -> None:
    """Add an older block of `size` values, `shift` rows back, to windows of `joined` values."""
    d, e, db, sb = np.uint64(distances), np.uint64(squares), np.uint64(block_distances), np.uint64(block_squares)
    xa, xb = np.uint64(values), np.uint64(values - shift)
    count, inverse, per_value = float(size), 1.0 / joined, 1.0 / size
    weight = joined * count / (joined + count)
    for t in range(np.uint64(n)):
        older = m[db + t] + count * (m[xb + t] - m[xa + t])
        gap = older * per_value - m[d + t] * inverse
        m[d + t] += older
        m[e + t] = (m[e + t] + m[sb + t]) + weight * (gap * gap)


@njit(error_model="numpy", forceinline=True)
def scale_column(m: np.ndarray, target: int, factor: float, n: int) -> None:
    """Multiply a column by a number."""
    d = np.uint64(target)
    for t in range(np.uint64(n)):
        m[d + t] *= factor


@njit(error_model="numpy")
def comoments(m: np.ndarray, plan: np.ndarray, p: int, x: int, y: int, state: np.ndarray, s: int, n: int) -> None:
    """Over all windows of the table at `p`: Σ (x - mean x)^2, Σ (x - mean x) (y - mean y) and Σ (y - mean y)^2.

    Table: the columns of both values and their depth; per level k >= 1 the columns of the distances of x and y, of
    the squares of x, the products and the squares of y, and their depth; per window where to write distances of x and
    y (scratch) and the three sums, the number of blocks, and the level and shift of each, newest and smallest first.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    xs, ys = plan[q], plan[q + 1]
    at = fetch(m, xs, plan[q + 2], state, s)
    at = fetch(m, ys, plan[q + 2], state, at)
    for k in range(1, levels):
        c = q + 6 * k - 3
        for column in range(5):
            at = fetch(m, plan[c + column], plan[c + 5], state, at)
    copy(m, xs, m, x, n)
    copy(m, ys, m, y, n)
    if levels > 1:
        c = q + 3
        pair_distances(m, plan[c], xs, n)
        pair_distances(m, plan[c + 1], ys, n)
        square_halves(m, plan[c + 2], plan[c], plan[c], n)
        square_halves(m, plan[c + 3], plan[c], plan[c + 1], n)
        square_halves(m, plan[c + 4], plan[c + 1], plan[c + 1], n)
    for k in range(2, levels):
        merge_pair_halves(m, plan, q + 6 * k - 3, xs, ys, 1 << (k - 1), n)
    w = q + 6 * levels - 3
    for _ in range(plan[p + WINDOWS]):
        blocks = plan[w + 5]
        joined = 0
        for j in range(blocks):
            level, shift = plan[w + 6 + 2 * j], plan[w + 7 + 2 * j]
            c = q + 6 * level - 3
            if joined == 0:
                for column in range(5):
                    first_block(m, plan[w + column], plan[c + column], level, n)
            elif level == 0:
                join_pair(m, plan, w, xs, ys, shift, joined, n)
            else:
                join_pair_block(m, plan, w, c, xs, ys, shift, joined, 1 << level, n)
            joined += 1 << level
        w += 6 + 2 * blocks
    at = keep(m, xs, plan[q + 2], state, s, n)
    at = keep(m, ys, plan[q + 2], state, at, n)
    for k in range(1, levels):
        c = q + 6 * k - 3
        for column in range(5):
            at = keep(m, plan[c + column], plan[c + 5], state, at, n)


@njit(error_model="numpy", forceinline=True)
def merge_pair_halves(m: np.ndarray, plan: np.ndarray, c: int, xs: int, ys: int, half: int, n: int) -> None:
    """`merge_halves` for pairs: the level whose columns stand at `c` of the plan from the level before."""
    dx, dy, xx, xy, yy = (
        np.uint64(plan[c]),
        np.uint64(plan[c + 1]),
        np.uint64(plan[c + 2]),
        np.uint64(plan[c + 3]),
        np.uint64(plan[c + 4]),
    )
    ax, ay, axx, axy, ayy = (
        np.uint64(plan[c - 6]),
        np.uint64(plan[c - 5]),
        np.uint64(plan[c - 4]),
        np.uint64(plan[c - 3]),
        np.uint64(plan[c - 2]),
    )
    x, y, back = np.uint64(xs), np.uint64(ys), np.uint64(half)
    size, weight = float(half), 0.5 / half
    for t in range(np.uint64(n)):
        older_x = m[ax - back + t] + size * (m[x - back + t] - m[x + t])
        older_y = m[ay - back + t] + size * (m[y - back + t] - m[y + t])
        gap_x = older_x - m[ax + t]
        gap_y = older_y - m[ay + t]
        m[dx + t] = m[ax + t] + older_x
        m[dy + t] = m[ay + t] + older_y
        m[xx + t] = (m[axx + t] + m[axx - back + t]) + weight * (gap_x * gap_x)
        m[xy + t] = (m[axy + t] + m[axy - back + t]) + weight * (gap_x * gap_y)
        m[yy + t] = (m[ayy + t] + m[ayy - back + t]) + weight * (gap_y * gap_y)


@njit(error_model="numpy", forceinline=True)
def join_pair(m: np.ndarray, plan: np.ndarray, w: int, xs: int, ys: int, shift: int, joined: int, n: int) -> None:
    """`join_value` for pairs, into the five columns that stand at `w` of the plan."""
    dx, dy, xx, xy, yy = (
        np.uint64(plan[w]),
        np.uint64(plan[w + 1]),
        np.uint64(plan[w + 2]),
        np.uint64(plan[w + 3]),
        np.uint64(plan[w + 4]),
    )
    x, y, back = np.uint64(xs), np.uint64(ys), np.uint64(shift)
    inverse, weight = 1.0 / joined, joined / (joined + 1.0)
    for t in range(np.uint64(n)):
        older_x = m[x - back + t] - m[x + t]
        older_y = m[y - back + t] - m[y + t]
        gap_x = older_x - m[dx + t] * inverse
        gap_y = older_y - m[dy + t] * inverse
        m[dx + t] += older_x
        m[dy + t] += older_y
        m[xx + t] += weight * (gap_x * gap_x)
        m[xy + t] += weight * (gap_x * gap_y)
        m[yy + t] += weight * (gap_y * gap_y)


@njit(error_model="numpy", forceinline=True)
def join_pair_block(
    m: np.ndarray, plan: np.ndarray, w: int, c: int, xs: int, ys: int, shift: int, joined: int, size: int, n: int
) -> None:
    """`join_block` for pairs: a block of the level whose columns stand at `c`, into the columns that stand at `w`."""
    dx, dy, xx, xy, yy = (
        np.uint64(plan[w]),
        np.uint64(plan[w + 1]),
        np.uint64(plan[w + 2]),
        np.uint64(plan[w + 3]),
        np.uint64(plan[w + 4]),
    )
    bx, by, bxx, bxy, byy = (
        np.uint64(plan[c] - shift),
        np.uint64(plan[c + 1] - shift),
        np.uint64(plan[c + 2] - shift),
        np.uint64(plan[c + 3] - shift),
        np.uint64(plan[c + 4] - shift),
    )
    x, y, back = np.uint64(xs), np.uint64(ys), np.uint64(shift)
    count, inverse, per_value = float(size), 1.0 / joined, 1.0 / size
    weight = joined * count / (joined + count)
    for t in range(np.uint64(n)):
        older_x = m[bx + t] + count * (m[x - back + t] - m[x + t])
        older_y = m[by + t] + count * (m[y - back + t] - m[y + t])
        gap_x = older_x * per_value - m[dx + t] * inverse
        gap_y = older_y * per_value - m[dy + t] * inverse
        m[dx + t] += older_x
        m[dy + t] += older_y
        m[xx + t] = (m[xx + t] + m[bxx + t]) + weight * (gap_x * gap_x)
        m[xy + t] = (m[xy + t] + m[bxy + t]) + weight * (gap_x * gap_y)
        m[yy + t] = (m[yy + t] + m[byy + t]) + weight * (gap_y * gap_y)
