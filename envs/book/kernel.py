"""The step of the book market: every lane goes through the events of one step. docs/book.md states the rules.

Order of things as a lane goes from row t to row t+1:

1. What row t decides is put on its way. Events up to the arrival of a decision meet what rests: entry, take-profit,
   stop, the rest of an exit.
2. A decision arrives (that of row t, or an earlier one where the latency has whole steps): a position that is not
   wanted, not allowed or out of time is swept out; a market entry sweeps in, a limit entry joins its queue.
3. The events of the rest of the step meet what rests.
4. The account is marked at the mid of the last book received, stops that move move, risk limits are checked.
"""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.accounting import close_position, mark_account
from envs.book import lanes as own
from envs.book.columns import FIRST, STOP
from envs.book.decisions import close_unwanted, open_wanted
from envs.book.events import age_entry, meet_event
from envs.book.fills import cancel_entry, exit_spread, note_last_exit
from envs.book.flight import lose_decisions, send_decision
from envs.columns import CLOSE, DAY, HIGH, LOW
from envs.compiled import inlined, kernel
from envs.observation import observe_lane
from envs.resting import move_stop
from envs.risk import begin_bar, end_bar


@kernel
def step_lanes(
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    flight: np.ndarray,
    trades: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    features: np.ndarray,
    schedule: np.ndarray,
    open_time: np.ndarray,
    event_time: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
    arrival: int,
    step_ns: int,
    proportional: bool,
    orders: np.ndarray,
    observations: np.ndarray,
) -> int:
    """Move every lane one step (a FRESH lane only shows its first row); returns how many episodes ended.

    account, clock, queue, marks, fills, flight, trades  BookLaneState's arrays for N lanes, updated in place
    prices ... books  the BookMarket's arrays
    arrival       ns from the beginning of a step of `step_ns` to the arrival of a decision in it
    proportional  the queue model
    orders        float64 (N, 5): target in [-1, 1] or NaN, tp_bps, sl_bps, ttl in steps, limit_offset_bps (inf: none)
    observations  float32 (N, C + A), written; or (0, C + A) when nobody looks

    No lane may stand at the market's last row.
    """
    ended = 0
    watched = observations.shape[0] > 0
    for i in range(orders.shape[0]):
        if clock[lanes.PHASE, i] == lanes.FRESH:
            clock[lanes.PHASE, i] = lanes.RUNNING
            account[lanes.REWARD, i] = 0.0
            clock[lanes.TERMINATED, i] = 0
            clock[lanes.TRUNCATED, i] = 0
            queue[:, i] = 0.0
            marks[own.TAKEN_BOOK, i] = -1
            marks[own.FILLS, i] = 0
            marks[own.POSITION, i] = 0
            marks[own.SENT, i] = 0
        elif _move_lane(
            i,
            account,
            clock,
            queue,
            marks,
            fills,
            flight,
            trades,
            prices,
            calendar,
            schedule,
            open_time,
            event_time,
            events,
            books,
            terms,
            arrival,
            step_ns,
            proportional,
            orders[i],
        ):
            ended += 1
        if watched:
            observe_lane(i, account, clock, prices, features, terms, observations[i])
    return ended


