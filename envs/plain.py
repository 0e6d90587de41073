"""WIDTH lanes at once through a bar in which nothing rare happens: `kernel.move_lane` by vector instructions.

The rules are the same functions (`envs.fills`, `features.brackets`) in the same order; what stands here is whom this
short way serves: lanes that act by market orders which are filled whole, and meet neither liquidation, ruin, funding,
finer bars that matter nor a row that cannot be traded. It tells which those were; the others are left for `move_lane`.

Positions come and go at random, so branches would be guessed wrong, and an entry is one long chain of arithmetic. Here
all lanes compute an exit at the open, an entry and an exit inside the bar where one of them needs it, and select.
"""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.columns import FUNDING, OPEN
from envs.compiled import inlined
from envs.fills import (
    arrival_price,
    entry_fill,
    entry_size,
    exit_at_open,
    exit_fill,
    exit_inside,
    is_win,
    liquidates,
    nearer_level,
    opened,
    side_of,
)
from envs.prefetch import prefetch_item, prefetch_row
from features.brackets import bracket_exit
from features.vector_memory import following, gather, integers, load, load_rows, store
from features.vectors import PAYS, WIDTH, any_of, bits_of, count_of, select

AHEAD = WIDTH
"""Lanes between asking for a lane's next rows and reading them: a few memory latencies of work. With more, the nearest
cache would fill up with what is not needed yet."""

ALL = 2**WIDTH - 1
"""`move_together` has moved every one of its lanes."""


@inlined
def serves(terms: np.ndarray, trades: np.ndarray) -> bool:
    """Whether vectors pay here, the rules in `terms` are among those known, and nobody keeps single trades."""
    moving = terms[T.TRAILING] < np.inf or terms[T.BREAK_EVEN] < np.inf
    guarded = terms[T.RISK] != 0.0 or terms[T.COLLAR] < np.inf
    rewarded = terms[T.REWARD_MODE] == T.LOG_EQUITY
    known = terms[T.INVERSE] == 0.0 and rewarded and not (moving or guarded)
    return PAYS and trades.shape[1] == 0 and known


@inlined
def ask_ahead(
    i: int, stop: int, clock: np.ndarray, prices: np.ndarray, features: np.ndarray, observations: np.ndarray
) -> None:
    """Prefetch what the coming step of lanes [i, stop) will read, as far as there are so many."""
    for k in range(i, min(stop, clock.shape[1])):
        coming = np.uint64(clock[lanes.ROW, k] + 1)
        prefetch_item(prices, coming, OPEN)  # a row is a cache line
        if observations.shape[0] > 0:
            prefetch_row(features, coming)


