"""Fills in the book: entries and exits by sweep, entries and take-profits from a queue. Compiled parts of
`envs.book.kernel`. Money is `envs.accounting`'s business; here is told how much, at which price, and what that uses up.
"""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.accounting import close_position, enter
from envs.book import lanes as own
from envs.book.columns import BOOK
from envs.book.ladder import mid_price, sweep, touch
from envs.book.queue import join_queue
from envs.compiled import inlined
from envs.fills import liquidation_price, order_quantity, side_of, unit_notional, whole_lots, worth


@inlined
def cancel_entry(i: int, account: np.ndarray, queue: np.ndarray) -> None:
    """Take lane i's resting entry, or what is left of it, out of the book."""
    account[lanes.LIMIT_PRICE, i] = 0.0
    queue[own.ENTRY_SIZE, i] = 0.0


@inlined
def note_fill(
    i: int,
    bar: int,
    side: float,
    price: float,
    size: float,
    fee: float,
    maker: float,
    reason: int,
    marks: np.ndarray,
    fills: np.ndarray,
) -> None:
    """Write a fill into lane i's ring."""
    fill = fills[i, marks[own.FILLS, i] % fills.shape[1]]
    fill[own.FILL_ROW] = bar
    fill[own.FILL_SINCE] = marks[own.SINCE, i]
    fill[own.FILL_SIDE] = side
    fill[own.FILL_PRICE] = price
    fill[own.FILL_SIZE] = size
    fill[own.FILL_FEE] = fee
    fill[own.FILL_MAKER] = maker
    fill[own.FILL_REASON] = reason
    marks[own.FILLS, i] += 1


@inlined
def taken_row(i: int, direction: float, now: int, events: np.ndarray, queue: np.ndarray, marks: np.ndarray) -> int:
    """The row that counts what lane i took from the side that `direction` meets; it starts anew with each book."""
    book = np.int64(events[now - 1, BOOK])
    if marks[own.TAKEN_BOOK, i] != book:
        marks[own.TAKEN_BOOK, i] = book
        queue[own.TAKEN_BIDS, i] = 0.0
        queue[own.TAKEN_ASKS, i] = 0.0
    return own.TAKEN_ASKS if direction > 0.0 else own.TAKEN_BIDS


