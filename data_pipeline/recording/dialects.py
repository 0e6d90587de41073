"""The messages of Bybit v5 and OKX v5 as events, in the shapes that their documentation shows.

Both send the book's snapshot on the stream itself. Bybit numbers the updates of a topic one by one; OKX names the
update that came before, and may add a checksum. Bybit's trades have no numbers that follow each other, OKX's have, and
what one order took at one price comes as one row with the last number and the count.
"""

from __future__ import annotations

from typing import Any

from data_pipeline.recording.events import (
    UNNUMBERED,
    Depth,
    Event,
    MalformedEventError,
    Snapshot,
    Ticker,
    Trade,
    Trades,
    checked_sides,
)


def parse_bybit(message: dict[str, Any]) -> Event | None:
    """A message of `orderbook.<depth>.<symbol>` or `publicTrade.<symbol>`; None for any other.

    An update with the number 1 is a snapshot, whatever its type says: the service was started again.
    """
    topic = message.get("topic")
    if not isinstance(topic, str):
        return None
    data = message["data"]
    if topic.startswith("publicTrade."):
        symbol = topic.partition(".")[2]
        return Trades(symbol, "ws", [_bybit_trade(row, message["ts"]) for row in data])
    if not topic.startswith("orderbook."):
        return None
    if topic.startswith("orderbook.1."):
        (bid, bid_qty), (ask, ask_qty) = data["b"][0], data["a"][0]
        return Ticker(data["s"], message["ts"], data["u"], float(bid), float(bid_qty), float(ask), float(ask_qty))
    if message["type"] == "snapshot" or data["u"] == 1:
        return Snapshot(data["s"], data["u"], *checked_sides(data["b"], data["a"]), event_time_ms=message["ts"])
    made = message.get("cts")
    return Depth(data["s"], message["ts"], made, data["u"], data["u"], data["u"] - 1, data["b"], data["a"])


def _bybit_trade(row: dict[str, Any], event_time_ms: int) -> Trade:
    """Without a number: perpetuals have text there, spot numbers that run over all symbols."""
    return Trade(row["s"], event_time_ms, row["T"], UNNUMBERED, row["p"], row["v"], row["S"] == "Sell")


def parse_okx(message: dict[str, Any]) -> Event | None:
    """A message of the channels books, bbo-tbt or trades; None for any other."""
    channel, data = message.get("arg", {}).get("channel"), message.get("data")
    if data is None or channel not in ("books", "bbo-tbt", "trades"):
        return None
    symbol = message["arg"]["instId"]
    if channel == "trades":
        return Trades(symbol, "ws", [_okx_trade(symbol, row) for row in data])
    if len(data) != 1:
        raise MalformedEventError(f"{len(data)} books in one message")
    book = data[0]
    time_ms = int(book["ts"])
    if channel == "bbo-tbt":
        (bid, bid_qty, *_), (ask, ask_qty, *_) = book["bids"][0], book["asks"][0]
        number = int(book.get("seqId", 0))
        return Ticker(symbol, time_ms, number, float(bid), float(bid_qty), float(ask), float(ask_qty))
    bids, asks = ([level[:2] for level in book[side]] for side in ("bids", "asks"))
    checksum = book.get("checksum") or None  # 0 stands for none
    if message["action"] == "snapshot":
        return Snapshot(symbol, book["seqId"], *checked_sides(bids, asks), checksum, time_ms)
    return Depth(symbol, time_ms, None, book["seqId"], book["seqId"], book["prevSeqId"], bids, asks, checksum)


def _okx_trade(symbol: str, row: dict[str, Any]) -> Trade:
    time_ms, joined = int(row["ts"]), int(row.get("count", 1))
    return Trade(
        symbol, time_ms, time_ms, int(row["tradeId"]), row["px"], row["sz"], row["side"] == "sell", True, joined
    )


def bybit_stream(message: Any) -> tuple[str, str] | None:
    """(book, bbo or trades, symbol) of a message, None when it is none of the market's."""
    if not isinstance(message, dict) or "data" not in message:
        return None
    topic = message.get("topic", "")
    name, symbol = topic.partition(".")[0], topic.rpartition(".")[2]
    if name == "publicTrade":
        return "trades", symbol
    return ("bbo" if topic.startswith("orderbook.1.") else "book", symbol) if name == "orderbook" else None


def okx_stream(message: Any) -> tuple[str, str] | None:
    """(book, bbo or trades, symbol) of a message, None when it is none of the market's."""
    if not isinstance(message, dict) or "data" not in message:
        return None
    kinds = {"books": "book", "bbo-tbt": "bbo", "trades": "trades"}
    arg = message.get("arg") or {}
    if arg.get("channel") not in kinds:
        return None
    return kinds[arg["channel"]], arg.get("instId", "")
