"""Binance's public endpoints, spot (/api/v3) and USD-M (/fapi/v1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from tests.emulator.core import ExchangeCore, Listing, Reply
from tests.emulator.faults import Fault

INVALID_SYMBOL = b'{"code":-1121,"msg":"Invalid symbol."}'
TRADE_STEP_MS = 500  # an aggregate trade every half second


def body(core: ExchangeCore, contract: str, path: str, query: Mapping[str, str], fault: Fault | None) -> bytes | Reply:
    """The body of a public GET."""
    name = path.rsplit("/", 1)[-1]
    if name == "ping":
        return b"{}"
    if name == "time":
        return json.dumps({"serverTime": core.now_ms()}).encode()
    if name == "exchangeInfo":
        listed = [entry for entry in core.listings if entry.contract == contract]
        return json.dumps(exchange_info(core.now_ms(), contract, listed, core.weight_limits[contract])).encode()
    entry = core.listing(query.get("symbol", ""), contract)
    if entry is None:
        return Reply(400, INVALID_SYMBOL)
    limit = int(query.get("limit", 500))
    if name == "klines":
        most = 1000 if contract == "spot" else 1500
        rows = core.kline_rows(entry, _time(query, "startTime"), _time(query, "endTime"), min(limit, most), fault)
        return b"[" + b",".join(rows) + b"]"
    if name in ("trades", "aggTrades") and core.trade_source is not None:
        return json.dumps(core.trade_source(name, query)).encode()
    if name == "aggTrades":
        return json.dumps(agg_trades(entry, query, min(limit, 1000), core.now_ms())).encode()
    if name == "depth":
        source = core.depth_source or still_book(core)
        return json.dumps(source(contract, entry.key, int(query.get("limit", 100)))).encode()
    return Reply(404, b"{}")


def _time(query: Mapping[str, str], name: str) -> int | None:
    return int(query[name]) if name in query else None


def exchange_info(now_ms: int, contract: str, listed: list[Listing], weight_limit: int) -> dict:
    """The answer of exchangeInfo, with the fields that the client reads."""
    symbols = [_spot_symbol(entry) if contract == "spot" else _linear_symbol(entry) for entry in listed]
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_limit}
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [limit],
        "exchangeFilters": [],
        "symbols": symbols,
    }


def _spot_symbol(entry: Listing) -> dict:
    return {
        "symbol": entry.key,
        "status": "TRADING" if entry.active else "BREAK",
        "baseAsset": entry.base,
        "baseAssetPrecision": 8,
        "quoteAsset": entry.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": entry.tick, "maxPrice": "1000000", "tickSize": entry.tick},
            {"filterType": "LOT_SIZE", "minQty": entry.step, "maxQty": "9000", "stepSize": entry.step},
            {"filterType": "NOTIONAL", "minNotional": entry.min_notional, "applyMinToMarket": True},
        ],
    }


def _linear_symbol(entry: Listing) -> dict:
    return {
        "symbol": entry.key,
        "pair": entry.key,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": entry.source.start_ms,
        "status": "TRADING" if entry.active else "SETTLING",
        "baseAsset": entry.base,
        "quoteAsset": entry.quote,
        "marginAsset": entry.quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "orderTypes": ["LIMIT", "MARKET", "STOP"],
        "timeInForce": ["GTC", "IOC"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": entry.tick, "maxPrice": "1000000", "tickSize": entry.tick},
            {"filterType": "LOT_SIZE", "minQty": entry.step, "maxQty": "9000", "stepSize": entry.step},
            {"filterType": "MIN_NOTIONAL", "notional": entry.min_notional},
        ],
    }


def agg_trade(entry: Listing, number: int) -> dict:
    """Aggregate trade `number`: one every half second from the first bar on, priced at its bar's open."""
    source = entry.source
    time_ms = source.start_ms + number * TRADE_STEP_MS
    row = min((time_ms - source.start_ms) // source.interval_ms, source.count - 1)
    return {
        "a": number,
        "p": f"{source.columns['open'][row]:.2f}",
        "q": f"{0.001 * (1 + number % 997):.3f}",
        "f": 2 * number,
        "l": 2 * number + 1,
        "T": time_ms,
        "m": number % 2 == 0,
        "M": True,
    }


def agg_trades(entry: Listing, query: Mapping[str, str], limit: int, now_ms: int) -> list[dict]:
    """Trades by `fromId`, by time, or the newest."""
    start = entry.source.start_ms
    newest = (min(now_ms, entry.source.stop_ms - 1) - start) // TRADE_STEP_MS
    last = newest
    if "fromId" in query:
        first = int(query["fromId"])
    elif "startTime" in query:
        first = max(0, -(-(int(query["startTime"]) - start) // TRADE_STEP_MS))
        if "endTime" in query:
            last = min(last, (int(query["endTime"]) - start) // TRADE_STEP_MS)
    else:
        first = max(0, newest - limit + 1)
    return [agg_trade(entry, number) for number in range(first, min(first + limit - 1, last) + 1)]


def still_book(core: ExchangeCore) -> Callable[[str, str, int], dict]:
    """A depth source whose book never moves: five hundred levels a cent apart around the last price."""

    def depth(contract: str, symbol: str, limit: int) -> dict:
        entry = core.listing(symbol, contract)
        assert entry is not None
        mid = entry.source.price
        levels = range(1, min(limit, 500) + 1)
        return {
            "lastUpdateId": 1_000_000,
            "bids": [[f"{mid - 0.01 * level:.2f}", f"{1 + level % 7:.3f}"] for level in levels],
            "asks": [[f"{mid + 0.01 * level:.2f}", f"{1 + level % 5:.3f}"] for level in levels],
        }

    return depth
