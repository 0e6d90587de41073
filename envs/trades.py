"""Closed trades: from the lanes' rings of records to one table."""

import numpy as np
import pyarrow as pa

from envs import lanes
from envs.lanes import EXIT_REASONS, LaneState
from envs.market import Market

TRADE_SCHEMA = pa.schema(
    [
        ("lane", pa.int32()),
        ("side", pa.int8()),  # +1 long, -1 short
        ("qty", pa.float64()),  # units of the contract, positive; a position that leaves in parts gives a row for each
        ("entry_time_ms", pa.int64()),  # open of the bar of entry; the fill is at that open
        ("entry_price", pa.float64()),  # every cost of the fill included
        ("exit_time_ms", pa.int64()),  # open of the bar of exit; the fill is somewhere in that bar
        ("exit_price", pa.float64()),  # every cost of the fill included
        ("exit_reason", pa.dictionary(pa.int8(), pa.string())),  # see lanes.EXIT_REASONS
        ("gross_pnl", pa.float64()),  # before any cost, settlement currency
        ("fees", pa.float64()),  # entry and exit, for the quantity that left
        ("spread_cost", pa.float64()),  # likewise
        ("impact_cost", pa.float64()),  # likewise: market impact and latency
        ("funding", pa.float64()),  # paid while it was held (negative: received)
        ("net_pnl", pa.float64()),  # gross_pnl - fees - spread_cost - impact_cost - funding
        ("bars_held", pa.int64()),  # bars the position was open in
    ]
)


MONEY = (lanes.GROSS_PNL, lanes.TRADE_FEES, lanes.TRADE_SPREAD, lanes.TRADE_IMPACT, lanes.TRADE_FUNDING)
"""Columns of a record that make up its net result: the first less the others."""


class TradeLog:
    """Gathers closed trades of `count` lanes; call `collect` before any lane's ring has gone round."""

    def __init__(self, market: Market, count: int) -> None:
        self._times = market.open_time_ms
        self._seen = np.zeros(count, dtype=np.int64)
        self._records: list[np.ndarray] = []
        self._lanes: list[np.ndarray] = []

    def collect(self, state: LaneState) -> None:
        """Take the records that each lane has written since the last call."""
        slots = state.trades.shape[1]
        for lane, (seen, closed) in enumerate(zip(self._seen, state.count(lanes.TRADES), strict=True)):
            if closed > seen:
                self._records.append(state.trades[lane, np.arange(seen, closed) % slots])
                self._lanes.append(np.full(closed - seen, lane, dtype=np.int32))
        self._seen = state.count(lanes.TRADES).copy()

    def table(self) -> pa.Table:
        """Everything collected, by `TRADE_SCHEMA`, ordered by exit bar and then by lane."""
        records = np.concatenate(self._records) if self._records else np.empty((0, lanes.TRADE_COLUMNS))
        lane = np.concatenate(self._lanes) if self._lanes else np.empty(0, dtype=np.int32)
        # Stable, so two exits of one lane in one bar stay in the order in which they happened.
        order = np.lexsort((lane, records[:, lanes.EXIT_BAR]))
        records, lane = records[order], lane[order]
        entry, exit_ = (records[:, column].astype(np.int64) for column in (lanes.ENTRY_BAR, lanes.EXIT_BAR))
        gross, fees, spread, impact, funding = (records[:, column] for column in MONEY)
        reasons = pa.DictionaryArray.from_arrays(
            pa.array(records[:, lanes.REASON].astype(np.int8)), pa.array(EXIT_REASONS)
        )
        columns = [
            lane,
            records[:, lanes.SIDE].astype(np.int8),
            records[:, lanes.SIZE],
            self._times[entry],
            records[:, lanes.ENTRY_FILL],
            self._times[exit_],
            records[:, lanes.EXIT_FILL],
            reasons,
            gross,
            fees,
            spread,
            impact,
            funding,
            gross - fees - spread - impact - funding,
            records[:, lanes.HELD].astype(np.int64),
        ]
        return pa.table(columns, schema=TRADE_SCHEMA)


def trade_bps(trades: pa.Table) -> np.ndarray:
    """Net profit of each trade in basis points of what was bought or sold, float64 (N,)."""
    qty, price, net = (trades.column(name).to_numpy() for name in ("qty", "entry_price", "net_pnl"))
    return 1e4 * np.divide(net, np.abs(qty * price))
