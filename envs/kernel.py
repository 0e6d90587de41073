"""The step of the market: every lane moves one bar. The env, the vector env and the backtest all call `step_lanes`.

Order of events as lane i goes from row t (whose close it has seen) to bar t+1:

1. At the open, the resting bracket meets the first price (stop at the open, take-profit at its level).
2. At the open, market orders: a position that is no longer wanted, not allowed, or out of time is closed.
3. At the open, a wanted position is opened, unless step 1 or a time-out ended one in this bar.
4. Inside the bar, the bracket meets [low, high]; stop first.
5. At the close, the account is marked; at or under the stop-out level it is closed and terminated.

Arguments are few because each array costs a call 50-200 ns: state in two arrays, terms in one, results in rows of the
state. (A table of addresses saves another 0.2 µs a call and gives up bounds, lifetimes and readability; freezing the
data in a closure gives up the compile cache.)
"""

import numpy as np
from numba import njit

from envs.fills import bracket_exit, bracket_levels, market_price, order_quantity
from envs.lanes import (
    AMBIGUOUS,
    CASH,
    ENTRY_BAR,
    ENTRY_FEE,
    ENTRY_FILL,
    ENTRY_MID,
    ENTRY_PRICE,
    ENTRY_ROW,
    EQUITY,
    EXIT_BAR,
    EXIT_FILL,
    FEES,
    FRESH,
    GROSS_PNL,
    HALF_SPREAD,
    HALTED,
    HELD,
    INITIAL,
    LEVERAGE,
    MAKER_FEE,
    MAX_DRAWDOWN,
    PEAK,
    PHASE,
    QTY,
    REASON,
    REFUSED,
    REWARD,
    REWARD_SCALE,
    RISK_UNIT,
    ROW,
    RUNNING,
    SHORTABLE,
    SIDE,
    SIZE,
    SPREAD_COST,
    SQUARED_RETURNS,
    STOP,
    STOP_LOSS,
    STOP_OUT,
    TAKE_PROFIT,
    TAKER_FEE,
    TERMINATED,
    TRADE_FEES,
    TRADE_SPREAD,
    TRADES,
    TRUNCATED,
    TTL,
    WINS,
    ExitReason,
)
from envs.observation import ACCOUNT_BOUND

EQUITY_FLOOR = 1e-3
"""The reward's logarithm sees at least this fraction of the initial capital: leverage can take equity below zero."""

BY_TAKE_PROFIT = int(ExitReason.TAKE_PROFIT)
BY_SIGNAL = int(ExitReason.SIGNAL)
BY_TIME_OUT = int(ExitReason.TIME_OUT)
BY_FORCE = int(ExitReason.FORCED)
BY_RUIN = int(ExitReason.RUIN)
BY_END = int(ExitReason.END)
NO_EXIT = int(ExitReason.NONE)

part = njit(cache=True, error_model="numpy", forceinline=True)


@part
def _close_position(i, bar, held, mid, reason, account, clock, terms, trades):
    quantity = account[QTY, i]
    side = 1.0 if quantity > 0.0 else -1.0
    if reason == BY_TAKE_PROFIT:
        price, fee_rate = mid, terms[MAKER_FEE]
    else:
        price, fee_rate = market_price(mid, -side, terms[HALF_SPREAD]), terms[TAKER_FEE]
    size = side * quantity
    fee = size * price * fee_rate
    spread = size * side * (mid - price)
    account[CASH, i] += quantity * price - fee
    account[FEES, i] += fee
    account[SPREAD_COST, i] += spread
    account[QTY, i] = 0.0
    gross = quantity * (mid - account[ENTRY_MID, i])
    fees = account[ENTRY_FEE, i] + fee
    spreads = quantity * (account[ENTRY_PRICE, i] - account[ENTRY_MID, i]) + spread
    record = trades[i, clock[TRADES, i] % trades.shape[1]]
    record[SIDE] = side
    record[SIZE] = size
    record[ENTRY_BAR] = clock[ENTRY_ROW, i]
    record[ENTRY_FILL] = account[ENTRY_PRICE, i]
    record[EXIT_BAR] = bar
    record[EXIT_FILL] = price
    record[REASON] = reason
    record[HELD] = held
    record[GROSS_PNL] = gross
    record[TRADE_FEES] = fees
    record[TRADE_SPREAD] = spreads
    clock[TRADES, i] += 1
    if gross - fees - spreads > 0.0:
        clock[WINS, i] += 1


