"""Columns of a book market's arrays, as compiled code sees them."""

# BookMarket.events, float64: trades and books in the order of the exchange's clock.
(
    TAKER,  # +1 when the taker bought, -1 when it sold, 0 for a book
    PRICE,  # of a trade
    SIZE,  # of a trade, units of the contract
    BOOK,  # row of `BookMarket.books` that is in force after the event
) = range(4)
EVENT_COLUMNS = 4

# BookMarket.books, float64: ten bids, best first, then ten asks, a price and a size each; size 0 where there is none.
LEVELS = 10
ASKS = 2 * LEVELS
BOOK_COLUMNS = 4 * LEVELS

# BookMarket.schedule, int64: what happened in each row's step.
(
    FIRST,  # first event at or after the step's beginning
    STOP,  # first event at or after its end
    KNOWN,  # row of `BookMarket.books` that had been received by its end
) = range(3)
SCHEDULE_COLUMNS = 3
