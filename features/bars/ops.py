"""The operations of the bar engine: each makes one column from others. Numbers only, no compiler needed.

They stand in groups, each ended by a mark; the compiled functions of a group are in the module named beside it.
"""

from enum import IntEnum, auto

TILE = 64
"""Rows whose Lempel-Ziv complexity is counted side by side."""


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
    CHANGE = auto()
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

    # features.bars.recurrences
    WILDER_RATIO = auto()
    WILDER_MEAN = auto()
    MACD_LINE = auto()
    AVERAGE_GAP = auto()
    SIGN_RUN = auto()
    CUSUM = auto()
    AGE_OF_HIGHEST = auto()
    SEASON_ZSCORE = auto()
    END_OF_RECURRENCES = auto()

    # features.bars.filters
    TAPS = auto()
    MEAN_DISTANCE = auto()
    SYMBOL_ENTROPY = auto()
    LEMPEL_ZIV = auto()
    END_OF_FILTERS = auto()

    # features.bars.pieces
    ADD_SCALED = auto()
    SHIFTED = auto()
    MINIMUM = auto()
    MEDIAN = auto()
    MEAN_OF_THREE = auto()
    SIGN = auto()
    EXCESS = auto()
    SIGNED_ROOT = auto()
    SIGNED_BY = auto()
    MONEY_FLOW = auto()
    TRUE_RANGE = auto()
    DIRECTIONAL = auto()
    POSITION = auto()
    CHOPPINESS = auto()
    RISE_OR_FALL = auto()
    RISES_LESS_FALLS = auto()
    NEITHER = auto()
    ORDER_OF_THREE = auto()
    BULK = auto()
    PRICE_GAP = auto()
    OWN_BALANCE = auto()
    END_OF_PIECES = auto()

    # features.bars.statistics
    COVARIATION = auto()
    CENTRED = auto()
    CORRELATION_OF_SUMS = auto()
    CORRELATION_WITH_TIME = auto()
    SLOPE_OF_SUMS = auto()
    RELATIVE_CHANGE = auto()
    REVERSAL = auto()
    SIGNED_R2 = auto()
    ROOT_PER_SCALE = auto()
    ROLL_SPREAD = auto()
    QUARTICITY = auto()
    SKEWNESS = auto()
    LOG_KURTOSIS = auto()
    JUMP_STATISTIC = auto()
    VARIATION = auto()
    YANG_ZHANG = auto()
    CONCENTRATION = auto()
    LOG_SHARE = auto()
    END_OF_STATISTICS = auto()

    # features.bars.edge
    MIDDLE_GAP = auto()
    LAST_LEAN = auto()
    EDGE_COUNTS = auto()
    MEAN_OF_MOVED = auto()
    EDGE_MEAN = auto()
    EDGE_SQUARE = auto()
    EDGE_CROSS = auto()
    EDGE_SECOND = auto()
    EDGE_FIRST = auto()
    EDGE_SECOND_SQUARE = auto()
    EDGE_FIRST_SQUARE = auto()
    EDGE = auto()
    END_OF_EDGE = auto()
