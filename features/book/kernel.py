"""The one compiled function that turns updates of a ten-level book into feature rows."""

from collections.abc import Callable

import numpy as np
from numba import njit

from features.book.catalogue import BOOK, LEVELS
from features.book.depth import depth_step, shape_step, touch_step
from features.book.flow import flow_step, queues_step
from features.book.ladder import UNORDERED, take_side
from features.book.layout import (
    ASK_PRICES,
    ASK_SIZES,
    BID_PRICES,
    BID_SIZES,
    BLOCKS,
    BOOK_SIZE,
    FIRST_COLUMN,
    LAST_ASK,
    LAST_BID,
    LAST_BOOK,
    LAST_LOG_MID,
    LAST_MID,
    LONG,
    MAX_SILENCE_NS,
    SELECTED,
    SHORT,
    WARMUP,
    Book,
    make_plan,
)
from features.kernel import COUNT, FINGERPRINT, LAST_TIME, Kernel, blank_warmup, head_of, source_fingerprint
from features.maths import log
from features.quotes.touch import mid_price

SOURCES = ("kernel.py", "maths.py", "ratios.py", "vectors.py", "windows.py", "quotes/touch.py")


@njit(error_model="numpy", forceinline=True)
def take_book(
    scratch: np.ndarray, at: int, bids: int, asks: int, plan: np.ndarray, state: np.ndarray, seen: int
) -> Book:
    """The book whose ladders lie in the scratch, with what the state remembers of the one before."""
    bid = scratch[at + BID_PRICES] if bids > 0 else state[LAST_BID]
    ask = scratch[at + ASK_PRICES] if asks > 0 else state[LAST_ASK]
    mid = mid_price(bid, ask, state[LAST_MID])
    log_mid = state[LAST_LOG_MID] if mid == state[LAST_MID] else log(mid)
    log_return = 0.0 if seen == 0 else log_mid - state[LAST_LOG_MID]
    slots = (seen % plan[SHORT], seen % plan[LONG])
    return Book(at, plan[BLOCKS + LAST_BOOK], bid, ask, bids, asks, mid, log_mid, log_return, seen, slots[0], slots[1])


@njit(error_model="numpy", forceinline=True)
def step(book: Book, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, scratch: np.ndarray) -> None:
    """Write every feature of the catalogue, in its order, to the start of the scratch; move the state past `book`."""
    row = scratch[: book.at]
    column = touch_step(book, plan, state, scratch, row, 0)
    column = depth_step(book, plan, settings, state, scratch, row, column)
    column = shape_step(book, settings, scratch, row, column)
    column = flow_step(book, plan, settings, state, scratch, row, column)
    queues_step(book, plan, state, scratch, row, column)
    state[LAST_BID] = book.bid
    state[LAST_ASK] = book.ask
    state[LAST_MID] = book.mid
    state[LAST_LOG_MID] = book.log_mid
    for i in range(BOOK_SIZE):
        state[book.last + i] = scratch[book.at + i]


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
        """Take in books `columns` float64 (40, T), in the order of `BOOK_FIELDS`.

        A longer silence than the parameters allow resets the state. Books before the first that has both sides give
        NaN and begin nothing.
        """
        head = head_of(state)
        at = len(scratch) - BOOK_SIZE - LEVELS
        for t in range(len(times)):
            bids = take_side(columns, t, 0, -1.0, scratch, at + BID_PRICES, at + BID_SIZES)
            asks = take_side(columns, t, 2 * LEVELS, 1.0, scratch, at + ASK_PRICES, at + ASK_SIZES)
            if bids == UNORDERED or asks == UNORDERED or (head[COUNT] > 0 and times[t] < head[LAST_TIME]):
                return t
            if head[COUNT] == 0 or times[t] - head[LAST_TIME] > plan[MAX_SILENCE_NS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
                if bids == 0 or asks == 0:
                    out[:, first + t] = np.nan
                    continue
            seen = head[COUNT]
            step(take_book(scratch, at, bids, asks, plan, state, seen), plan, settings, state, scratch)
            for i in range(plan[SELECTED]):
                out[i, first + t] = scratch[plan[FIRST_COLUMN + i]]
            blank_warmup(out, first + t, first + t + 1, seen, plan[WARMUP])
            head[COUNT] = seen + 1
            head[LAST_TIME] = times[t]
        return len(times)

    return advance


def explain(time: int, values: dict[str, float], last_time: int | None, _required: set[str]) -> tuple[str, str]:
    """Why `advance` stopped at this book, and what to do."""
    for name, value in values.items():
        if name.endswith("_sz") and value < 0.0:
            return f"{name} is {value}", "give quantities of 0 or more; 0 or NaN is an empty level"
    if last_time is not None and time < last_time:
        return f"time {time} ns is earlier than the last book's ({last_time} ns)", "give books in time order"
    return "the levels are not in order", "give bids from the highest, asks from the lowest price on, each price once"


SOURCE_FINGERPRINT = source_fingerprint(__file__, *SOURCES)
KERNEL = Kernel(BOOK, SOURCE_FINGERPRINT, make_plan, compile_advance(SOURCE_FINGERPRINT), explain)
