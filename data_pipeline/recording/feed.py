"""One websocket connection of the ccxt Pro client, tapped before anything is merged or lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from data_pipeline.download.governor import WeightGovernor
from data_pipeline.errors import InputError
from data_pipeline.instruments import Contract
from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.refetch import PAGE
from data_pipeline.venue import nearest

WEIGHT_LIMIT: dict[Contract, int] = {"spot": 6000, "linear": 2400}  # a minute and address, Binance's documentation
WEIGHT_SHARE = 0.5  # the rest is for downloads and other recorders of the same address
IN_FLIGHT = 4
Sink = Callable[[int, dict[str, Any]], None]
Ask = Callable[[str, dict[str, Any], int], Awaitable[Any]]


class Feed:
    """Subscribes through ccxt's own watch methods and hands every raw message to `sink` with its local time (ns).

    ccxt's handlers see errors only: its books and caches would merge events, and cost more than all the rest.
    """

    def __init__(self, client: Any, contract: Contract, config: RecordConfig, sink: Sink) -> None:
        self._client = client
        self._config = config
        self._sink = sink
        self._ccxt_handler = client.handle_message
        client.handle_message = self._tap
        self._spot = contract == "spot"
        limit = WEIGHT_LIMIT[contract]
        self._governor = WeightGovernor(limit, share=WEIGHT_SHARE, in_flight=IN_FLIGHT)
        client.on_rest_response = self._on_response  # ccxt calls it for every answer, refusals included
        # one connection for all streams: events of book, trades and quotes keep the order in which they were sent
        for kind in ("spot", "linear"):
            client.options["streamLimits"][kind] = 1
        self.ids: dict[str, str] = {}

    async def load(self) -> None:
        """Load the markets. Raises InputError for a symbol that is not listed, or when the exchange does not answer."""
        from ccxt import BaseError

        try:
            await self._client.load_markets()
        except BaseError as error:
            told = f"the markets did not load: {type(error).__name__}: {error}"[:300]
            remedy = "check the connection and try again"
            raise InputError(told, where=self._config.exchange, remedy=remedy) from error
        for symbol in self._config.symbols:
            if symbol not in self._client.markets:
                close = nearest(symbol, self._client.markets)
                raise InputError(
                    f"{self._config.exchange} does not list {symbol!r}",
                    where="--symbols",
                    remedy=f"did you mean {close}?" if close else "give a symbol as ccxt writes it, such as BTC/USDT",
                )
            self.ids[symbol] = self._client.markets[symbol]["id"]

    def _tap(self, connection: Any, message: Any) -> None:
        local_ns = time.time_ns()
        if not isinstance(message, dict):
            message = {"recorder": "text", "text": str(message)}
        self._sink(local_ns, message)
        if "error" in message:
            self._ccxt_handler(connection, message)

    async def run(self) -> None:
        """Connect, subscribe, and stay until the connection breaks: always ends by ccxt's exception."""
        symbols = list(self._config.symbols)
        watches: dict[str, Coroutine[Any, Any, Any]] = {}
        if "book" in self._config.streams:
            rate = {"watchOrderBookRate": str(self._config.book_rate_ms)}
            watches["book"] = self._client.watch_order_book_for_symbols(symbols, None, rate)
        if "trades" in self._config.streams:
            watches["trades"] = self._client.watch_trades_for_symbols(symbols, None, None, {"name": "trade"})
        if "bbo" in self._config.streams:
            watches["bbo"] = self._client.watch_bids_asks(symbols)
        tasks = [asyncio.create_task(watch, name=name) for name, watch in watches.items()]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def break_off(self, reason: str) -> None:
        """Give the connection up the way ccxt does on a missing pong: `run` raises, the next one connects anew."""
        from ccxt import RequestTimeout

        for connection in list((self._client.clients or {}).values()):
            connection.on_error(RequestTimeout(reason))

    async def snapshot(self, symbol: str) -> Any:
        """The raw REST answer of the depth endpoint, unchecked. Raises ccxt's errors."""
        limit = self._config.snapshot_limit
        return await self._ask("Depth", {"symbol": self.ids[symbol], "limit": limit}, _depth_weight(self._spot, limit))

    def trades_of(self, symbol: str) -> SymbolTrades:
        """Where to ask for trades of `symbol` that were missed."""
        return SymbolTrades(self._ask, self.ids[symbol], self._spot)

    async def _ask(self, endpoint: str, query: dict[str, Any], weight: int) -> Any:
        method = getattr(self._client, ("publicGet" if self._spot else "fapiPublicGet") + endpoint)
        async with self._governor.slot(weight):
            return await method(query)

    @property
    def held_s(self) -> float:
        """Seconds for which the exchange has asked to be left alone; requests wait for them by themselves."""
        return self._governor.held_s

    def _on_response(self, code: int, *answer: Any) -> str:
        _, _, _, headers, body, _, _ = answer  # reason, URL, method; what was sent comes last
        self._governor.observe(code, headers)
        return body.strip()

    async def close(self) -> None:
        """Close the client with its connections."""
        await self._client.close()


@dataclass(frozen=True)
class SymbolTrades:
    """The endpoints that give trades of one symbol, under the recorder's weight budget."""

    ask: Ask
    name: str
    spot: bool

    async def recent(self) -> Any:
        """The newest trades, one by one."""
        return await self.ask("Trades", {"symbol": self.name, "limit": PAGE}, 25 if self.spot else 5)

    async def grouped(self, query: dict[str, int]) -> Any:
        """Trades joined by order and price."""
        return await self.ask("AggTrades", {"symbol": self.name, "limit": PAGE, **query}, 4 if self.spot else 20)


def _depth_weight(spot: bool, limit: int) -> int:
    """Documented weight of a depth request."""
    steps = ((100, 5), (500, 25), (1000, 50), (5000, 250)) if spot else ((50, 2), (100, 5), (500, 10), (5000, 20))
    return next(weight for most, weight in steps if limit <= most)
