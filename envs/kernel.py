"""The step of the market: every lane moves one bar. The env, the vector env and the backtest all call `step_lanes`.

Order of events as a lane goes from row t (whose close it has seen) to bar t+1:

1. At the open, the resting bracket meets the first price (stop at the open, take-profit at its level).
2. At the open, by market order, a position that is not wanted, not allowed or out of time is closed.
3. At the open, by market order, the wanted position is entered, unless a bracket or a time-out ended one in this bar.
4. Inside the bar, the bracket meets [low, high], stop first.
5. At the close, the account is marked; at or under the stop-out level it is closed and the episode is terminated.

Arguments are few because each array costs a call 50-200 ns: a lane's state is two arrays whatever its fields, all terms
are one, results are rows of the state. (A table of addresses would save 0.2 µs a call and give up bounds and lifetimes;
freezing the market in a closure would give up the compile cache.)
"""

import math

import numpy as np

from envs import lanes
from envs.accounting import close_position, mark_account, open_account, open_position, side_of
from envs.compiled import inlined, kernel
from envs.observation import ACCOUNT_BOUND
from envs.prefetch import prefetch_row
from features.brackets import bracket_exit

_LN_10 = math.log(10.0)

_LOOK_AHEAD = 32
"""Lanes between asking for a lane's next row and reading it: about one memory latency of work."""


@kernel
def step_lanes(
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    tradable: np.ndarray,
    features: np.ndarray,
    terms: np.ndarray,
    orders: np.ndarray,
    observations: np.ndarray,
    trades: np.ndarray,
) -> int:
    """Move every lane one bar (a FRESH lane only shows its first row); returns how many episodes ended.

    account, clock, trades  LaneState's arrays for N lanes, updated in place; rewards and end flags are rows of them
    prices, tradable, features  a Market's prices (T, 5), tradable (T,) and observations (T, C)
    terms         float64 (12,), `lanes.trading_terms`
    orders        float64 (N, 4): target in [-1, 1], tp_bps, sl_bps, ttl_bars (inf: none)
    observations  float32 (N, C + 9), written; or (0, C + 9) when nobody looks

    No lane may stand at the market's last row.
    """
    ended = 0
    count = orders.shape[0]
    watched = observations.shape[0] > 0
    for i in range(count):
        if i + _LOOK_AHEAD < count:
            coming = clock[lanes.ROW, i + _LOOK_AHEAD] + 1
            prefetch_row(prices, coming)
            if watched:
                prefetch_row(features, coming)
        if clock[lanes.PHASE, i] == lanes.FRESH:
            clock[lanes.PHASE, i] = lanes.RUNNING
            account[lanes.REWARD, i] = 0.0
            clock[lanes.TERMINATED, i] = 0
            clock[lanes.TRUNCATED, i] = 0
        elif _move_lane(i, account, clock, prices, tradable, terms, orders[i], trades):
            ended += 1
        if watched:
            _observe_lane(i, account, clock, prices, features, terms, observations[i])
    return ended


