"""The step of the market: every lane moves one bar. The env, the vector env and the backtest all call `step_lanes`.

Order of events as a lane goes from row t (whose close it has seen) to bar t+1:

1. At the open, funding that is due is settled on what is held.
2. At the open, the resting bracket meets the first price (stop at the open, take-profit at its level).
3. At the open, by market order, a position that is not wanted, not allowed or out of time is closed.
4. At the open, by market order, or inside the bar, by a limit order that the price trades through, the wanted position
   is entered, unless a bracket or a time-out ended one in this bar.
5. Inside the bar, the bracket meets [low, high]: in the order that finer bars tell, else stop first.
6. At the close, the account is marked; at or under the stop-out level it is closed and the episode is terminated.
   Then trailing stops move and risk limits are checked.

Every fill of a bar draws on one budget, the account's share of the bar's volume.

Under most rules `envs.plain` moves WIDTH lanes at once by vector instructions, through the same functions, and leaves
whoever meets anything rare to `move_lane`; the bits are the same either way.

Arguments are few because each array costs a call 20 ns: a lane's state is two arrays whatever its fields, all terms are
one, results are rows of the state. `envs.alone` hands them over in one table.
"""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.accounting import (
    close_position,
    enter_at_market,
    mark_account,
    measure_account,
    measure_together,
    open_account,
    pay_funding,
    value_account,
)
from envs.columns import CLOSE, DAY, FUNDING, HALF_SPREAD, HIGH, IMPACT, LOW, OPEN, TRADABLE, VOLUME
from envs.compiled import inlined, kernel
from envs.fills import arrival_price, exit_at_open, side_of
from envs.intrabar import leave, meet_bracket, nearer_stop
from envs.observation import observe_lane, observe_together
from envs.plain import AHEAD, ALL, ask_ahead, move_together, serves
from envs.prefetch import prefetch_item
from envs.resting import meet_limit, move_stop, place_limit
from envs.risk import allowed_target, begin_bar, end_bar
from envs.scratch import stack_floats
from envs.terms import TERMS
from features.vectors import WIDTH


@kernel
def step_lanes(
    account: np.ndarray,
    clock: np.ndarray,
    trades: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    features: np.ndarray,
    terms: np.ndarray,
    orders: np.ndarray,
    observations: np.ndarray,
) -> int:
    """Move every lane one bar (a FRESH lane only shows its first row); returns how many episodes ended.

    account, clock, trades  LaneState's arrays for N lanes, updated in place; rewards and end flags are rows of them
    prices, calendar, finer, features  a Market's prices (T, 8), calendar (T, 3), finer (M, 4), observations (T, C)
    terms         float64 (34,), `terms.trading_terms`
    orders        float64 (N, 5): target in [-1, 1] or NaN, tp_bps, sl_bps, ttl_bars, limit_offset_bps (inf: none)
    observations  float32 (N, C + 11), written; or (0, C + 11) when nobody looks

    No lane may stand at the market's last row.
    """
    ended = 0
    count = orders.shape[0]
    watched = observations.shape[0]
    unguarded = terms[T.RISK] == 0.0
    # On the stack nobody else can write: what is read there once need not be read again.
    known: np.ndarray = stack_floats(TERMS)  # type: ignore[call-arg]  # numba passes the context itself
    for j in range(TERMS):
        known[j] = terms[j]
    known[T.INVERSE] = 0.0  # as `serves` has seen: no code for the other kind of contract
    together = count // WIDTH * WIDTH if serves(terms, trades) else 0
    ask_ahead(0, AHEAD, clock, prices, features, observations)
    for first in range(0, together, WIDTH):
        moved, finished = move_together(
            first, account, clock, prices, calendar, finer, known, orders, features, observations
        )
        ended += finished
        if moved != ALL:
            for k in range(WIDTH):
                if not moved >> k & 1:
                    i = first + k
                    ended += _move_or_pass(
                        i, unguarded, account, clock, prices, calendar, finer, terms, orders[i], trades
                    )
        measure_together(first, account, clock, known)
        if watched > 0:
            observe_together(first, account, clock, prices, features, known, observations)
    for i in range(together, count):
        ask_ahead(i + AHEAD, i + AHEAD + 1, clock, prices, features, observations)
        ended += _move_or_pass(i, unguarded, account, clock, prices, calendar, finer, terms, orders[i], trades)
        measure_bar(i, account, clock, prices, terms)
        if watched > 0:
            observe_lane(i, account, clock, prices, features, terms, observations[i])
    return ended


