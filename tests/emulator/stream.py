"""The websocket side of the emulated exchange: Binance's streams, spot and USD-M, live or replayed from a capture."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from data_pipeline.recording.events import read_log
from tests.emulator.network import STREAM_HOSTS, Network

LEVELS = 40


@dataclass
class Tally:
    """One minute as the exchange itself sums it, in integers of 1e-8 (volume) and 1e-16 (quote volume)."""

    open: str
    high: str
    low: str
    close: str
    volume: int = 0
    quote: int = 0
    trades: int = 0
    taker_volume: int = 0
    taker_quote: int = 0


class LiveBook:
    """A seeded book on a grid of ticks of 0.01. `step` moves it and returns the depth event's content."""

    def __init__(self, mid: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.mid = mid
        self.last_id = 1_000_000
        self.bids = {mid - 1 - i: self._qty() for i in range(LEVELS)}
        self.asks = {mid + 1 + i: self._qty() for i in range(LEVELS)}

    def _qty(self) -> int:
        return self.random.randint(1, 500_000)

    def step(self, changes: int = 4) -> tuple[int, int, list[list[str]], list[list[str]]]:
        """Apply a few random changes; returns (U, u, bids, asks)."""
        first = self.last_id + 1
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        self.mid += self.random.choice((-1, 0, 0, 1))
        for side, changed in ((self.bids, bids), (self.asks, asks)):
            best = self.mid - 1 if side is self.bids else self.mid + 1
            sign = -1 if side is self.bids else 1
            for tick in [tick for tick in side if (tick - best) * sign < 0]:
                changed[tick] = 0
            for _ in range(changes):
                changed[best + sign * int(self.random.expovariate(0.2))] = self._qty()
            far = [tick for tick in side if (tick - best) * sign > 2 * LEVELS]
            changed.update(dict.fromkeys(far, 0))
            for tick, qty in changed.items():
                if qty:
                    side[tick] = qty
                else:
                    side.pop(tick, None)
        self.last_id += len(bids) + len(asks)
        return first, self.last_id, _text(bids), _text(asks)

    def snapshot(self, limit: int) -> dict[str, Any]:
        """The REST depth answer at this instant."""
        bids = sorted(self.bids.items(), reverse=True)[:limit]
        return {
            "lastUpdateId": self.last_id,
            "bids": _text(dict(bids)),
            "asks": _text(dict(sorted(self.asks.items())[:limit])),
        }

    def top(self) -> dict[str, str]:
        """Best prices as bookTicker names them."""
        bid, ask = max(self.bids), min(self.asks)
        (b, B), (a, A) = _text({bid: self.bids[bid]})[0], _text({ask: self.asks[ask]})[0]
        return {"b": b, "B": B, "a": a, "A": A}


def _text(levels: dict[int, int]) -> list[list[str]]:
    return [[_decimal(tick * 1_000_000), _decimal(qty * 1000)] for tick, qty in levels.items()]


def _decimal(units: int) -> str:
    """1e-8 units as the exchange's text, such as 61837.63000000."""
    return f"{units // 100_000_000}.{units % 100_000_000:08d}"


@dataclass
class StreamExchange:
    """Live books and trades of some symbols, sent to whoever subscribed. Faults are attributes that tests set."""

    symbols: tuple[str, ...] = ("BTCUSDT",)
    contract: str = "spot"
    seed: int = 1
    clock: Callable[[], float] = time.time
    paused: bool = False
    """The market rests: nothing happens."""
    silent: bool = False
    """Silent stall: nothing is sent, pings are answered, connections stay."""
    skip: int = 0
    """That many depth events happen without being sent: a sequence gap."""
    repeat: int = 0
    """That many events are sent twice."""
    swap: int = 0
    """That many times two consecutive events of a stream change places."""
    closed: bool = False
    """New connections are turned away with status 503."""
    stale_snapshots: int = 0
    """That many depth answers are from before the last thousand updates."""
    recent: int = 1000
    """Most rows of a `trades` answer: a small number stands for a market with as many more trades."""
    hidden: tuple[int, int] = (0, -1)
    """Ids from first to last that no REST answer holds."""
    sent: list[str] = field(default_factory=list)
    """Every message that was sent to at least one connection, as text, in order; the last `remember` of them."""
    remember: int | None = None
    delivered: int = 0
    """How many messages were sent to at least one connection."""
    accepted: int = 0
    tallies: dict[str, dict[int, Tally]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.books = {name: LiveBook(6_000_000 + 1000 * n, self.seed + n) for n, name in enumerate(self.symbols)}
        self._previous = {name: book.last_id for name, book in self.books.items()}
        self._trade_ids = dict.fromkeys(self.symbols, 7000)
        self._groups: dict[str, deque[list[dict[str, Any]]]] = {name: deque(maxlen=50_000) for name in self.symbols}
        self._old = {name: book.snapshot(1000) for name, book in self.books.items()}
        self._held: dict[str, str] = {}
        self._connections: dict[web.WebSocketResponse, tuple[set[str], web.Request]] = {}
        self._random = random.Random(self.seed)

    # --- what happens at the exchange

    def now_ms(self) -> int:
        """The exchange's clock."""
        return int(self.clock() * 1000)

    def depth_source(self, contract: str, symbol: str, limit: int) -> dict[str, Any]:
        """The body of a REST depth answer; plug it into the REST emulator's `depth_source`."""
        if self.stale_snapshots > 0:
            self.stale_snapshots -= 1
            return self._old[symbol]
        return self.books[symbol].snapshot(limit)

    async def move_book(self, symbol: str) -> None:
        """One step of the book: bookTicker, then the depth event, as the exchange orders them."""
        book = self.books[symbol]
        first, final, bids, asks = book.step()
        event: dict[str, Any] = {"e": "depthUpdate", "E": self.now_ms(), "s": symbol, "U": first, "u": final}
        ticker: dict[str, Any] = {"u": final, "s": symbol, **book.top()}
        if self.contract == "linear":
            event.update(T=self.now_ms(), pu=self._previous[symbol])
            ticker.update(e="bookTicker", T=self.now_ms(), E=self.now_ms())
        event.update(b=bids, a=asks)
        self._previous[symbol] = final
        await self.send(f"{symbol.lower()}@bookTicker", ticker)
        if self.skip > 0:
            self.skip -= 1
            return
        await self.send(f"{symbol.lower()}@depth", event)

    async def trade(self, symbol: str) -> None:
        """One order that takes from the touch: one trade, or up to three at one price and one instant."""
        book = self.books[symbol]
        maker_buys = self._random.random() < 0.5
        tick = max(book.bids) if maker_buys else min(book.asks)
        now, price = self.now_ms(), _decimal(tick * 1_000_000)
        group = []
        for _ in range(self._random.choice((1, 1, 2, 3))):
            qty = self._random.randint(1, 300_000) * 1000
            self._trade_ids[symbol] += 1
            event = {"e": "trade", "E": now, "s": symbol, "t": self._trade_ids[symbol], "p": price, "q": _decimal(qty)}
            event.update({"T": now, "m": maker_buys} | ({"X": "MARKET"} if self.contract == "linear" else {"M": True}))
            self._sum(symbol, now // 60_000 * 60_000, tick, price, qty, maker_buys)
            group.append(event)
        self._groups[symbol].append(group)
        for event in group:
            await self.send(f"{symbol.lower()}@trade", event)

    def trade_source(self, endpoint: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows of a REST `trades` or `aggTrades` answer."""
        groups = self._groups[query["symbol"]]
        limit = int(query.get("limit", 500))
        if endpoint == "trades":
            newest = [event for group in list(groups)[-limit:] for event in group]
            shown = [event for event in newest if not self.hidden[0] <= event["t"] <= self.hidden[1]]
            rows = [
                {"id": e["t"], "price": e["p"], "qty": e["q"], "time": e["T"], "isBuyerMaker": e["m"]} for e in shown
            ]
            return rows[-min(limit, self.recent) :]
        begin = int(query.get("fromId", 0)), int(query.get("startTime", 0))
        rows = []
        for group in groups:
            first, last = group[0], group[-1]
            seen = not self.hidden[0] <= last["t"] <= self.hidden[1]
            if seen and first["t"] >= begin[0] and first["T"] >= begin[1] and len(rows) < limit:
                units = sum(round(float(event["q"]) * 1e8) for event in group)
                row = {"a": first["t"], "p": first["p"], "q": _decimal(units), "f": first["t"], "l": last["t"]}
                rows.append({**row, "T": first["T"], "m": first["m"]})
        return rows

    def _sum(self, symbol: str, minute: int, tick: int, price: str, qty: int, maker_buys: bool) -> None:
        minutes = self.tallies.setdefault(symbol, {})
        tally = minutes.setdefault(minute, Tally(price, price, price, price))
        tally.high, tally.low, tally.close = max(tally.high, price), min(tally.low, price), price
        tally.volume += qty
        tally.quote += qty * tick * 1_000_000
        tally.trades += 1
        tally.taker_volume += 0 if maker_buys else qty
        tally.taker_quote += 0 if maker_buys else qty * tick * 1_000_000

    async def pump(self, interval_s: float = 0.01) -> None:
        """Move every book and trade once an interval, for ever."""
        while True:
            for symbol in () if self.paused else self.symbols:
                await self.move_book(symbol)
                await self.trade(symbol)
            await asyncio.sleep(interval_s)

    async def replay(self, capture: Path, lines: int | None = None) -> None:
        """Send a recorded capture's events in their order; its snapshot answers depth requests from the start."""
        messages = [line.message for line in read_log(capture)][:lines]
        snapshot = next(message for message in messages if "lastUpdateId" in message)
        self.depth_source = lambda contract, key, limit: snapshot  # type: ignore[method-assign]
        for number, message in enumerate(message for message in messages if "stream" in message):
            await self.send(message["stream"].replace("@depth@0ms", "@depth"), message["data"])
            if number % 200 == 0:
                await asyncio.sleep(0.002)

    # --- connections

    @property
    def subscriptions(self) -> set[str]:
        """Every stream that some connection has asked for."""
        return {name for names, _ in self._connections.values() for name in names}

    def drop_connections(self) -> None:
        """Cut every connection without a closing handshake."""
        for _, request in list(self._connections.values()):
            if request.transport is not None:
                request.transport.abort()

    async def send(self, stream: str, data: dict[str, Any]) -> None:
        """Send to the subscribers of `stream` (a depth stream at any pace), faults applied."""
        text = json.dumps(data, separators=(",", ":"))
        if self.silent:
            return
        if self.swap > 0 and stream not in self._held:
            self._held[stream] = text
            return
        texts = [text]
        if stream in self._held:
            texts = [text, self._held.pop(stream)]
            self.swap -= 1
        if self.repeat > 0:
            self.repeat -= 1
            texts *= 2
        for item in texts:
            await self._deliver(stream, item)

    async def _deliver(self, stream: str, text: str) -> None:
        reached = False
        for socket, (names, request) in list(self._connections.items()):
            name = next((name for name in names if name == stream or name.startswith(f"{stream}@")), None)
            if name is None:
                continue
            wrapped = f'{{"stream":"{name}","data":{text}}}' if request.path.endswith("/stream") else text
            try:
                await socket.send_str(wrapped)
                reached = True
            except (ConnectionError, RuntimeError):
                continue
        if reached:
            self.delivered += 1
            self.sent.append(text)
            if self.remember is not None:
                del self.sent[: -self.remember or None]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One websocket: `/ws/...` takes SUBSCRIBE messages, `/stream?streams=a/b` is combined."""
        if self.closed:
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        names = {name for name in request.query.get("streams", "").split("/") if name}
        self._connections[socket] = (names, request)
        self.accepted += 1
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._command(socket, names, json.loads(message.data))
        finally:
            self._connections.pop(socket, None)
        return socket

    async def _command(self, socket: web.WebSocketResponse, names: set[str], command: dict[str, Any]) -> None:
        known = {name.lower() for name in self.books}
        asked = command["params"]
        if any(name.partition("@")[0] not in known for name in asked):
            error = {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": command["id"]}
            await socket.send_str(json.dumps(error))
            return
        names.update(asked) if command["method"] == "SUBSCRIBE" else names.difference_update(asked)
        await socket.send_str(json.dumps({"result": None, "id": command["id"]}))


@asynccontextmanager
async def streaming(network: Network, exchange: StreamExchange) -> AsyncIterator[int]:
    """Serve `exchange` at the exchanges' stream hosts; yields the port."""
    application = web.Application()
    application.router.add_get("/{path:.*}", exchange.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=network.server_tls(*STREAM_HOSTS))
    await site.start()
    port = runner.addresses[0][1]
    network.serve(port, *STREAM_HOSTS)
    try:
        yield port
    finally:
        exchange.drop_connections()
        await runner.cleanup()
