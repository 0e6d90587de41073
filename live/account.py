"""One paper account: one lane of the compiled market, moved bar by bar.

The step sees a market of two rows, the last closed bar and the new one, built by `Market.build` as every other market
is: whether the old row can be traded, the gap rule included, is decided there. After the step the lane's row numbers
are moved back by one, so that row 0 is always the last closed bar; the step only ever uses their differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_pipeline.instruments import Instrument
from envs import lanes
from envs.batch import LaneBatch
from envs.columns import CALENDAR_COLUMNS, CLOSE, FINER_COLUMNS, HIGH, LOW, PRICE_COLUMNS, VOLUME
from envs.config import MarketConfig
from envs.costs import ImpactModel, TradingCosts
from envs.kernel import open_lanes
from envs.market import Market
from envs.observation import observation_columns
from envs.risk import RiskControl
from envs.spread import SpreadModel
from envs.trades import MONEY
from live.feed import ClosedBar, bar_block

NEVER = np.iinfo(np.int64).max
_ROW_NUMBERS = [lanes.ROW, lanes.FIRST_ROW, lanes.ENTRY_ROW]


@dataclass(frozen=True, slots=True)
class Fill:
    """What was bought or sold in a bar."""

    kind: Literal["entry", "exit"]
    side: int
    """+1 the position is long, -1 it is short."""
    qty: float
    price: float
    """Every cost of the fill included."""
    reason: str
    """Why a position was left (`envs.lanes.EXIT_REASONS`); "signal" for an entry."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a bar did to the account."""

    observation: NDArray[np.float32] | None
    """(1, D) what a policy sees at the bar's close; None at the first bar, which only gives the next something to
    follow."""
    earlier: NDArray[np.float32] | None = None
    """(1, D), at the second bar: what a policy would have seen at the close of the first."""
    fills: tuple[Fill, ...] = ()
    """In the order in which they happened."""
    trades: tuple[dict[str, Any], ...] = ()
    """Trades closed in the bar: the columns of `envs.trades.TRADE_SCHEMA` without the lane."""


