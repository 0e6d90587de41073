"""The one compiled function that turns updates of the best bid and ask into feature rows."""

from collections.abc import Callable

import numpy as np
from numba import njit

from features.kernel import COUNT, FINGERPRINT, LAST_TIME, Kernel, blank_warmup, head_of, source_fingerprint
from features.maths import exp, log
from features.quotes.catalogue import QUOTES
from features.quotes.layout import (
    BLOCKS,
    CONSTANTS,
    DECAY_SIZE,
    DECAYING,
    DEPTH,
    FIRST_COLUMN,
    KEPT,
    LAST_ASK,
    LAST_ASK_QTY,
    LAST_BID,
    LAST_BID_QTY,
    LAST_IMBALANCE,
    LAST_LOG_MID,
    LAST_MID,
    LONG,
    MAX_SILENCE_NS,
    SELECTED,
    SHORT,
    WARMUP,
    WEIGHT,
    Quote,
    make_plan,
)
from features.quotes.price import activity_step, price_step, spread_step
from features.quotes.queue import flow_step, imbalance_step
from features.quotes.touch import ask_flow, bid_flow, mid_price, side_stands
from features.ratios import balance
from features.windows import window_sum

SOURCES = ("kernel.py", "maths.py", "ratios.py", "vectors.py", "windows.py")


@njit(error_model="numpy", forceinline=True)
def take_quote(columns: np.ndarray, t: int, elapsed_ms: float, plan: np.ndarray, state: np.ndarray, seen: int) -> Quote:
    """The quote at `t` with what the state remembers of the one before; a stretch's first has itself before it."""
    bid, bid_qty, ask, ask_qty = columns[0, t], columns[1, t], columns[2, t], columns[3, t]
    if not side_stands(bid, bid_qty):
        bid, bid_qty = state[LAST_BID], 0.0
    if not side_stands(ask, ask_qty):
        ask, ask_qty = state[LAST_ASK], 0.0
    first = seen == 0
    last_bid = bid if first else state[LAST_BID]
    last_bid_qty = bid_qty if first else state[LAST_BID_QTY]
    last_ask = ask if first else state[LAST_ASK]
    last_ask_qty = ask_qty if first else state[LAST_ASK_QTY]
    mid = mid_price(bid, ask, state[LAST_MID])
    log_mid = state[LAST_LOG_MID] if mid == state[LAST_MID] else log(mid)
    depth = 0.5 * (bid_qty + ask_qty)
    long_slot = seen % plan[LONG]
    return Quote(
        bid,
        bid_qty,
        ask,
        ask_qty,
        last_bid,
        last_bid_qty,
        last_ask,
        last_ask_qty,
        mid,
        0.0 if first else log_mid - state[LAST_LOG_MID],
        log_mid,
        balance(bid_qty, ask_qty),
        bid_flow(bid, bid_qty, last_bid, last_bid_qty) - ask_flow(ask, ask_qty, last_ask, last_ask_qty),
        window_sum(state, plan[BLOCKS + DEPTH], plan[LONG], long_slot, depth) / plan[LONG],
        elapsed_ms,
        seen,
        seen % plan[SHORT],
        long_slot,
    )


@njit(error_model="numpy", forceinline=True)
def fade(elapsed_ms: float, plan: np.ndarray, settings: np.ndarray, state: np.ndarray) -> None:
    """What the elapsed time leaves of each decaying sum, and the total weight 1 - e^(-T/τ) of the stretch's time."""
    for i in range(CONSTANTS):
        at = plan[BLOCKS + DECAYING] + i * DECAY_SIZE
        kept = exp(-elapsed_ms / settings[i])
        state[at + KEPT] = kept
        state[at + WEIGHT] += (1.0 - kept) * (1.0 - state[at + WEIGHT])


@njit(error_model="numpy", forceinline=True)
def step(quote: Quote, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray) -> None:
    """Write every feature of the catalogue, in its order, into `row`, and move the state past `quote`."""
    fade(quote.elapsed_ms, plan, settings, state)
    column = spread_step(quote, plan, state, row, 0)
    column = imbalance_step(quote, plan, state, row, column)
    column = flow_step(quote, plan, state, row, column)
    column = price_step(quote, plan, settings, state, row, column)
    activity_step(quote, plan, settings, state, row, column)
    state[LAST_BID] = quote.bid
    state[LAST_BID_QTY] = quote.bid_qty
    state[LAST_ASK] = quote.ask
    state[LAST_ASK_QTY] = quote.ask_qty
    state[LAST_MID] = quote.mid
    state[LAST_LOG_MID] = quote.log_mid
    state[LAST_IMBALANCE] = quote.imbalance


def compile_advance(fingerprint: int) -> Callable[..., int]:
    """Compile `advance` (see `features.kernel`) for one state of the sources."""

    @njit(cache=True, error_model="numpy")
    def advance(
        times: np.ndarray,
        columns: np.ndarray,
        plan: np.ndarray,
        settings: np.ndarray,
        state: np.ndarray,
        scratch: np.ndarray,
        out: np.ndarray,
        first: int,
    ) -> int:
        """Take in quotes `columns` float64 (4, T), in the order of `QUOTE_FIELDS`.

        A longer silence than the parameters allow resets the state. Quotes before the first that has both sides give
        NaN and begin nothing.
        """
        head = head_of(state)
        for t in range(len(times)):
            if columns[1, t] < 0.0 or columns[3, t] < 0.0 or (head[COUNT] > 0 and times[t] < head[LAST_TIME]):
                return t
            if head[COUNT] == 0 or times[t] - head[LAST_TIME] > plan[MAX_SILENCE_NS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
                if not (side_stands(columns[0, t], columns[1, t]) and side_stands(columns[2, t], columns[3, t])):
                    out[:, first + t] = np.nan
                    continue
                head[LAST_TIME] = times[t]
            seen = head[COUNT]
            elapsed_ms = 1e-6 * (times[t] - head[LAST_TIME])
            step(take_quote(columns, t, elapsed_ms, plan, state, seen), plan, settings, state, scratch)
            for i in range(plan[SELECTED]):
                out[i, first + t] = scratch[plan[FIRST_COLUMN + i]]
            blank_warmup(out, first + t, first + t + 1, seen, plan[WARMUP])
            head[COUNT] = seen + 1
            head[LAST_TIME] = times[t]
        return len(times)

    return advance


def explain(time: int, values: dict[str, float], last_time: int | None, _required: set[str]) -> tuple[str, str]:
    """Why `advance` stopped at this quote, and what to do."""
    for name in ("bid_sz", "ask_sz"):
        if values[name] < 0.0:
            return f"{name} is {values[name]}", "give quantities of 0 or more; 0 or NaN is an empty side"
    return f"time {time} ns is earlier than the last quote's ({last_time} ns)", "give quotes in time order"


SOURCE_FINGERPRINT = source_fingerprint(__file__, *SOURCES)
KERNEL = Kernel(QUOTES, SOURCE_FINGERPRINT, make_plan, compile_advance(SOURCE_FINGERPRINT), explain)