@inlined
def move_together(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    terms: np.ndarray,
    orders: np.ndarray,
    features: np.ndarray,
    observations: np.ndarray,
) -> tuple[int, int]:
    """Move those of the WIDTH lanes from i on to whom nothing rare happens: (who was moved, one bit each; how many of
    their episodes ended).

    In between it asks for what the next lanes will read, a part at a time: memory answers only so many at once.
    """
    ahead, part = i + AHEAD, WIDTH // 4
    rows = integers(clock, lanes.ROW, i)
    open_, high, low, close, volume, spread_given, _, _ = load_rows(prices, rows, 1)
    _, _, _, _, _, _, impact, tradable = load_rows(prices, rows, 0)
    places = following(i)
    target, tp_bps, sl_bps = gather(orders, places, 0, 0), gather(orders, places, 0, 1), gather(orders, places, 0, 2)
    bar = load(clock, lanes.ROW, i) + 1.0
    # Limit orders are not plain, nor is NaN, which wants what is held.
    plain = (tradable != 0.0) & (gather(orders, places, 0, 4) == np.inf) & (target == target)
    plain = plain & (load(account, lanes.LIMIT_PRICE, i) == 0.0)
    plain = plain & (load(clock, lanes.PHASE, i) == lanes.RUNNING) & (load(clock, lanes.CLOSING, i) == lanes.NO_EXIT)
    if terms[T.FUNDED] != 0.0:
        plain = plain & (gather(calendar, rows, 1, FUNDING) == 0.0)
    half_spread = select(spread_given >= 0.0, spread_given, terms[T.HALF_SPREAD])
    budget = select(volume >= 0.0, terms[T.PARTICIPATION] * volume, np.inf)
    target = select((target > 0.0) | (terms[T.SHORTABLE] != 0.0), target, 0.0)

    ask_ahead(ahead, ahead + part, clock, prices, features, observations)
    cash, quantity = load(account, lanes.CASH, i), load(account, lanes.QTY, i)
    paid = load(account, lanes.FEES, i), load(account, lanes.SPREAD_COST, i), load(account, lanes.IMPACT_COST, i)
    entry_mid, entry_row = load(account, lanes.ENTRY_MID, i), load(clock, lanes.ENTRY_ROW, i)
    entry_fee, entry_spread = load(account, lanes.ENTRY_FEE, i), load(account, lanes.ENTRY_SPREAD, i)
    entry_costs = entry_fee, entry_spread, load(account, lanes.ENTRY_IMPACT, i), load(account, lanes.FUNDING, i)
    take_profit, stop_loss = load(account, lanes.TAKE_PROFIT, i), load(account, lanes.STOP_LOSS, i)
    liquidation = load(account, lanes.LIQUIDATION, i)
    counts = load(clock, lanes.TRADES, i), load(clock, lanes.WINS, i), load(clock, lanes.STREAK, i)

    side = side_of(quantity)
    size = side * quantity
    reason, mid, arrival, used_up = exit_at_open(
        side,
        open_,
        select(side > 0.0, low, high),
        take_profit,
        nearer_level(side, stop_loss, liquidation),
        lanes.NO_EXIT,
        target,
        target,
        True,
        bar - entry_row,
        load(account, lanes.TTL, i),
        terms,
    )
    used_up = used_up & (quantity != 0.0)
    left = (quantity != 0.0) & (reason != lanes.NO_EXIT)
    rare = left & ((size > budget) | liquidates(reason, side, mid, liquidation))
    if any_of(left):
        fill = exit_fill(side, size, entry_mid, mid, arrival, half_spread, impact, reason, terms)
        cash, paid, entry_costs, counts = _leave(left, fill, cash, paid, entry_costs, counts)
        quantity = select(left, 0.0, quantity)
        budget = select(left, budget - size, budget)

    ask_ahead(ahead + part, ahead + 2 * part, clock, prices, features, observations)
    entering = (quantity == 0.0) & (target != 0.0) & ~used_up
    met = arrival_price(open_, select(target > 0.0, high, low), terms[T.LATENCY])
    refused = entered = entering & False
    price, distance = met, met
    if any_of(entering):
        side = side_of(target)
        size, alone, wanted = entry_size(cash, target, met, half_spread, impact, np.inf, terms)
        rare = rare | (entering & ((alone > budget) | (wanted > budget)))
        refused = entering & (size == 0.0)
        entered = entering & (size != 0.0)
        price, spread, impact_cost = entry_fill(side, size, open_, met, half_spread, impact, terms)
        rest, fee, above, below, ruin, distance = opened(
            cash, side, size, price, terms[T.TAKER_FEE], tp_bps, sl_bps, terms
        )
        cash = select(entered, rest, cash)
        paid = (
            select(entered, paid[0] + fee, paid[0]),
            select(entered, paid[1] + spread, paid[1]),
            select(entered, paid[2] + impact_cost, paid[2]),
        )
        entry_costs = (
            select(entered, fee, entry_costs[0]),
            select(entered, spread, entry_costs[1]),
            select(entered, impact_cost, entry_costs[2]),
            select(entered, 0.0, entry_costs[3]),
        )
        quantity = select(entered, side * size, quantity)
        entry_mid = select(entered, open_, entry_mid)
        take_profit, stop_loss = select(entered, above, take_profit), select(entered, below, stop_loss)
        liquidation = select(entered, ruin, liquidation)
        budget = select(entered, budget - size, budget)

    ask_ahead(ahead + 2 * part, ahead + 3 * part, clock, prices, features, observations)
    side = side_of(quantity)
    size = side * quantity
    reason, mid, both = bracket_exit(
        side, select(entered, met, open_), high, low, take_profit, nearer_level(side, stop_loss, liquidation)
    )
    left = (quantity != 0.0) & (reason != lanes.NO_EXIT)
    unusual = (size > budget) | liquidates(reason, side, mid, liquidation)
    rare = rare | (left & (unusual | ((reason == lanes.BY_STOP_LOSS) & (finer.shape[0] > 0))))
    ambiguous = both & left
    if any_of(left):
        reason, mid = exit_inside(reason, mid, take_profit, both, terms)
        fill = exit_fill(side, size, entry_mid, mid, mid, half_spread, impact, reason, terms)
        cash, paid, entry_costs, counts = _leave(left, fill, cash, paid, entry_costs, counts)
        quantity = select(left, 0.0, quantity)

    ask_ahead(ahead + 3 * part, ahead + 4 * part, clock, prices, features, observations)
    equity = cash + select(quantity != 0.0, quantity * close, 0.0)
    plain = plain & ~(rare | (equity <= terms[T.STOP_OUT] * load(account, lanes.INITIAL, i)))
    finished = plain & (bar >= load(clock, lanes.LAST_ROW, i))
    entered = plain & entered
    _write(plain, cash, account, lanes.CASH, i)
    _write(plain, quantity, account, lanes.QTY, i)
    _write(entered, price, account, lanes.ENTRY_PRICE, i)
    _write(plain, entry_mid, account, lanes.ENTRY_MID, i)
    _write(plain, entry_costs[0], account, lanes.ENTRY_FEE, i)
    _write(plain, entry_costs[1], account, lanes.ENTRY_SPREAD, i)
    _write(plain, entry_costs[2], account, lanes.ENTRY_IMPACT, i)
    _write(plain, entry_costs[3], account, lanes.FUNDING, i)
    _write(plain, take_profit, account, lanes.TAKE_PROFIT, i)
    _write(plain, stop_loss, account, lanes.STOP_LOSS, i)
    _write(plain, liquidation, account, lanes.LIQUIDATION, i)
    _write(entered, price, account, lanes.BEST, i)
    _write(entered, gather(orders, places, 0, 3), account, lanes.TTL, i)
    _write(entered, distance, account, lanes.RISK_UNIT, i)
    _write(plain, load(account, lanes.EQUITY, i), account, lanes.REWARD, i)  # as `value_account`
    _write(plain, equity, account, lanes.EQUITY, i)
    _write(plain, paid[0], account, lanes.FEES, i)
    _write(plain, paid[1], account, lanes.SPREAD_COST, i)
    _write(plain, paid[2], account, lanes.IMPACT_COST, i)
    _write(plain, bar, clock, lanes.ROW, i)
    _write(entered, bar, clock, lanes.ENTRY_ROW, i)
    _write(plain, counts[0], clock, lanes.TRADES, i)
    _write(plain, counts[1], clock, lanes.WINS, i)
    _write(plain, counts[2], clock, lanes.STREAK, i)
    _count(plain & ambiguous, clock, lanes.AMBIGUOUS, i)
    _count(plain & refused, clock, lanes.REFUSED, i)
    _count(entered, clock, lanes.DAY_ENTRIES, i)
    _write(plain, 0.0, clock, lanes.TERMINATED, i)
    _write(plain, select(finished, 1.0, 0.0), clock, lanes.TRUNCATED, i)
    return bits_of(plain), count_of(finished)


