"""Compiled column functions that weigh each of the last rows: filters with fixed taps, mean distance, complexity.

They keep the last rows of their input in the state, oldest first, and behind them room for as many rows of the block
in hand: there the rows whose window begins in an earlier block find all of it side by side. That room is left zero.
"""

import numpy as np
from numba import njit

from features.bars.instruction import CONSTANTS, INPUTS, STATE
from features.bars.ops import TILE, Op
from features.columns import copy
from features.compiled import COLUMN, FORMULA
from features.maths import bits_float, float_bits


@njit(**FORMULA)
def four_taps(
    target: np.ndarray, d: int, x: np.ndarray, s: int, n: int, c0: float, c1: float, c2: float, c3: float
) -> None:
    """target[d + t] += c0 x[s + t] + c1 x[s + t - 1] + c2 x[s + t - 2] + c3 x[s + t - 3]."""
    to, a, b, c, e = np.uint64(d), np.uint64(s), np.uint64(s - 1), np.uint64(s - 2), np.uint64(s - 3)
    for t in range(np.uint64(n)):
        target[to + t] += (c0 * x[a + t] + c1 * x[b + t]) + (c2 * x[c + t] + c3 * x[e + t])


@njit(**FORMULA)
def filtered(target: np.ndarray, d: int, x: np.ndarray, s: int, n: int, m: np.ndarray, weights: int, taps: int) -> None:
    """target[d + t] = Σ weights[k] x[s + t - k]; `taps` is a multiple of four."""
    to = np.uint64(d)
    for t in range(np.uint64(n)):
        target[to + t] = 0.0
    for k in range(0, taps, 4):
        w = weights + k
        four_taps(target, d, x, s - k, n, m[w], m[w + 1], m[w + 2], m[w + 3])


@njit(**FORMULA)
def distances(target: np.ndarray, d: int, x: np.ndarray, s: int, n: int, m: np.ndarray, gaps: int, window: int) -> None:
    """target[d + t] = mean |x[s + t - k] - mean x| over k < window; `gaps` is the column of x - mean x."""
    to, a, b = np.uint64(d), np.uint64(s), np.uint64(gaps)
    for t in range(np.uint64(n)):
        target[to + t] = abs(m[b + t])
    for k in range(1, window):
        e = np.uint64(s - k)
        for t in range(np.uint64(n)):
            # Both distances are from the newest value, so that equal ones give exactly 0.
            target[to + t] += abs((x[e + t] - x[a + t]) + m[b + t])
    scale = 1.0 / window
    for t in range(np.uint64(n)):
        target[to + t] *= scale


@njit(**FORMULA)
def clear(x: np.ndarray, at: int, n: int) -> None:
    """x[at : at + n] = 0."""
    to = np.uint64(at)
    for t in range(np.uint64(n)):
        x[to + t] = 0.0


@njit(**FORMULA)
def enter(m: np.ndarray, x: int, n: int, state: np.ndarray, at: int, depth: int) -> int:
    """Put the first rows of the block behind the kept ones; return how many."""
    early = min(n, depth)
    copy(state, at + depth, m, x, early)
    return early


@njit(**FORMULA)
def leave(m: np.ndarray, x: int, n: int, state: np.ndarray, at: int, depth: int) -> None:
    """Keep the newest `depth` rows and leave the room behind them zero."""
    if n >= depth:
        copy(state, at, m, x + n - depth, depth)
    else:
        copy(state, at, state, at + n, depth)
    clear(state, at + depth, depth)


