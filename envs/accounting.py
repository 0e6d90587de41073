"""What fills do to an account: open, close and mark the position of one lane. Compiled parts of `envs.kernel`."""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.compiled import inlined
from envs.fills import (
    entry_fill,
    entry_size,
    exit_fill,
    is_win,
    liquidation_price,
    opened,
    order_quantity,
    side_of,
    unit_notional,
    whole_lots,
    worth,
)
from envs.rewards import step_reward
from features.maths import log
from features.vector_memory import load, store
from features.vectors import larger, select

EQUITY_FLOOR = 1e-3
"""Logarithms see at least this fraction of the initial capital: leverage can take equity below zero."""


@inlined
def open_account(i: int, initial: float, start: int, stop: int, account: np.ndarray, clock: np.ndarray) -> None:
    """Wipe lane i and let it begin at row `start` with `initial` in cash; it only shows that row in its first step."""
    for j in range(lanes.ACCOUNT_ROWS):
        account[j, i] = 0.0
    for j in range(lanes.CLOCK_ROWS):
        clock[j, i] = 0
    account[lanes.CASH, i] = initial
    account[lanes.EQUITY, i] = initial
    account[lanes.PEAK, i] = initial
    account[lanes.INITIAL, i] = initial
    account[lanes.LOG_EQUITY, i] = log(initial)
    account[lanes.LOG_INITIAL, i] = log(initial)
    clock[lanes.ROW, i] = start
    clock[lanes.FIRST_ROW, i] = start
    clock[lanes.LAST_ROW, i] = stop
    clock[lanes.PHASE, i] = lanes.FRESH
    clock[lanes.DAY, i] = -1


@inlined
def enter_at_market(
    i: int,
    bar: int,
    mid: float,
    arrival: float,
    half_spread: float,
    impact: float,
    budget: float,
    order: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
) -> float:
    """Enter lane i, flat, at `arrival` moved by half-spread and impact; returns the size that was filled."""
    side = side_of(order[0])
    size, _, wanted = entry_size(account[lanes.CASH, i], order[0], arrival, half_spread, impact, budget, terms)
    clock[lanes.PARTIAL, i] += wanted > budget and size > 0.0
    if size == 0.0:
        clock[lanes.REFUSED, i] += 1
        return 0.0
    price, spread, impact_cost = entry_fill(side, size, mid, arrival, half_spread, impact, terms)
    enter(
        i,
        bar,
        side,
        size,
        price,
        mid,
        terms[T.TAKER_FEE],
        spread,
        impact_cost,
        order[1],
        order[2],
        order[3],
        account,
        clock,
        terms,
    )
    return size


@inlined
def enter_at_limit(
    i: int,
    bar: int,
    price: float,
    budget: float,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
) -> float:
    """Fill lane i's resting entry, the lane being flat, as maker at `price`; returns the size that was filled."""
    target = account[lanes.LIMIT_TARGET, i]
    side = side_of(target)
    fraction, fee_rate = min(abs(target), 1.0), max(terms[T.MAKER_FEE], 0.0)
    cash = account[lanes.CASH, i]
    size = order_quantity(cash, fraction, price, fee_rate, np.inf, terms)
    if size > budget:
        size = order_quantity(cash, fraction, price, fee_rate, budget, terms)
        clock[lanes.PARTIAL, i] += size > 0.0
    if size == 0.0:
        clock[lanes.REFUSED, i] += 1
        return 0.0
    tp_bps, sl_bps, ttl = account[lanes.LIMIT_TP, i], account[lanes.LIMIT_SL, i], account[lanes.LIMIT_TTL, i]
    maker = terms[T.MAKER_FEE]
    enter(i, bar, side, size, price, price, maker, 0.0, 0.0, tp_bps, sl_bps, ttl, account, clock, terms)
    return size