@inlined
def _write(chosen: bool, value: float, state: np.ndarray, row: int, i: int) -> None:
    """Into the `chosen` lanes; a store of them all is quicker than one under a mask."""
    store(state, row, i, select(chosen, value, load(state, row, i)))


@inlined
def _count(chosen: bool, clock: np.ndarray, row: int, i: int) -> None:
    """One more in the `chosen` lanes."""
    before = load(clock, row, i)
    store(clock, row, i, select(chosen, before + 1.0, before))


@inlined
def _leave(
    left: bool,
    fill: tuple[float, float, float, float, float, float],
    cash: float,
    paid: tuple[float, float, float],
    entry_costs: tuple[float, float, float, float],
    counts: tuple[float, float, float],
) -> tuple[float, tuple[float, float, float], tuple[float, float, float, float], tuple[float, float, float]]:
    """`close_position` of all that the `left` lanes hold, its `fill` as `exit_fill`: the last four as they become.

    paid, entry_costs  fees, half-spreads and impact of the episode; the same of the entry, and its funding
    counts             trades, wins, losing streak
    """
    _, proceeds, fee, spread, impact, gross = fill
    win = is_win(gross, entry_costs[0] + fee, entry_costs[1] + spread, entry_costs[2] + impact, entry_costs[3])
    return (
        select(left, cash + proceeds, cash),
        (
            select(left, paid[0] + fee, paid[0]),
            select(left, paid[1] + spread, paid[1]),
            select(left, paid[2] + impact, paid[2]),
        ),
        (
            select(left, entry_costs[0] * 0.0, entry_costs[0]),
            select(left, entry_costs[1] * 0.0, entry_costs[1]),
            select(left, entry_costs[2] * 0.0, entry_costs[2]),
            select(left, entry_costs[3] * 0.0, entry_costs[3]),
        ),
        (
            select(left, counts[0] + 1.0, counts[0]),
            select(left & win, counts[1] + 1.0, counts[1]),
            select(left, select(win, 0.0, counts[2] + 1.0), counts[2]),
        ),
    )
