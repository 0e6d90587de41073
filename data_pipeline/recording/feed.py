"""One websocket connection of the ccxt Pro client, tapped before anything is merged or lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.recording.config import RecordConfig
from data_pipeline.venue import nearest

Sink = Callable[[int, dict[str, Any]], None]


class Feed:
    """Subscribes through ccxt's own watch methods and hands every raw message to `sink` with its local time (ns).

    ccxt's handlers see errors only: its books and caches would merge events, and cost more than all the rest.
    """

    def __init__(self, client: Any, config: RecordConfig, sink: Sink) -> None:
        self._client = client
        self._config = config
        self._sink = sink
        self._ccxt_handler = client.handle_message
        client.handle_message = self._tap
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
        request = {"symbol": self.ids[symbol], "limit": self._config.snapshot_limit}
        if self._client.markets[symbol]["spot"]:
            return await self._client.publicGetDepth(request)
        return await self._client.fapiPublicGetDepth(request)

    def retry_after(self) -> float:
        """Seconds that the last REST answer asked to wait, 0 when it did not."""
        headers = self._client.last_response_headers or {}
        value = next((headers[name] for name in headers if name.lower() == "retry-after"), "0")
        return float(value) if str(value).isdigit() else 0.0

    async def close(self) -> None:
        """Close the client with its connections."""
        await self._client.close()
