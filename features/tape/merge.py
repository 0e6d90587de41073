"""Trades and quotes brought into one sequence, in the order in which they were received."""

import numpy as np

from features.events import Events
from features.tape.catalogue import TAPE_FIELDS


def merge_tape(trades: Events, quotes: Events) -> Events:
    """Events of the kind "tape" from events of the kinds "trades" and "quotes", on the local clock.

    The local clock is the only one that both streams share and a live system knows. Of a trade and a quote received in
    the same nanosecond the trade comes first: the quote may already show what the trade did.

    Two streams need not be equally fast. Where the quotes run ahead, the mid "before" a trade has often followed it
    already: effective spreads come out too small, below 0 even (Binance spot, August 2024: -0.35 bps on average, where
    USD-M gives 1.3), and impact with them. Spot quotes carry no exchange time that could tell the true order.
    """
    local = np.concatenate((trades.local_time_ns, quotes.local_time_ns))
    order = np.argsort(local, kind="stable")
    columns = {}
    for name in TAPE_FIELDS:
        traded = trades.columns.get(name, np.full(len(trades), np.nan))
        quoted = quotes.columns.get(name, np.full(len(quotes), np.nan))
        columns[name] = np.concatenate((traded, quoted))[order]
    return Events(local[order], local[order], columns)
