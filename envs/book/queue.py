"""The place of a resting order in its queue. Compiled parts of `envs.book.kernel`; docs/book.md states the rules.

An order rests on `side` (+1 bid, -1 ask) at the price `level` with `left` units to go; `ahead` is the row of
`BookLaneState.queue` that counts what must trade before it, and the row after it the size shown at its price.
"""

import numpy as np

from envs.book.columns import PRICE, SIZE, TAKER
from envs.book.ladder import crossing, shown_at
from envs.compiled import inlined


@inlined
def join_queue(i: int, side: float, level: float, ahead: int, book: np.ndarray, queue: np.ndarray) -> None:
    """Stand behind all that the book shows at `level`; behind infinitely much where it does not reach that far."""
    shown = shown_at(side, level, book)
    queue[ahead, i] = shown
    queue[ahead + 1, i] = shown


@inlined
def filled_by_trade(
    i: int, side: float, level: float, left: float, ahead: int, event: np.ndarray, queue: np.ndarray
) -> float:
    """What a trade fills: its size, when it went through the level; at the level, what it has left over the queue."""
    beyond = side * (event[PRICE] - level)
    if beyond < 0.0:
        return min(left, event[SIZE])
    if beyond > 0.0 or event[TAKER] * side > 0.0:
        return 0.0
    before = queue[ahead, i] - event[SIZE]
    queue[ahead, i] = max(before, 0.0)
    queue[ahead + 1, i] = max(queue[ahead + 1, i] - event[SIZE], 0.0)
    return min(left, max(-before, 0.0))


@inlined
def filled_by_book(
    i: int,
    side: float,
    level: float,
    left: float,
    ahead: int,
    proportional: bool,
    book: np.ndarray,
    queue: np.ndarray,
) -> float:
    """Move up by what a new book shows, and return what orders at or beyond the level, on the other side, fill.

    No more can be ahead than is shown. What vanished without a trade was cancelled: from behind, or from everywhere in
    proportion.
    """
    shown = shown_at(side, level, book)
    if shown < np.inf:
        before, was = queue[ahead, i], queue[ahead + 1, i]
        if proportional and was < np.inf and was > shown:
            before *= shown / was
        queue[ahead, i] = min(before, shown)
        queue[ahead + 1, i] = shown
    return min(left, crossing(side, level, book))
