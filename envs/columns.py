"""Columns of a market's arrays, as compiled code sees them."""

# Market.prices, float64: one cache line a row.
(
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME,  # units of the contract; NaN where unknown (no participation cap then)
    HALF_SPREAD,  # fraction of the price; NaN where the config's constant applies
    IMPACT,  # σ / √V of a day, known at the row's close
    TRADABLE,  # 1 where orders may be decided at the row's close
) = range(8)
PRICE_COLUMNS = 8

# Market.calendar, float64.
(
    FUNDING,  # rate settled at the bar's open: longs pay it, shorts receive it
    DAY,  # UTC day of the bar's open
    FINER,  # first row of `Market.finer` that lies inside the bar
) = range(3)
CALENDAR_COLUMNS = 3

# Market.finer, float64: open, high, low, close of shorter bars.
FINER_COLUMNS = 4
