"""What an event does to what rests: entry, take-profit, stop, rest of an exit. Compiled parts of `envs.book.kernel`."""

import numpy as np

from envs import lanes
from envs.book import lanes as own
from envs.book.columns import BOOK, PRICE, TAKER
from envs.book.fills import cancel_entry, fill_entry, leave_by_queue, leave_by_sweep
from envs.book.ladder import touch
from envs.book.queue import filled_by_book, filled_by_trade
from envs.compiled import inlined
from envs.fills import side_of
from envs.intrabar import nearer_stop


@inlined
def meet_event(
    i: int,
    bar: int,
    e: int,
    proportional: bool,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Let event `e` meet lane i's resting entry, then its take-profit, then its stop or the rest of an exit."""
    event = events[e]
    traded = event[TAKER] != 0.0
    book = books[np.int64(event[BOOK])]
    now = e + 1
    if account[lanes.LIMIT_PRICE, i] != 0.0:
        side, level = side_of(account[lanes.LIMIT_TARGET, i]), account[lanes.LIMIT_PRICE, i]
        left, ahead = queue[own.ENTRY_SIZE, i], own.ENTRY_AHEAD
        if traded:
            size = filled_by_trade(i, side, level, left, ahead, event, queue)
        else:
            size = filled_by_book(i, side, level, left, ahead, proportional, book, queue)
        if size > 0.0:
            fill_entry(i, bar, size, account, clock, queue, marks, fills, book, terms)
    quantity = account[lanes.QTY, i]
    if quantity == 0.0:
        return
    side = side_of(quantity)
    closing = clock[lanes.CLOSING, i]
    target = account[lanes.TAKE_PROFIT, i]
    if closing == lanes.NO_EXIT and abs(target) < np.inf:
        left, ahead = abs(quantity), own.TARGET_AHEAD
        if traded:
            size = filled_by_trade(i, -side, target, left, ahead, event, queue)
        else:
            size = filled_by_book(i, -side, target, left, ahead, proportional, book, queue)
        if size > 0.0:
            leave_by_queue(i, bar, size, account, clock, queue, marks, fills, terms, trades)
            return
    if closing == lanes.NO_EXIT:
        met = event[PRICE] if traded else touch(-side, book)
        if side * (met - nearer_stop(i, side, account)) > 0.0:
            return
        closing = lanes.BY_LIQUIDATION if side * (met - account[lanes.LIQUIDATION, i]) <= 0.0 else lanes.BY_STOP_LOSS
    elif traded:
        return
    leave_by_sweep(i, bar, now, closing, account, clock, queue, marks, fills, events, books, terms, trades)


@inlined
def age_entry(i: int, account: np.ndarray, clock: np.ndarray, queue: np.ndarray) -> None:
    """At the end of a step, take an entry that has run its time out of the book."""
    if account[lanes.LIMIT_PRICE, i] != 0.0:
        clock[lanes.LIMIT_LEFT, i] -= 1
        if clock[lanes.LIMIT_LEFT, i] <= 0:
            cancel_entry(i, account, queue)
            clock[lanes.EXPIRED, i] += 1
