"""What a policy sees: the market's row followed by its account, in units that do not depend on price or currency."""

import math
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from envs import lanes
from envs import terms as T
from envs.columns import CLOSE
from envs.compiled import inlined
from envs.fills import unit_notional
from features.maths import log
from features.vector_memory import copy_items, gather, integers, load, store_rows
from features.vectors import WIDTH, any_of, larger, select, smaller

if TYPE_CHECKING:
    from envs.market import Market

OBSERVATION_BOUND = 1_000.0
"""Market columns lie within ± this: enough for any scaled feature, far from any raw price."""

ACCOUNT_BOUND = 10.0
"""Account columns are clipped to ± this."""

ACCOUNT_COLUMNS: tuple[str, ...] = (
    "account_side",  # +1 long, -1 short, 0 flat
    "account_exposure",  # position value / (equity × leverage)
    "account_unrealised",  # move since entry in the position's favour, in units of risk
    "account_to_take_profit",  # way left to the take-profit, in the same units (0 when flat or without one)
    "account_to_stop",  # way left to the stop, in the same units (0 when flat or without one)
    "account_held",  # bars held / bars allowed (0 when there is no time-out)
    "account_log_return",  # ln(equity / initial capital)
    "account_drawdown",  # 1 - equity / highest equity of the episode
    "account_capital",  # (log10(equity in quote) - 3.5) / 1.5: -1 at 100, +1 at 100,000 quote units
    "account_resting",  # side of the limit entry that rests, 0 without one
    "account_restricted",  # 0 active, 0.5 nothing may be entered, 1 stopped by a circuit breaker
)


def observation_columns(market: "Market") -> tuple[str, ...]:
    """Names of the D columns that a policy's observation has on `market`."""
    return (*market.columns, *ACCOUNT_COLUMNS)


def observation_space(market: "Market") -> spaces.Box:
    """Box float32 (D,): market columns within ±1000, account columns within ±10."""
    high = np.full(len(market.columns) + len(ACCOUNT_COLUMNS), OBSERVATION_BOUND, dtype=np.float32)
    high[len(market.columns) :] = ACCOUNT_BOUND
    return spaces.Box(-high, high, dtype=np.float32)


_LN_10 = math.log(10.0)


@inlined
def observe_lane(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    features: np.ndarray,
    terms: np.ndarray,
    observation: np.ndarray,
) -> None:
    """Write lane i's market row and, after it, `ACCOUNT_COLUMNS` in their order."""
    row = clock[lanes.ROW, i]
    width = features.shape[1]
    source = np.uint64(row)  # unsigned: without a wraparound check the copy vectorises
    for j in range(np.uint64(width)):
        observation[j] = features[source, j]
    close = prices[row, CLOSE]
    log_quote = account[lanes.LOG_EQUITY, i]
    if terms[T.INVERSE] != 0.0:
        log_quote += log(close)
    columns = _account_columns(
        close,
        account[lanes.QTY, i],
        account[lanes.RISK_UNIT, i],
        account[lanes.ENTRY_PRICE, i],
        account[lanes.TAKE_PROFIT, i],
        account[lanes.STOP_LOSS, i],
        row - clock[lanes.ENTRY_ROW, i] + 1,
        account[lanes.TTL, i],
        account[lanes.EQUITY, i],
        account[lanes.PEAK, i],
        account[lanes.LOG_EQUITY, i] - account[lanes.LOG_INITIAL, i],
        log_quote,
        account[lanes.LIMIT_PRICE, i],
        account[lanes.LIMIT_TARGET, i],
        clock[lanes.RISK_STATE, i],
        terms,
    )
    # Item by item: a tuple that is indexed by a variable lies in memory.
    observation[width], observation[width + 1], observation[width + 2] = columns[0], columns[1], columns[2]
    observation[width + 3], observation[width + 4], observation[width + 5] = columns[3], columns[4], columns[5]
    observation[width + 6], observation[width + 7], observation[width + 8] = columns[6], columns[7], columns[8]
    observation[width + 9], observation[width + 10] = columns[9], columns[10]


