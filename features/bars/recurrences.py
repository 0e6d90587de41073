"""Compiled column functions that walk row by row, since each value follows from the one before.

What they remember stands in the state from the instruction's own place on. Rows before an input's own warm-up
(`skip`) hold nothing yet and are left out, for an average would never forget them quite.
"""

import math

import numpy as np
from numba import njit

from features.bars.instruction import CONSTANTS, INPUTS, STATE
from features.bars.ops import Op
from features.bars.pieces import sign as sign_of
from features.compiled import COLUMN, FORMULA

FADED = 1e-200
"""Size below which a fading sum counts as gone: it would creep through subnormal numbers for ever."""


@njit(**FORMULA)
def alive(x: float) -> float:
    """x, 0 once it has faded."""
    return x if abs(x) > FADED else 0.0


@njit(**COLUMN)
def wilder_ratio(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Fading sum of x over that of |x|; 0 while there is none. Constants: span, skip."""
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    stay, skip = 1.0 - 1.0 / m[c], m[c + 1]
    rows, net, gross = state[at], state[at + 1], state[at + 2]
    for t in range(n):
        value = m[x + t] if rows >= skip else 0.0
        net = alive(net * stay + value)
        gross = alive(gross * stay + abs(value))
        target[d + t] = net / gross if gross > 0.0 else 0.0
        rows += 1.0
    state[at], state[at + 1], state[at + 2] = rows, net, gross


@njit(**COLUMN)
def wilder_mean(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Mean of all x so far with weights that fade by 1 - 1/span a row. Constants: span, skip."""
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    stay, skip = 1.0 - 1.0 / m[c], m[c + 1]
    rows, total, weight = state[at], state[at + 1], state[at + 2]
    for t in range(n):
        known = rows >= skip
        total = alive(total * stay + (m[x + t] if known else 0.0))
        weight = weight * stay + (1.0 if known else 0.0)
        target[d + t] = total / weight if known else 0.0
        rows += 1.0
    state[at], state[at + 1], state[at + 2] = rows, total, weight


@njit(**COLUMN)
def macd_line(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Fast less slow exponential average of the log close, from its returns. Constants: fast, slow, skip.

    The distance p - ema p moves by the return and then shrinks: no level of prices ever enters, so that equal prices
    give exactly 0. Both averages start at the first close.
    """
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    fast_stay, slow_stay, skip = 1.0 - 2.0 / (m[c] + 1.0), 1.0 - 2.0 / (m[c + 1] + 1.0), m[c + 2]
    rows, fast, slow = state[at], state[at + 1], state[at + 2]
    for t in range(n):
        value = m[x + t] if rows >= skip else 0.0
        fast = alive(fast_stay * (fast + value))
        slow = alive(slow_stay * (slow + value))
        target[d + t] = slow - fast
        rows += 1.0
    state[at], state[at + 1], state[at + 2] = rows, fast, slow


@njit(**COLUMN)
def average_gap(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """x less its exponential average, which starts at 0. Constant: span."""
    x, at = plan[i + INPUTS], plan[i + STATE]
    weight = 2.0 / (m[plan[i + CONSTANTS]] + 1.0)
    stay, average = 1.0 - weight, state[at]
    for t in range(n):
        average = alive(stay * average + weight * m[x + t])
        target[d + t] = m[x + t] - average
    state[at] = average


@njit(**COLUMN)
def sign_run(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """± (1 - 2^-L), L the number of last x of one sign. Constant: most that L can be."""
    x, at = plan[i + INPUTS], plan[i + STATE]
    least = math.ldexp(1.0, -int(m[plan[i + CONSTANTS]]))
    sign, chance = state[at], state[at + 1]
    for t in range(n):
        now = sign_of(m[x + t])
        chance = max(0.5 * chance, least) if now == sign else 0.5
        sign = now
        target[d + t] = sign * (1.0 - chance)
    state[at], state[at + 1] = sign, chance


@njit(**COLUMN)
def cusum(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Page's sum of side · x over the threshold, afresh after it got there. Constants: side, threshold, skip."""
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    side, threshold, skip = m[c], m[c + 1], m[c + 2]
    rows, total = state[at], state[at + 1]
    for t in range(n):
        value = m[x + t] if rows >= skip else 0.0
        total = max(0.0, (total if total < threshold else 0.0) + side * value)
        target[d + t] = total / threshold
        rows += 1.0
    state[at], state[at + 1] = rows, total


@njit(**COLUMN)
def age_of_highest(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Rows since the highest x of the last `window` rows, the latest of equals. Constant: window.

    State: place of the next value in the ring, the highest and its age, the ring. The ring is searched only when the
    highest leaves the window.
    """
    x, at = plan[i + INPUTS], plan[i + STATE]
    window = int(m[plan[i + CONSTANTS]])
    ring = at + 3
    place, best, age = int(state[at]), state[at + 1], int(state[at + 2])
    for t in range(n):
        value = m[x + t]
        state[ring + place] = value
        if value >= best:
            best, age = value, 0
        else:
            age += 1
            if age >= window:
                best, age = value, 0
                for back in range(1, window):
                    other = state[ring + place - back + (window if back > place else 0)]
                    if other > best:
                        best, age = other, back
        target[d + t] = age
        place = place + 1 if place + 1 < window else 0
    state[at], state[at + 1], state[at + 2] = place, best, age


@njit(**COLUMN)
def season_zscore(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """z-score of x among itself and the x of 1, 2, .. `days` times `day` rows ago. Constants: day, days.

    State: place in the ring, the ring of the last day · days values, a day after the other. Distances are taken from
    the newest value, so that equal ones give exactly 0. Rows go in runs that stay within a day of the ring: what they
    compare with lies at the same distance for all of them, and was written before.
    """
    x, c, at = plan[i + INPUTS], plan[i + CONSTANTS], plan[i + STATE]
    day, days = int(m[c]), int(m[c + 1])
    ring, place = at + 1, int(state[at])
    done = 0
    while done < n:
        number, minute = place // day, place % day
        run = min(n - done, day - minute)
        for t in range(done, done + run):
            value = m[x + t]
            total = 0.0
            squares = 0.0
            there = ring + minute + t - done
            for _ in range(days):
                off = state[there] - value
                total += off
                squares += off * off
                there += day
            scatter = squares - total * total / (days + 1)
            target[d + t] = -total / (days + 1) / math.sqrt(scatter / days) if scatter > 0.0 else 0.0
            state[ring + number * day + minute + t - done] = value
        done += run
        place = (place + run) % (day * days)
    state[at] = place


@njit(**FORMULA)
def recurrence_column(
    op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Run one instruction of this group."""
    if op == Op.WILDER_RATIO:
        wilder_ratio(m, target, d, n, plan, i, state)
    elif op == Op.WILDER_MEAN:
        wilder_mean(m, target, d, n, plan, i, state)
    elif op == Op.MACD_LINE:
        macd_line(m, target, d, n, plan, i, state)
    elif op == Op.AVERAGE_GAP:
        average_gap(m, target, d, n, plan, i, state)
    elif op == Op.SIGN_RUN:
        sign_run(m, target, d, n, plan, i, state)
    elif op == Op.CUSUM:
        cusum(m, target, d, n, plan, i, state)
    elif op == Op.AGE_OF_HIGHEST:
        age_of_highest(m, target, d, n, plan, i, state)
    elif op == Op.SEASON_ZSCORE:
        season_zscore(m, target, d, n, plan, i, state)