class PaperAccount:
    """The account; `money` and `count` read it by the names of `envs.lanes`."""

    def __init__(
        self,
        instrument: Instrument,
        columns: tuple[str, ...],
        config: MarketConfig,
        interval_ms: int,
        capital: float,
        *,
        spread_of_bars: bool = False,
    ) -> None:
        """`spread_of_bars`: the half-spread is `SpreadModel`'s on the bars so far, not the config's constant."""
        self._instrument, self._columns, self._interval_ms = instrument, columns, interval_ms
        self._last: tuple[ClosedBar, NDArray[np.float32]] | None = None
        self._impact = ImpactModel(interval_ms)
        self._coefficients = np.zeros(2)  # of the last bar and the new one
        self._spread = SpreadModel(instrument.tick_size, interval_ms) if spread_of_bars else None
        # In the last bar, in the new one, and in the one to come; NaN: the config's constant.
        self._half_spreads = np.full(3, np.nan)
        self._recalled_ms = 0
        no_bars = Market(
            symbol=instrument.symbol,
            instrument=instrument,
            interval_ms=interval_ms,
            open_time_ms=np.empty(0),
            prices=np.empty((0, PRICE_COLUMNS)),
            calendar=np.empty((0, CALENDAR_COLUMNS)),
            finer=np.empty((0, FINER_COLUMNS)),
            observations=np.empty((0, len(columns))),
            columns=columns,
            segment_stop=np.empty(0),
        )
        self._batch = LaneBatch(no_bars, config, 1, trade_slots=lanes.EXITS_PER_BAR)
        self._observation = np.zeros((1, len(observation_columns(no_bars))), dtype=np.float32)
        state = self._batch.state
        self.risk = RiskControl(state)
        """The circuit breakers, the very ones that `config.risk` has in a backtest."""
        open_lanes(state.account, state.clock, np.array([capital]), 0, NEVER)

    def recall(self, market: Market, before_ms: int) -> None:
        """Learn the usual volatility, volume and spread from the rows of `market` that opened before `before_ms`."""
        known = int(np.searchsorted(market.open_time_ms, before_ms))
        prices = market.prices[:known]
        coefficients = self._impact.update(market.open_time_ms[:known], prices[:, CLOSE], prices[:, VOLUME])
        if known:
            self._coefficients[:] = coefficients[-1]
            self._recalled_ms = int(market.open_time_ms[known - 1])
            self._see_spread(market.open_time_ms[:known], prices[:, HIGH], prices[:, LOW], prices[:, CLOSE], False)

    def step(self, bar: ClosedBar, row: NDArray[np.float32], order: NDArray[np.float64]) -> Moved:
        """Fill `order` (1, 5), decided at the last close, in `bar`, by the rules of docs/fills.md.

        `row`: float32 (C,), the market's columns known at the close of `bar`, NaN where missing.
        """
        last, self._last = self._last, (bar, row)
        before_ms = self._recalled_ms if last is None else last[0].open_time_ms
        follows = bar.open_time_ms - before_ms == self._interval_ms
        time, close, volume = (np.array([value]) for value in (bar.open_time_ms, bar.close, bar.volume))
        self._coefficients[0] = self._coefficients[1]
        self._coefficients[1] = self._impact.update(time, close, volume, first=follows)[0]
        self._half_spreads[:2] = self._half_spreads[1:]
        self._see_spread(time, np.array([bar.high]), np.array([bar.low]), close, follows)
        if last is None:
            return Moved(None)
        before, known = last
        times = np.array([before.open_time_ms, bar.open_time_ms])
        bars = bar_block(times, np.stack([before.row(), bar.row()]))
        self._batch.move_to(
            Market.build(
                bars,
                np.stack([known, row]),
                self._columns,
                self._instrument,
                self._interval_ms,
                costs=TradingCosts(half_spread=self._half_spreads[:2].copy(), impact=self._coefficients.copy()),
            )
        )
        clock, earlier = self._batch.state.clock, None
        if clock[lanes.PHASE, 0] == lanes.FRESH:
            self._batch.step(order, self._observation)  # the lane now stands at the first bar
            earlier = self._observation.copy()
        closed = self.count(lanes.TRADES)
        self._batch.step(order, self._observation)
        fills, trades = self._events(closed, times)
        clock[_ROW_NUMBERS, 0] -= 1
        if clock[lanes.RISK_UNTIL, 0] != lanes.NEVER:
            clock[lanes.RISK_UNTIL, 0] -= 1
        return Moved(self._observation.copy(), earlier, fills, trades)

    def _see_spread(
        self, open_time_ms: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, follows: bool
    ) -> None:
        """Take in bars (arrays (T,)) for the half-spread in the bar to come."""
        if self._spread is not None:
            self._half_spreads[2] = self._spread.update(open_time_ms, high, low, close, follows)[-1]

    def money(self, row: int) -> float:
        """One field of the account, such as `lanes.EQUITY`."""
        return float(self._batch.state.money(row)[0])

    def count(self, row: int) -> int:
        """One field of the clock, such as `lanes.TRADES`."""
        return int(self._batch.state.count(row)[0])

    def state(self) -> dict[str, np.ndarray]:
        """Everything that changes, as arrays."""
        seen = [] if self._last is None else [self._last]
        return {
            "account": self._batch.state.account,
            "clock": self._batch.state.clock,
            "impact": self._impact.state,
            "coefficients": self._coefficients,
            "spread": np.empty(0) if self._spread is None else self._spread.state,
            "half_spreads": self._half_spreads,
            "last_time": np.array([bar.open_time_ms for bar, _ in seen], dtype=np.int64),
            "last_bar": np.array([bar.row() for bar, _ in seen]).reshape(-1, 9),
            "last_row": np.array([row for _, row in seen], dtype=np.float32).reshape(-1, len(self._columns)),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `state`."""
        self._batch.state.account[:] = state["account"]
        self._batch.state.clock[:] = state["clock"]
        self._impact.state[:] = state["impact"]
        self._coefficients[:] = state["coefficients"]
        if self._spread is not None:
            self._spread.state[:] = state["spread"]
        self._half_spreads[:] = state["half_spreads"]
        for time, bar, row in zip(state["last_time"], state["last_bar"], state["last_row"], strict=True):
            self._last = ClosedBar.from_row(time, bar), row

    def _events(self, closed: int, times: np.ndarray) -> tuple[tuple[Fill, ...], tuple[dict[str, Any], ...]]:
        """Fills and trades of the step just made, before which `closed` trades were; row 1 is the bar it moved to."""
        fills: list[Fill] = []
        trades: list[dict[str, Any]] = []
        ring = self._batch.state.trades[0]
        for number in range(closed, self.count(lanes.TRADES)):
            record = ring[number % lanes.EXITS_PER_BAR]
            side, qty = int(record[lanes.SIDE]), float(record[lanes.SIZE])
            if record[lanes.ENTRY_BAR] == 1:
                fills.append(Fill("entry", side, qty, float(record[lanes.ENTRY_FILL]), "signal"))
            trades.append(self._trade(record, times))
            fills.append(Fill("exit", side, qty, float(record[lanes.EXIT_FILL]), trades[-1]["exit_reason"]))
        qty = self.money(lanes.QTY)
        if qty != 0.0 and self.count(lanes.ENTRY_ROW) == 1:
            fills.append(Fill("entry", int(np.sign(qty)), abs(qty), self.money(lanes.ENTRY_PRICE), "signal"))
        return tuple(fills), tuple(trades)

    def _trade(self, record: np.ndarray, times: np.ndarray) -> dict[str, Any]:
        entry = int(record[lanes.ENTRY_BAR])
        # A position never outlives the first open after a gap, so every bar from its entry to row 0 was there.
        entry_time = times[1] if entry == 1 else times[0] + entry * self._interval_ms
        gross, fees, spread, impact, funding = (float(record[column]) for column in MONEY)
        return {
            "side": int(record[lanes.SIDE]),
            "qty": float(record[lanes.SIZE]),
            "entry_time_ms": int(entry_time),
            "entry_price": float(record[lanes.ENTRY_FILL]),
            "exit_time_ms": int(times[1]),
            "exit_price": float(record[lanes.EXIT_FILL]),
            "exit_reason": lanes.EXIT_REASONS[int(record[lanes.REASON])],
            "gross_pnl": gross,
            "fees": fees,
            "spread_cost": spread,
            "impact_cost": impact,
            "funding": funding,
            "net_pnl": gross - fees - spread - impact - funding,
            "bars_held": int(record[lanes.HELD]),
        }