@inlined
def _move_lane(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    flight: np.ndarray,
    trades: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    schedule: np.ndarray,
    open_time: np.ndarray,
    event_time: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
    arrival: int,
    step_ns: int,
    proportional: bool,
    order: np.ndarray,
) -> bool:
    """Steps 1 to 4 for lane i; whether its episode ended."""
    row = clock[lanes.ROW, i]
    bar = row + 1
    first, stop = schedule[bar, FIRST], schedule[bar, STOP]
    if first != schedule[row, STOP]:  # a gap: no exchange keeps an entry in its queue over one
        cancel_entry(i, account, queue)
        lose_decisions(i, flight)
    guarded = terms[T.RISK] != 0.0
    if guarded:
        begin_bar(i, bar, np.int64(calendar[bar, DAY]), account, clock)
    send_decision(i, row, order, account, clock, marks, flight, prices, terms)
    arriving = marks[own.SENT, i] - flight.shape[1]
    decision = flight[i, arriving % flight.shape[1]]
    # None has arrived yet at the beginning of an episode, and a ruined account takes no more of them.
    needed = arriving >= 0 and decision[own.NEEDED] != 0.0 and clock[lanes.PHASE, i] != lanes.HALTED
    begin = open_time[bar] * 1_000_000
    arrived = False
    for now in range(first, stop + 1):
        if not arrived and (now == stop or event_time[now] > begin + arrival):
            arrived = True
            marks[own.SINCE, i] = arrival
            if needed and not close_unwanted(
                i,
                bar,
                now,
                decision,
                account,
                clock,
                queue,
                marks,
                fills,
                events,
                books,
                terms,
                trades,
            ):
                open_wanted(
                    i,
                    bar,
                    now,
                    decision,
                    account,
                    clock,
                    queue,
                    marks,
                    fills,
                    prices,
                    schedule,
                    events,
                    books,
                    terms,
                )
        idle = account[lanes.QTY, i] == 0.0 and account[lanes.LIMIT_PRICE, i] == 0.0
        if now < stop and not idle:
            marks[own.SINCE, i] = event_time[now] - begin
            meet_event(i, bar, now, proportional, account, clock, queue, marks, fills, events, books, terms, trades)
        elif arrived:
            break
    age_entry(i, account, clock, queue)
    marks[own.SINCE, i] = step_ns
    return _finish_step(
        i, bar, stop, guarded, account, clock, queue, marks, fills, prices, events, books, terms, trades
    )


@inlined
def _finish_step(
    i: int,
    bar: int,
    now: int,
    guarded: bool,
    account: np.ndarray,
    clock: np.ndarray,
    queue: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    prices: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Mark lane i at the end of step `bar` and set its flags; whether its episode ended."""
    close = prices[bar, CLOSE]
    half_spread = exit_spread(i, close, now, account, events, books, terms)
    exits, fees = clock[lanes.TRADES, i], account[lanes.FEES, i]
    ruined = mark_account(i, bar, close, half_spread, 0.0, account, clock, terms, trades)
    if ruined:
        cancel_entry(i, account, queue)
        if clock[lanes.TRADES, i] > exits:
            note_last_exit(i, bar, account[lanes.FEES, i] - fees, marks, fills, trades, clock)
    if account[lanes.QTY, i] != 0.0:
        # In the step of the entry only the close is known to have come after it.
        fresh = clock[lanes.ENTRY_ROW, i] == bar
        move_stop(i, close if fresh else prices[bar, HIGH], close if fresh else prices[bar, LOW], account, terms)
    if guarded:
        end_bar(i, bar, prices[bar, HIGH], prices[bar, LOW], account, clock, terms)
    finished = bar >= clock[lanes.LAST_ROW, i] and not ruined
    clock[lanes.ROW, i] = bar
    clock[lanes.TERMINATED, i] = ruined
    clock[lanes.TRUNCATED, i] = finished
    return ruined or finished


@kernel
def close_lanes(
    account: np.ndarray,
    clock: np.ndarray,
    marks: np.ndarray,
    fills: np.ndarray,
    trades: np.ndarray,
    prices: np.ndarray,
    schedule: np.ndarray,
    events: np.ndarray,
    books: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Close every open position at the end of the data: at what sweeping the book of its lane's row would give."""
    for i in range(trades.shape[0]):
        if account[lanes.QTY, i] != 0.0:
            row = clock[lanes.ROW, i]
            held = row - clock[lanes.ENTRY_ROW, i] + 1
            close = prices[row, CLOSE]
            fees = account[lanes.FEES, i]
            half_spread = exit_spread(i, close, schedule[row, STOP], account, events, books, terms)
            close_position(
                i, row, held, close, close, half_spread, 0.0, np.inf, lanes.BY_END, account, clock, terms, trades
            )
            note_last_exit(i, row, account[lanes.FEES, i] - fees, marks, fills, trades, clock)
            mark_account(i, row, close, half_spread, 0.0, account, clock, terms, trades)