@part
def _open_position(i, bar, mid, target, tp_bps, sl_bps, ttl, account, clock, terms):
    side = 1.0 if target > 0.0 else -1.0
    price = market_price(mid, side, terms[HALF_SPREAD])
    size = order_quantity(account[CASH, i], min(abs(target), 1.0), price, terms)
    if size == 0.0:
        clock[REFUSED, i] += 1
        return
    quantity = side * size
    fee = size * price * terms[TAKER_FEE]
    account[CASH, i] -= quantity * price + fee
    account[FEES, i] += fee
    account[SPREAD_COST, i] += quantity * (price - mid)
    account[QTY, i] = quantity
    account[ENTRY_PRICE, i] = price
    account[ENTRY_MID, i] = mid
    account[ENTRY_FEE, i] = fee
    take_profit, stop_loss = bracket_levels(price, side, tp_bps, sl_bps, terms)
    account[TAKE_PROFIT, i] = take_profit
    account[STOP_LOSS, i] = stop_loss
    account[TTL, i] = ttl
    distance = side * (price - stop_loss)
    account[RISK_UNIT, i] = distance if distance < np.inf else 0.01 * price
    clock[ENTRY_ROW, i] = bar


@part
def _mark(i, bar, close, account, clock, terms, trades):
    """Value the account at the bar's close, stop it out if it is ruined, and set the step's reward."""
    before = account[EQUITY, i]
    equity = account[CASH, i] + account[QTY, i] * close
    ruined = equity <= terms[STOP_OUT] * account[INITIAL, i] and clock[PHASE, i] != HALTED
    if ruined:
        if account[QTY, i] != 0.0:
            held = bar - clock[ENTRY_ROW, i] + 1
            _close_position(i, bar, held, close, BY_RUIN, account, clock, terms, trades)
            equity = account[CASH, i]
        clock[PHASE, i] = HALTED
    account[EQUITY, i] = equity
    account[REWARD, i] = 0.0
    if equity != before:
        floor = EQUITY_FLOOR * account[INITIAL, i]
        change = np.log(max(equity, floor) / max(before, floor))
        account[REWARD, i] = terms[REWARD_SCALE] * change
        account[SQUARED_RETURNS, i] += change * change
        account[PEAK, i] = max(account[PEAK, i], equity)
        account[MAX_DRAWDOWN, i] = max(account[MAX_DRAWDOWN, i], 1.0 - equity / account[PEAK, i])
    return ruined


@part
def _move_lane(i, account, clock, prices, tradable, terms, orders, trades):
    row = clock[ROW, i]
    bar = row + 1
    open_, high, low, close = prices[bar, 0], prices[bar, 1], prices[bar, 2], prices[bar, 3]
    allowed = tradable[row] and clock[PHASE, i] != HALTED
    target = orders[i, 0] if allowed else 0.0
    if target < 0.0 and terms[SHORTABLE] == 0.0:
        target = 0.0
    ended_here = False
    if account[QTY, i] != 0.0:
        side = 1.0 if account[QTY, i] > 0.0 else -1.0
        reason, mid, _ = bracket_exit(side, open_, open_, open_, account[TAKE_PROFIT, i], account[STOP_LOSS, i])
        held = bar - clock[ENTRY_ROW, i]
        ended_here = reason != NO_EXIT
        if not ended_here:
            if side * target <= 0.0:
                reason = BY_SIGNAL if allowed else BY_FORCE
            elif held >= account[TTL, i]:
                reason = BY_TIME_OUT
                ended_here = True
        if reason != NO_EXIT:
            _close_position(i, bar, held, mid, reason, account, clock, terms, trades)
    if target != 0.0 and account[QTY, i] == 0.0 and not ended_here:
        _open_position(i, bar, open_, target, orders[i, 1], orders[i, 2], orders[i, 3], account, clock, terms)
    if account[QTY, i] != 0.0:
        side = 1.0 if account[QTY, i] > 0.0 else -1.0
        reason, mid, both = bracket_exit(side, open_, high, low, account[TAKE_PROFIT, i], account[STOP_LOSS, i])
        if both:
            clock[AMBIGUOUS, i] += 1
        if reason != NO_EXIT:
            held = bar - clock[ENTRY_ROW, i] + 1
            _close_position(i, bar, held, mid, reason, account, clock, terms, trades)
    ruined = _mark(i, bar, close, account, clock, terms, trades)
    clock[ROW, i] = bar
    finished = bar >= clock[STOP, i] and not ruined
    clock[TERMINATED, i] = ruined
    clock[TRUNCATED, i] = finished
    return ruined or finished


