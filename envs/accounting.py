"""What fills do to an account: open, close and mark the position of one lane. Compiled parts of `envs.kernel`."""

import numpy as np

from envs import lanes
from envs.compiled import inlined
from envs.fills import order_quantity
from features.brackets import bracket_levels, market_price

EQUITY_FLOOR = 1e-3
"""Logarithms see at least this fraction of the initial capital: leverage can take equity below zero."""


@inlined
def side_of(quantity: float) -> float:
    """+1.0 for a long, -1.0 for a short position."""
    return 1.0 if quantity > 0.0 else -1.0


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
    account[lanes.LOG_EQUITY, i] = np.log(initial)
    account[lanes.LOG_INITIAL, i] = np.log(initial)
    clock[lanes.ROW, i] = start
    clock[lanes.FIRST_ROW, i] = start
    clock[lanes.LAST_ROW, i] = stop
    clock[lanes.PHASE, i] = lanes.FRESH


@inlined
def open_position(
    i: int, bar: int, mid: float, order: np.ndarray, account: np.ndarray, clock: np.ndarray, terms: np.ndarray
) -> None:
    """Enter lane i at market against `mid` as its flat account allows; a size that is too small counts as refused."""
    target = order[0]
    side = side_of(target)
    price = market_price(mid, side, terms[lanes.HALF_SPREAD])
    size = order_quantity(account[lanes.CASH, i], min(abs(target), 1.0), price, terms)
    if size == 0.0:
        clock[lanes.REFUSED, i] += 1
        return
    quantity = side * size
    fee = size * price * terms[lanes.TAKER_FEE]
    account[lanes.CASH, i] -= quantity * price + fee
    account[lanes.FEES, i] += fee
    account[lanes.SPREAD_COST, i] += quantity * (price - mid)
    account[lanes.QTY, i] = quantity
    account[lanes.ENTRY_PRICE, i] = price
    account[lanes.ENTRY_MID, i] = mid
    account[lanes.ENTRY_FEE, i] = fee
    take_profit, stop_loss = bracket_levels(
        price, side, order[1], order[2], terms[lanes.TICK_NUMERATOR], terms[lanes.TICK_DENOMINATOR]
    )
    account[lanes.TAKE_PROFIT, i] = take_profit
    account[lanes.STOP_LOSS, i] = stop_loss
    account[lanes.TTL, i] = order[3]
    distance = side * (price - stop_loss)
    account[lanes.RISK_UNIT, i] = distance if distance < np.inf else 0.01 * price
    clock[lanes.ENTRY_ROW, i] = bar


@inlined
def close_position(
    i: int,
    bar: int,
    held: int,
    mid: float,
    reason: int,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Close lane i's position against `mid` (a take-profit at `mid` itself, as maker) and write its trade record."""
    quantity = account[lanes.QTY, i]
    side = side_of(quantity)
    price, fee_rate = mid, terms[lanes.MAKER_FEE]
    if reason != lanes.BY_TAKE_PROFIT:
        price, fee_rate = market_price(mid, -side, terms[lanes.HALF_SPREAD]), terms[lanes.TAKER_FEE]
    size = side * quantity
    fee = size * price * fee_rate
    spread = quantity * (mid - price)
    account[lanes.CASH, i] += quantity * price - fee
    account[lanes.FEES, i] += fee
    account[lanes.SPREAD_COST, i] += spread
    account[lanes.QTY, i] = 0.0
    gross = quantity * (mid - account[lanes.ENTRY_MID, i])
    fees = account[lanes.ENTRY_FEE, i] + fee
    spreads = quantity * (account[lanes.ENTRY_PRICE, i] - account[lanes.ENTRY_MID, i]) + spread
    record = trades[i, clock[lanes.TRADES, i] % trades.shape[1]]
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
    record[lanes.TRADE_SPREAD] = spreads
    clock[lanes.TRADES, i] += 1
    if gross - fees - spreads > 0.0:
        clock[lanes.WINS, i] += 1


@inlined
def mark_account(
    i: int,
    bar: int,
    close: float,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Value lane i at the bar's close and set the step's reward; whether that ruined (and so closed) the account."""
    before = account[lanes.EQUITY, i]
    initial = account[lanes.INITIAL, i]
    equity = account[lanes.CASH, i] + account[lanes.QTY, i] * close
    ruined = equity <= terms[lanes.STOP_OUT] * initial and clock[lanes.PHASE, i] != lanes.HALTED
    if ruined:
        if account[lanes.QTY, i] != 0.0:
            held = bar - clock[lanes.ENTRY_ROW, i] + 1
            close_position(i, bar, held, close, lanes.BY_RUIN, account, clock, terms, trades)
            equity = account[lanes.CASH, i]
        clock[lanes.PHASE, i] = lanes.HALTED
    account[lanes.EQUITY, i] = equity
    account[lanes.REWARD, i] = 0.0
    if equity != before:
        log_equity = np.log(max(equity, EQUITY_FLOOR * initial))
        change = log_equity - account[lanes.LOG_EQUITY, i]
        account[lanes.LOG_EQUITY, i] = log_equity
        account[lanes.REWARD, i] = terms[lanes.REWARD_SCALE] * change
        account[lanes.SQUARED_RETURNS, i] += change * change
        peak = max(account[lanes.PEAK, i], equity)
        account[lanes.PEAK, i] = peak
        account[lanes.MAX_DRAWDOWN, i] = max(account[lanes.MAX_DRAWDOWN, i], 1.0 - equity / peak)
    return ruined
