"""The perfect-foresight bound: the most that trading at bar opens could have earned net of the same costs.

Nobody can trade so; the bound says how much there was to be had, and a policy's share of it. It is exact for positions
of -1, 0 and +1 times the leverage cap (0 and +1 where shorts are not possible) changed at bar opens with the market's
fees and half-spread. Smaller positions cannot beat it, because equity after a trade is linear in its size. Impact,
latency, the participation cap, lot rounding, time-outs and stop-outs are left out, which only raises it; funding is
left out too, and whoever receives it could beat the bound by as much. A take-profit inside a bar can be filled better
than any open and pays the maker fee: a policy that lives on those could in principle exceed it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.config import MarketConfig
from envs.market import Market
from envs.spread import half_spreads

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Foresight:
    """The best sequence of trades."""

    growth: float
    """Final equity / initial capital."""
    entry: Longs
    """Bar at whose open each trade begins, int64 (N,)."""
    exit: Longs
    """Bar at whose open each trade ends; the number of bars when it is the close of the last one."""
    side: Longs
    """+1 or -1, int64 (N,)."""

    def orders(self, rows: int) -> Floats:
        """The trades as order rows, float64 (rows, 1, 5), for `Backtest.replay`: no bracket, no time-out."""
        orders = np.full((rows, 1, 5), np.inf)
        orders[:, 0, 0] = 0.0
        for entry, stop, side in zip(self.entry, self.exit, self.side, strict=True):
            orders[entry - 1 : stop - 1, 0, 0] = side
        return orders


def perfect_foresight(market: Market, config: MarketConfig) -> Foresight:
    """The best trades on `market` known in full, by dynamic programming in O(T log T).

    With V(b) the most equity when flat after the open of bar b, a trade from a to b leaves V(a) (α + β_a · price_b): a
    line in what b sells at for a long, buys at for a short (the open less or plus the bar's half-spread). V(b) is the
    larger of V(b - 1) and the highest of these lines, which a Li Chao tree for each side finds.
    """
    instrument = market.instrument
    growth, entry, exit_, side = _best_trades(
        np.ascontiguousarray(market.prices[:, 0]),
        float(market.prices[-1, 3]),
        market.tradable,
        instrument.taker_fee_bps * 1e-4,
        half_spreads(market, config),
        float(config.leverage),
        instrument.shortable,
    )
    return Foresight(float(growth), entry[::-1].copy(), exit_[::-1].copy(), side[::-1].copy())


@njit(cache=True)
def _highest(tree: Longs, offset: Floats, slope: Floats, xs: Floats, size: int, at: int) -> int:
    """Id of the highest line at xs[at], -1 when there is none."""
    node, low, high = 1, 0, size - 1
    best, value = -1, -math.inf
    while True:
        line = tree[node]
        if line < 0:
            return best
        found = offset[line] + slope[line] * xs[at]
        if found > value:
            best, value = line, found
        if low == high:
            return best
        middle = (low + high) // 2
        if at <= middle:
            node, high = 2 * node, middle
        else:
            node, low = 2 * node + 1, middle + 1


@njit(cache=True)
def _insert(tree: Longs, offset: Floats, slope: Floats, xs: Floats, size: int, line: int) -> None:
    node, low, high = 1, 0, size - 1
    while True:
        other = tree[node]
        if other < 0:
            tree[node] = line
            return
        middle = (low + high) // 2
        if offset[line] + slope[line] * xs[middle] > offset[other] + slope[other] * xs[middle]:
            tree[node], line, other = line, other, line
        if low == high:
            return
        if offset[line] + slope[line] * xs[low] > offset[other] + slope[other] * xs[low]:
            node, high = 2 * node, middle
        elif offset[line] + slope[line] * xs[high] > offset[other] + slope[other] * xs[high]:
            node, low = 2 * node + 1, middle + 1
        else:
            return


@njit(cache=True)
def _best_trades(
    opens: Floats,
    last_close: float,
    tradable: NDArray[np.bool_],
    fee: float,
    spread: Floats,
    leverage: float,
    short: bool,
) -> tuple[float, Longs, Longs, Longs]:
    bars = len(opens)
    prices = np.append(opens, last_close)  # index `bars` stands for the close that ends the data
    spreads = np.append(spread, spread[-1])
    # What a market order sells and buys at: longs end in the one, shorts in the other.
    sold, bought = prices * (1.0 - spreads), prices * (1.0 + spreads)
    long_xs, short_xs = np.unique(sold), np.unique(bought)
    long_place, short_place = np.searchsorted(long_xs, sold), np.searchsorted(short_xs, bought)
    longs = np.full(4 * len(long_xs), -1, dtype=np.int64)
    shorts = np.full(4 * len(short_xs), -1, dtype=np.int64)
    # Line 2a is a long begun at the open of bar a, 2a + 1 a short.
    offset, slope = np.zeros(2 * bars), np.zeros(2 * bars)
    equity = np.ones(bars + 1)
    closed = np.full(bars + 1, -1, dtype=np.int64)  # line whose end made equity[b], -1 when it was carried over
    stake = 1.0 / (1.0 / leverage + fee)  # notional / equity: envs.fills.order_quantity
    holding = False
    for b in range(bars + 1):
        if b > 0:
            equity[b] = equity[b - 1]
        if holding:
            line = _highest(longs, offset, slope, long_xs, len(long_xs), long_place[b])
            value = offset[line] + slope[line] * sold[b]
            if value > equity[b]:
                equity[b], closed[b] = value, line
            if short:
                line = _highest(shorts, offset, slope, short_xs, len(short_xs), short_place[b])
                value = offset[line] + slope[line] * bought[b]
                if value > equity[b]:
                    equity[b], closed[b] = value, line
        if b == 0 or b == bars:
            continue
        if not tradable[b - 1]:
            if holding:
                longs[:] = -1  # every position is closed here and none may begin
                shorts[:] = -1
                holding = False
            continue
        money = equity[b]
        offset[2 * b] = money * (1.0 - stake * (1.0 + fee))
        slope[2 * b] = money * stake * (1.0 - fee) / bought[b]
        _insert(longs, offset, slope, long_xs, len(long_xs), 2 * b)
        if short:
            offset[2 * b + 1] = money * (1.0 + stake * (1.0 - fee))
            slope[2 * b + 1] = -money * stake * (1.0 + fee) / sold[b]
            _insert(shorts, offset, slope, short_xs, len(short_xs), 2 * b + 1)
        holding = True

    entry, stop, side = np.empty(bars, np.int64), np.empty(bars, np.int64), np.empty(bars, np.int64)
    count, b = 0, bars
    while b > 0:
        line = closed[b]
        if line < 0:
            b -= 1
            continue
        entry[count], stop[count], side[count] = line // 2, b, 1 - 2 * (line % 2)
        count += 1
        b = line // 2
    return equity[bars], entry[:count], stop[:count], side[:count]


def foreseen_sides(market: Market, config: MarketConfig) -> NDArray[np.int8]:
    """The best side to want at each close for an account that holds nothing, is long, or is short: int8 (T, 3).

    Where `perfect_foresight` gives one path from the first bar to the last, this says what is best from anywhere, so
    that a policy can learn from states the best path never enters: whoever already holds saves the cost of entering. By
    dynamic programming backwards over logs of equity at full size and the same costs; brackets, time-outs and impact
    are left out. Rows that cannot be traded want nothing.
    """
    opens = np.ascontiguousarray(market.prices[:, 0])
    moves = np.log(np.append(opens[1:], market.prices[-1, 3]) / opens)
    costs = market.instrument.taker_fee_bps * 1e-4 + half_spreads(market, config)
    return _best_sides(moves, costs, market.tradable, market.instrument.shortable)


@njit(cache=True)
def _best_sides(moves: Floats, costs: Floats, tradable: NDArray[np.bool_], short: bool) -> NDArray[np.int8]:
    """`moves` (T,) from each bar's open to the next one's; `costs` (T,) of a change by one side at a bar's open."""
    rows = len(moves)
    sides = np.array([0, 1, -1], dtype=np.int8)
    wanted = np.zeros((rows, 3), np.int8)
    value = -costs[rows - 1] * np.abs(sides)  # of holding each side after the last bar's close
    for t in range(rows - 2, -1, -1):
        before = np.empty(3)
        for held in range(3):
            best, choice = -costs[t + 1] * abs(sides[held]) + value[0], 0
            for k in range(1, 3 if short else 2):
                if tradable[t]:
                    gain = sides[k] * moves[t + 1] + value[k] - costs[t + 1] * abs(sides[k] - sides[held])
                    if gain > best:
                        best, choice = gain, k
            before[held], wanted[t, held] = best, sides[choice]
        value = before
    return wanted
