"""One way to open a ccxt client, and the names by which the store knows venues and symbols."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from data_pipeline.errors import InputError
from data_pipeline.instruments import Contract

if TYPE_CHECKING:
    import aiohttp
    from ccxt.async_support import Exchange

# What `fetchMarkets.types` is called per exchange; without it ccxt asks every market type of the exchange.
_MARKET_TYPES: dict[str, dict[Contract, str]] = {
    "binance": {"spot": "spot", "linear": "linear"},
    "bybit": {"spot": "spot", "linear": "linear"},
    "okx": {"spot": "spot", "linear": "swap"},
}


@dataclass(frozen=True, slots=True)
class Venue:
    """An exchange and one of its contract types: BTCUSDT of spot and of the perpetual never share a name."""

    exchange: str
    contract: Contract

    @property
    def name(self) -> str:
        """The venue's name in the store, such as binance_spot."""
        return f"{self.exchange}_{self.contract}"


def contract_of(symbol: str) -> Contract:
    """spot for 'BTC/USDT', linear for 'BTC/USDT:USDT' (ccxt's unified notation).

    Raises InputError for any other form, inverse and dated contracts included.
    """
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    if base and quote and settle in ("", quote):
        return "linear" if settle else "spot"
    raise InputError(
        f"symbol {symbol!r} is neither a spot pair nor a linear perpetual",
        where="--symbols",
        remedy="write BTC/USDT for spot, BTC/USDT:USDT for the perpetual",
    )


def store_symbol(symbol: str) -> str:
    """'BTC/USDT' and 'BTC/USDT:USDT' as the store's 'BTCUSDT'; a name that is already one stays as it is."""
    return symbol.partition(":")[0].replace("/", "").upper()


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names closest to `name`, as 'A, B, C'; empty when nothing comes near."""
    names = {entry.casefold(): entry for entry in known}
    close = difflib.get_close_matches(name.casefold(), names, n=count, cutoff=0.5)
    return ", ".join(names[entry] for entry in close)


def open_client(
    venue: Venue, *, session: aiohttp.ClientSession | None = None, pro: bool = False, own_governor: bool = True
) -> Exchange:
    """A ccxt client of `venue` with ccxt's own URLs; the caller awaits `close()`.

    `session`: carries every request when given, and stays open on `close()`. `pro`: the websocket client.
    `own_governor`: switch ccxt's throttle off because the caller governs the request weight itself.

    Raises InputError for an exchange that ccxt does not have, naming the nearest ones.
    """
    # imported by need: each takes a second, which --help and a download without streams must not pay
    module = import_module("ccxt.pro" if pro else "ccxt.async_support")
    if venue.exchange not in module.exchanges:
        close = nearest(venue.exchange, module.exchanges)
        remedy = f"did you mean {close}?" if close else "see ccxt.exchanges for the names"
        raise InputError(f"exchange {venue.exchange!r} is unknown", where="--exchange", remedy=remedy)
    # fetchCurrencies asks private and margin endpoints that downloads have no use for
    options: dict[str, Any] = {"warnOnFetchOpenOrdersWithoutSymbol": False}
    if venue.contract == "linear":
        options["defaultType"] = "swap"  # else server time and the like are asked of the spot hosts
    market_type = _MARKET_TYPES.get(venue.exchange, {}).get(venue.contract)
    if market_type is not None:
        options["fetchMarkets"] = {"types": [market_type]}
    config: dict[str, Any] = {"options": options, "enableRateLimit": not own_governor, "timeout": 10_000}
    if session is not None:
        config["session"] = session
    client = getattr(module, venue.exchange)(config)
    client.has["fetchCurrencies"] = False
    client.timeout_on_exit = 0
    return client
