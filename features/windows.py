"""Sums over the last W values that are exact by construction: nothing is ever subtracted, so nothing drifts.

A running sum that adds the newest value and subtracts the oldest keeps every rounding error it ever made. Here time is
cut into blocks of W values instead (van Herk / Gil-Werman). At the end of a block its suffix sums are written once; in
the next block a window is *one suffix of the old block + one prefix of the new block*. Two additions and one store per
value on average, and every result is a plain sum of exactly the W values in the window:

- `window_sum`: |error| <= W u sum|x| with u = 2^-53, over the values in the window only, after any number of values.
- `window_moments`, `window_comoments`: values are taken relative to an anchor that is always one of the values in the
  window (re-chosen at each block's end), so the squared deviations lose at most a factor of W to cancellation:
  relative error of `ss` <= 4 W^2 u for W >= 8. Equal values give exactly 0.

All state lives in a flat float64 array; a block starts at `at`. `slot` is the number of values seen before this one,
modulo W: the caller keeps the count, since many blocks share it. Results are defined once W values were seen.
"""

import numpy as np
from numba import njit


def sum_size(window: int) -> int:
    """Floats of state that `window_sum` needs."""
    return window + 1


def moments_size(window: int) -> int:
    """Floats of state that `window_moments` needs."""
    return 3 * window + 3


def comoments_size(window: int) -> int:
    """Floats of state that `window_comoments` needs."""
    return 7 * window + 7


@njit(error_model="numpy", forceinline=True)
def window_sum(state: np.ndarray, at: int, window: int, slot: int, value: float) -> float:
    """Take in `value`; return the sum of the last `window` values.

    Block: [prefix of this block | window floats: values of this block up to `slot`, suffix sums of the last beyond].
    """
    first = at + 1
    if slot == window - 1:
        total = value
        state[first + slot] = total
        for i in range(first + slot - 1, first - 1, -1):
            total += state[i]
            state[i] = total
        state[at] = 0.0
        return total
    prefix = state[at] + value
    state[at] = prefix
    state[first + slot] = value
    return state[first + slot + 1] + prefix


@njit(error_model="numpy", forceinline=True)
def window_moments(state: np.ndarray, at: int, window: int, slot: int, value: float) -> tuple[float, float]:
    """Take in `value`; return (value - mean, ss) over the last `window` values, ss = Σ (value - mean)^2.

    The deviation is taken between distances from the anchor: a mean of equal large values would round, and the
    deviation of a value that differs by one unit in the last place would be wrong by half.

    Block: [anchor, prefix of d, prefix of d^2 | values | suffix sums of d | suffix sums of d^2], d = value - anchor.
    """
    values = at + 3
    first = values + window
    second = first + window
    state[values + slot] = value
    s1 = 0.0
    s2 = 0.0
    newest = 0.0
    if slot == window - 1:
        state[at] = value
        for i in range(window - 1, -1, -1):
            d = state[values + i] - value
            s1 += d
            s2 += d * d
            state[first + i] = s1
            state[second + i] = s2
        state[at + 1] = 0.0
        state[at + 2] = 0.0
    else:
        newest = value - state[at]
        state[at + 1] += newest
        state[at + 2] += newest * newest
        s1 = state[first + slot + 1] + state[at + 1]
        s2 = state[second + slot + 1] + state[at + 2]
    return newest - s1 / window, max(s2 - s1 * s1 / window, 0.0)


@njit(error_model="numpy", forceinline=True)
def window_comoments(
    state: np.ndarray, at: int, window: int, slot: int, x: float, y: float
) -> tuple[float, float, float, float]:
    """Take in the pair (x, y); return (mean x, sxx, sxy, syy) of the last `window` pairs, sums of centred products.

    Block: [anchors of x and y, five prefixes | x | y | suffix sums of dx, dy, dx^2, dx dy, dy^2].
    """
    xs = at + 7
    ys = xs + window
    suffix = ys + window
    state[xs + slot] = x
    state[ys + slot] = y
    s1 = 0.0
    s2 = 0.0
    s11 = 0.0
    s12 = 0.0
    s22 = 0.0
    if slot == window - 1:
        state[at] = x
        state[at + 1] = y
        for i in range(window - 1, -1, -1):
            dx = state[xs + i] - x
            dy = state[ys + i] - y
            s1 += dx
            s2 += dy
            s11 += dx * dx
            s12 += dx * dy
            s22 += dy * dy
            state[suffix + i] = s1
            state[suffix + window + i] = s2
            state[suffix + 2 * window + i] = s11
            state[suffix + 3 * window + i] = s12
            state[suffix + 4 * window + i] = s22
        for i in range(at + 2, at + 7):
            state[i] = 0.0
    else:
        dx = x - state[at]
        dy = y - state[at + 1]
        state[at + 2] += dx
        state[at + 3] += dy
        state[at + 4] += dx * dx
        state[at + 5] += dx * dy
        state[at + 6] += dy * dy
        i = suffix + slot + 1
        s1 = state[i] + state[at + 2]
        s2 = state[i + window] + state[at + 3]
        s11 = state[i + 2 * window] + state[at + 4]
        s12 = state[i + 3 * window] + state[at + 5]
        s22 = state[i + 4 * window] + state[at + 6]
    sxx = max(s11 - s1 * s1 / window, 0.0)
    syy = max(s22 - s2 * s2 / window, 0.0)
    return state[at] + s1 / window, sxx, s12 - s1 * s2 / window, syy
