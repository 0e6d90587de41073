"""What happens inside a bar to a position that is held: its bracket, in the order that finer bars tell."""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.accounting import close_position, side_of
from envs.columns import FINER, HIGH, LOW, OPEN
from envs.compiled import inlined
from features.brackets import bracket_exit


@inlined
def nearer_stop(i: int, side: float, account: np.ndarray) -> float:
    """The level that an adverse move meets first: the stop, or the liquidation price where that is nearer."""
    stop_loss, liquidation = account[lanes.STOP_LOSS, i], account[lanes.LIQUIDATION, i]
    return stop_loss if side * (stop_loss - liquidation) > 0.0 else liquidation


@inlined
def leave(
    i: int,
    bar: int,
    held: int,
    mid: float,
    arrival: float,
    half_spread: float,
    impact: float,
    budget: float,
    reason: int,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> float:
    """Close what `budget` allows; a stop at or beyond the liquidation price is one, and takes all there is."""
    quantity = account[lanes.QTY, i]
    room = budget
    if reason == lanes.BY_STOP_LOSS and side_of(quantity) * (mid - account[lanes.LIQUIDATION, i]) <= 0.0:
        reason = lanes.BY_LIQUIDATION
        room = np.inf
    return close_position(i, bar, held, mid, arrival, half_spread, impact, room, reason, account, clock, terms, trades)


@inlined
def finer_rows(bar: int, calendar: np.ndarray, finer: np.ndarray) -> tuple[np.int64, np.int64]:
    """Rows [first, stop) of `finer` inside the bar; empty without finer bars."""
    first = np.int64(calendar[bar, FINER])
    stop = np.int64(finer.shape[0])
    if bar + 1 < calendar.shape[0]:
        stop = np.int64(calendar[bar + 1, FINER])
    return first, stop


@inlined
def meet_bracket(
    i: int,
    bar: int,
    half_spread: float,
    impact: float,
    budget: float,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Let the bar's range meet lane i's bracket.

    When both barriers lie in it, finer bars tell which came first; without them, or inside one of them, the stop does
    (or the take-profit, under `both_touched="target_first"`).
    """
    side = side_of(account[lanes.QTY, i])
    take_profit, stop_loss = account[lanes.TAKE_PROFIT, i], nearer_stop(i, side, account)
    if clock[lanes.CLOSING, i] != lanes.NO_EXIT:  # the rest is on its way out: only the exchange can be faster
        take_profit, stop_loss = side * np.inf, account[lanes.LIQUIDATION, i]
    reason, mid, both = bracket_exit(
        side, prices[bar, OPEN], prices[bar, HIGH], prices[bar, LOW], take_profit, stop_loss
    )
    if reason == lanes.NO_EXIT:
        return
    if both:
        first, stop = finer_rows(bar, calendar, finer)
        for k in range(first, stop):
            told, level, both = bracket_exit(side, finer[k, 0], finer[k, 1], finer[k, 2], take_profit, stop_loss)
            if told != lanes.NO_EXIT:
                reason, mid = told, level
                break
        if both or stop <= first:
            clock[lanes.AMBIGUOUS, i] += 1
            if terms[T.TARGET_FIRST] != 0.0:
                reason, mid = lanes.BY_TAKE_PROFIT, take_profit
        else:
            clock[lanes.RESOLVED, i] += 1
    held = bar - clock[lanes.ENTRY_ROW, i] + 1
    leave(i, bar, held, mid, mid, half_spread, impact, budget, reason, account, clock, terms, trades)
