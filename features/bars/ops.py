"""The operations of the bar engine: each makes one column from others. Numbers only, no compiler needed.

They stand in groups, each ended by a mark; the compiled functions of a group are in the module named beside it.
"""

from enum import IntEnum, auto


class Op(IntEnum):
    """What an instruction does; see `features.bars.graph` for its arguments."""

    # features.columns, features.column_moments, features.windows
    TOTAL = 0
    DEVIATION = auto()
    SCATTER = auto()
    SCATTER_X = auto()
    COSCATTER = auto()
    SCATTER_Y = auto()
    HIGHEST = auto()
    LONG_TOTAL = auto()
    END_OF_WINDOWS = auto()

    # features.bars.series
    COPY = auto()
    CLOCK = auto()
    LAG = auto()
    LOG = auto()
    DIFFERENCE = auto()
    NEGATIVE = auto()
    ABSOLUTE = auto()
    PRODUCT = auto()
    SCALED = auto()
    ROOT_MEAN = auto()
    RATIO = auto()
    BALANCE = auto()
    ZSCORE = auto()
    CORRELATION = auto()
    STANDARDISED = auto()
    PER_SCALE = auto()
    FADING_RATIO = auto()
    END_OF_SERIES = auto()

    # features.bars.price
    CLOSE_LOCATION = auto()
    BODY = auto()
    UPPER_WICK = auto()
    LOWER_WICK = auto()
    SINE = auto()
    COSINE = auto()
    END_OF_PRICE = auto()

    # features.bars.volatility
    LOG_VOLATILITY = auto()
    SIGNED_SQUARE = auto()
    GARMAN_KLASS = auto()
    ROGERS_SATCHELL = auto()
    JUMP_SHARE = auto()
    VARIANCE_RATIO = auto()
    END_OF_VOLATILITY = auto()

    # features.bars.liquidity
    TAKER_DELTA = auto()
    PRICE_DEVIATION = auto()
    ILLIQUIDITY = auto()
    POSITIVE = auto()
    CORWIN_SCHULTZ = auto()
    ABDI_RANALDO = auto()
    SPREAD = auto()
    END_OF_LIQUIDITY = auto()
