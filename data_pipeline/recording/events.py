"""The raw event log and the meaning of its lines.

A log is text, one event a line: `<local nanoseconds since 1970 UTC> <JSON>`, exactly as public captures of combined
streams are written, so a capture and a recorder's own log are read by the same code. The JSON is what the exchange
sent (bare or wrapped as `{"stream": ..., "data": ...}`), or a record of the recorder itself, `{"recorder": what, ...}`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson

Level = list[str] | tuple[str, str]  # [price, quantity], decimal text as the exchange writes it


class MalformedEventError(ValueError):
    """A message that claims a known kind but lacks its fields; it is kept in the log and counted, never applied."""


class Depth(NamedTuple):
    """A change of the book: quantities are absolute, 0 removes the level. `previous_id` only on USD-M."""

    symbol: str
    event_time_ms: int
    transaction_time_ms: int | None
    first_id: int
    final_id: int
    previous_id: int | None
    bids: list[Level]
    asks: list[Level]


class Trade(NamedTuple):
    """One trade, or `joined` of them that one order made at one price, the last of which has the id `trade_id`.

    `event_time_ms` is None when it was asked for by REST. `on_book` is False for what the exchange keeps out of its
    bars (insurance fund, auto-deleveraging).
    """

    symbol: str
    event_time_ms: int | None
    trade_time_ms: int
    trade_id: int
    price: str
    qty: str
    buyer_is_maker: bool
    on_book: bool = True
    joined: int = 1

    @property
    def first_id(self) -> int:
        """Id of the first trade of the group."""
        return self.trade_id - self.joined + 1


class Trades(NamedTuple):
    """Trades that came together. `source`: ws, or the REST endpoint that was asked for what the stream had missed."""

    symbol: str
    source: str
    trades: list[Trade]


class Ticker(NamedTuple):
    """Best bid and ask at one update id; spot gives no event time."""

    symbol: str
    event_time_ms: int | None
    update_id: int
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float


class Snapshot(NamedTuple):
    """A REST depth snapshot. `symbol` is None in captures of one symbol, which do not say it."""

    symbol: str | None
    last_id: int
    bids: list[Level]
    asks: list[Level]


class Control(NamedTuple):
    """A record of the recorder.

    `what`: segment, book, tape (the head of a log), connect, disconnect, stall, dropped, reply, stop, and of trades
    asked for again: refetched (the asking is over) and no_trades (it failed).
    """

    what: str
    symbol: str | None
    detail: dict[str, Any]


class LogLine(NamedTuple):
    """One line: local time, decoded message, the message's own bytes, offset of the line's end in the plain text."""

    local_ns: int
    message: dict[str, Any]
    text: bytes
    end: int


Event = Depth | Trade | Trades | Ticker | Snapshot | Control


def encode_line(local_ns: int, message: dict[str, Any]) -> bytes:
    """One line of the log. Exchange prices are text in the JSON, so decoding and encoding again loses nothing."""
    return join_line(local_ns, orjson.dumps(message, default=str))


def join_line(local_ns: int, text: bytes) -> bytes:
    """The line that `read_log` takes apart again."""
    return b"%d %s\n" % (local_ns, text)


def read_log(path: Path) -> Iterator[LogLine]:
    """Yield the lines of a log, plain or gzip, up to its end or to the first line that is not whole.

    A killed writer leaves a torn last line, or a gzip stream without trailer; what came before is yielded.
    """
    end = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                stamp, _, text = line.partition(b" ")
                if not text.endswith(b"\n"):
                    return
                try:
                    local_ns, message = int(stamp), orjson.loads(text)
                except ValueError:
                    return
                end += len(line)
                yield LogLine(local_ns, message, text[:-1], end)
    except EOFError:
        return


def parse_event(message: dict[str, Any]) -> Event | None:
    """The event that a message carries, None for what is none of ours (acknowledgements, other streams).

    Raises MalformedEventError when a message of a known kind lacks a field or has one of the wrong type.
    """
    if "recorder" in message:
        return _parse_record(message)
    data = message.get("data", message) if "stream" in message else message
    try:
        kind = data.get("e")
        if kind == "depthUpdate":
            return Depth(
                data["s"], data["E"], data.get("T"), data["U"], data["u"], data.get("pu"), data["b"], data["a"]
            )
        if kind == "trade":
            on_book = data.get("X", "MARKET") == "MARKET"
            return Trade(data["s"], data["E"], data["T"], data["t"], data["p"], data["q"], data["m"], on_book)
        if kind == "bookTicker" or (kind is None and "B" in data and "A" in data):
            prices = (float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"]))
            return Ticker(data["s"], data.get("E"), data["u"], *prices)
        if kind is None and "lastUpdateId" in data:
            return parse_snapshot(None, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedEventError(f"{type(error).__name__}: {error}") from error
    return None


def _parse_record(message: dict[str, Any]) -> Event:
    if message["recorder"] == "snapshot":
        return parse_snapshot(message["symbol"], message["response"])
    if message["recorder"] == "trades":
        symbol, source = message["symbol"], message["source"]
        return Trades(symbol, source, [parse_rest_trade(symbol, row) for row in message["rows"]])
    return Control(message["recorder"], message.get("symbol"), message)


def parse_rest_trade(symbol: str, row: dict[str, Any]) -> Trade:
    """A row of Binance's `trades` (one trade) or `aggTrades` (ids f to l of one order at one price).

    Raises KeyError or TypeError for a row that is neither.
    """
    if "a" in row:
        return Trade(symbol, None, row["T"], row["l"], row["p"], row["q"], row["m"], joined=row["l"] - row["f"] + 1)
    return Trade(symbol, None, row["time"], row["id"], row["price"], row["qty"], row["isBuyerMaker"])


def parse_snapshot(symbol: str | None, response: object) -> Snapshot:
    """Check a REST depth answer and take it apart.

    ccxt turns a truncated answer under status 200 into text, None or a book without a number: each is refused here,
    as are a side without levels, sides out of order and a crossed pair. Raises MalformedEventError saying which.
    """
    if not isinstance(response, dict):
        raise MalformedEventError(f"the snapshot is {type(response).__name__}, not an object")
    last_id = response.get("lastUpdateId")
    if not isinstance(last_id, int):
        raise MalformedEventError(f"the snapshot's lastUpdateId is {last_id!r}")
    sides = []
    for name, sign in (("bids", -1.0), ("asks", 1.0)):
        levels = response.get(name)
        if not isinstance(levels, list) or not levels:
            raise MalformedEventError(f"the snapshot has no {name}")
        try:
            prices = [sign * float(price) for price, _ in levels]
        except (TypeError, ValueError) as error:
            raise MalformedEventError(f"the snapshot's {name}: {error}") from error
        if any(a >= b for a, b in pairwise(prices)):
            raise MalformedEventError(f"the snapshot's {name} are out of order")
        sides.append(levels)
    if float(sides[0][0][0]) >= float(sides[1][0][0]):
        raise MalformedEventError(f"the snapshot is crossed: bid {sides[0][0][0]}, ask {sides[1][0][0]}")
    return Snapshot(symbol, last_id, *sides)
