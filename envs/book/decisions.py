"""What a decision does when it arrives at the exchange. Compiled parts of `envs.book.kernel`."""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.book import lanes as own
from envs.book.columns import BOOK, KNOWN
from envs.book.fills import cancel_entry, enter_by_sweep, leave_by_sweep, place_size
from envs.book.ladder import mid_price, touch
from envs.columns import CLOSE
from envs.compiled import inlined
from envs.fills import side_of
from envs.resting import place_limit


@inlined
def close_unwanted(
    i: int,
    bar: int,
    now: int,
    decision: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Send lane i's position out when the decision says so; whether that leaves no room for an entry.

    An exit is sent for what was held when it was decided on. A position that came or went since then, by its limit, its
    bracket or an earlier decision, uses up the decision.
    """
    wanted, held = decision[own.WANTED], decision[own.HELD]
    if wanted * account[lanes.LIMIT_TARGET, i] <= 0.0:
        cancel_entry(i, account, queue)
    quantity = account[lanes.QTY, i]
    if quantity == 0.0 or held != marks[own.POSITION, i] or clock[lanes.CLOSING, i] != lanes.NO_EXIT:
        return quantity != 0.0 or held != 0.0
    side = side_of(quantity)
    reason, timed_out = lanes.NO_EXIT, False
    if side * wanted <= 0.0:
        reason = lanes.BY_RISK if side * decision[own.TARGET] > 0.0 else lanes.BY_SIGNAL
        if decision[own.ALLOWED] == 0.0:
            reason = lanes.BY_FORCE
    elif decision[own.DUE] != 0.0:
        reason, timed_out = lanes.BY_TIME_OUT, True
    if reason != lanes.NO_EXIT:
        leave_by_sweep(i, bar, now, reason, account, clock, queue, marks, fills, events, books, terms, trades)
    return timed_out or account[lanes.QTY, i] != 0.0


@inlined
def open_wanted(
    i: int,
    bar: int,
    now: int,
    decision: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    prices: np.ndarray,
    schedule: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Let flat lane i keep or place its limit entry, or enter by market order."""
    book = books[np.int64(events[now - 1, BOOK])]
    made, wanted, order = np.int64(decision[own.MADE]), decision[own.WANTED], decision[own.ORDER :]
    if decision[own.RESTING] == 0.0:
        cancel_entry(i, account, queue)
        if wanted == 0.0:
            return
        if abs(mid_price(book) / prices[made, CLOSE] - 1.0) > terms[T.COLLAR]:
            clock[lanes.REFUSED, i] += 1
            return
        enter_by_sweep(i, bar, now, order, account, clock, queue, marks, fills, events, books, terms)
        return
    if wanted != 0.0 and account[lanes.LIMIT_PRICE, i] == 0.0:
        side = side_of(wanted)
        known = books[schedule[made, KNOWN]]
        place_limit(i, wanted, touch(-side, known), touch(side, book), order, account, clock, terms)
        if account[lanes.LIMIT_PRICE, i] != 0.0:
            place_size(i, account, clock, queue, book, terms)
