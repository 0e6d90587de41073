"""Many brackets and fees at once over one rule's wanted positions: the market's own step, at a fraction of its cost.

Between its entry and its exit a position only waits: no fill rule can act in a bar whose range reaches neither
barrier, in which nothing else is decided and no funding is due. So each lane jumps from event to event, and
`kernel.move_lane`, the step that every environment and backtest makes, is called for the bars of events alone. Where a
bar *might* matter it is stepped; skipping too little costs time, never correctness. What only a walk through every
close can tell (drawdown, Sharpe ratio) is left to `Backtest`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pyarrow as pa

from data_pipeline.errors import InputError
from envs import lanes
from envs import terms as T
from envs.actions import ORDER_WIDTH
from envs.batch import LaneBatch
from envs.columns import FUNDING, HIGH, LOW, TRADABLE
from envs.compiled import inlined, kernel
from envs.config import MarketConfig
from envs.intrabar import nearer_stop
from envs.kernel import close_lanes, move_lane, open_lanes
from envs.market import Market
from envs.terms import trading_terms

CHUNK = 64
"""Bars whose highest high and lowest low are looked at together."""
TILE = 4_096
"""Bars that all lanes walk before any goes on: what they read of them stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One combination."""

    tp_bps: float
    sl_bps: float
    fees_bps: tuple[float, float]
    """(maker, taker)"""
    capital: float


def grid_points(
    config: MarketConfig,
    tp_bps: Sequence[float],
    sl_bps: Sequence[float],
    fees_bps: Sequence[tuple[float, float]],
    capitals: Sequence[float] | None = None,
) -> list[GridPoint]:
    """Every combination, the last one varying fastest; `capitals` defaults to the config's lower end."""
    found = capitals or (config.capital_range[0],)
    return [GridPoint(*values) for values in product(tp_bps, sl_bps, fees_bps, found)]


def grid_search(market: Market, sides: np.ndarray, config: MarketConfig, points: Sequence[GridPoint]) -> pa.Table:
    """Trade the wanted positions `sides` float64 (T,) in [-1, 1], decided at each close, under every point.

    NaN wants whatever is held: nothing is entered on it, and what is held goes on to its bracket.

    One row per point: tp_bps, sl_bps, maker_bps, taker_bps, capital, net_return, equity, trades, wins, fees,
    spread_cost, impact_cost, funding, ambiguous, resolved, refused, ruined. Every figure is the one that
    `Backtest.replay` gives for the same orders.

    Raises InputError for another shape, for sides outside [-1, 1], and for settings that act at every close (stops that
    move, limit entries, circuit breakers): replay those with `Backtest`.
    """
    rows = len(market)
    sides = np.ascontiguousarray(sides, dtype=np.float64)
    if sides.shape != (rows,) or (np.abs(sides) > 1.0).any():
        raise InputError(f"sides have shape {sides.shape} or leave [-1, 1]", where="grid", remedy=f"give ({rows},)")
    if not points:
        raise InputError("there is no point", where="grid", remedy="give at least one")
    moving = min(config.trailing_bps, config.break_even_bps, config.limit_offset_bps)
    if math.isfinite(moving) or config.risk.any_set:
        raise InputError(
            "stops that move, limit entries and circuit breakers act at every close",
            where="grid",
            remedy="leave them out, or use Backtest.replay",
        )
    batch = LaneBatch(market, config, len(points))
    state = batch.state
    capitals = np.array([point.capital for point in points])
    open_lanes(state.account, state.clock, capitals, 0, rows - 1)
    state.count(lanes.PHASE)[:] = lanes.RUNNING
    terms = np.stack(
        [
            trading_terms(
                market.instrument, replace(config, fees_bps=point.fees_bps), market.interval_ms, funded=market.funded
            )
            for point in points
        ]
    )
    brackets = np.array([(point.tp_bps, point.sl_bps) for point in points])
    highs, lows = (np.ascontiguousarray(market.prices[:, column]) for column in (HIGH, LOW))
    changes = np.empty((4, rows), dtype=np.int32)
    _next_changes(market.prices, market.calendar, sides, market.instrument.shortable, changes)
    _walk_grid(
        state.account,
        state.clock,
        market.prices,
        market.calendar,
        market.finer,
        terms,
        sides,
        brackets,
        config.ttl_bars,
        highs,
        lows,
        _by_chunk(highs, np.maximum),
        _by_chunk(lows, np.minimum),
        changes,
        np.empty(ORDER_WIDTH),
        state.trades,
    )
    return _table(points, batch, terms)


