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
    equity = account[lanes.EQUITY, i]
    side, exposure, unrealised, to_take_profit, to_stop, held = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    quantity = account[lanes.QTY, i]
    if quantity != 0.0:
        side = 1.0 if quantity > 0.0 else -1.0
        per_unit = 1.0 / account[lanes.RISK_UNIT, i]
        exposure = side * quantity * unit_notional(close, terms) / equity * terms[T.MARGIN]
        unrealised = side * (close - account[lanes.ENTRY_PRICE, i]) * per_unit
        to_take_profit = side * (account[lanes.TAKE_PROFIT, i] - close) * per_unit
        to_stop = side * (close - account[lanes.STOP_LOSS, i]) * per_unit
        held = (row - clock[lanes.ENTRY_ROW, i] + 1) / account[lanes.TTL, i]
    log_quote = account[lanes.LOG_EQUITY, i]
    if terms[T.INVERSE] != 0.0:
        log_quote += log(close)
    resting = 0.0
    if account[lanes.LIMIT_PRICE, i] != 0.0:
        resting = 1.0 if account[lanes.LIMIT_TARGET, i] > 0.0 else -1.0
    observation[width] = side
    observation[width + 1] = _bounded(exposure)
    observation[width + 2] = _bounded(unrealised)
    observation[width + 3] = _bounded(to_take_profit if to_take_profit < np.inf else 0.0)
    observation[width + 4] = _bounded(to_stop if to_stop < np.inf else 0.0)
    observation[width + 5] = _bounded(held)
    observation[width + 6] = _bounded(account[lanes.LOG_EQUITY, i] - account[lanes.LOG_INITIAL, i])
    observation[width + 7] = _bounded(1.0 - equity / account[lanes.PEAK, i])
    observation[width + 8] = _bounded(log_quote * (1.0 / (1.5 * _LN_10)) - 3.5 / 1.5)
    observation[width + 9] = resting
    observation[width + 10] = 0.5 * clock[lanes.RISK_STATE, i]


@inlined
def _bounded(value: float) -> float:
    return min(max(value, -ACCOUNT_BOUND), ACCOUNT_BOUND)
