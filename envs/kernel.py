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
    measure_lanes,
    open_account,
    pay_funding,
    side_of,
    value_account,
)
from envs.columns import CLOSE, DAY, FUNDING, HALF_SPREAD, HIGH, IMPACT, LOW, OPEN, TRADABLE, VOLUME
from envs.compiled import inlined, kernel
from envs.fills import arrival_price
from envs.intrabar import leave, meet_bracket, nearer_stop
from envs.observation import observe_lane
from envs.prefetch import prefetch_item, prefetch_row
from envs.resting import meet_limit, move_stop, place_limit
from envs.risk import allowed_target, begin_bar, end_bar
from features.brackets import bracket_exit

_LOOK_AHEAD = 32
"""Lanes between asking for a lane's next row and reading it: about one memory latency of work."""
_VECTOR_LANES = 8
"""Fewer lanes do not fill a vector register."""


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
    observations  float32 (N, C + 9), written; or (0, C + 9) when nobody looks

    No lane may stand at the market's last row.
    """
    return step_inlined(account, clock, trades, prices, calendar, finer, features, terms, orders, observations)


@inlined
def step_inlined(
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
    """`step_lanes`, for compiled callers that step in a loop: a call costs 40 ns, most of a quiet bar of one lane."""
    ended = 0
    count = orders.shape[0]
    unguarded = terms[T.RISK] == 0.0
    for i in range(count):
        if i + _LOOK_AHEAD < count:
            coming = np.uint64(clock[lanes.ROW, i + _LOOK_AHEAD] + 1)
            prefetch_item(prices, coming, OPEN)
            prefetch_item(prices, coming, TRADABLE)
        if clock[lanes.PHASE, i] == lanes.FRESH:
            clock[lanes.TERMINATED, i] = 0
            clock[lanes.TRUNCATED, i] = 0
        elif unguarded and _stays_flat(i, orders[i], account):
            ended += _pass_bar(i, account, clock)
        elif move_lane(i, account, clock, prices, calendar, finer, terms, orders[i], trades):
            ended += 1
    measure_bar(count, account, clock, prices, terms)
    for i in range(observations.shape[0]):
        if i + _LOOK_AHEAD < count:
            coming = clock[lanes.ROW, i + _LOOK_AHEAD]
            prefetch_row(features, coming)
        observe_lane(i, account, clock, prices, features, terms, observations[i])
    return ended


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
def measure_bar(count: int, account: np.ndarray, clock: np.ndarray, prices: np.ndarray, terms: np.ndarray) -> None:
    """What the bar did to every lane's equity, and what circuit breakers make of it; no lane is FRESH any more."""
    plain = terms[T.REWARD_MODE] == T.LOG_EQUITY and count >= _VECTOR_LANES
    guarded = terms[T.RISK] != 0.0
    if plain:
        measure_lanes(count, account, terms)
    for i in range(count):
        if clock[lanes.PHASE, i] == lanes.FRESH:
            clock[lanes.PHASE, i] = lanes.RUNNING
            account[lanes.REWARD, i] = 0.0
            continue
        bar = clock[lanes.ROW, i]
        if not plain:
            measure_account(i, prices[bar, CLOSE], account, terms)
        if guarded:
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
        take_profit, stop_loss = account[lanes.TAKE_PROFIT, i], nearer_stop(i, side, account)
        reason, mid, _ = bracket_exit(side, open_, open_, open_, take_profit, stop_loss)
        held = bar - clock[lanes.ENTRY_ROW, i]
        arrival = mid
        used_up = reason != lanes.NO_EXIT
        if not used_up:
            adverse = prices[bar, LOW] if side > 0.0 else prices[bar, HIGH]
            arrival = arrival_price(open_, adverse, terms[T.LATENCY])
            reason = clock[lanes.CLOSING, i]
            if reason != lanes.NO_EXIT:
                used_up = True
            elif side * wanted <= 0.0:
                reason = lanes.BY_FORCE if not allowed else lanes.BY_RISK if side * target > 0.0 else lanes.BY_SIGNAL
            elif held >= account[lanes.TTL, i]:
                reason = lanes.BY_TIME_OUT
                used_up = True
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
    features: np.ndarray,
    terms: np.ndarray,
    orders: np.ndarray,
    unwatched: np.ndarray,
    trades: np.ndarray,
    equity: np.ndarray,
    position: np.ndarray,
) -> None:
    """`step_lanes` for each of S rows of `orders` (S, N, 5); `equity` and `position` (S, N) take every close.

    `unwatched` is an empty float32 (0, C + A): a replay looks at no observations.
    """
    for step in range(orders.shape[0]):
        step_inlined(account, clock, trades, prices, calendar, finer, features, terms, orders[step], unwatched)
        for i in range(equity.shape[1]):
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
