"""The state of N lanes (one account each) as struct of arrays, and the trading terms they share.

The rows below are plain module constants, so compiled code sees them as literals. Two arrays hold everything that a
step changes: handing them to compiled code costs two arguments however many fields they grow, and a field of all lanes
is one contiguous row.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.config import MarketConfig
from features import brackets

# Rows of LaneState.account, float64. Money in quote units, prices per base unit.
CASH = 0  # initial capital - cost of what was bought + proceeds of what was sold - fees
QTY = 1  # signed position in base units
ENTRY_PRICE = 2  # fill price of the open position, spread included
ENTRY_MID = 3  # the bar's price that fill was made against
ENTRY_FEE = 4
TAKE_PROFIT = 5  # price levels; +-inf when the order had no such barrier
STOP_LOSS = 6
TTL = 7  # bars the position may live; inf for ever
RISK_UNIT = 8  # price distance from entry to stop; 1 % of the entry when there is no stop
EQUITY = 9  # cash + qty × close of the lane's row
PEAK = 10  # highest equity of the episode
INITIAL = 11  # equity at its start
REWARD = 12  # of the last step
FEES = 13  # paid this episode
SPREAD_COST = 14  # given up to the half-spread this episode
MAX_DRAWDOWN = 15  # largest 1 - equity / peak of the episode
SQUARED_RETURNS = 16  # sum of squared log returns per bar of the episode
LOG_EQUITY = 17  # ln(equity), floored (see EQUITY_FLOOR)
LOG_INITIAL = 18  # the same at the start of the episode
ACCOUNT_ROWS = 19

# Rows of LaneState.clock, int64.
ROW = 0  # the bar whose close the lane stands at
FIRST_ROW = 1  # first row of the episode
LAST_ROW = 2  # its last row: reaching it truncates
ENTRY_ROW = 3  # bar in which the open position was entered
TRADES = 4  # closed this episode
WINS = 5  # of them with a net profit
AMBIGUOUS = 6  # exits in bars that touched both barriers
REFUSED = 7  # entries refused for size
PHASE = 8
TERMINATED = 9  # of the last step, 0 or 1
TRUNCATED = 10
WINDOW = 11  # next window, when episodes run in sequence
CLOCK_ROWS = 12

# Values of clock[PHASE].
RUNNING, FRESH, HALTED = 0, 1, 2  # FRESH: just reset, shows its first row without moving; HALTED: ruined, stays flat

# Columns of a trade record, float64.
SIDE, SIZE, ENTRY_BAR, ENTRY_FILL, EXIT_BAR, EXIT_FILL, REASON, HELD, GROSS_PNL, TRADE_FEES, TRADE_SPREAD = range(11)
TRADE_COLUMNS = 11

# Entries of the trading terms, float64: an instrument and a config in one small array.
(
    HALF_SPREAD,
    MAKER_FEE,
    TAKER_FEE,
    LEVERAGE,
    TICK_NUMERATOR,
    TICK_DENOMINATOR,
    LOT_NUMERATOR,
    LOT_DENOMINATOR,
    MIN_NOTIONAL,
    SHORTABLE,
    STOP_OUT,
    REWARD_SCALE,
) = range(12)


# Why a position was closed, float64 in a trade record, a name in the trades table; the first ones are the bracket's.
NO_EXIT, BY_TAKE_PROFIT, BY_STOP_LOSS = brackets.NO_EXIT, brackets.BY_TAKE_PROFIT, brackets.BY_STOP_LOSS
BY_SIGNAL, BY_TIME_OUT, BY_FORCE, BY_RUIN, BY_END = range(BY_STOP_LOSS + 1, BY_STOP_LOSS + 6)
EXIT_REASONS = ("none", "take_profit", "stop_loss", "signal", "time_out", "forced", "ruin", "end")


@dataclass(eq=False)
class LaneState:
    """Everything that changes about N lanes.

    account  float64 (19, >= N)     money and levels, rows CASH ... LOG_INITIAL
    clock    int64 (12, >= N)       positions in time and counts, rows ROW ... WINDOW
    streams  uint64 (N,)            one random stream per lane, used when an episode starts
    trades   float64 (N, slots, 11) ring of closed trades per lane; trade k of an episode is in slot k % slots

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
            account=np.zeros((ACCOUNT_ROWS, columns)),
            clock=np.zeros((CLOCK_ROWS, columns), dtype=np.int64),
            streams=np.zeros(lanes, dtype=np.uint64),
            trades=np.zeros((lanes, trade_slots, TRADE_COLUMNS)),
        )

    def money(self, row: int) -> np.ndarray:
        """One row of `account`, such as EQUITY, for all lanes: a view float64 (N,)."""
        return self.account[row, : len(self.streams)]

    def count(self, row: int) -> np.ndarray:
        """One row of `clock`, such as TRADES, for all lanes: a view int64 (N,)."""
        return self.clock[row, : len(self.streams)]


def trading_terms(instrument: Instrument, config: MarketConfig) -> np.ndarray:
    """What fills cost and how sizes are rounded: float64 (12,), entries HALF_SPREAD ... REWARD_SCALE.

    Steps travel as fractions (0.01 as 1 / 100): n × 1 / 100 is the float64 nearest to the decimal price, the same one
    that a parsed bar holds, so "touched" and "traded through" are exact comparisons.
    Raises InputError when spot is to be traded with leverage.
    """
    if instrument.contract == "spot" and config.leverage > 1:
        raise InputError(
            f"leverage {config.leverage:g} on a spot instrument",
            where=f"market {instrument.symbol}",
            remedy="use leverage 1 or a linear contract",
        )
    tick, lot = (Fraction(repr(float(step))) for step in (instrument.tick_size, instrument.lot_step))
    terms = np.zeros(12)
    terms[HALF_SPREAD] = config.half_spread_bps * 1e-4
    terms[MAKER_FEE] = instrument.maker_fee_bps * 1e-4
    terms[TAKER_FEE] = instrument.taker_fee_bps * 1e-4
    terms[LEVERAGE] = config.leverage
    terms[TICK_NUMERATOR], terms[TICK_DENOMINATOR] = tick.numerator, tick.denominator
    terms[LOT_NUMERATOR], terms[LOT_DENOMINATOR] = lot.numerator, lot.denominator
    terms[MIN_NOTIONAL] = instrument.min_notional
    terms[SHORTABLE] = float(instrument.shortable)
    terms[STOP_OUT] = config.stop_out_fraction
    terms[REWARD_SCALE] = config.reward_scale
    return terms
