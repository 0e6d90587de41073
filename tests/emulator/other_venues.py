"""Bybit v5 and OKX v5: instruments, server time and klines, in their own shapes (newest first, all text).

And Kraken, for which the downloader has no endpoint of its own: ccxt's `fetch_ohlcv` is all there is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.emulator.core import ExchangeCore, Listing, Reply
from tests.emulator.faults import Fault

KRAKEN_BARS = 720  # it serves no more than the newest, whatever it is asked for


def bybit(core: ExchangeCore, path: str, query: Mapping[str, str], fault: Fault | None) -> bytes | Reply:
    """The body of a Bybit public GET."""
    contract = query.get("category", "spot")
    if path.endswith("/time"):
        now = core.now_ms()
        return _bybit({"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}, now)
    if path.endswith("/instruments-info"):
        listed = [_bybit_symbol(entry) for entry in core.listings if entry.contract == contract]
        return _bybit({"category": contract, "list": listed, "nextPageCursor": ""}, core.now_ms())
    if path.endswith("/kline"):
        entry = core.listing(query["symbol"], contract)
        if entry is None:
            return json.dumps({"retCode": 10001, "retMsg": "Not supported symbols", "result": {}}).encode()
        end = int(query["end"]) if "end" in query else None
        start = int(query["start"]) if "start" in query else None
        limit = min(int(query.get("limit", 200)), 1000)
        rows = core.kline_rows(entry, start, end, limit, fault)
        bars = [[str(cells[0]), *cells[1:6], cells[7]] for cells in map(json.loads, reversed(rows)) if len(cells) > 7]
        return _bybit({"category": contract, "symbol": entry.key, "list": bars}, core.now_ms())
    return Reply(404, b"{}")


def _bybit(result: dict, now_ms: int) -> bytes:
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms}).encode()


def _bybit_symbol(entry: Listing) -> dict:
    lot = {"minOrderQty": entry.step, "maxOrderQty": "9000", "minOrderAmt": entry.min_notional}
    symbol = {
        "symbol": entry.key,
        "baseCoin": entry.base,
        "quoteCoin": entry.quote,
        "status": "Trading" if entry.active else "Closed",
        "priceFilter": {"tickSize": entry.tick, "minPrice": entry.tick, "maxPrice": "1000000"},
    }
    if entry.contract == "spot":
        return {**symbol, "marginTrading": "none", "lotSizeFilter": {**lot, "basePrecision": entry.step}}
    return {
        **symbol,
        "settleCoin": entry.quote,
        "contractType": "LinearPerpetual",
        "launchTime": str(entry.source.start_ms),
        "deliveryTime": "0",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
        "lotSizeFilter": {**lot, "qtyStep": entry.step, "minNotionalValue": entry.min_notional},
    }


def okx(core: ExchangeCore, path: str, query: Mapping[str, str], fault: Fault | None) -> bytes | Reply:
    """The body of an OKX public GET. `after` means older than, `before` newer than, both exclusive."""
    if path.endswith("/public/time"):
        return _okx([{"ts": str(core.now_ms())}])
    if path.endswith("/public/instruments"):
        contract = "spot" if query["instType"] == "SPOT" else "linear"
        return _okx([_okx_symbol(entry) for entry in core.listings if entry.contract == contract])
    if path.endswith("candles"):
        parts = query["instId"].split("-")
        contract = "linear" if parts[-1] == "SWAP" else "spot"
        entry = core.listing(parts[0] + parts[1], contract)
        if entry is None:
            return json.dumps({"code": "51001", "msg": "Instrument ID does not exist", "data": []}).encode()
        start = int(query["before"]) + 1 if "before" in query else None
        end = int(query["after"]) - 1 if "after" in query else None
        running = (core.now_ms() - entry.source.start_ms) // entry.source.interval_ms
        rows = core.kline_rows(entry, start, end, min(int(query.get("limit", 100)), 300), fault)
        now_open = entry.source.start_ms + running * entry.source.interval_ms
        bars = []
        for cells in map(json.loads, reversed(rows)):
            if len(cells) < 8:
                continue
            confirm = "0" if cells[0] == now_open else "1"
            volume = cells[5]
            in_currency = cells[7] if contract == "spot" else volume
            # a swap counts contracts of a hundredth of the base currency first, then the base currency
            first = volume if contract == "spot" else f"{float(volume) * 100:.1f}"
            bars.append([str(cells[0]), *cells[1:5], first, in_currency, cells[7], confirm])
        return _okx(bars)
    return Reply(404, b"{}")


def _okx(data: list) -> bytes:
    return json.dumps({"code": "0", "msg": "", "data": data}).encode()


def _okx_symbol(entry: Listing) -> dict:
    spot = entry.contract == "spot"
    return {
        "alias": "",
        "baseCcy": entry.base if spot else "",
        "quoteCcy": entry.quote if spot else "",
        "ctMult": "" if spot else "1",
        "ctType": "" if spot else "linear",
        "ctVal": "" if spot else "0.01",
        "ctValCcy": "" if spot else entry.base,
        "expTime": "",
        "instId": f"{entry.base}-{entry.quote}" + ("" if spot else "-SWAP"),
        "instFamily": "" if spot else f"{entry.base}-{entry.quote}",
        "instType": "SPOT" if spot else "SWAP",
        "lever": "" if spot else "10",
        "listTime": str(entry.source.start_ms),
        "lotSz": entry.step,
        "minSz": entry.step,
        "settleCcy": "" if spot else entry.quote,
        "state": "live" if entry.active else "suspend",
        "tickSz": entry.tick,
        "uly": "" if spot else f"{entry.base}-{entry.quote}",
    }


def kraken(core: ExchangeCore, path: str, query: Mapping[str, str], fault: Fault | None) -> bytes | Reply:
    """The body of a Kraken public GET."""
    if path.endswith("/Time"):
        return _kraken({"unixtime": core.now_ms() // 1000})
    if path.endswith("/AssetPairs"):
        return _kraken({_kraken_id(entry): _kraken_pair(entry) for entry in core.listings if entry.contract == "spot"})
    if path.endswith("/OHLC"):
        entry = next((entry for entry in core.listings if _kraken_id(entry) == query["pair"]), None)
        if entry is None:
            return json.dumps({"error": ["EQuery:Unknown asset pair"]}).encode()
        assert int(query["interval"]) * 60_000 == entry.source.interval_ms
        newest = map(json.loads, core.kline_rows(entry, None, None, KRAKEN_BARS, fault))
        since = int(query.get("since", 0))
        bars = [[c[0] // 1000, *c[1:5], c[4], c[5], c[8]] for c in newest if c[0] // 1000 > since]
        return _kraken({_kraken_id(entry): bars, "last": bars[-2][0] if len(bars) > 1 else since})
    return Reply(404, b"{}")


def _kraken(result: dict) -> bytes:
    return json.dumps({"error": [], "result": result}).encode()


def _kraken_id(entry: Listing) -> str:
    return entry.key.replace("BTC", "XBT")


def _kraken_pair(entry: Listing) -> dict:
    return {
        "altname": _kraken_id(entry),
        "wsname": f"{entry.base}/{entry.quote}".replace("BTC", "XBT"),
        "aclass_base": "currency",
        "base": entry.base.replace("BTC", "XXBT"),
        "aclass_quote": "currency",
        "quote": entry.quote,
        "pair_decimals": 2,
        "lot_decimals": 3,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "ordermin": entry.step,
        "costmin": entry.min_notional,
        "status": "online",
    }
