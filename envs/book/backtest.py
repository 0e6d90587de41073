"""`BookBacktest`: every step of a book market in order, with every trade and every fill on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from envs.backtest import Backtest, BacktestResult
from envs.batch import LaneBatch
from envs.book import lanes as own
from envs.book.batch import BookBatch
from envs.book.columns import FIRST, STOP
from envs.book.config import BookConfig
from envs.book.lanes import BookLaneState
from envs.book.market import BookMarket
from envs.lanes import EXIT_REASONS, EXITS_PER_BAR, LaneState
from envs.market import Market
from envs.policy import Policy
from envs.trades import TradeLog

FILL_SCHEMA = pa.schema(
    [
        ("lane", pa.int32()),
        ("time_ns", pa.int64()),  # exchange clock: of the event that filled it, or of the order's arrival
        ("step_time_ms", pa.int64()),  # beginning of the step
        ("side", pa.int8()),  # +1 bought, -1 sold
        ("price", pa.float64()),  # average over the levels of a sweep
        ("qty", pa.float64()),
        ("fee", pa.float64()),  # settlement currency
        ("maker", pa.bool_()),
        ("reason", pa.dictionary(pa.int8(), pa.string())),  # "none" for an entry, else why it was closed
    ]
)


@dataclass(frozen=True)
class BookResult(BacktestResult):
    """`BacktestResult` with every fill, by `FILL_SCHEMA`, in the order of the lanes and then of the fills."""

    fills: pa.Table


class BookLog(TradeLog):
    """Gathers closed trades and fills; call `collect` before any lane's ring has gone round."""

    def __init__(self, market: Market, count: int) -> None:
        super().__init__(market, count)
        self._opens = market.open_time_ms
        self._filled = np.zeros(count, dtype=np.int64)
        self._fills: list[list[np.ndarray]] = [[] for _ in range(count)]

    def collect(self, state: LaneState) -> None:
        """As `TradeLog.collect`, and the fills likewise."""
        super().collect(state)
        assert isinstance(state, BookLaneState)
        slots = state.fills.shape[1]
        for lane, taken in enumerate(self._fills):
            total = state.marks[own.FILLS, lane]
            taken.append(state.fills[lane, np.arange(self._filled[lane], total) % slots])
            self._filled[lane] = total

    def fill_table(self) -> pa.Table:
        """Every fill collected, by `FILL_SCHEMA`."""
        lane = np.repeat(np.arange(len(self._fills)), self._filled)
        fills = np.concatenate([part for parts in self._fills for part in parts])
        row = fills[:, own.FILL_ROW].astype(np.int64)
        reasons = pa.array(fills[:, own.FILL_REASON].astype(np.int8))
        columns = [
            lane.astype(np.int32),
            self._opens[row] * 1_000_000 + fills[:, own.FILL_SINCE].astype(np.int64),
            self._opens[row],
            fills[:, own.FILL_SIDE].astype(np.int8),
            fills[:, own.FILL_PRICE],
            fills[:, own.FILL_SIZE],
            fills[:, own.FILL_FEE],
            fills[:, own.FILL_MAKER] != 0.0,
            pa.DictionaryArray.from_arrays(reasons, pa.array(EXIT_REASONS)),
        ]
        return pa.table(columns, schema=FILL_SCHEMA)


class BookBacktest(Backtest):
    """`Backtest` over a book market."""

    market: BookMarket
    chunk_bars = 64

    def __init__(self, market: BookMarket, config: BookConfig, capitals: Sequence[float] | None = None) -> None:
        """Raises InputError as `Backtest` and `BookBatch` do."""
        super().__init__(market, config, capitals)

    def run(self, policy: Policy, record: np.ndarray | None = None) -> BookResult:
        """As `Backtest.run`."""
        return cast(BookResult, super().run(policy, record))

    def replay(self, orders: np.ndarray) -> BookResult:
        """As `Backtest.replay`."""
        return cast(BookResult, super().replay(orders))

    def _open_batch(self, count: int) -> tuple[LaneBatch, TradeLog]:
        """Rings that hold all fills of a chunk: two by each event, and those of each decision."""
        rows = len(self.market)
        starts = np.arange(0, rows, self.chunk_bars)
        stops = np.minimum(starts + self.chunk_bars, rows - 1)
        schedule = self.market.schedule
        events = int(np.max(schedule[stops, STOP] - schedule[starts, FIRST]))
        slots = 2 * events + EXITS_PER_BAR * (self.chunk_bars + 1)
        batch = BookBatch(self.market, self.config, count, trade_slots=slots, fill_slots=slots)
        return batch, BookLog(self.market, count)

    def _finish(self, batch: LaneBatch, log: TradeLog, equity: np.ndarray, position: np.ndarray) -> BookResult:
        plain = super()._finish(batch, log, equity, position)
        assert isinstance(log, BookLog)
        return BookResult(**vars(plain), fills=log.fill_table())
