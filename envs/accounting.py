"""What fills do to an account: open, close and mark the position of one lane. Compiled parts of `envs.kernel`."""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.compiled import inlined
from envs.fills import impact_fraction, liquidation_price, order_quantity, unit_notional, whole_lots, worth
from envs.rewards import step_reward
from features.brackets import bracket_levels, market_price
from features.maths import log

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
    """Enter lane i, flat, at `arrival` moved by half-spread and impact; returns the size that was filled.

    The size that fits the price without impact sets the impact by which the final size is found, which pays its own.
    """
    side = side_of(order[0])
    fraction, fee_rate = min(abs(order[0]), 1.0), terms[T.TAKER_FEE]
    cash = account[lanes.CASH, i]
    before = market_price(arrival, side, half_spread)
    size = order_quantity(cash, fraction, before, fee_rate, np.inf, terms)
    worst = before
    if terms[T.IMPACT] > 0.0 and size > 0.0:
        allowed = size if size <= budget else whole_lots(budget, terms)
        worst = market_price(arrival, side, half_spread + impact_fraction(allowed, impact, terms))
        size = order_quantity(cash, fraction, worst, fee_rate, np.inf, terms)
    if size > budget:
        size = order_quantity(cash, fraction, worst, fee_rate, budget, terms)
        clock[lanes.PARTIAL, i] += size > 0.0
    if size == 0.0:
        clock[lanes.REFUSED, i] += 1
        return 0.0
    price = market_price(arrival, side, half_spread + impact_fraction(size, impact, terms))
    spread = side * size * (worth(before, terms) - worth(arrival, terms))
    total = side * size * (worth(price, terms) - worth(mid, terms))
    enter(
        i,
        bar,
        side,
        size,
        price,
        mid,
        fee_rate,
        spread,
        total - spread,
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
    quantity = side * size
    fee = size * unit_notional(price, terms) * fee_rate
    account[lanes.CASH, i] -= quantity * worth(price, terms) + fee
    account[lanes.FEES, i] += fee
    account[lanes.SPREAD_COST, i] += spread
    account[lanes.IMPACT_COST, i] += impact
    account[lanes.QTY, i] = quantity
    account[lanes.ENTRY_PRICE, i] = price
    account[lanes.ENTRY_MID, i] = mid
    account[lanes.ENTRY_FEE, i] = fee
    account[lanes.ENTRY_SPREAD, i] = spread
    account[lanes.ENTRY_IMPACT, i] = impact
    account[lanes.FUNDING, i] = 0.0
    take_profit, stop_loss = bracket_levels(
        price, side, tp_bps, sl_bps, terms[T.TICK_NUMERATOR], terms[T.TICK_DENOMINATOR]
    )
    account[lanes.TAKE_PROFIT, i] = take_profit
    account[lanes.STOP_LOSS, i] = stop_loss
    account[lanes.LIQUIDATION, i] = liquidation_price(account[lanes.CASH, i], quantity, terms)
    account[lanes.BEST, i] = price
    account[lanes.TTL, i] = ttl
    distance = side * (price - stop_loss)
    account[lanes.RISK_UNIT, i] = distance if distance < np.inf else 0.01 * price
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

    A take-profit fills at `mid` itself, as maker; anything else at `arrival` moved by half-spread and impact, as taker.
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
    price, fee_rate, spread, impact_cost = mid, terms[T.MAKER_FEE], 0.0, 0.0
    if reason != lanes.BY_TAKE_PROFIT:
        before = market_price(arrival, -side, half_spread)
        price = market_price(arrival, -side, half_spread + impact_fraction(size, impact, terms))
        fee_rate = terms[T.TAKER_FEE] + (terms[T.LIQUIDATION_FEE] if reason == lanes.BY_LIQUIDATION else 0.0)
        spread = side * size * (worth(arrival, terms) - worth(before, terms))
        impact_cost = side * size * (worth(mid, terms) - worth(price, terms)) - spread
    fee = size * unit_notional(price, terms) * fee_rate
    account[lanes.CASH, i] += side * size * worth(price, terms) - fee
    account[lanes.FEES, i] += fee
    account[lanes.SPREAD_COST, i] += spread
    account[lanes.IMPACT_COST, i] += impact_cost
    gross = side * size * (worth(mid, terms) - worth(account[lanes.ENTRY_MID, i], terms))
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
    # A remainder is a division; one slot, as training has, needs none.
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
    if gross - fees - spread - impact - funding > 0.0:
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

    The equity before is left where the reward goes, for `measure_account` or `measure_lanes`, which must follow.
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
def measure_lanes(count: int, account: np.ndarray, terms: np.ndarray) -> None:
    """`measure_account`, to the last bit, of the first `count` lanes whose reward is the change in log equity.

    Many short loops over rows, which become vector instructions (one loop would have to prove too many rows apart);
    where nothing moved they change nothing.
    """
    for k in range(np.uint64(count)):
        account[lanes.REWARD, k] = log(max(account[lanes.EQUITY, k], EQUITY_FLOOR * account[lanes.INITIAL, k]))
    for k in range(np.uint64(count)):
        change = account[lanes.REWARD, k] - account[lanes.LOG_EQUITY, k]
        account[lanes.SQUARED_RETURNS, k] += change * change
    for k in range(np.uint64(count)):
        log_equity = account[lanes.REWARD, k]
        account[lanes.REWARD, k] = terms[T.REWARD_SCALE] * (log_equity - account[lanes.LOG_EQUITY, k])
        account[lanes.LOG_EQUITY, k] = log_equity
    for k in range(np.uint64(count)):
        account[lanes.PEAK, k] = max(account[lanes.PEAK, k], account[lanes.EQUITY, k])
    for k in range(np.uint64(count)):
        drawdown = 1.0 - account[lanes.EQUITY, k] / account[lanes.PEAK, k]
        account[lanes.MAX_DRAWDOWN, k] = max(account[lanes.MAX_DRAWDOWN, k], drawdown)


@inlined
def position_value(i: int, close: float, account: np.ndarray, terms: np.ndarray) -> float:
    """What lane i's position adds to its cash at `close`; exactly 0 when flat."""
    quantity = account[lanes.QTY, i]
    return quantity * worth(close, terms) if quantity != 0.0 else 0.0