@inlined
def enter_by_sweep(
    i: int,
    bar: int,
    now: int,
    order: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Enter lane i, flat, by taking what the book shows; what it does not show lapses.

    The size that fits the best price sets the average price by which the final size is found, which pays its own.
    """
    side, fraction, fee_rate = side_of(order[0]), min(abs(order[0]), 1.0), terms[T.TAKER_FEE]
    book = books[np.int64(events[now - 1, BOOK])]
    cash = account[lanes.CASH, i]
    taken = taken_row(i, side, now, events, queue, marks)
    used = queue[taken, i]
    size = order_quantity(cash, fraction, touch(side, book), fee_rate, np.inf, terms)
    filled, price = 0.0, 0.0
    if size > 0.0:
        there, price = sweep(side, size, used, now, events, books, terms)
        if there > 0.0:
            size = order_quantity(cash, fraction, price, fee_rate, np.inf, terms)
            filled = min(size, there)
    if filled <= 0.0:
        clock[lanes.REFUSED, i] += 1
        return
    clock[lanes.PARTIAL, i] += filled < size
    filled, price = sweep(side, filled, used, now, events, books, terms)
    queue[taken, i] += filled
    mid = mid_price(book)
    marks[own.POSITION, i] += 1
    impact = side * filled * (worth(price, terms) - worth(mid, terms))
    enter(i, bar, side, filled, price, mid, fee_rate, 0.0, impact, order[1], order[2], order[3], account, clock, terms)
    join_queue(i, -side, account[lanes.TAKE_PROFIT, i], own.TARGET_AHEAD, book, queue)
    note_fill(i, bar, side, price, filled, account[lanes.ENTRY_FEE, i], 0.0, lanes.NO_EXIT, marks, fills)


@inlined
def place_size(
    i: int, account: np.ndarray, clock: np.ndarray, queue: np.ndarray, book: np.ndarray, terms: np.ndarray
) -> None:
    """Size lane i's new limit entry by the money it has now, and put it at the back of its queue."""
    target, level = account[lanes.LIMIT_TARGET, i], account[lanes.LIMIT_PRICE, i]
    fee_rate = max(terms[T.MAKER_FEE], 0.0)
    size = order_quantity(account[lanes.CASH, i], min(abs(target), 1.0), level, fee_rate, np.inf, terms)
    if size == 0.0:
        clock[lanes.REFUSED, i] += 1
        cancel_entry(i, account, queue)
        return
    queue[own.ENTRY_SIZE, i] = size
    join_queue(i, side_of(target), level, own.ENTRY_AHEAD, book, queue)


@inlined
def fill_entry(
    i: int,
    bar: int,
    size: float,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    book: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Fill whole lots of lane i's resting entry, as maker at its level; the take-profit goes to the back each time."""
    size = whole_lots(size, terms)
    if size <= 0.0:
        return
    side, level, maker = side_of(account[lanes.LIMIT_TARGET, i]), account[lanes.LIMIT_PRICE, i], terms[T.MAKER_FEE]
    fee = size * unit_notional(level, terms) * maker
    if account[lanes.QTY, i] == 0.0:
        marks[own.POSITION, i] += 1
        tp_bps, sl_bps, ttl = account[lanes.LIMIT_TP, i], account[lanes.LIMIT_SL, i], account[lanes.LIMIT_TTL, i]
        enter(i, bar, side, size, level, level, maker, 0.0, 0.0, tp_bps, sl_bps, ttl, account, clock, terms)
    else:
        account[lanes.CASH, i] -= side * size * worth(level, terms) + fee
        account[lanes.FEES, i] += fee
        account[lanes.ENTRY_FEE, i] += fee
        account[lanes.QTY, i] += side * size
        account[lanes.LIQUIDATION, i] = liquidation_price(account[lanes.CASH, i], account[lanes.QTY, i], terms)
    left = queue[own.ENTRY_SIZE, i] - size
    queue[own.ENTRY_SIZE, i] = left
    if whole_lots(left, terms) <= 0.0:
        cancel_entry(i, account, queue)
    join_queue(i, -side, account[lanes.TAKE_PROFIT, i], own.TARGET_AHEAD, book, queue)
    note_fill(i, bar, side, level, size, fee, 1.0, lanes.NO_EXIT, marks, fills)


@inlined
def leave_by_queue(
    i: int,
    bar: int,
    size: float,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Fill whole lots of lane i's take-profit, as maker at its level."""
    if whole_lots(size, terms) <= 0.0:
        return
    side, level = side_of(account[lanes.QTY, i]), account[lanes.TAKE_PROFIT, i]
    held = bar - clock[lanes.ENTRY_ROW, i] + 1
    fees = account[lanes.FEES, i]
    reason = lanes.BY_TAKE_PROFIT
    filled = close_position(i, bar, held, level, level, 0.0, 0.0, size, reason, account, clock, terms, trades)
    cancel_entry(i, account, queue)
    note_fill(i, bar, -side, level, filled, account[lanes.FEES, i] - fees, 1.0, reason, marks, fills)


@inlined
def leave_by_sweep(
    i: int,
    bar: int,
    now: int,
    reason: int,
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
    """Close lane i's position by market order; what the book does not hold stays CLOSING, for the next book."""
    cancel_entry(i, account, queue)
    quantity = account[lanes.QTY, i]
    side = side_of(quantity)
    taken = taken_row(i, -side, now, events, queue, marks)
    filled, price = sweep(-side, abs(quantity), queue[taken, i], now, events, books, terms)
    if filled <= 0.0:
        clock[lanes.CLOSING, i] = reason
        return
    queue[taken, i] += filled
    mid = mid_price(books[np.int64(events[now - 1, BOOK])])
    held = bar - clock[lanes.ENTRY_ROW, i] + 1
    fees = account[lanes.FEES, i]
    close_position(i, bar, held, mid, price, 0.0, 0.0, filled, reason, account, clock, terms, trades)
    note_fill(i, bar, -side, price, filled, account[lanes.FEES, i] - fees, 0.0, reason, marks, fills)


@inlined
def exit_spread(
    i: int,
    close: float,
    now: int,
    account: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
) -> float:
    """What leaving lane i's whole position now would give up against `close`, as a fraction: the sweep's average, taken
    to hold for what the book does not show; for a book that shows nothing, the way from mid to touch."""
    quantity = account[lanes.QTY, i]
    if quantity == 0.0:
        return 0.0
    side = side_of(quantity)
    filled, price = sweep(-side, abs(quantity), 0.0, now, events, books, terms)
    if filled == 0.0:
        book = books[np.int64(events[now - 1, BOOK])]
        price = touch(-side, book)
    return side * (close - price) / close


@inlined
def note_last_exit(
    i: int, bar: int, fee: float, marks: np.ndarray, fills: np.ndarray, trades: np.ndarray, clock: np.ndarray
) -> None:
    """Write lane i's last exit, which was not made in the book, into its ring of fills."""
    record = trades[i, (clock[lanes.TRADES, i] - 1) % trades.shape[1]]
    side, price, size, reason = record[lanes.SIDE], record[lanes.EXIT_FILL], record[lanes.SIZE], record[lanes.REASON]
    note_fill(i, bar, -side, price, size, fee, 0.0, np.int64(reason), marks, fills)
