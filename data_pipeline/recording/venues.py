"""Which exchanges can be recorded, and in what they differ."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from data_pipeline.instruments import Contract
from data_pipeline.recording.book import Rules
from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.dialects import bybit_stream, okx_stream
from data_pipeline.recording.events import binance_stream

Watch = Coroutine[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class StreamVenue:
    """One exchange as the recorder sees it.

    `rules`: how its messages read and its books follow, by contract. `numbered`: the contracts whose trades are
    numbered without holes and counted in the base currency, so that bars can be proven whole. `rest`: snapshots and
    missed trades are asked by REST; else the stream sends the snapshots, at its begin.
    """

    rules: dict[Contract, Rules]
    numbered: frozenset[Contract]
    rest: bool
    stream_of: Callable[[dict[str, Any]], tuple[str, str] | None]
    """(book, bbo or trades, symbol) of a market's message; None for any other."""
    for_ccxt: Callable[[Any], bool]
    """Whether ccxt has to see a message: errors, and the pongs of an exchange whose pings are messages too."""
    watches: Callable[[Any, list[str], RecordConfig], Iterator[Watch]]
    """ccxt's coroutines that subscribe to the streams of the configuration, on one connection."""


def _binance_watches(client: Any, symbols: list[str], config: RecordConfig) -> Iterator[Watch]:
    # one connection for all streams: events of book, trades and quotes keep the order in which they were sent
    for kind in ("spot", "linear"):
        client.options["streamLimits"][kind] = 1
    if "book" in config.streams:
        rate = {"watchOrderBookRate": str(config.book_rate_ms)}
        yield client.watch_order_book_for_symbols(symbols, None, rate)
    if "trades" in config.streams:
        yield client.watch_trades_for_symbols(symbols, None, None, {"name": "trade"})
    if "bbo" in config.streams:
        yield client.watch_bids_asks(symbols)


def _plain_watches(levels: int | None, at_once: int) -> Callable[[Any, list[str], RecordConfig], Iterator[Watch]]:
    """Streams by ccxt's own defaults, `levels` a side, at most `at_once` symbols in one request."""

    def watches(client: Any, symbols: list[str], config: RecordConfig) -> Iterator[Watch]:
        for first in range(0, len(symbols), at_once):
            some = symbols[first : first + at_once]
            if "book" in config.streams:
                yield client.watch_order_book_for_symbols(some, levels)
            if "trades" in config.streams:
                yield client.watch_trades_for_symbols(some)
            if "bbo" in config.streams:
                yield client.watch_bids_asks(some)

    return watches


def _is_error(message: Any) -> bool:
    """Only these: to ccxt, the answer to a subscription of Binance's is the sign to take a snapshot of its own."""
    return isinstance(message, dict) and "error" in message


VENUES: dict[str, StreamVenue] = {
    "binance": StreamVenue(
        {"spot": "spot", "linear": "linear"},
        frozenset({"spot", "linear"}),
        True,
        binance_stream,
        _is_error,
        _binance_watches,
    ),
    # fifty levels come every 20 ms, more of them less often; a request of spot takes ten topics
    "bybit": StreamVenue(
        {"spot": "bybit", "linear": "bybit"},
        frozenset(),
        False,
        bybit_stream,
        lambda message: bybit_stream(message) is None,
        _plain_watches(50, 10),
    ),
    # perpetuals are counted in contracts of a size that the stream does not tell
    "okx": StreamVenue(
        {"spot": "okx", "linear": "okx"},
        frozenset({"spot"}),
        False,
        okx_stream,
        lambda message: okx_stream(message) is None,
        _plain_watches(None, 100),
    ),
}