@inlined
def observe_together(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    features: np.ndarray,
    terms: np.ndarray,
    observations: np.ndarray,
) -> None:
    """`observe_lane`, to the last bit, of the WIDTH lanes from i on; not for inverse contracts."""
    width = features.shape[1]
    rows = integers(clock, lanes.ROW, i)
    for k in range(WIDTH):
        _copy_row(features, clock[lanes.ROW, np.uint64(i + k)], observations, i + k, width)
    log_equity = load(account, lanes.LOG_EQUITY, i)
    columns = _account_columns(
        gather(prices, rows, 0, CLOSE),
        load(account, lanes.QTY, i),
        load(account, lanes.RISK_UNIT, i),
        load(account, lanes.ENTRY_PRICE, i),
        load(account, lanes.TAKE_PROFIT, i),
        load(account, lanes.STOP_LOSS, i),
        load(clock, lanes.ROW, i) - load(clock, lanes.ENTRY_ROW, i) + 1.0,
        load(account, lanes.TTL, i),
        load(account, lanes.EQUITY, i),
        load(account, lanes.PEAK, i),
        log_equity - load(account, lanes.LOG_INITIAL, i),
        log_equity,
        load(account, lanes.LIMIT_PRICE, i),
        load(account, lanes.LIMIT_TARGET, i),
        load(clock, lanes.RISK_STATE, i),
        terms,
    )
    store_rows(observations, i, width, columns)


@inlined
def _copy_row(features: np.ndarray, row: int, observations: np.ndarray, i: int, width: int) -> None:
    """The first `width` items of a row."""
    whole = width // 16 * 16
    for j in range(0, whole, 16):
        copy_items(features, row, observations, i, j, 16)
    for j in range(whole, width):
        copy_items(features, row, observations, i, j, 1)


@inlined
def _account_columns(
    close: float,
    quantity: float,
    risk_unit: float,
    entry_price: float,
    take_profit: float,
    stop_loss: float,
    bars_held: float,
    ttl: float,
    equity: float,
    peak: float,
    log_return: float,
    log_quote: float,
    limit_price: float,
    limit_target: float,
    risk_state: float,
    terms: np.ndarray,
) -> tuple[float, ...]:
    """`ACCOUNT_COLUMNS`, of numbers or of vectors."""
    open_ = quantity != 0.0
    side = exposure = unrealised = to_take_profit = to_stop = held = select(open_, 0.0, 0.0)
    if any_of(open_):
        side = select(open_, select(quantity > 0.0, 1.0, -1.0), 0.0)
        per_unit = 1.0 / risk_unit
        exposure = select(open_, side * quantity * unit_notional(close, terms) / equity * terms[T.MARGIN], 0.0)
        unrealised = select(open_, side * (close - entry_price) * per_unit, 0.0)
        above, below = side * (take_profit - close) * per_unit, side * (close - stop_loss) * per_unit
        to_take_profit = select(open_ & (above < np.inf), above, 0.0)
        to_stop = select(open_ & (below < np.inf), below, 0.0)
        held = select(open_, bars_held / ttl, 0.0)
    return (
        side,
        _bounded(exposure),
        _bounded(unrealised),
        _bounded(to_take_profit),
        _bounded(to_stop),
        _bounded(held),
        _bounded(log_return),
        _bounded(1.0 - equity / peak),
        _bounded(log_quote * (1.0 / (1.5 * _LN_10)) - 3.5 / 1.5),
        select(limit_price != 0.0, select(limit_target > 0.0, 1.0, -1.0), 0.0),
        0.5 * risk_state,
    )


@inlined
def _bounded(value: float) -> float:
    return smaller(larger(value, -ACCOUNT_BOUND), ACCOUNT_BOUND)