@inlined
def _move_or_pass(
    i: int,
    unguarded: bool,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    terms: np.ndarray,
    order: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Let lane i show its first row, stay as it is, or move by `move_lane`; whether its episode ended."""
    if clock[lanes.PHASE, i] == lanes.FRESH:
        clock[lanes.TERMINATED, i] = 0
        clock[lanes.TRUNCATED, i] = 0
        return False
    if unguarded and _stays_flat(i, order, account):
        return _pass_bar(i, account, clock)
    return move_lane(i, account, clock, prices, calendar, finer, terms, order, trades)


@inlined
def _stays_flat(i: int, order: np.ndarray, account: np.ndarray) -> bool:
    """Whether lane i holds nothing, has nothing resting and wants nothing: then a bar can do nothing to its account."""
    idle = account[lanes.QTY, i] == 0.0 and account[lanes.LIMIT_PRICE, i] == 0.0
    return idle and not abs(order[0]) > 0.0  # NaN wants what is held


@inlined
def _pass_bar(i: int, account: np.ndarray, clock: np.ndarray) -> bool:
    """`move_lane` where `_stays_flat` (and no breaker watches), which takes a fifth of its time."""
    bar = clock[lanes.ROW, i] + 1
    finished = bar >= clock[lanes.LAST_ROW, i]
    account[lanes.REWARD, i] = account[lanes.EQUITY, i]
    clock[lanes.ROW, i] = bar
    clock[lanes.TERMINATED, i] = 0
    clock[lanes.TRUNCATED, i] = finished
    return finished


@inlined
def measure_bar(i: int, account: np.ndarray, clock: np.ndarray, prices: np.ndarray, terms: np.ndarray) -> None:
    """What the bar did to lane i's equity, and what circuit breakers make of it; the lane is FRESH no more."""
    if clock[lanes.PHASE, i] == lanes.FRESH:
        clock[lanes.PHASE, i] = lanes.RUNNING
        account[lanes.REWARD, i] = 0.0
        return
    bar = clock[lanes.ROW, i]
    measure_account(i, prices[bar, CLOSE], account, terms)
    if terms[T.RISK] != 0.0:
        end_bar(i, bar, prices[bar, HIGH], prices[bar, LOW], account, clock, terms)


@inlined
def move_lane(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    terms: np.ndarray,
    order: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Steps 1 to 6 for lane i, up to its equity: the rest is `measure_bar`'s. Returns whether its episode ended."""
    row = clock[lanes.ROW, i]
    bar = row + 1
    open_, close = prices[bar, OPEN], prices[bar, CLOSE]
    half_spread, impact = prices[bar, HALF_SPREAD], prices[row, IMPACT]
    if not half_spread >= 0.0:  # NaN: the market's rows give none
        half_spread = terms[T.HALF_SPREAD]
    budget = np.inf
    if terms[T.PARTICIPATION] < np.inf and prices[bar, VOLUME] >= 0.0:
        budget = terms[T.PARTICIPATION] * prices[bar, VOLUME]
    guarded = terms[T.RISK] != 0.0
    if guarded:
        begin_bar(i, bar, np.int64(calendar[bar, DAY]), account, clock)
    allowed = prices[row, TRADABLE] != 0.0 and clock[lanes.PHASE, i] != lanes.HALTED
    asked = order[0]
    if asked != asked:  # NaN: whatever is held or rests
        asked = account[lanes.LIMIT_TARGET, i] if account[lanes.LIMIT_PRICE, i] != 0.0 else account[lanes.QTY, i]
    target = asked if allowed and (asked > 0.0 or terms[T.SHORTABLE] != 0.0) else 0.0
    wanted = allowed_target(i, target, account, clock)
    used_up = False
    if account[lanes.QTY, i] != 0.0:
        if terms[T.FUNDED] != 0.0 and calendar[bar, FUNDING] != 0.0:
            pay_funding(i, open_, calendar[bar, FUNDING], account, terms)
        side = side_of(account[lanes.QTY, i])
        held = bar - clock[lanes.ENTRY_ROW, i]
        reason, mid, arrival, used_up = exit_at_open(
            side,
            open_,
            prices[bar, LOW] if side > 0.0 else prices[bar, HIGH],
            account[lanes.TAKE_PROFIT, i],
            nearer_stop(i, side, account),
            clock[lanes.CLOSING, i],
            wanted,
            target,
            allowed,
            held,
            account[lanes.TTL, i],
            terms,
        )
        if reason != lanes.NO_EXIT:
            budget -= leave(
                i, bar, held, mid, arrival, half_spread, impact, budget, reason, account, clock, terms, trades
            )
    resting = order[4] < np.inf or (order[0] != order[0] and account[lanes.LIMIT_PRICE, i] != 0.0)
    rested = False
    first_price = open_
    if account[lanes.QTY, i] == 0.0:
        if used_up:
            wanted = 0.0
        if resting:
            place_limit(i, wanted, prices[row, CLOSE], open_, order, account, clock, terms)
            if account[lanes.LIMIT_PRICE, i] != 0.0:
                rested = True
                meet_limit(i, bar, half_spread, impact, budget, prices, calendar, finer, account, clock, terms, trades)
        else:
            account[lanes.LIMIT_PRICE, i] = 0.0
            if wanted != 0.0:
                adverse = prices[bar, HIGH] if wanted > 0.0 else prices[bar, LOW]
                if terms[T.COLLAR] < np.inf and abs(open_ / prices[row, CLOSE] - 1.0) > terms[T.COLLAR]:
                    clock[lanes.REFUSED, i] += 1
                else:
                    first_price = arrival_price(open_, adverse, terms[T.LATENCY])
                    budget -= enter_at_market(
                        i, bar, open_, first_price, half_spread, impact, budget, order, account, clock, terms
                    )
    # A limit entry has met the rest of its bar already, from the moment of its fill.
    if account[lanes.QTY, i] != 0.0 and not rested:
        meet_bracket(
            i, bar, first_price, half_spread, impact, budget, prices, calendar, finer, account, clock, terms, trades
        )
    ruined = value_account(i, bar, close, half_spread, impact, account, clock, terms, trades)
    if account[lanes.QTY, i] != 0.0:
        # In the bar of a limit entry's fill only the close is known to have come after it.
        high, low = (close, close) if rested else (prices[bar, HIGH], prices[bar, LOW])
        move_stop(i, high, low, account, terms)
    finished = bar >= clock[lanes.LAST_ROW, i] and not ruined
    clock[lanes.ROW, i] = bar
    clock[lanes.TERMINATED, i] = ruined
    clock[lanes.TRUNCATED, i] = finished
    return ruined or finished


@kernel
def open_lanes(account: np.ndarray, clock: np.ndarray, capitals: np.ndarray, start: int, stop: int) -> None:
    """Let every lane begin at row `start` with its own of `capitals` (N,), its episode to end at row `stop`."""
    for i in range(capitals.shape[0]):
        open_account(i, capitals[i], start, stop, account, clock)


@kernel
def replay_orders(
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    terms: np.ndarray,
    orders: np.ndarray,
    trades: np.ndarray,
    equity: np.ndarray,
    position: np.ndarray,
) -> None:
    """`step_lanes` for each of S rows of `orders` (S, N, 5); `equity` and `position` (S, N) take every close.

    Nobody looks at observations, and lanes move one by one: a replay has few of them.
    """
    count = equity.shape[1]
    unguarded = terms[T.RISK] == 0.0
    for step in range(orders.shape[0]):
        for i in range(count):
            if i + AHEAD < count:
                prefetch_item(prices, np.uint64(clock[lanes.ROW, i + AHEAD] + 1), OPEN)
            _move_or_pass(i, unguarded, account, clock, prices, calendar, finer, terms, orders[step, i], trades)
            measure_bar(i, account, clock, prices, terms)
            equity[step, i] = account[lanes.EQUITY, i]
            position[step, i] = account[lanes.QTY, i]


@kernel
def close_lanes(
    account: np.ndarray, clock: np.ndarray, prices: np.ndarray, terms: np.ndarray, trades: np.ndarray
) -> None:
    """Close every open position by market order at the close of its lane's row: the end of the data."""
    for i in range(trades.shape[0]):
        if account[lanes.QTY, i] != 0.0:
            row = clock[lanes.ROW, i]
            held = row - clock[lanes.ENTRY_ROW, i] + 1
            close, half_spread, impact = prices[row, CLOSE], prices[row, HALF_SPREAD], prices[row, IMPACT]
            if not half_spread >= 0.0:
                half_spread = terms[T.HALF_SPREAD]
            close_position(
                i, row, held, close, close, half_spread, impact, np.inf, lanes.BY_END, account, clock, terms, trades
            )
            mark_account(i, row, close, half_spread, impact, account, clock, terms, trades)