@part
def _bounded(value):
    return min(max(value, -ACCOUNT_BOUND), ACCOUNT_BOUND)


@part
def _observe_lane(i, account, clock, prices, features, terms, observations):
    row = clock[ROW, i]
    width = features.shape[1]
    # Unsigned indices spare the wraparound check, without which the copy does not vectorise.
    source, target = np.uint64(row), np.uint64(i)
    for j in range(np.uint64(width)):
        observations[target, j] = features[source, j]
    close = prices[row, 3]
    equity = max(account[EQUITY, i], EQUITY_FLOOR * account[INITIAL, i])
    side, exposure, unrealised, to_take_profit, to_stop, held = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    quantity = account[QTY, i]
    if quantity != 0.0:
        side = 1.0 if quantity > 0.0 else -1.0
        unit = account[RISK_UNIT, i]
        exposure = side * quantity * close / (equity * terms[LEVERAGE])
        unrealised = side * (close - account[ENTRY_PRICE, i]) / unit
        to_take_profit = side * (account[TAKE_PROFIT, i] - close) / unit
        to_take_profit = to_take_profit if to_take_profit < np.inf else 0.0
        to_stop = side * (close - account[STOP_LOSS, i]) / unit
        to_stop = to_stop if to_stop < np.inf else 0.0
        held = (row - clock[ENTRY_ROW, i] + 1) / account[TTL, i]
    observations[i, width] = side
    observations[i, width + 1] = _bounded(exposure)
    observations[i, width + 2] = _bounded(unrealised)
    observations[i, width + 3] = _bounded(to_take_profit)
    observations[i, width + 4] = _bounded(to_stop)
    observations[i, width + 5] = held
    observations[i, width + 6] = _bounded(np.log(equity / account[INITIAL, i]))
    observations[i, width + 7] = _bounded(1.0 - equity / account[PEAK, i])
    observations[i, width + 8] = _bounded((np.log10(equity) - 3.5) / 1.5)


@njit(cache=True, error_model="numpy", nogil=True)
def step_lanes(account, clock, prices, tradable, features, terms, orders, observations, trades):
    """Move every lane one bar (a FRESH lane only shows its first row); returns how many episodes ended.

    account, clock, trades  LaneState's arrays for N lanes, updated in place; rewards and end flags are rows of them
    prices, tradable, features  a Market's prices (T, 5), tradable (T,) and observations (T, C)
    terms         float64 (12,), `trading_terms`
    orders        float64 (N, 4): target in [-1, 1], tp_bps, sl_bps, ttl_bars (inf: none)
    observations  float32 (N, C + 9), written; or (0, C + 9): not wanted

    No lane may stand at the last row of the market.
    """
    ended = 0
    watched = observations.shape[0] > 0
    for i in range(account.shape[1]):
        if clock[PHASE, i] == FRESH:
            clock[PHASE, i] = RUNNING
            account[REWARD, i] = 0.0
            clock[TERMINATED, i] = 0
            clock[TRUNCATED, i] = 0
        elif _move_lane(i, account, clock, prices, tradable, terms, orders, trades):
            ended += 1
        if watched:
            _observe_lane(i, account, clock, prices, features, terms, observations)
    return ended


@njit(cache=True, error_model="numpy", nogil=True)
def replay_orders(account, clock, prices, tradable, features, terms, orders, unwatched, trades, equity, position):
    """`step_lanes` for each of S rows of orders (S, N, 4); equity and position (S, N) take every close.

    `unwatched` is an empty float32 (0, C + 9): a replay looks at no observations.
    """
    for step in range(orders.shape[0]):
        step_lanes(account, clock, prices, tradable, features, terms, orders[step], unwatched, trades)
        equity[step, :] = account[EQUITY]
        position[step, :] = account[QTY]


@njit(cache=True, error_model="numpy", nogil=True)
def close_lanes(account, clock, prices, terms, trades):
    """Close every open position at the close of its lane's row, by market order: the end of the data."""
    for i in range(account.shape[1]):
        if account[QTY, i] != 0.0:
            row = clock[ROW, i]
            held = row - clock[ENTRY_ROW, i] + 1
            _close_position(i, row, held, prices[row, 3], BY_END, account, clock, terms, trades)
            _mark(i, row, prices[row, 3], account, clock, terms, trades)
