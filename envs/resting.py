"""Orders that rest: limit entries, and stops that move. Compiled parts of `envs.kernel`."""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.accounting import enter_at_limit
from envs.columns import HIGH, LOW, OPEN
from envs.compiled import inlined
from envs.fills import limit_level, side_of
from envs.intrabar import finer_rows, leave_inside, nearer_stop, tell_by_finer
from features.brackets import bracket_exit, step_down, step_up


@inlined
def place_limit(
    i: int,
    wanted: float,
    close: float,
    open_: float,
    order: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Keep lane i's resting entry while its side is wanted, cancel it otherwise, and place one where there is none.

    A new order is post-only: refused when the first price already lies at or beyond its level.
    """
    if account[lanes.LIMIT_PRICE, i] != 0.0 and wanted * account[lanes.LIMIT_TARGET, i] <= 0.0:
        account[lanes.LIMIT_PRICE, i] = 0.0
    if account[lanes.LIMIT_PRICE, i] == 0.0 and wanted != 0.0:
        side = side_of(wanted)
        level = limit_level(close, side, order[4], terms)
        if side * (open_ - level) <= 0.0:
            clock[lanes.REFUSED, i] += 1
            return
        account[lanes.LIMIT_PRICE, i] = level
        account[lanes.LIMIT_TARGET, i] = wanted
        account[lanes.LIMIT_TP, i] = order[1]
        account[lanes.LIMIT_SL, i] = order[2]
        account[lanes.LIMIT_TTL, i] = order[3]
        clock[lanes.LIMIT_LEFT, i] = np.int64(terms[T.LIMIT_TTL])


@inlined
def meet_limit(
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
    """Fill lane i's resting entry if the price trades strictly through it, else let it age.

    After the fill the rest of the bar meets the bracket. When inside the bar the fill happened is told by finer bars;
    inside the bar (or finer bar) of the fill itself only the stop counts, for the take-profit's price may have come
    before the entry's.
    """
    level = account[lanes.LIMIT_PRICE, i]
    side = side_of(account[lanes.LIMIT_TARGET, i])
    adverse = prices[bar, LOW] if side > 0.0 else prices[bar, HIGH]
    if side * (adverse - level) >= 0.0:
        clock[lanes.LIMIT_LEFT, i] -= 1
        if clock[lanes.LIMIT_LEFT, i] <= 0:
            account[lanes.LIMIT_PRICE, i] = 0.0
            clock[lanes.EXPIRED, i] += 1
        return
    account[lanes.LIMIT_PRICE, i] = 0.0
    budget -= enter_at_limit(i, bar, level, budget, account, clock, terms)
    if account[lanes.QTY, i] == 0.0:
        return
    take_profit, stop_loss = account[lanes.TAKE_PROFIT, i], nearer_stop(i, side, account)
    favourable = prices[bar, HIGH] if side > 0.0 else prices[bar, LOW]
    k, stop = finer_rows(bar, calendar, finer)
    column = LOW if side > 0.0 else HIGH
    while k < stop and side * (finer[k, column] - level) >= 0.0:
        k += 1
    told = k < stop
    worst = finer[k, column] if told else adverse
    reason, mid, unclear = bracket_exit(side, level, max(level, worst), min(level, worst), side * np.inf, stop_loss)
    if reason == lanes.NO_EXIT and k + 1 < stop:
        reason, mid, unclear = tell_by_finer(side, finer[k + 1, OPEN], k + 1, stop, take_profit, stop_loss, finer)
    if reason != lanes.NO_EXIT:
        both = told and side * (favourable - take_profit) > 0.0 and side * (adverse - stop_loss) <= 0.0
        leave_inside(
            i, bar, mid, half_spread, impact, budget, reason, take_profit, both, unclear, account, clock, terms, trades
        )


@inlined
def move_stop(i: int, high: float, low: float, account: np.ndarray, terms: np.ndarray) -> None:
    """At a close, draw lane i's stop after the best price seen, and to the entry once the gain is large enough."""
    if terms[T.TRAILING] == np.inf and terms[T.BREAK_EVEN] == np.inf:
        return
    side = side_of(account[lanes.QTY, i])
    best = max(account[lanes.BEST, i], high) if side > 0.0 else min(account[lanes.BEST, i], low)
    account[lanes.BEST, i] = best
    entry, stop_loss = account[lanes.ENTRY_PRICE, i], account[lanes.STOP_LOSS, i]
    if terms[T.TRAILING] < np.inf:
        stop_loss = _tighter(best * (1.0 - side * terms[T.TRAILING]), stop_loss, side, terms)
    if side * (best - entry) >= terms[T.BREAK_EVEN] * entry:
        stop_loss = _tighter(entry, stop_loss, side, terms)
    account[lanes.STOP_LOSS, i] = stop_loss


@inlined
def _tighter(level: float, stop_loss: float, side: float, terms: np.ndarray) -> float:
    """`level`, rounded to the tick away from the market, where that is tighter than `stop_loss`."""
    numerator, denominator = terms[T.TICK_NUMERATOR], terms[T.TICK_DENOMINATOR]
    level = step_down(level, numerator, denominator) if side > 0.0 else step_up(level, numerator, denominator)
    return level if side * (level - stop_loss) > 0.0 else stop_loss
