"""What happens inside a bar to a position that is held: its bracket, in the order that finer bars tell."""

import numpy as np

from envs import lanes
from envs.accounting import close_position
from envs.columns import FINER, HIGH, LOW, OPEN
from envs.compiled import inlined
from envs.fills import exit_inside, liquidates, nearer_level, side_of
from features.brackets import bracket_exit


@inlined
def nearer_stop(i: int, side: float, account: np.ndarray) -> float:
    """`nearer_level` of lane i's position."""
    return nearer_level(side, account[lanes.STOP_LOSS, i], account[lanes.LIQUIDATION, i])


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
    if liquidates(reason, side_of(quantity), mid, account[lanes.LIQUIDATION, i]):
        reason = lanes.BY_LIQUIDATION
        room = np.inf
    return close_position(i, bar, held, mid, arrival, half_spread, impact, room, reason, account, clock, terms, trades)


@inlined
def finer_rows(bar: int, calendar: np.ndarray, finer: np.ndarray) -> tuple[np.int64, np.int64]:
    """Rows [first, stop) of `finer` inside the bar; empty without finer bars."""
    stop = np.int64(finer.shape[0])
    if stop == 0:  # spares the calendar's row, which is seldom in the cache
        return stop, stop
    first = np.int64(calendar[bar, FINER])
    if bar + 1 < calendar.shape[0]:
        stop = np.int64(calendar[bar + 1, FINER])
    return first, stop


@inlined
def tell_by_finer(
    side: float, open_: float, first: int, stop: int, take_profit: float, stop_loss: float, finer: np.ndarray
) -> tuple[int, float, bool]:
    """`bracket_exit` of the first of `finer` rows [first, stop) that meets a barrier; row `first` opens at `open_`."""
    reason, mid, both = lanes.NO_EXIT, open_, False
    for k in range(first, stop):
        opening = open_ if k == first else finer[k, OPEN]
        reason, mid, both = bracket_exit(side, opening, finer[k, HIGH], finer[k, LOW], take_profit, stop_loss)
        if reason != lanes.NO_EXIT:
            break
    return reason, mid, both


@inlined
def leave_inside(
    i: int,
    bar: int,
    mid: float,
    half_spread: float,
    impact: float,
    budget: float,
    reason: int,
    take_profit: float,
    both: bool,
    unclear: bool,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Close by the bracket inside a bar that touched `both` barriers or one; `unclear` says that nothing told which."""
    reason, mid = exit_inside(reason, mid, take_profit, unclear, terms)
    held = bar - clock[lanes.ENTRY_ROW, i] + 1
    size = leave(i, bar, held, mid, mid, half_spread, impact, budget, reason, account, clock, terms, trades)
    if both and size > 0.0:
        clock[lanes.AMBIGUOUS if unclear else lanes.RESOLVED, i] += 1


@inlined
def meet_bracket(
    i: int,
    bar: int,
    first_price: float,
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
    """Let the bar's range meet lane i's bracket, from `first_price` on: the open, or what an order of this bar met.

    When both barriers lie in it, finer bars tell which came first; without them, or inside one of them, the stop does
    (or the take-profit, under `both_touched="target_first"`). They also tell where the price gapped through a stop.
    """
    side = side_of(account[lanes.QTY, i])
    take_profit, stop_loss = account[lanes.TAKE_PROFIT, i], nearer_stop(i, side, account)
    if clock[lanes.CLOSING, i] != lanes.NO_EXIT:  # the rest is on its way out: only the exchange can be faster
        take_profit, stop_loss = side * np.inf, account[lanes.LIQUIDATION, i]
    reason, mid, both = bracket_exit(side, first_price, prices[bar, HIGH], prices[bar, LOW], take_profit, stop_loss)
    if reason == lanes.NO_EXIT:
        return
    unclear = both
    if reason == lanes.BY_STOP_LOSS:
        first, stop = finer_rows(bar, calendar, finer)
        told, level, in_one = tell_by_finer(side, first_price, first, stop, take_profit, stop_loss, finer)
        if told != lanes.NO_EXIT:
            reason, mid, unclear = told, level, in_one
    leave_inside(
        i, bar, mid, half_spread, impact, budget, reason, take_profit, both, unclear, account, clock, terms, trades
    )
