"""Trades that the stream missed, asked for again by REST.

The newest thousand come one by one (`trades`); a longer hole needs `aggTrades`, which joins what one order did at one
price: sums and counts are the same, and what such a group repeats of trades that are known is cut off by the tape.
`historicalTrades` would give all of them one by one, but wants an API key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, Protocol

from data_pipeline.recording.events import MalformedEventError, parse_rest_trade

PAGE = 1000  # rows of one answer, the most that Binance gives
MARGIN_MS = 1000  # a group may be stamped with its first trade's time: begin before the last trade known
Rows = list[dict[str, Any]]


class TradeSource(Protocol):
    """What `missed_trades` asks: one symbol's REST endpoints. The answers are unchecked; ccxt's errors pass through."""

    async def recent(self) -> Any:
        """The newest `PAGE` trades."""

    async def grouped(self, query: dict[str, int]) -> Any:
        """`PAGE` groups of trades from `fromId` (of groups) or `startTime` on."""


async def missed_trades(source: TradeSource, hole: tuple[int, int], after_ms: int) -> AsyncIterator[tuple[str, Rows]]:
    """Yield (endpoint, rows) that hold the ids `hole[0]` to `hole[1]`, as far as the exchange has them.

    `after_ms`: time of the last trade before the hole. Raises MalformedEventError for an answer that is not what it
    should be, and ccxt's errors.
    """
    first, last = hole
    rows = checked(await source.recent())
    if rows and _ids(rows[0])[0] <= first:
        yield "trades", [row for row in rows if first <= _ids(row)[1] <= last]
        return
    query = {"startTime": after_ms - MARGIN_MS}
    while True:
        rows = checked(await source.grouped(query))
        yield "aggTrades", [row for row in rows if _ids(row)[1] >= first and _ids(row)[0] <= last]
        if len(rows) < PAGE or _ids(rows[-1])[1] >= last:
            return
        query = {"fromId": rows[-1]["a"] + 1}


def checked(rows: object) -> Rows:
    """The rows when every one is a trade and their ids rise. Raises MalformedEventError."""
    if not isinstance(rows, list):
        raise MalformedEventError(f"the answer is {type(rows).__name__}, not a list of trades")
    try:
        spans = [_ids(row) for row in rows]
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise MalformedEventError(f"a row is no trade: {type(error).__name__}: {error}") from error
    if any(low > high for low, high in spans) or any(a[1] >= b[0] for a, b in pairwise(spans)):
        raise MalformedEventError("the ids of the trades do not rise")
    return rows


def _ids(row: dict[str, Any]) -> tuple[int, int]:
    trade = parse_rest_trade("", row)
    return trade.first_id, trade.trade_id
