"""The websocket sides of Bybit v5 and OKX v5, in the shapes of their documentation: snapshots come on the stream."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.emulator.stream import StreamExchange, as_text

Levels = list[list[str]]


def best(levels: dict[int, int], depth: int, *, bids: bool) -> dict[int, int]:
    """The best `depth` levels, best first."""
    return dict(sorted(levels.items(), reverse=bids)[:depth])


def changes(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    """What turns one book of fixed depth into the other; 0 removes a level."""
    gone = {tick: 0 for tick in before if tick not in after}
    return gone | {tick: qty for tick, qty in after.items() if before.get(tick) != qty}


@dataclass
class BybitExchange(StreamExchange):
    """orderbook.50, orderbook.1 and publicTrade."""

    depth = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        self.numbers = dict.fromkeys(self.symbols, 100)

    def sides(self, symbol: str, depth: int) -> tuple[dict[int, int], dict[int, int]]:
        """Bids and asks as a client of that depth should have them."""
        book = self.books[symbol]
        return best(book.bids, depth, bids=True), best(book.asks, depth, bids=False)

    def book(self, symbol: str, kind: str, depth: int, bids: dict[int, int], asks: dict[int, int]) -> dict[str, Any]:
        """One message of a book."""
        number = self.numbers[symbol]
        data = {"s": symbol, "b": as_text(bids), "a": as_text(asks), "u": number, "seq": 7 * number}
        now = self.now_ms()
        return {"topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": now, "data": data, "cts": now}

    async def move_book(self, symbol: str) -> None:
        """One step of the book, and the quote after it."""
        before = self.sides(symbol, self.depth)
        self.books[symbol].step()
        after = self.sides(symbol, self.depth)
        self.numbers[symbol] += 1
        if self.skip > 0:
            self.skip -= 1
            return
        change = [changes(old, new) for old, new in zip(before, after, strict=True)]
        await self.send(f"orderbook.{self.depth}.{symbol}", self.book(symbol, "delta", self.depth, *change))
        await self.send(f"orderbook.1.{symbol}", self.book(symbol, "snapshot", 1, *self.sides(symbol, 1)))

    async def restart(self, symbol: str) -> None:
        """The service starts again: a whole book with the number 1, by its type a change."""
        self.numbers[symbol] = 1
        message = self.book(symbol, "delta", self.depth, *self.sides(symbol, self.depth))
        await self.send(f"orderbook.{self.depth}.{symbol}", message)

    async def send_trades(self, symbol: str, group: list[dict[str, Any]]) -> None:
        """All trades of one order in one message."""
        rows = [
            {
                "T": event["T"],
                "s": symbol,
                "S": "Sell" if event["m"] else "Buy",
                "v": event["q"],
                "p": event["p"],
                "L": "PlusTick",
                "i": f"20f43950-d8dd-5b31-9112-{event['t']:012d}",
                "BT": False,
            }
            for event in group
        ]
        message = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": self.now_ms(), "data": rows}
        await self.send(f"publicTrade.{symbol}", message)

    async def command(self, socket: web.WebSocketResponse, names: set[str], text: str) -> None:
        """Subscriptions, each of a book answered with its snapshot, and pings."""
        command = json.loads(text)
        answer = {"success": True, "ret_msg": "", "conn_id": "c0", "req_id": command["req_id"], "op": command["op"]}
        if command["op"] == "ping":
            await socket.send_str(json.dumps({**answer, "ret_msg": "pong"}))
            return
        assert len(command["args"]) <= 10, "a request of spot takes ten topics"
        await socket.send_str(json.dumps(answer))
        for topic in command["args"]:
            names.add(topic)
            kind, _, rest = topic.partition(".")
            if kind == "orderbook":
                depth, _, symbol = rest.partition(".")
                message = self.book(symbol, "snapshot", int(depth), *self.sides(symbol, int(depth)))
                await socket.send_str(json.dumps(message))


@dataclass
class OkxExchange(StreamExchange):
    """books, bbo-tbt and trades."""

    checksums: bool = True
    wrong_checksums: int = 0
    """That many changes carry a checksum of another book."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.numbers = dict.fromkeys(self.symbols, 123_456)

    def name(self, symbol: str) -> str:
        """The exchange's own name of the market."""
        return f"{symbol[:-4]}-{symbol[-4:]}" + ("" if self.contract == "spot" else "-SWAP")

    def _message(self, symbol: str, action: str, previous: int, bids: Levels, asks: Levels) -> dict[str, Any]:
        book = {
            "asks": [[*a, "0", "1"] for a in asks],
            "bids": [[*b, "0", "1"] for b in bids],
            "ts": str(self.now_ms()),
        }
        checksum = self._checksum(symbol) if self.checksums else 0
        if self.wrong_checksums > 0 and action == "update":
            self.wrong_checksums -= 1
            checksum += 1
        book |= {"checksum": checksum, "seqId": self.numbers[symbol], "prevSeqId": previous}
        return {"arg": {"channel": "books", "instId": self.name(symbol)}, "action": action, "data": [book]}

    def _checksum(self, symbol: str) -> int:
        """The exchange's own way: 25 levels a side, bid and ask in turn, signed 32 bits."""
        book, words = self.books[symbol], []
        bids = as_text(best(book.bids, 25, bids=True))
        asks = as_text(best(book.asks, 25, bids=False))
        for bid, ask in zip(bids, asks, strict=True):
            words += [*bid, *ask]
        unsigned = zlib.crc32(":".join(words).encode())
        return unsigned if unsigned < 2**31 else unsigned - 2**32

    async def move_book(self, symbol: str) -> None:
        """One step of the book, and the quote after it."""
        book, name, previous = self.books[symbol], self.name(symbol), self.numbers[symbol]
        *_, bids, asks = book.step()
        self.numbers[symbol] += 1 + len(bids)
        if self.skip > 0:
            self.skip -= 1
            return
        await self.send(f"books:{name}", self._message(symbol, "update", previous, bids, asks))
        top = book.top()
        quote = {"bids": [[top["b"], top["B"], "0", "2"]], "asks": [[top["a"], top["A"], "0", "3"]]}
        quote |= {"ts": str(self.now_ms()), "seqId": self.numbers[symbol]}
        await self.send(f"bbo-tbt:{name}", {"arg": {"channel": "bbo-tbt", "instId": name}, "data": [quote]})

    async def say_nothing_changed(self, symbol: str) -> None:
        """What comes after a minute without a change."""
        message = self._message(symbol, "update", self.numbers[symbol], [], [])
        await self.send(f"books:{self.name(symbol)}", message)

    async def lower_the_numbers(self, symbol: str) -> None:
        """After maintenance the next number is lower than the last."""
        previous = self.numbers[symbol]
        *_, bids, asks = self.books[symbol].step()
        self.numbers[symbol] = 3
        await self.send(f"books:{self.name(symbol)}", self._message(symbol, "update", previous, bids, asks))

    async def send_trades(self, symbol: str, group: list[dict[str, Any]]) -> None:
        """What one order took at one price, as one row."""
        units = sum(round(float(event["q"]) * 1e8) for event in group)
        row = {
            "instId": self.name(symbol),
            "tradeId": str(group[-1]["t"]),
            "px": group[0]["p"],
            "sz": f"{units // 10**8}.{units % 10**8:08d}",
            "side": "sell" if group[0]["m"] else "buy",
            "ts": str(group[0]["T"]),
            "count": str(len(group)),
        }
        stream = f"trades:{row['instId']}"
        await self.send(stream, {"arg": {"channel": "trades", "instId": row["instId"]}, "data": [row]})

    async def command(self, socket: web.WebSocketResponse, names: set[str], text: str) -> None:
        """Subscriptions, each of a book followed by its snapshot, and pings, which are plain text."""
        if text == "ping":
            await socket.send_str("pong")
            return
        for arg in json.loads(text)["args"]:
            names.add(f"{arg['channel']}:{arg['instId']}")
            await socket.send_str(json.dumps({"event": "subscribe", "arg": arg, "connId": "a4d3ae55"}))
            if arg["channel"] == "books":
                symbol = next(symbol for symbol in self.symbols if self.name(symbol) == arg["instId"])
                book = self.books[symbol].snapshot(400)
                await socket.send_str(json.dumps(self._message(symbol, "snapshot", -1, book["bids"], book["asks"])))
