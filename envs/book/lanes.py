"""What a lane of the book market has on top of `envs.lanes`: its places in queues, what it took, its fills, its
decisions under way."""

from dataclasses import dataclass

import numpy as np

from envs.lanes import LaneState

# Rows of BookLaneState.queue, float64.
(
    ENTRY_SIZE,  # what is left of the resting entry; 0 without one
    ENTRY_AHEAD,  # size that must trade before it
    ENTRY_SHOWN,  # size shown at its price by the last book, less what traded since
    TARGET_AHEAD,  # likewise for the take-profit
    TARGET_SHOWN,
    TAKEN_BIDS,  # what the lane has swept from the book in force
    TAKEN_ASKS,
) = range(7)
QUEUE_ROWS = 7

# Rows of BookLaneState.marks, int64.
(
    TAKEN_BOOK,  # the book that TAKEN_BIDS and TAKEN_ASKS speak of
    SINCE,  # ns since the beginning of the step
    FILLS,  # fills this episode
    POSITION,  # positions opened this episode: the number of the last one
    SENT,  # decisions this episode
) = range(5)
MARK_ROWS = 5

# Columns of a fill, float64.
(
    FILL_ROW,
    FILL_SINCE,  # ns since the beginning of the row's step
    FILL_SIDE,  # +1 bought, -1 sold
    FILL_PRICE,
    FILL_SIZE,
    FILL_FEE,
    FILL_MAKER,  # 1 or 0
    FILL_REASON,  # NO_EXIT for an entry, else why it was closed (`envs.lanes`)
) = range(8)
FILL_COLUMNS = 8

# Columns of a decision under way, float64.
(
    MADE,  # row at whose end it was made
    NEEDED,  # 1 when there is anything to send
    WANTED,  # position that it wants
    TARGET,  # the same before risk limits
    ALLOWED,  # 1 where the row could be traded
    HELD,  # number of the position that was held then, 0 for none
    DUE,  # 1 when that position had run its time
    RESTING,  # 1 for a limit entry
    ORDER,  # the order row, five columns
) = range(9)
DECISION_COLUMNS = ORDER + 5


@dataclass(eq=False)
class BookLaneState(LaneState):
    """`LaneState` and, for N lanes:

    queue  float64 (7, >= N)      rows ENTRY_SIZE ... TAKEN_ASKS
    marks  int64 (5, >= N)        rows TAKEN_BOOK ... SENT
    fills  float64 (N, slots, 8)  ring of fills per lane; fill k of an episode is in slot k % slots
    flight float64 (N, slots, 13) ring of decisions per lane, see `envs.book.flight`
    """

    queue: np.ndarray
    marks: np.ndarray
    fills: np.ndarray
    flight: np.ndarray

    @classmethod
    def create(cls, lanes: int, trade_slots: int = 1, fill_slots: int = 1, delay: int = 0) -> "BookLaneState":
        """State of `lanes` lanes that have not begun an episode, whose decisions take `delay` steps and a part."""
        base = LaneState.create(lanes, trade_slots)
        columns = base.account.shape[1]
        return cls(
            **vars(base),
            queue=np.zeros((QUEUE_ROWS, columns)),
            marks=np.zeros((MARK_ROWS, columns), dtype=np.int64),
            fills=np.zeros((lanes, fill_slots, FILL_COLUMNS)),
            flight=np.zeros((lanes, delay + 1, DECISION_COLUMNS)),
        )