@njit(**FORMULA)
def taps_column(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Σ w_k x[-k]. Constants: number of weights, a multiple of four, and they, newest row's first."""
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    taps = int(m[c])
    depth = taps - 1
    early = enter(m, x, n, state, at, depth)
    filtered(target, d, state, at + depth, early, m, c + 1, taps)
    filtered(target, d + early, m, x + early, n - early, m, c + 1, taps)
    leave(m, x, n, state, at, depth)


@njit(**COLUMN)
def mean_distance(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Mean absolute distance from the mean; inputs x and x - mean x. Constant: window."""
    x, gaps, at = plan[i + INPUTS], plan[i + INPUTS + 1], plan[i + STATE]
    window = int(m[plan[i + CONSTANTS]])
    depth = window - 1
    early = enter(m, x, n, state, at, depth)
    distances(target, d, state, at + depth, early, m, gaps, window)
    distances(target, d + early, m, x + early, n - early, m, gaps + early, window)
    leave(m, x, n, state, at, depth)


@njit(**COLUMN)
def symbol_entropy(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Entropy of the last `window` symbols over that of `symbols` equally likely ones.

    Constants: window, symbols, weight, offset, and the table of c ln c in whole units for c = 0 .. window; the entropy
    is offset - weight · Σ table[counts]. Whole numbers are added and taken away without error, so that nothing drifts.
    State: rows seen (at most window), place in the ring, sum of the table, counts, ring.
    """
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    window, symbols, weight, offset = int(m[c]), int(m[c + 1]), m[c + 2], m[c + 3]
    table, counts = c + 4, at + 3
    ring = counts + symbols
    seen, place, total = state[at], int(state[at + 1]), state[at + 2]
    for t in range(n):
        if seen >= window:
            old = counts + int(state[ring + place])
            count = int(state[old])
            total -= m[table + count] - m[table + count - 1]
            state[old] -= 1.0
        else:
            seen += 1.0
        state[ring + place] = m[x + t]
        new = counts + int(m[x + t])
        count = int(state[new])
        total += m[table + count + 1] - m[table + count]
        state[new] += 1.0
        target[d + t] = offset - weight * total
        place = place + 1 if place + 1 < window else 0
    state[at], state[at + 1], state[at + 2] = seen, place, total


@njit(**FORMULA)
def whole(x: float) -> np.uint64:
    """The whole number whose bits x holds."""
    return np.uint64(float_bits(x))


@njit(**FORMULA)
def held(number: int) -> float:
    """A float64 to hold the bits of a whole number."""
    return bits_float(np.int64(number))


@njit(**FORMULA)
def count_phrases(room: np.ndarray, words: int, n: int, size: int) -> None:
    """Phrases of the exhaustive history (Lempel & Ziv 1976) of the lowest `size` bits, oldest lowest, of n words.

    Four columns of whole numbers (`held`) from `words` on: the words; matches, whose bit j says that the phrase so far
    also begins at place j before it; the phrase's length; the phrases counted. All but the words come as zeros. One
    more sign of the phrase strikes out the places where another follows; when none is left, the phrase is new and the
    next one begins.
    """
    one, none = np.uint64(1), np.uint64(0)
    w, a, b, c = np.uint64(words), np.uint64(words + TILE), np.uint64(words + 2 * TILE), np.uint64(words + 3 * TILE)
    for place in range(size):
        p = np.uint64(place)
        earlier = (np.uint64(2) << p) - one
        for t in range(np.uint64(n)):
            word, length = whole(room[w + t]), whole(room[b + t])
            left = whole(room[a + t]) & ((word ^ (((word >> p) & one) - one)) >> length)
            ends = left == none
            room[a + t] = held(earlier if ends else left)
            room[b + t] = held(none if ends else length + one)
            room[c + t] = held(whole(room[c + t]) + (one if ends else none))
    for t in range(np.uint64(n)):
        room[c + t] = held(whole(room[c + t]) + (one if whole(room[b + t]) > none else none))


@njit(**COLUMN)
def lempel_ziv(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Phrases of the last `size` signs (x > 0 or not) times a scale. Constants: size, scale.

    State: the signs' bits in two halves, then room for `count_phrases`, which is left zero.
    """
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    size, scale = int(m[c]), m[c + 1]
    one, newest, half = np.uint64(1), np.uint64(size - 1), np.uint64(32)
    words = at + 2
    word = (np.uint64(state[at + 1]) << half) | np.uint64(state[at])
    for start in range(0, n, TILE):
        rows = min(TILE, n - start)
        for t in range(rows):
            word = (word >> one) | ((one if m[x + start + t] > 0.0 else np.uint64(0)) << newest)
            state[words + t] = held(word)
        count_phrases(state, words, rows, size)
        for t in range(rows):
            target[d + start + t] = scale * float(whole(state[words + 3 * TILE + t]))
        for part in range(4):
            clear(state, words + part * TILE, rows)
    state[at], state[at + 1] = float(word & np.uint64(0xFFFFFFFF)), float(word >> half)


@njit(**FORMULA)
def filter_column(
    op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Run one instruction of this group."""
    if op == Op.TAPS:
        taps_column(m, target, d, n, plan, i, state)
    elif op == Op.MEAN_DISTANCE:
        mean_distance(m, target, d, n, plan, i, state)
    elif op == Op.SYMBOL_ENTROPY:
        symbol_entropy(m, target, d, n, plan, i, state)
    elif op == Op.LEMPEL_ZIV:
        lempel_ziv(m, target, d, n, plan, i, state)
