"""What a market order finds in the book: the levels shown, less what traded since and what the lane took itself."""

import numpy as np

from envs import terms as T
from envs.book.columns import ASKS, BOOK, LEVELS, PRICE, SIZE, TAKER
from envs.compiled import called, inlined
from envs.fills import whole_lots, worth


@inlined
def touch(direction: float, book: np.ndarray) -> float:
    """Best price that a taker finds who buys (`direction` +1: the best ask) or sells (-1: the best bid)."""
    return book[ASKS] if direction > 0.0 else book[0]


@inlined
def mid_price(book: np.ndarray) -> float:
    """Halfway between the best bid and the best ask."""
    return 0.5 * (book[0] + book[ASKS])


@inlined
def traded_since(direction: float, now: int, events: np.ndarray) -> tuple[float, float]:
    """(edge, size) of the trades between the book in force and event `now`, as a taker in `direction` sees them.

    What was shown at a better price than `edge` is gone, for a trade there met it first; at `edge` itself `size` is
    (all of it, inf, when the taker of the trade came from the other side: the quotes have moved past it).
    """
    edge, size = -direction * np.inf, 0.0
    e = now - 1
    while e >= 0 and events[e, TAKER] != 0.0:
        beyond = direction * (events[e, PRICE] - edge)
        if beyond > 0.0:
            edge, size = events[e, PRICE], 0.0
        if beyond >= 0.0:
            size += events[e, SIZE] if events[e, TAKER] * direction > 0.0 else np.inf
        e -= 1
    return edge, size


@inlined
def level_left(k: int, direction: float, edge: float, gone: float, book: np.ndarray) -> float:
    """What is left at level `k` of the side that a taker in `direction` meets."""
    first = ASKS if direction > 0.0 else 0
    beyond = direction * (book[first + 2 * k] - edge)
    shown = book[first + 2 * k + 1]
    return shown if beyond > 0.0 else max(shown - gone, 0.0) if beyond == 0.0 else 0.0


@called
def sweep(
    direction: float, size: float, taken: float, now: int, events: np.ndarray, books: np.ndarray, terms: np.ndarray
) -> tuple[float, float]:
    """(filled, average price) of taking `size` before event `now`, best level first, no deeper than the book shows.

    The first `taken` units of what is there are the lane's own earlier fills: it is not given them twice. Filled in
    whole lots; (0, 0) when nothing is there.
    """
    book = books[np.int64(events[now - 1, BOOK])]
    edge, gone = traded_since(direction, now, events)
    there = -taken
    for k in range(LEVELS):
        there += level_left(k, direction, edge, gone, book)
    filled = min(size, whole_lots(max(there, 0.0), terms))
    if filled <= 0.0:
        return 0.0, 0.0
    first = ASKS if direction > 0.0 else 0
    passed, left, value, best, last = taken, filled, 0.0, 0.0, 0.0
    for k in range(LEVELS):
        level = level_left(k, direction, edge, gone, book)
        skipped = min(level, passed)
        passed -= skipped
        part = min(level - skipped, left)
        if part > 0.0:
            last = book[first + 2 * k]
            best = last if best == 0.0 else best
            value += part * worth(last, terms)
            left -= part
    average = value / filled
    price = average if terms[T.INVERSE] == 0.0 else -1.0 / average
    # Rounding must not make an average better than its best part, nor worse than its worst.
    return filled, min(max(price, min(best, last)), max(best, last))


@called
def shown_at(side: float, level: float, book: np.ndarray) -> float:
    """Size shown at the price `level` among orders that rest on `side` (+1 bids); inf where the book does not reach."""
    first = 0 if side > 0.0 else ASKS
    for k in range(LEVELS):
        size = book[first + 2 * k + 1]
        behind = side * (level - book[first + 2 * k])
        if size > 0.0 and behind == 0.0:
            return size
        if size == 0.0 or behind > 0.0:
            return 0.0
    return np.inf


@called
def crossing(side: float, level: float, book: np.ndarray) -> float:
    """Size that the book shows, on the other side, at or beyond the price of an order resting on `side` at `level`."""
    first = ASKS if side > 0.0 else 0
    size = 0.0
    for k in range(LEVELS):
        if book[first + 2 * k + 1] > 0.0 and side * (book[first + 2 * k] - level) <= 0.0:
            size += book[first + 2 * k + 1]
    return size