@kernel
def _next_changes(
    prices: np.ndarray, calendar: np.ndarray, sides: np.ndarray, shortable: bool, out: np.ndarray
) -> None:
    """Into int32 (4, T): first row at or after t where something is wanted, a long is not, a short is not, and the
    first bar at or after t where funding is due; T where there is none."""
    rows = prices.shape[0]
    entry, long_exit, short_exit, funding = rows, rows, rows, rows
    for t in range(rows - 1, -1, -1):
        side = sides[t] if prices[t, TRADABLE] != 0.0 else 0.0  # NaN wants nothing new, and ends nothing
        if side < 0.0 and not shortable:
            side = 0.0
        if abs(side) > 0.0:
            entry = t
        if side <= 0.0:
            long_exit = t
        if side >= 0.0:
            short_exit = t
        if calendar[t, FUNDING] != 0.0:
            funding = t
        out[0, t], out[1, t], out[2, t], out[3, t] = entry, long_exit, short_exit, funding


def _by_chunk(values: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The extreme of each `CHUNK` values (the last chunk may be shorter): float64 (ceil(T / CHUNK),)."""
    return extreme.reduceat(values, np.arange(0, len(values), CHUNK))


@inlined
def _first_touch(
    start: int,
    stop: int,
    above: float,
    below: float,
    highs: np.ndarray,
    lows: np.ndarray,
    chunk_highs: np.ndarray,
    chunk_lows: np.ndarray,
) -> int:
    """First bar in [start, stop) with high >= above or low <= below, else `stop`."""
    bar = start
    while bar < stop:
        chunk = bar // CHUNK
        end = min((chunk + 1) * CHUNK, stop)
        if chunk_highs[chunk] >= above or chunk_lows[chunk] <= below:
            for k in range(bar, end):
                if (highs[k] >= above) | (lows[k] <= below):
                    return k
        bar = end
    return stop


@inlined
def _ruin_level(i: int, account: np.ndarray, terms: np.ndarray) -> float:
    """Price at which lane i's equity is down to the stop-out level; NaN where no price does it."""
    value = (terms[T.STOP_OUT] * account[lanes.INITIAL, i] - account[lanes.CASH, i]) / account[lanes.QTY, i]
    level = value if terms[T.INVERSE] == 0.0 else -1.0 / value
    return level if level > 0.0 else np.nan


@inlined
def _next_event(
    i: int,
    start: int,
    stop: int,
    ttl: float,
    account: np.ndarray,
    clock: np.ndarray,
    terms: np.ndarray,
    highs: np.ndarray,
    lows: np.ndarray,
    chunk_highs: np.ndarray,
    chunk_lows: np.ndarray,
    changes: np.ndarray,
) -> int:
    """The first bar in [start, stop) in which anything could happen to lane i, else a number not below `stop`.

    Nothing can happen to it in the bars between its row and `start`.
    """
    if clock[lanes.PHASE, i] == lanes.HALTED:
        return stop
    quantity = account[lanes.QTY, i]
    if quantity == 0.0:
        return changes[0, start - 1] + 1
    if clock[lanes.CLOSING, i] != lanes.NO_EXIT:
        return start
    side = 1.0 if quantity > 0.0 else -1.0
    decided = (changes[1, start - 1] if side > 0.0 else changes[2, start - 1]) + 1
    if ttl < np.inf:
        decided = min(decided, clock[lanes.ENTRY_ROW, i] + np.int64(np.ceil(ttl)))
    if terms[T.FUNDED] != 0.0:
        decided = min(decided, changes[3, start])
    favourable, adverse = account[lanes.TAKE_PROFIT, i], nearer_stop(i, side, account)
    ruin = _ruin_level(i, account, terms)
    if side * (ruin - adverse) > 0.0:  # false for NaN
        adverse = ruin
    above, below = (favourable, adverse) if side > 0.0 else (adverse, favourable)
    end = min(decided, stop)
    touch = _first_touch(start, end, above, below, highs, lows, chunk_highs, chunk_lows)
    return touch if touch < end else decided


@kernel
def _walk_grid(
    account: np.ndarray,
    clock: np.ndarray,
    prices: np.ndarray,
    calendar: np.ndarray,
    finer: np.ndarray,
    terms: np.ndarray,
    sides: np.ndarray,
    brackets: np.ndarray,
    ttl: float,
    highs: np.ndarray,
    lows: np.ndarray,
    chunk_highs: np.ndarray,
    chunk_lows: np.ndarray,
    changes: np.ndarray,
    order: np.ndarray,
    trades: np.ndarray,
) -> None:
    """Walk tile after tile, lane after lane, from event to event.

    terms (L, 33), brackets (L, 2), changes as `_next_changes` writes it, order (5,) for scratch
    """
    rows = prices.shape[0]
    for tile in range(1, rows, TILE):
        stop = min(tile + TILE, rows)
        for i in range(brackets.shape[0]):
            order[1], order[2], order[3], order[4] = brackets[i, 0], brackets[i, 1], ttl, np.inf
            start = tile
            while start < stop:
                bar = _next_event(
                    i, start, stop, ttl, account, clock, terms[i], highs, lows, chunk_highs, chunk_lows, changes
                )
                if bar >= stop:
                    break
                clock[lanes.ROW, i] = bar - 1
                order[0] = sides[bar - 1]
                move_lane(i, account, clock, prices, calendar, finer, terms[i], order, trades)
                start = bar + 1
            clock[lanes.ROW, i] = stop - 1


def _table(points: Sequence[GridPoint], batch: LaneBatch, terms: np.ndarray) -> pa.Table:
    """Close what is open at the last close, each lane on its own terms, and tell what came of it."""
    state, market = batch.state, batch.market
    for i in range(len(points)):
        # One lane at a time: views of its column keep the struct of arrays and give it its own terms.
        account, clock = state.account[:, i : i + 1], state.clock[:, i : i + 1]
        one_account, one_clock = account.copy(), clock.copy()
        close_lanes(one_account, one_clock, market.prices, terms[i], state.trades[i : i + 1])
        account[:], clock[:] = one_account, one_clock
    equity = state.money(lanes.EQUITY)
    capital = np.array([point.capital for point in points])
    return pa.table(
        {
            "tp_bps": [point.tp_bps for point in points],
            "sl_bps": [point.sl_bps for point in points],
            "maker_bps": [float(point.fees_bps[0]) for point in points],
            "taker_bps": [float(point.fees_bps[1]) for point in points],
            "capital": capital,
            "net_return": equity / capital - 1.0,
            "equity": equity,
            "trades": state.count(lanes.TRADES),
            "wins": state.count(lanes.WINS),
            "fees": state.money(lanes.FEES),
            "spread_cost": state.money(lanes.SPREAD_COST),
            "impact_cost": state.money(lanes.IMPACT_COST),
            "funding": state.money(lanes.FUNDING_COST),
            "ambiguous": state.count(lanes.AMBIGUOUS),
            "resolved": state.count(lanes.RESOLVED),
            "refused": state.count(lanes.REFUSED),
            "ruined": state.count(lanes.PHASE) == lanes.HALTED,
        }
    )