@inlined
def enter(
    i: int,
    bar: int,
    side: float,
    size: float,
    price: float,
    mid: float,
    fee_rate: float,
    spread: float,
    impact: float,
    tp_bps: float,
    sl_bps: float,
    ttl: float,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Book the fill of a flat lane's entry and set its bracket."""
    cash, fee, take_profit, stop_loss, liquidation, risk_unit = opened(
        account[lanes.CASH, i], side, size, price, fee_rate, tp_bps, sl_bps, terms
    )
    account[lanes.CASH, i] = cash
    account[lanes.FEES, i] += fee
    account[lanes.SPREAD_COST, i] += spread
    account[lanes.IMPACT_COST, i] += impact
    account[lanes.QTY, i] = side * size
    account[lanes.ENTRY_PRICE, i] = price
    account[lanes.ENTRY_MID, i] = mid
    account[lanes.ENTRY_FEE, i] = fee
    account[lanes.ENTRY_SPREAD, i] = spread
    account[lanes.ENTRY_IMPACT, i] = impact
    account[lanes.FUNDING, i] = 0.0
    account[lanes.TAKE_PROFIT, i] = take_profit
    account[lanes.STOP_LOSS, i] = stop_loss
    account[lanes.LIQUIDATION, i] = liquidation
    account[lanes.BEST, i] = price
    account[lanes.TTL, i] = ttl
    account[lanes.RISK_UNIT, i] = risk_unit
    clock[lanes.ENTRY_ROW, i] = bar
    clock[lanes.CLOSING, i] = lanes.NO_EXIT
    clock[lanes.DAY_ENTRIES, i] += 1


@inlined
def pay_funding(i: int, open_: float, rate: float, account: np.ndarray, terms: np.ndarray) -> None:
    """Settle funding at the open of a bar: longs pay `rate` of the position's value, shorts receive it."""
    quantity = account[lanes.QTY, i]
    paid = quantity * unit_notional(open_, terms) * rate
    account[lanes.CASH, i] -= paid
    account[lanes.FUNDING, i] += paid
    account[lanes.FUNDING_COST, i] += paid
    account[lanes.LIQUIDATION, i] = liquidation_price(account[lanes.CASH, i], quantity, terms)


@inlined
def close_position(
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
    """Close lane i's position as far as `budget` allows and record the exit; returns the size that was filled.

    What is left of a market exit stays marked as CLOSING.
    """
    quantity = account[lanes.QTY, i]
    side = side_of(quantity)
    held_size = side * quantity
    size = held_size
    if size > budget:
        size = whole_lots(budget, terms)
        clock[lanes.PARTIAL, i] += size > 0.0
        if reason != lanes.BY_TAKE_PROFIT:
            clock[lanes.CLOSING, i] = reason
        if size <= 0.0:
            return 0.0
    part = size / held_size if size < held_size else 1.0
    price, proceeds, fee, spread, impact_cost, gross = exit_fill(
        side, size, account[lanes.ENTRY_MID, i], mid, arrival, half_spread, impact, reason, terms
    )
    account[lanes.CASH, i] += proceeds
    account[lanes.FEES, i] += fee
    account[lanes.SPREAD_COST, i] += spread
    account[lanes.IMPACT_COST, i] += impact_cost
    fees = part * account[lanes.ENTRY_FEE, i] + fee
    spreads = part * account[lanes.ENTRY_SPREAD, i] + spread
    impacts = part * account[lanes.ENTRY_IMPACT, i] + impact_cost
    funding = part * account[lanes.FUNDING, i]
    _record(i, bar, held, side, size, price, reason, gross, fees, spreads, impacts, funding, account, clock, trades)
    left = 1.0 - part
    account[lanes.ENTRY_FEE, i] *= left
    account[lanes.ENTRY_SPREAD, i] *= left
    account[lanes.ENTRY_IMPACT, i] *= left
    account[lanes.FUNDING, i] *= left
    account[lanes.QTY, i] = side * (held_size - size) if size < held_size else 0.0
    if size < held_size:
        account[lanes.LIQUIDATION, i] = liquidation_price(account[lanes.CASH, i], account[lanes.QTY, i], terms)
    else:
        clock[lanes.CLOSING, i] = lanes.NO_EXIT
    return size


@inlined
def _record(
    i: int,
    bar: int,
    held: int,
    side: float,
    size: float,
    price: float,
    reason: int,
    gross: float,
    fees: float,
    spread: float,
    impact: float,
    funding: float,
    account: np.ndarray,
    clock: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Write an exit into lane i's ring and count it."""
    if trades.shape[1] > 0:
        # A remainder is a division; one slot needs none.
        slot = clock[lanes.TRADES, i] % trades.shape[1] if trades.shape[1] > 1 else 0
        record = trades[i, slot]
        record[lanes.SIDE] = side
        record[lanes.SIZE] = size
        record[lanes.ENTRY_BAR] = clock[lanes.ENTRY_ROW, i]
        record[lanes.ENTRY_FILL] = account[lanes.ENTRY_PRICE, i]
        record[lanes.EXIT_BAR] = bar
        record[lanes.EXIT_FILL] = price
        record[lanes.REASON] = reason
        record[lanes.HELD] = held
        record[lanes.GROSS_PNL] = gross
        record[lanes.TRADE_FEES] = fees
        record[lanes.TRADE_SPREAD] = spread
        record[lanes.TRADE_IMPACT] = impact
        record[lanes.TRADE_FUNDING] = funding
    clock[lanes.TRADES, i] += 1
    if is_win(gross, fees, spread, impact, funding):
        clock[lanes.WINS, i] += 1
        clock[lanes.STREAK, i] = 0
    else:
        clock[lanes.STREAK, i] += 1
    if reason == lanes.BY_LIQUIDATION:
        clock[lanes.LIQUIDATED, i] += 1


@inlined
def mark_account(
    i: int,
    bar: int,
    close: float,
    half_spread: float,
    impact: float,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Value lane i at the bar's close and set the step's reward; whether that ruined (and so closed) the account."""
    ruined = value_account(i, bar, close, half_spread, impact, account, clock, terms, trades)
    measure_account(i, close, account, terms)
    return ruined


@inlined
def value_account(
    i: int,
    bar: int,
    close: float,
    half_spread: float,
    impact: float,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Value lane i at the bar's close; whether that ruined (and so closed) the account.

    The equity before is left where the reward goes, for `measure_account` or `measure_together`, which must follow.
    """
    account[lanes.REWARD, i] = account[lanes.EQUITY, i]
    equity = account[lanes.CASH, i] + position_value(i, close, account, terms)
    ruined = equity <= terms[T.STOP_OUT] * account[lanes.INITIAL, i] and clock[lanes.PHASE, i] != lanes.HALTED
    if ruined:
        if account[lanes.QTY, i] != 0.0:
            held = bar - clock[lanes.ENTRY_ROW, i] + 1
            close_position(
                i, bar, held, close, close, half_spread, impact, np.inf, lanes.BY_RUIN, account, clock, terms, trades
            )
            equity = account[lanes.CASH, i]
        clock[lanes.PHASE, i] = lanes.HALTED
    account[lanes.EQUITY, i] = equity
    return ruined


@inlined
def measure_account(i: int, close: float, account: np.ndarray, terms: np.ndarray) -> None:
    """What the step did to lane i's equity: log return, drawdown, reward."""
    before, equity = account[lanes.REWARD, i], account[lanes.EQUITY, i]
    if equity == before:  # what follows would change nothing
        account[lanes.REWARD, i] = step_reward(i, 0.0, 0.0, close, account, terms)
        return
    log_equity = log(max(equity, EQUITY_FLOOR * account[lanes.INITIAL, i]))
    change = log_equity - account[lanes.LOG_EQUITY, i]
    account[lanes.LOG_EQUITY, i] = log_equity
    account[lanes.SQUARED_RETURNS, i] += change * change
    peak = max(account[lanes.PEAK, i], equity)
    account[lanes.PEAK, i] = peak
    account[lanes.MAX_DRAWDOWN, i] = max(account[lanes.MAX_DRAWDOWN, i], 1.0 - equity / peak)
    # Against the same peak where it stands; a new peak deepens nothing.
    deeper = max(before - equity, 0.0) / peak
    account[lanes.REWARD, i] = step_reward(i, change, deeper, close, account, terms)


@inlined
def measure_together(i: int, account: np.ndarray, clock: np.ndarray, terms: np.ndarray) -> None:
    """`measure_account`, to the last bit, of the WIDTH lanes from i on where the reward is the change in log equity.

    FRESH lanes become RUNNING ones; where nothing moved nothing else changes.
    """
    equity, before = load(account, lanes.EQUITY, i), load(account, lanes.LOG_EQUITY, i)
    log_equity = log(larger(equity, EQUITY_FLOOR * load(account, lanes.INITIAL, i)))
    change = log_equity - before
    phase = load(clock, lanes.PHASE, i)
    peak = larger(load(account, lanes.PEAK, i), equity)
    store(account, lanes.REWARD, i, select(phase == lanes.FRESH, 0.0, terms[T.REWARD_SCALE] * change))
    store(account, lanes.LOG_EQUITY, i, log_equity)
    store(account, lanes.SQUARED_RETURNS, i, load(account, lanes.SQUARED_RETURNS, i) + change * change)
    store(account, lanes.PEAK, i, peak)
    store(account, lanes.MAX_DRAWDOWN, i, larger(load(account, lanes.MAX_DRAWDOWN, i), 1.0 - equity / peak))
    store(clock, lanes.PHASE, i, select(phase == lanes.FRESH, lanes.RUNNING, phase))


@inlined
def position_value(i: int, close: float, account: np.ndarray, terms: np.ndarray) -> float:
    """What lane i's position adds to its cash at `close`; exactly 0 when flat."""
    quantity = account[lanes.QTY, i]
    return quantity * worth(close, terms) if quantity != 0.0 else 0.0
