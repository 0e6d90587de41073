"""How each venue is asked for klines through ccxt's raw endpoints, and where its rows keep what.

`fetch_ohlcv` drops quote volume, trade counts and taker-buy volumes, and turns a broken answer into an empty one; the
raw endpoints keep the first and show the second. A venue without an entry here is read through `fetch_ohlcv` after all;
columns it lacks are null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_pipeline.download.numbers import RowLayout
from data_pipeline.schema import BAR_SCHEMA, INTERVAL_MS
from data_pipeline.venue import Venue

if TYPE_CHECKING:
    from ccxt.async_support import Exchange

Query = Callable[["Exchange", dict[str, Any], str, int, int, int], dict[str, Any]]
_PLAIN = {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}


@dataclass(frozen=True, slots=True)
class KlineEndpoint:
    """One raw kline endpoint.

    `query` turns (client, market, interval, start ms, stop ms exclusive, limit) into its parameters, `rows` takes the
    list of rows out of its answer (anything may come back: the caller checks). `recent_method` serves bars younger than
    `recent_bars`, where the venue splits the two.
    """

    method: str
    page: int
    weight: int
    weight_limit: int
    columns: dict[str, int]
    query: Query
    rows: Callable[[Any], Any]
    newest_first: bool = False
    layout: RowLayout | None = None
    """Of an answer that is nothing but its rows: they are read from the text. None: ccxt parses the answer."""
    window_s: float = 60.0
    """Seconds in which `weight_limit` may be spent."""
    patience_s: float = 60.0
    """Pause after a refusal that names no time."""
    recent_method: str | None = None
    recent_bars: int = 0
    finds_ends: bool = False
    """Whether a query from 0 gives the first bar there ever was, and one without a start the last."""


def _binance_query(
    client: Exchange, market: dict[str, Any], interval: str, start: int, stop: int, limit: int
) -> dict[str, Any]:
    name = client.timeframes[interval]
    return {"symbol": market["id"], "interval": name, "startTime": start, "endTime": stop - 1, "limit": limit}


def _bybit_query(
    client: Exchange, market: dict[str, Any], interval: str, start: int, stop: int, limit: int
) -> dict[str, Any]:
    return {
        "category": "spot" if market["spot"] else "linear",
        "symbol": market["id"],
        "interval": client.timeframes[interval],
        "start": start,
        "end": stop - 1,
        "limit": limit,
    }


def _okx_query(
    client: Exchange, market: dict[str, Any], interval: str, start: int, stop: int, limit: int
) -> dict[str, Any]:
    name = client.timeframes[interval]
    if INTERVAL_MS[interval] >= INTERVAL_MS["6h"]:
        name += "utc"  # long bars open at Hong Kong's midnight otherwise
    # both ends are exclusive, and named from the newest bar's point of view
    return {"instId": market["id"], "bar": name, "before": start - 1, "after": stop, "limit": limit}


def _itself(answer: Any) -> Any:
    return answer


def _inside(*path: str) -> Callable[[Any], Any]:
    def rows(answer: Any) -> Any:
        for name in path:
            answer = answer.get(name) if isinstance(answer, dict) else None
        return answer

    return rows


_BINANCE_COLUMNS = {
    **_PLAIN,
    "quote_volume": 7,
    "trades": 8,
    "taker_buy_volume": 9,
    "taker_buy_quote_volume": 10,
}
_BINANCE_LAYOUT = RowLayout(
    12,
    tuple(_BINANCE_COLUMNS[name] for name in BAR_SCHEMA.names),
    whole=(_BINANCE_COLUMNS["open_time"], _BINANCE_COLUMNS["trades"]),
)
_OKX_SPOT = {**_PLAIN, "quote_volume": 7}
_OKX_SWAP = {**_PLAIN, "volume": 6, "quote_volume": 7}  # field 5 counts contracts, not the base currency


def _bybit() -> KlineEndpoint:
    return KlineEndpoint(
        "publicGetV5MarketKline",
        1000,
        1,
        600,
        {**_PLAIN, "quote_volume": 6},
        _bybit_query,
        _inside("result", "list"),
        newest_first=True,
        window_s=5.0,
        patience_s=5.0,
    )


def _okx(columns: dict[str, int]) -> KlineEndpoint:
    return KlineEndpoint(
        "publicGetMarketHistoryCandles",
        300,
        1,
        20,
        columns,
        _okx_query,
        _inside("data"),
        newest_first=True,
        window_s=2.0,
        patience_s=2.0,
        recent_method="publicGetMarketCandles",
        recent_bars=1400,
    )


_ENDPOINTS: dict[Venue, KlineEndpoint] = {
    Venue("binance", "spot"): KlineEndpoint(
        "publicGetKlines",
        1000,
        2,
        6000,
        _BINANCE_COLUMNS,
        _binance_query,
        _itself,
        layout=_BINANCE_LAYOUT,
        finds_ends=True,
    ),
    # 499 rows for weight 2 give more rows a minute than 1000 for 5 or 1500 for 10
    Venue("binance", "linear"): KlineEndpoint(
        "fapiPublicGetKlines",
        499,
        2,
        2400,
        _BINANCE_COLUMNS,
        _binance_query,
        _itself,
        layout=_BINANCE_LAYOUT,
        finds_ends=True,
    ),
    Venue("bybit", "spot"): _bybit(),
    Venue("bybit", "linear"): _bybit(),
    Venue("okx", "spot"): _okx(_OKX_SPOT),
    Venue("okx", "linear"): _okx(_OKX_SWAP),
}
PLAIN_PAGE = 500
PLAIN_COLUMNS = _PLAIN


def kline_endpoint(venue: Venue) -> KlineEndpoint | None:
    """The raw endpoint of `venue`; None for a venue that is read through `fetch_ohlcv`."""
    return _ENDPOINTS.get(venue)