@inlined
def _move_lane(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    tradable: np.ndarray,
    terms: np.ndarray,
    order: np.ndarray,
    trades: np.ndarray,
) -> bool:
    """Steps 1 to 5 for lane i; whether its episode ended."""
    row = clock[lanes.ROW, i]
    bar = row + 1
    open_, high, low, close = prices[bar, 0], prices[bar, 1], prices[bar, 2], prices[bar, 3]
    allowed = tradable[row] and clock[lanes.PHASE, i] != lanes.HALTED
    target = order[0] if allowed and (order[0] > 0.0 or terms[lanes.SHORTABLE] != 0.0) else 0.0
    ended_here = False
    if account[lanes.QTY, i] != 0.0:
        side = side_of(account[lanes.QTY, i])
        take_profit, stop_loss = account[lanes.TAKE_PROFIT, i], account[lanes.STOP_LOSS, i]
        reason, mid, _ = bracket_exit(side, open_, open_, open_, take_profit, stop_loss)
        held = bar - clock[lanes.ENTRY_ROW, i]
        ended_here = reason != lanes.NO_EXIT
        if not ended_here:
            if side * target <= 0.0:
                reason = lanes.BY_SIGNAL if allowed else lanes.BY_FORCE
            elif held >= account[lanes.TTL, i]:
                reason = lanes.BY_TIME_OUT
                ended_here = True
        if reason != lanes.NO_EXIT:
            close_position(i, bar, held, mid, reason, account, clock, terms, trades)
    if target != 0.0 and account[lanes.QTY, i] == 0.0 and not ended_here:
        open_position(i, bar, open_, order, account, clock, terms)
    if account[lanes.QTY, i] != 0.0:
        side = side_of(account[lanes.QTY, i])
        take_profit, stop_loss = account[lanes.TAKE_PROFIT, i], account[lanes.STOP_LOSS, i]
        reason, mid, both = bracket_exit(side, open_, high, low, take_profit, stop_loss)
        if reason != lanes.NO_EXIT:
            clock[lanes.AMBIGUOUS, i] += both
            held = bar - clock[lanes.ENTRY_ROW, i] + 1
            close_position(i, bar, held, mid, reason, account, clock, terms, trades)
    ruined = mark_account(i, bar, close, account, clock, terms, trades)
    finished = bar >= clock[lanes.LAST_ROW, i] and not ruined
    clock[lanes.ROW, i] = bar
    clock[lanes.TERMINATED, i] = ruined
    clock[lanes.TRUNCATED, i] = finished
    return ruined or finished


@inlined
def _observe_lane(
    i: int,
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    features: np.ndarray,
    terms: np.ndarray,
    observation: np.ndarray,
) -> None:
    """Write lane i's market row and, after it, `observation.ACCOUNT_COLUMNS` in their order."""
    row = clock[lanes.ROW, i]
    width = features.shape[1]
    source = np.uint64(row)  # unsigned: without a wraparound check the copy vectorises
    for j in range(np.uint64(width)):
        observation[j] = features[source, j]
    close = prices[row, 3]
    equity = account[lanes.EQUITY, i]
    side, exposure, unrealised, to_take_profit, to_stop, held = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    quantity = account[lanes.QTY, i]
    if quantity != 0.0:
        side = side_of(quantity)
        per_unit = 1.0 / account[lanes.RISK_UNIT, i]
        exposure = side * quantity * close / (equity * terms[lanes.LEVERAGE])
        unrealised = side * (close - account[lanes.ENTRY_PRICE, i]) * per_unit
        to_take_profit = side * (account[lanes.TAKE_PROFIT, i] - close) * per_unit
        to_stop = side * (close - account[lanes.STOP_LOSS, i]) * per_unit
        held = (row - clock[lanes.ENTRY_ROW, i] + 1) / account[lanes.TTL, i]
    observation[width] = side
    observation[width + 1] = _bounded(exposure)
    observation[width + 2] = _bounded(unrealised)
    observation[width + 3] = _bounded(to_take_profit if to_take_profit < np.inf else 0.0)
    observation[width + 4] = _bounded(to_stop if to_stop < np.inf else 0.0)
    observation[width + 5] = held
    observation[width + 6] = _bounded(account[lanes.LOG_EQUITY, i] - account[lanes.LOG_INITIAL, i])
    observation[width + 7] = _bounded(1.0 - equity / account[lanes.PEAK, i])
    observation[width + 8] = _bounded((account[lanes.LOG_EQUITY, i] / _LN_10 - 3.5) / 1.5)


@inlined
def _bounded(value: float) -> float:
    return min(max(value, -ACCOUNT_BOUND), ACCOUNT_BOUND)


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
    tradable: np.ndarray,
    features: np.ndarray,
    terms: np.ndarray,
    orders: np.ndarray,
    unwatched: np.ndarray,
    trades: np.ndarray,
    equity: np.ndarray,
    position: np.ndarray,
) -> None:
    """`step_lanes` for each of S rows of `orders` (S, N, 4); `equity` and `position` (S, N) take every close.

    `unwatched` is an empty float32 (0, C + 9): a replay looks at no observations.
    """
    for step in range(orders.shape[0]):
        step_lanes(account, clock, prices, tradable, features, terms, orders[step], unwatched, trades)
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
            close_position(i, row, held, prices[row, 3], lanes.BY_END, account, clock, terms, trades)
            mark_account(i, row, prices[row, 3], account, clock, terms, trades)
