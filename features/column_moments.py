"""Moments and comoments over windows, for a whole block of rows at once, by doubling; see `features.columns`.

Blocks of 1, 2, 4, .. values carry the sum of the distances from their own newest value and the sum of squares about
their mean; two blocks of one size merge into one of twice the size (Chan, Golub & LeVeque 1983), and a window is a few
blocks of different sizes, joined one after the other from the newest on. No large number ever enters a difference: a
level of 1e6 costs no digit, and equal values give exactly 0. Relative error of the squares (of a product, relative to
the root of both squares): at most 16 √W log2(W) u, u = 2^-53.

The columns of a block stand in lanes, `LANE` apart: its distances at the address the table gives, its squares one lane
on (for pairs: distances of x and y, squares of x, products, squares of y).
"""

import numpy as np
from numba import njit

from features.column_tables import LANE, SPARE
from features.columns import LEVELS, TABLE, WINDOWS, copy, fetch, keep
from features.compiled import COLUMN, FORMULA

LANES, TWO, THREE, FOUR = (np.uint64(lane * LANE) for lane in range(1, 5))


@njit(**COLUMN)
def moments(m: np.ndarray, plan: np.ndarray, p: int, x: int, state: np.ndarray, s: int, place: int, n: int) -> None:
    """Over all windows of the table at `p`: newest value of the column at `x` minus the mean, and Σ (x - mean)^2.

    Table: lanes of the window in hand; lane of the values and its depth; per level k >= 1 (blocks of 2^k) its lanes
    and their depth; per window where to write both, its length, the number of blocks, and the level and shift of each,
    newest and smallest first.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    own, values, depth, top = plan[q], plan[q + 1], plan[q + 2], q + 3
    at = fetch_lane(m, values, depth, state, s, place)
    w = top + 2 * (levels - 1)
    for c in range(top, w, 2):
        at = fetch_lane(m, plan[c], plan[c + 1], state, at, place)
        at = fetch_lane(m, plan[c] + LANE, plan[c + 1], state, at, place)
    copy(m, values, m, x, n)
    if levels > 1:
        pair(m, plan[top], values, n)
    half = 2
    for c in range(top + 2, w, 2):
        merge(m, plan[c], plan[c - 2], values, half, n)
        half *= 2
    for _ in range(plan[p + WINDOWS]):
        window, blocks = plan[w + 2], plan[w + 3]
        for lane in range(2):
            start_window(m, own + lane * LANE, plan, top, plan[w + 4], lane, n)
        joined = 1 << plan[w + 4]
        for j in range(w + 6, w + 4 + 2 * blocks, 2):
            level, shift = plan[j], plan[j + 1]
            join(m, own, plan[top + 2 * level - 2] - shift, values, shift, 1 << level, joined, n)
            joined += 1 << level
        scaled_copy(m, plan[w], own, -1.0 / window, n)
        copy(m, plan[w + 1], m, own + LANE, n)
        w += 4 + 2 * blocks
    at = keep_lane(m, values, depth, state, s, place, n)
    for c in range(top, top + 2 * (levels - 1), 2):
        at = keep_lane(m, plan[c], plan[c + 1], state, at, place, n)
        at = keep_lane(m, plan[c] + LANE, plan[c + 1], state, at, place, n)


@njit(**COLUMN)
def comoments(
    m: np.ndarray, plan: np.ndarray, p: int, x: int, y: int, state: np.ndarray, s: int, place: int, n: int
) -> None:
    """Over all windows of the table at `p`: Σ (x - mean x)^2, Σ (x - mean x) (y - mean y) and Σ (y - mean y)^2.

    Table: as for `moments`, with two lanes of values; per window where to write the three sums.
    """
    levels, q = plan[p + LEVELS], p + TABLE
    own, values, depth, top = plan[q], plan[q + 1], plan[q + 2], q + 3
    at = fetch_lane(m, values, depth, state, s, place)
    at = fetch_lane(m, values + LANE, depth, state, at, place)
    w = top + 2 * (levels - 1)
    for c in range(top, w, 2):
        for lane in range(5):
            at = fetch_lane(m, plan[c] + lane * LANE, plan[c + 1], state, at, place)
    copy(m, values, m, x, n)
    copy(m, values + LANE, m, y, n)
    if levels > 1:
        pair_both(m, plan[top], values, n)
    half = 2
    for c in range(top + 2, w, 2):
        merge_both(m, plan[c], plan[c - 2], values, half, n)
        half *= 2
    for _ in range(plan[p + WINDOWS]):
        blocks = plan[w + 4]
        for lane in range(5):
            start_window(m, own + lane * LANE, plan, top, plan[w + 5], lane, n)
        joined = 1 << plan[w + 5]
        for j in range(w + 7, w + 5 + 2 * blocks, 2):
            level, shift = plan[j], plan[j + 1]
            join_both(m, own, plan[top + 2 * level - 2] - shift, values, shift, 1 << level, joined, n)
            joined += 1 << level
        for lane in range(3):
            copy(m, plan[w + lane], m, own + (2 + lane) * LANE, n)
        w += 5 + 2 * blocks
    at = keep_lane(m, values, depth, state, s, place, n)
    at = keep_lane(m, values + LANE, depth, state, at, place, n)
    for c in range(top, top + 2 * (levels - 1), 2):
        for lane in range(5):
            at = keep_lane(m, plan[c] + lane * LANE, plan[c + 1], state, at, place, n)


@njit(**FORMULA)
def fetch_lane(m: np.ndarray, base: int, depth: int, state: np.ndarray, at: int, place: int) -> int:
    """Put the history of the lane at `base` in front of it; return where the state of the next lane begins."""
    fetch(m, base, depth, state, at + depth + place)
    return at + depth + SPARE


@njit(**FORMULA)
def keep_lane(m: np.ndarray, base: int, depth: int, state: np.ndarray, at: int, place: int, n: int) -> int:
    """Keep the newest rows of the lane at `base`; return where the state of the next lane begins."""
    keep(m, base, depth, state, at + depth, place, n)
    return at + depth + SPARE


@njit(**FORMULA)
def pair(m: np.ndarray, target: int, values: int, n: int) -> None:
    """Blocks of two values."""
    d, a, b = np.uint64(target), np.uint64(values), np.uint64(values - 1)
    for t in range(np.uint64(n)):
        gap = m[b + t] - m[a + t]
        m[d + t] = gap
        m[d + LANES + t] = 0.5 * (gap * gap)


@njit(**FORMULA)
def merge(m: np.ndarray, target: int, source: int, values: int, half: int, n: int) -> None:
    """Blocks of twice `half` values from those of `half`, the older one as many rows back."""
    d, w, b, xa, xb = (
        np.uint64(target),
        np.uint64(source),
        np.uint64(source - half),
        np.uint64(values),
        np.uint64(values - half),
    )
    size, weight = float(half), 0.5 / half
    for t in range(np.uint64(n)):
        older = m[b + t] + size * (m[xb + t] - m[xa + t])
        gap = older - m[w + t]
        squares = m[w + LANES + t] + m[b + LANES + t]
        m[d + t] = m[w + t] + older
        m[d + LANES + t] = squares + weight * (gap * gap)


@njit(**FORMULA)
def start_window(m: np.ndarray, own: int, plan: np.ndarray, top: int, level: int, lane: int, n: int) -> None:
    """Begin a window with one lane of its newest block; a single value is at no distance from itself."""
    if level > 0:
        copy(m, own, m, plan[top + 2 * level - 2] + lane * LANE, n)
    else:
        to = np.uint64(own)
        for t in range(np.uint64(n)):
            m[to + t] = 0.0


@njit(**FORMULA)
def join(m: np.ndarray, own: int, block: int, values: int, shift: int, size: int, joined: int, n: int) -> None:
    """Add a block of `size` older values, `shift` rows back, to windows of `joined` values."""
    d, b, xa, xb = np.uint64(own), np.uint64(block), np.uint64(values), np.uint64(values - shift)
    count, per_size, per_joined = float(size), 1.0 / size, 1.0 / joined
    weight = joined * count / (joined + count)
    for t in range(np.uint64(n)):
        older = m[b + t] + count * (m[xb + t] - m[xa + t])
        gap = older * per_size - m[d + t] * per_joined
        squares = m[d + LANES + t] + m[b + LANES + t]
        m[d + t] += older
        m[d + LANES + t] = squares + weight * (gap * gap)


@njit(**FORMULA)
def pair_both(m: np.ndarray, target: int, values: int, n: int) -> None:
    """`pair` for two columns of values."""
    d, a, b = np.uint64(target), np.uint64(values), np.uint64(values - 1)
    for t in range(np.uint64(n)):
        gap_x, gap_y = m[b + t] - m[a + t], m[b + LANES + t] - m[a + LANES + t]
        m[d + t] = gap_x
        m[d + LANES + t] = gap_y
        m[d + TWO + t] = 0.5 * (gap_x * gap_x)
        m[d + THREE + t] = 0.5 * (gap_x * gap_y)
        m[d + FOUR + t] = 0.5 * (gap_y * gap_y)


@njit(**FORMULA)
def merge_both(m: np.ndarray, target: int, source: int, values: int, half: int, n: int) -> None:
    """`merge` for two columns of values."""
    d, w, b, xa, xb = (
        np.uint64(target),
        np.uint64(source),
        np.uint64(source - half),
        np.uint64(values),
        np.uint64(values - half),
    )
    size, weight = float(half), 0.5 / half
    for t in range(np.uint64(n)):
        older_x = m[b + t] + size * (m[xb + t] - m[xa + t])
        older_y = m[b + LANES + t] + size * (m[xb + LANES + t] - m[xa + LANES + t])
        gap_x, gap_y = older_x - m[w + t], older_y - m[w + LANES + t]
        xx = (m[w + TWO + t] + m[b + TWO + t]) + weight * (gap_x * gap_x)
        xy = (m[w + THREE + t] + m[b + THREE + t]) + weight * (gap_x * gap_y)
        yy = (m[w + FOUR + t] + m[b + FOUR + t]) + weight * (gap_y * gap_y)
        m[d + t] = m[w + t] + older_x
        m[d + LANES + t] = m[w + LANES + t] + older_y
        m[d + TWO + t] = xx
        m[d + THREE + t] = xy
        m[d + FOUR + t] = yy


@njit(**FORMULA)
def join_both(m: np.ndarray, own: int, block: int, values: int, shift: int, size: int, joined: int, n: int) -> None:
    """`join` for two columns of values."""
    d, b, xa, xb = np.uint64(own), np.uint64(block), np.uint64(values), np.uint64(values - shift)
    count, per_size, per_joined = float(size), 1.0 / size, 1.0 / joined
    weight = joined * count / (joined + count)
    for t in range(np.uint64(n)):
        older_x = m[b + t] + count * (m[xb + t] - m[xa + t])
        older_y = m[b + LANES + t] + count * (m[xb + LANES + t] - m[xa + LANES + t])
        gap_x = older_x * per_size - m[d + t] * per_joined
        gap_y = older_y * per_size - m[d + LANES + t] * per_joined
        m[d + t] += older_x
        m[d + LANES + t] += older_y
        m[d + TWO + t] = (m[d + TWO + t] + m[b + TWO + t]) + weight * (gap_x * gap_x)
        m[d + THREE + t] = (m[d + THREE + t] + m[b + THREE + t]) + weight * (gap_x * gap_y)
        m[d + FOUR + t] = (m[d + FOUR + t] + m[b + FOUR + t]) + weight * (gap_y * gap_y)


@njit(**FORMULA)
def scaled_copy(m: np.ndarray, target: int, source: int, factor: float, n: int) -> None:
    """target = factor · source."""
    d, a = np.uint64(target), np.uint64(source)
    for t in range(np.uint64(n)):
        m[d + t] = factor * m[a + t]
