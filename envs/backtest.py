"""`Backtest`: every bar of a market in order, by the same step as the environments, with every trade on record."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.errors import InputError
from envs import lanes
from envs.actions import ORDER_WIDTH, ActionDecoder
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.kernel import open_lanes
from envs.market import Market
from envs.observation import observation_columns
from envs.policy import Policy, Seat
from envs.trades import TradeLog


@dataclass(frozen=True)
class Costs:
    """What trading cost each lane, and how often the fill rules had to guess: arrays (L,)."""

    fees: np.ndarray
    """Maker and taker fees, settlement currency."""
    spread_cost: np.ndarray
    """Given up to the half-spread."""
    impact_cost: np.ndarray
    """Given up to market impact and latency."""
    funding: np.ndarray
    """Funding paid, less what was received."""
    trades: np.ndarray
    """Exits, int64."""
    ambiguous: np.ndarray
    """Exits in a bar that touched both barriers, with nothing finer to tell which came first, int64."""
    resolved: np.ndarray
    """Exits in such bars that finer bars did tell apart, int64."""
    refused: np.ndarray
    """Entries refused: too small, outside the price collar, or a limit order that would have taken, int64."""
    expired: np.ndarray
    """Limit entries that were never filled, int64."""
    partial: np.ndarray
    """Fills cut short by the participation cap, int64."""
    liquidated: np.ndarray
    """Exits forced by the exchange, int64."""


@dataclass(frozen=True)
class BacktestResult:
    """What came of a backtest of L lanes over T bars.

    open_time_ms     int64 (T,)
    equity           float64 (T, L) marked at each bar's close; the last row after closing what was open
    position         float64 (T, L) signed quantity held at each close
    trades           one row per closed trade, see `envs.trades.TRADE_SCHEMA`
    initial_capital  float64 (L,)
    costs            totals per lane
    ruined           bool (L,): the account fell to its stop-out level and stayed flat from there
    """

    open_time_ms: np.ndarray
    equity: np.ndarray
    position: np.ndarray
    trades: pa.Table
    initial_capital: np.ndarray
    costs: Costs
    ruined: np.ndarray


class Backtest:
    """Runs policies or ready orders over all bars of `market`, one lane for each entry of `capitals`."""

    chunk_bars = 4_096
    """Steps between two emptyings of the lanes' trade rings."""

    def __init__(self, market: Market, config: MarketConfig, capitals: Sequence[float] | None = None) -> None:
        """`capitals` defaults to the config's one initial capital. Raises InputError when that is a range."""
        if capitals is None:
            low, high = config.capital_range
            if low != high:
                raise InputError(
                    f"initial_capital {config.initial_capital} is a range",
                    where="backtest",
                    remedy="pass capitals, one for each lane",
                )
            capitals = (low,)
        self.market = market
        self.config = config
        self.capitals = np.array(capitals, dtype=np.float64)
        if self.capitals.ndim != 1 or not np.all((self.capitals > 0) & np.isfinite(self.capitals)):
            raise InputError(f"capitals {capitals} are not positive numbers", where="backtest")

    def run(self, policy: Policy, record: np.ndarray | None = None) -> BacktestResult:
        """Ask `policy` at every close what to hold, on the observations that an env's lane would show it. It begins
        with no memory, at the first row and after every gap.

        `record`: float64 (T, L, 5), takes the order rows that the policy's actions mean; its last row stays as it is.
        """
        batch, log, equity, position = self._begin()
        decoder = ActionDecoder(self.config)
        count = len(self.capitals)
        seat, stops = Seat(policy, count), self.market.segment_stop
        orders = np.zeros((count, ORDER_WIDTH))
        observations = np.empty((count, len(observation_columns(self.market))), dtype=np.float32)
        batch.step(orders, observations)
        for row in range(1, len(self.market)):
            if row > 1 and stops[row - 1] != stops[row - 2]:
                seat.begin()
            # A copy: a policy may keep what it was shown.
            decoder.decode(decoder.as_batch(seat.act(observations.copy()), count), orders)
            if record is not None:
                record[row - 1] = orders
            batch.step(orders, observations)
            equity[row] = batch.state.money(lanes.EQUITY)
            position[row] = batch.state.money(lanes.QTY)
            if row % self.chunk_bars == 0:
                log.collect(batch.state)
        return self._finish(batch, log, equity, position)

    def replay(self, orders: np.ndarray) -> BacktestResult:
        """Trade the order rows float64 (T, L, 5) (see `envs.actions`) wholly inside compiled code.

        Row t is decided at the close of bar t and acts from bar t+1 on; the last row has no bar to act on.
        Raises InputError for another shape, targets outside [-1, 1] (NaN wants whatever is held), distances that are
        not positive and ttl under 1.
        """
        rows, count = len(self.market), len(self.capitals)
        orders = np.require(orders, dtype=np.float64, requirements=["C", "W"])
        if orders.shape != (rows, count, ORDER_WIDTH):
            raise InputError(
                f"orders have shape {orders.shape}, not {(rows, count, ORDER_WIDTH)}",
                where="replay",
                remedy="give a row per bar and lane: target, tp_bps, sl_bps, ttl_bars, limit_offset_bps",
            )
        _check_orders(orders)
        batch, log, equity, position = self._begin()
        unwatched = np.empty((0, len(observation_columns(self.market))), dtype=np.float32)
        batch.step(orders[0], unwatched)
        for start in range(0, rows - 1, self.chunk_bars):
            stop = min(start + self.chunk_bars, rows - 1)
            batch.replay(orders[start:stop], equity[start + 1 : stop + 1], position[start + 1 : stop + 1])
            log.collect(batch.state)
        return self._finish(batch, log, equity, position)

    def _begin(self) -> tuple[LaneBatch, TradeLog, np.ndarray, np.ndarray]:
        """A batch whose lanes stand before row 0, an empty log, and equity and position (T, L) at row 0."""
        rows, count = len(self.market), len(self.capitals)
        batch, log = self._open_batch(count)
        open_lanes(batch.state.account, batch.state.clock, self.capitals, 0, rows - 1)
        equity, position = np.empty((rows, count)), np.empty((rows, count))
        equity[0], position[0] = self.capitals, 0.0
        return batch, log, equity, position

    def _open_batch(self, count: int) -> tuple[LaneBatch, TradeLog]:
        """Lanes whose rings hold the exits of a chunk, and the log that empties them."""
        slots = lanes.EXITS_PER_BAR * min(self.chunk_bars, len(self.market)) + 1
        return LaneBatch(self.market, self.config, count, trade_slots=slots), TradeLog(self.market, count)

    def _finish(self, batch: LaneBatch, log: TradeLog, equity: np.ndarray, position: np.ndarray) -> BacktestResult:
        """Close what is open at the last close and put the result together."""
        state = batch.state
        batch.close()
        log.collect(state)
        equity[-1] = state.money(lanes.EQUITY)
        position[-1] = state.money(lanes.QTY)
        return BacktestResult(
            open_time_ms=self.market.open_time_ms,
            equity=equity,
            position=position,
            trades=log.table(),
            initial_capital=self.capitals.copy(),
            costs=Costs(
                fees=state.money(lanes.FEES).copy(),
                spread_cost=state.money(lanes.SPREAD_COST).copy(),
                impact_cost=state.money(lanes.IMPACT_COST).copy(),
                funding=state.money(lanes.FUNDING_COST).copy(),
                trades=state.count(lanes.TRADES).copy(),
                ambiguous=state.count(lanes.AMBIGUOUS).copy(),
                resolved=state.count(lanes.RESOLVED).copy(),
                refused=state.count(lanes.REFUSED).copy(),
                expired=state.count(lanes.EXPIRED).copy(),
                partial=state.count(lanes.PARTIAL).copy(),
                liquidated=state.count(lanes.LIQUIDATED).copy(),
            ),
            ruined=state.count(lanes.PHASE) == lanes.HALTED,
        )


def _check_orders(orders: np.ndarray) -> None:
    """Raise InputError at the first order row that means nothing."""
    target, tp_bps, sl_bps, ttl, offset = (orders[..., column] for column in range(ORDER_WIDTH))
    with np.errstate(invalid="ignore"):
        sane = ~(np.abs(target) > 1.0) & (tp_bps > 0.0) & (sl_bps > 0.0) & (ttl >= 1.0) & (offset >= 0.0)
    if not sane.all():
        row, lane = np.argwhere(~sane)[0]
        raise InputError(
            f"order {orders[row, lane].tolist()} is not"
            " [target in -1..1 or nan, tp_bps > 0, sl_bps > 0, ttl_bars >= 1, limit_offset_bps >= 0]",
            where=f"replay, row {row}, lane {lane}",
        )
