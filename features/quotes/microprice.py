"""Stoikov's micro-price, fitted as the quotes come: every table is made of transitions that had already happened.

The state of the market is (spread in ticks, bucket of the imbalance). From one quote to the next it moves to another
state, and the mid moves by 0, ±½ or ±1 tick (longer jumps are left out, as the author does). With Q the transitions
that leave the mid where it is, R1 k the mean move of those that do not, and R2 the states in which these end, the
expected mid after n moves is mid + Σ_{i<n} Bⁱ g, g = (I - Q)⁻¹ R1 k, B = (I - Q)⁻¹ R2; the author takes n = 6. Every
transition is counted twice, the second time mirrored (bid for ask, up for down), so that a fit on a rising market is
not bullish by itself.

Stoikov, "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 2018; where the paper and
the author's notebook (sstoikov/microprice) differ, this follows the notebook. Unlike the notebook's, the buckets are of
equal width: its quantiles would have to be known beforehand.

All state lies in a flat array from `at` on: [tick, last state, last mid | transitions that left the mid | transitions
that moved it | sums of these moves in ticks | table in ticks].
"""

import math

import numpy as np
from numba import njit

MOVES = 6
"""Mid moves ahead; the author finds no change beyond six."""
SHRUNK = 0.75
"""A spread below this fraction of the tick shows that what was taken for the tick is a multiple of it."""
TICK, LAST_STATE, LAST_MID = range(3)
HEAD = 3


def microprice_size(buckets: int, spreads: int) -> int:
    """Floats of state that `microprice_step` needs."""
    states = buckets * spreads
    return HEAD + 2 * states * states + 2 * states


@njit(error_model="numpy", forceinline=True)
def nearest(value: float) -> float:
    """The nearest whole number, as a float: a wild price may not fit an integer."""
    return math.floor(value + 0.5)


@njit(error_model="numpy", forceinline=True)
def market_state(spread_ticks: float, bid_qty: float, ask_qty: float, buckets: int, spreads: int) -> int:
    """Number of the state, spread first; a spread wider than `spreads` ticks counts as the widest."""
    bucket = min(int(buckets * (bid_qty / (bid_qty + ask_qty))), buckets - 1)
    return (int(min(max(spread_ticks, 1.0), float(spreads))) - 1) * buckets + bucket


@njit(error_model="numpy", forceinline=True)
def mirrored(number: int, buckets: int) -> int:
    """The state with bid and ask exchanged."""
    return number - number % buckets + buckets - 1 - number % buckets


@njit(error_model="numpy", forceinline=True)
def count_transition(state: np.ndarray, at: int, buckets: int, states: int, number: int, mid: float) -> None:
    """Count the way from the last quote's state to this one's, and its mirror image."""
    last = int(state[at + LAST_STATE])
    half_ticks = nearest(2.0 * (mid - state[at + LAST_MID]) / state[at + TICK])
    if last >= 0 and abs(half_ticks) <= 2.0:
        back, onward = mirrored(last, buckets), mirrored(number, buckets)
        counts = at + HEAD
        sums = counts + 2 * states * states
        if half_ticks != 0.0:
            counts += states * states
            state[sums + last] += 0.5 * half_ticks
            state[sums + back] -= 0.5 * half_ticks
        state[counts + last * states + number] += 1.0
        state[counts + back * states + onward] += 1.0
    state[at + LAST_STATE] = number
    state[at + LAST_MID] = mid


@njit(error_model="numpy")
def microprice_table(stays: np.ndarray, moves: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Expected mid after `MOVES` moves minus the mid, in the unit of `sums`, float64 (K,).

    Args:
        stays: float64 (K, K), counts of transitions that left the mid where it was.
        moves: float64 (K, K), counts of transitions that moved it.
        sums: float64 (K,), sum of the moves that began in each state.

    (I - Q) x = r is solved by eliminating one state after the other with sums of counts, nothing ever subtracted
    (Grassmann, Taksar & Heyman 1985): exact to rounding however rarely the mid moves. States from which
    no move was ever reached count as 0.
    """
    n = len(sums)
    way = stays.copy()
    leave = np.zeros(n)
    pivot = np.zeros(n)
    for i in range(n):
        for j in range(n):
            leave[i] += moves[i, j]
    for k in range(n - 1, -1, -1):
        pivot[k] = leave[k]
        for j in range(k):
            pivot[k] += way[k, j]
        for i in range(k):
            if not pivot[k] > 0.0:
                leave[i] += way[i, k]  # gone to where nothing moves
                way[i, k] = 0.0
                continue
            share = way[i, k] / pivot[k]
            way[i, k] = share
            leave[i] += share * leave[k]
            for j in range(k):
                if j != i:
                    way[i, j] += share * way[k, j]
    total = np.zeros(n)
    step = sums.copy()
    for _ in range(MOVES):
        for k in range(n - 1, -1, -1):
            for i in range(k):
                step[i] += way[i, k] * step[k]
        for k in range(n):
            for j in range(k):
                step[k] += way[k, j] * step[j]
            step[k] = step[k] / pivot[k] if pivot[k] > 0.0 else 0.0
        total += step
        ahead = np.zeros(n)
        for i in range(n):
            for j in range(n):
                ahead[i] += moves[i, j] * step[j]
        step = ahead
    return total


@njit(error_model="numpy")
def refit(state: np.ndarray, at: int, states: int) -> None:
    """Replace the table by that of all transitions counted so far."""
    stays = at + HEAD
    moves = stays + states * states
    sums = moves + states * states
    state[sums + states : sums + 2 * states] = microprice_table(
        state[stays:moves].reshape((states, states)),
        state[moves:sums].reshape((states, states)),
        state[sums : sums + states],
    )


@njit(error_model="numpy", forceinline=True)
def microprice_step(
    state: np.ndarray,
    at: int,
    buckets: int,
    spreads: int,
    bid: float,
    bid_qty: float,
    ask: float,
    ask_qty: float,
    fit: bool,
) -> float:
    """Take in one quote, fit anew if `fit`; return micro-price minus mid, in units of price.

    0 for a locked, crossed or one-sided quote, which is no state of the market, and before the first fit. The tick is
    the smallest spread seen; when it shrinks, everything starts afresh.
    """
    states = buckets * spreads
    table = at + HEAD + 2 * states * states + states
    spread = ask - bid
    whole = spread > 0.0 and bid_qty > 0.0 and ask_qty > 0.0
    number = 0
    if whole:
        if not state[at + TICK] > 0.0 or spread < SHRUNK * state[at + TICK]:
            state[at : table + states] = 0.0
            state[at + TICK] = spread
            state[at + LAST_STATE] = -1.0
        spread_ticks = nearest(spread / state[at + TICK])
        number = market_state(spread_ticks, bid_qty, ask_qty, buckets, spreads)
        if spread_ticks <= spreads:
            count_transition(state, at, buckets, states, number, 0.5 * (bid + ask))
    if fit:
        refit(state, at, states)
    return state[at + TICK] * state[table + number] if whole else 0.0
