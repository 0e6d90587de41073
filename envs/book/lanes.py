"""What a lane of the book market has on top of `envs.lanes`: its places in queues, what it took, its fills."""

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
) = range(3)
MARK_ROWS = 3

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


@dataclass(eq=False)
class BookLaneState(LaneState):
    """`LaneState` and, for N lanes:

    queue  float64 (7, >= N)      rows ENTRY_SIZE ... TAKEN_ASKS
    marks  int64 (3, >= N)        rows TAKEN_BOOK, SINCE, FILLS
    fills  float64 (N, slots, 8)  ring of fills per lane; fill k of an episode is in slot k % slots
    """

    queue: np.ndarray
    marks: np.ndarray
    fills: np.ndarray

    @classmethod
    def create(cls, lanes: int, trade_slots: int = 1, fill_slots: int = 1) -> "BookLaneState":
        """State of `lanes` lanes that have not begun an episode."""
        base = LaneState.create(lanes, trade_slots)
        columns = base.account.shape[1]
        return cls(
            **vars(base),
            queue=np.zeros((QUEUE_ROWS, columns)),
            marks=np.zeros((MARK_ROWS, columns), dtype=np.int64),
            fills=np.zeros((lanes, fill_slots, FILL_COLUMNS)),
        )
