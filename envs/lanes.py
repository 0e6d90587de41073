"""The state of N lanes (one account each) as struct of arrays.

The rows below are plain module constants, so compiled code sees them as literals. Two arrays hold everything that a
step changes: handing them to compiled code costs two arguments however many fields they grow, and a field of all lanes
is one contiguous row.
"""

from dataclasses import dataclass

import numpy as np

from data_pipeline.errors import InputError
from envs.aligned import aligned_zeros
from features import brackets

# Rows of LaneState.account, float64. Money in settlement units (quote; base for inverse contracts), prices in quote.
(
    CASH,  # initial capital - cost of what was bought + proceeds of what was sold - fees - funding
    QTY,  # signed position in units of the contract (base; quote for inverse contracts)
    ENTRY_PRICE,  # fill price of the open position, every cost of the fill included
    ENTRY_MID,  # the bar's price that fill was made against
    ENTRY_FEE,  # of what is still open
    ENTRY_SPREAD,  # likewise, half-spread
    ENTRY_IMPACT,  # likewise, market impact and latency
    FUNDING,  # paid on the open position so far (negative: received)
    TAKE_PROFIT,  # price levels; +-inf when the order had no such barrier
    STOP_LOSS,
    LIQUIDATION,  # price at which the exchange takes the position over; +-inf where it cannot
    BEST,  # most favourable price since the entry, known at closes
    TTL,  # bars the position may live; inf for ever
    RISK_UNIT,  # price distance from entry to stop; 1 % of the entry when there is no stop
    LIMIT_PRICE,  # of the resting entry order; 0 when there is none
    LIMIT_TARGET,
    LIMIT_TP,
    LIMIT_SL,
    LIMIT_TTL,
    EQUITY,  # cash + value of the position at the close of the lane's row
    PEAK,  # highest equity of the episode
    INITIAL,  # equity at its start
    REWARD,  # of the last step
    FEES,  # paid this episode
    SPREAD_COST,  # given up to the half-spread this episode
    IMPACT_COST,  # given up to impact and latency this episode
    FUNDING_COST,  # funding paid this episode, net
    MAX_DRAWDOWN,  # largest 1 - equity / peak of the episode
    SQUARED_RETURNS,  # sum of squared log returns per bar of the episode
    LOG_EQUITY,  # ln(equity), floored (see EQUITY_FLOOR)
    LOG_INITIAL,  # the same at the start of the episode
    MEAN_RETURN,  # running means of the differential Sharpe ratio
    MEAN_SQUARE,
    DAY_EQUITY,  # equity at the close before the lane's UTC day
    USUAL_RANGE,  # exponential average of high / low - 1, for the volatility halt
) = range(35)
ACCOUNT_ROWS = 35

# Rows of LaneState.clock, int64.
(
    ROW,  # the bar whose close the lane stands at
    FIRST_ROW,  # first row of the episode
    LAST_ROW,  # its last row: reaching it truncates
    ENTRY_ROW,  # bar in which the open position was entered
    CLOSING,  # reason of a market exit that is only partly filled, or NO_EXIT
    LIMIT_LEFT,  # bars that the resting entry order has left
    TRADES,  # exits this episode (a position left in parts counts each)
    WINS,  # of them with a net profit
    AMBIGUOUS,  # exits in bars that touched both barriers, which nothing finer told apart
    RESOLVED,  # exits in such bars that finer bars did tell apart
    REFUSED,  # entries refused: too small, or a limit order that would have taken
    EXPIRED,  # limit entries that were never filled
    PARTIAL,  # fills cut short by the participation cap
    LIQUIDATED,
    PHASE,
    TERMINATED,  # of the last step, 0 or 1
    TRUNCATED,
    WINDOW,  # next window, when episodes run in sequence
    RISK_STATE,  # ACTIVE, REDUCING or STOPPED
    RISK_REASON,  # what caused it, see envs.risk.REASONS
    RISK_UNTIL,  # row from which it lifts by itself; NEVER waits for a human
    DAY,  # UTC day of the lane's row
    DAY_ENTRIES,  # entries filled in it
    STREAK,  # losing exits in a row
) = range(24)
CLOCK_ROWS = 24
NEVER = 2**62

# Values of clock[PHASE].
RUNNING, FRESH, HALTED = 0, 1, 2  # FRESH: just reset, shows its first row without moving; HALTED: ruined, stays flat

# Columns of a trade record, float64.
(
    SIDE,
    SIZE,
    ENTRY_BAR,
    ENTRY_FILL,
    EXIT_BAR,
    EXIT_FILL,
    REASON,
    HELD,
    GROSS_PNL,
    TRADE_FEES,
    TRADE_SPREAD,
    TRADE_IMPACT,
    TRADE_FUNDING,
) = range(13)
TRADE_COLUMNS = 13
EXITS_PER_BAR = 3
"""Most exits of a lane in one bar: at its open, inside, and of what is left at its close."""

# Why a position was closed, float64 in a trade record, a name in the trades table; the first ones are the bracket's.
NO_EXIT, BY_TAKE_PROFIT, BY_STOP_LOSS = brackets.NO_EXIT, brackets.BY_TAKE_PROFIT, brackets.BY_STOP_LOSS
BY_SIGNAL, BY_TIME_OUT, BY_FORCE, BY_RUIN, BY_END, BY_LIQUIDATION, BY_RISK = range(BY_STOP_LOSS + 1, BY_STOP_LOSS + 8)
EXIT_REASONS = (
    "none",
    "take_profit",
    "stop_loss",
    "signal",
    "time_out",
    "forced",
    "ruin",
    "end",
    "liquidation",
    "risk",
)


@dataclass(eq=False)
class LaneState:
    """Everything that changes about N lanes.

    account  float64 (35, >= N)     money and levels, rows CASH ... USUAL_RANGE
    clock    int64 (24, >= N)       positions in time and counts, rows ROW ... STREAK
    streams  uint64 (N,)            one random stream per lane, used when an episode starts
    trades   float64 (N, slots, 13) ring of closed trades per lane; trade k of an episode is in slot k % slots (none is
             kept without slots)

    The first two may have more columns than there are lanes: were the rows a power of two apart, as with 1,024 lanes,
    all fields of a lane would compete for one set of the processor's cache (which doubled the time of a step).
    """

    account: np.ndarray
    clock: np.ndarray
    streams: np.ndarray
    trades: np.ndarray

    @classmethod
    def create(cls, lanes: int, trade_slots: int = 1) -> "LaneState":
        """State of `lanes` lanes that have not begun an episode."""
        if lanes < 1:
            raise InputError(f"{lanes} lanes cannot be stepped", where="lane state", remedy="use one or more")
        columns = lanes if lanes < 64 else -(-lanes // 64) * 64 + 8
        return cls(
            account=aligned_zeros((ACCOUNT_ROWS, columns), np.float64),
            clock=aligned_zeros((CLOCK_ROWS, columns), np.int64),
            streams=np.zeros(lanes, dtype=np.uint64),
            trades=np.zeros((lanes, trade_slots, TRADE_COLUMNS)),
        )

    def money(self, row: int) -> np.ndarray:
        """One row of `account`, such as EQUITY, for all lanes: a view float64 (N,)."""
        return self.account[row, : len(self.streams)]

    def count(self, row: int) -> np.ndarray:
        """One row of `clock`, such as TRADES, for all lanes: a view int64 (N,)."""
        return self.clock[row, : len(self.streams)]
