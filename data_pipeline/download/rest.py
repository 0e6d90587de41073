"""Bars by REST: the raw endpoint through ccxt, governed, checked, read again until a gap can be believed."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import ccxt
import numpy as np
import orjson
import pyarrow as pa
import stamina

from data_pipeline.download.answers import BadAnswerError, bars_from_rows, bars_from_text, cut_rows
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.governor import WeightGovernor
from data_pipeline.download.venues import PLAIN_COLUMNS, PLAIN_PAGE, KlineEndpoint, kline_endpoint
from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BAR_SCHEMA, INTERVAL_MS
from data_pipeline.store.layout import Series, Span
from data_pipeline.store.ledger import Chunk, Gap
from data_pipeline.venue import Venue, nearest, open_client, store_symbol

if TYPE_CHECKING:
    import aiohttp

SETTLE_MS = 2_000  # a bar counts as closed this long after its end by the exchange's own clock
LONGEST_PAUSE_S = 20.0
EXCHANGE_INFO_WEIGHT = 20
GENERIC_WEIGHT = 600  # requests a minute of a venue without an entry; ccxt's own throttle comes on top
# the body was cut, the answer was no JSON of the right shape, the exchange was busy: ask again
_AGAIN = (ccxt.NetworkError, ccxt.ExchangeError, BadAnswerError)
_FINAL = (ccxt.BadSymbol, ccxt.AuthenticationError, ccxt.NotSupported, ccxt.ArgumentsRequired, ccxt.BadRequest)
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Market:
    """One symbol of a venue: ccxt's description, and where its rows go."""

    symbol: str
    series: Series
    info: dict[str, Any]

    @property
    def active(self) -> bool:
        """Whether it still trades."""
        return self.info.get("active") is not False


class RestSource:
    """A connected exchange. Use as an async context manager."""

    def __init__(self, venue: Venue, config: DownloadConfig, session: aiohttp.ClientSession | None = None) -> None:
        self.venue = venue
        self.config = config
        self.endpoint = kline_endpoint(venue)
        self.client = open_client(venue, session=session, own_governor=self.endpoint is not None)
        endpoint = self.endpoint
        self.governor = WeightGovernor(
            GENERIC_WEIGHT if endpoint is None else endpoint.weight_limit,
            window_s=60.0 if endpoint is None else endpoint.window_s,
            share=config.weight_share,
            in_flight=config.in_flight,
            patience_s=60.0 if endpoint is None else endpoint.patience_s,
        )
        self.client.on_rest_response = self._on_response  # ccxt calls it for every answer, refusals included
        if endpoint is not None and endpoint.layout is not None:
            self.client.on_json_response = _parse_all_but_rows
        self.failures = 0
        """Answers that were refused, broken or not believed, and asked for again."""
        self._clock_offset_ms = 0

    async def __aenter__(self) -> RestSource:
        try:
            await self._ask(EXCHANGE_INFO_WEIGHT, self.client.load_markets)
            if self.client.has.get("fetchTime"):
                server = await self._ask(1, self._server_time)
                # measured at the answer's arrival: never ahead of the exchange's true clock
                self._clock_offset_ms = server - _local_ms()
        except BaseException:
            await self.client.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    def _on_response(self, code: int, *answer: Any) -> str:
        _, _, _, headers, body, _, _ = answer  # reason, URL, method; what was sent comes last
        self.governor.observe(code, headers)
        return body.strip()

    async def _server_time(self) -> int:
        answer = await self.client.fetch_time()
        if not isinstance(answer, int):
            raise BadAnswerError("no server time")
        return answer

    def now_ms(self) -> int:
        """The exchange's clock."""
        return _local_ms() + self._clock_offset_ms

    def closed_before(self, interval_ms: int) -> int:
        """End of the newest bar that is certainly closed: bars opening before it may be stored."""
        return (self.now_ms() - SETTLE_MS) // interval_ms * interval_ms

    async def _ask(self, weight: int, call: Callable[[], Awaitable[T]]) -> T:
        """Await `call` under the budget, again and again while it fails in a way that may pass."""
        try:
            async for attempt in stamina.retry_context(
                on=self._worth_another_try,
                attempts=self.config.attempts,
                timeout=None,
                wait_initial=self.config.retry_wait_s,
                wait_max=LONGEST_PAUSE_S,
                wait_jitter=self.config.retry_wait_s,
            ):
                with attempt:
                    return await self._governed(weight, call)
        except _FINAL as error:
            raise InputError(f"the exchange refuses: {error}", where=self.venue.name) from error
        except _AGAIN as error:
            raise InputError(
                f"no usable answer in {self.config.attempts} attempts ({type(error).__name__}: {str(error)[:200]})",
                where=self.venue.name,
                remedy="run again later; what was committed is kept",
            ) from error
        raise AssertionError("the retry context returns or raises")

    async def _governed(self, weight: int, call: Callable[[], Awaitable[T]]) -> T:
        """One try; while the exchange asks to wait, wait and try again without counting it."""
        while True:
            refusals = self.governor.refusals
            try:
                async with self.governor.slot(weight):
                    return await call()
            except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
                self.failures += 1
                log.warning("%s asks to wait %.0f s: %s", self.venue.name, self.governor.held_s, str(error)[:120])
                if self.governor.refusals == refusals:  # told by its body, not by 429 or 418
                    self.governor.hold(5.0)

    def _worth_another_try(self, error: Exception) -> bool:
        worth = isinstance(error, _AGAIN) and not isinstance(error, _FINAL)
        self.failures += worth
        return worth

    # -- markets -----------------------------------------------------------------------------------------------------

    def market(self, symbol: str, interval: str) -> Market:
        """The market called `symbol`. Raises InputError, naming the nearest ones, when there is none."""
        markets = self.client.markets
        if symbol not in markets:
            close = nearest(symbol, markets)
            remedy = f"did you mean {close}?" if close else "check the exchange's list"
            raise InputError(f"symbol {symbol!r} is unknown at {self.venue.name}", where="--symbols", remedy=remedy)
        if interval not in (self.client.timeframes or {}):
            raise InputError(
                f"interval {interval!r} is unknown at {self.venue.name}",
                where="--interval",
                remedy=f"use one of {' '.join(name for name in self.client.timeframes or {} if name in INTERVAL_MS)}",
            )
        series = Series(self.venue.name, store_symbol(symbol), interval)
        return Market(symbol, series, markets[symbol])

    def instrument(self, market: Market) -> Instrument | None:
        """The market's order rules as listed now; None when the venue leaves out a step."""
        precision, limits = market.info.get("precision") or {}, market.info.get("limits") or {}
        tick, lot = precision.get("price"), precision.get("amount")
        if not tick or not lot or self.client.precisionMode != ccxt.TICK_SIZE:
            return None
        return Instrument(
            market.symbol,
            float(tick),
            float(lot),
            float((limits.get("cost") or {}).get("min") or 0.0),
            1e4 * float(market.info.get("maker") or 0.0),
            1e4 * float(market.info.get("taker") or 0.0),
            self.venue.contract,
        )

    async def bounds(self, market: Market) -> tuple[int | None, int | None]:
        """(open of the first bar there ever was, end of the last bar of a market that ended); None where unknown."""
        step = market.series.interval_ms
        if self.endpoint is None or not self.endpoint.finds_ends:
            created = market.info.get("created")
            return (None if not created else int(created) // step * step), None
        first = await self._edge(market, {"startTime": 0})
        if first is None:
            raise InputError(f"{market.symbol} never had a bar", where=self.venue.name, remedy="choose another symbol")
        last = None if market.active else await self._edge(market, {})
        return first, None if last is None else last + step

    async def _edge(self, market: Market, extra: dict[str, int]) -> int | None:
        assert self.endpoint is not None
        endpoint, step = self.endpoint, market.series.interval_ms
        query = {"symbol": market.info["id"], "interval": self.client.timeframes[market.series.interval], "limit": 1}
        method = getattr(self.client, endpoint.method)

        async def call() -> int | None:
            answer = await method({**query, **extra})
            table = _bars_from_answer(answer, endpoint, (0, self.now_ms() + step), step)
            return table["open_time"][0].cast(pa.int64()).as_py() if table.num_rows else None

        for _ in range(self.config.agreeing_reads):  # "never a bar" is as grave as a gap: believed when told again
            edge = await self._ask(endpoint.weight, call)
            if edge is not None:
                return edge
        return None

    # -- bars --------------------------------------------------------------------------------------------------------

    @property
    def page_rows(self) -> int:
        """Bars that one request asks for."""
        most = PLAIN_PAGE if self.endpoint is None else self.endpoint.page
        return min(most, self.config.page_rows or most)

    async def read(self, market: Market, span: Span) -> pa.Table:
        """One believable reading of the bars opening in `span` (at most a page): right in shape, perhaps incomplete."""
        endpoint, step = self.endpoint, market.series.interval_ms
        limit = (span[1] - span[0]) // step

        async def plain() -> pa.Table:
            rows = await self.client.fetch_ohlcv(market.symbol, market.series.interval, span[0], limit)
            return bars_from_rows(cut_rows(rows, span), PLAIN_COLUMNS, span, step)

        if endpoint is None:
            return await self._ask(1, plain)
        name = endpoint.method
        if endpoint.recent_method is not None and span[0] >= self.now_ms() - endpoint.recent_bars * step:
            name = endpoint.recent_method
        method = getattr(self.client, name)
        query = endpoint.query(self.client, market.info, market.series.interval, *span, limit)

        async def raw() -> pa.Table:
            return _bars_from_answer(await method(query), endpoint, span, step)

        return await self._ask(endpoint.weight, raw)

    async def chunk(self, market: Market, span: Span, *, evidence: str = "rest") -> Chunk:
        """All bars of `span`, and gaps for the rest.

        A reading that stops early is followed by one from where it stopped (a venue may send less than was asked for).
        Bars that are missing then are read again until `agreeing_reads` readings in a row give the same set of times.
        """
        step = market.series.interval_ms
        times = np.arange(*span, step, dtype=np.int64)
        table, agreed = await self._gather(market, span), 1
        # complete answers need no second opinion
        while table.num_rows < len(times) and agreed < self.config.agreeing_reads:
            again = await self._gather(market, span)
            agreed = agreed + 1 if again["open_time"].equals(table["open_time"]) else 1
            table = again if again.num_rows >= table.num_rows else table
            if agreed == 1:
                self.failures += 1
        gaps = missing_spans(table, span, step) if table.num_rows < len(times) else []
        accepted = tuple(Gap(*gap, agreed, f"{evidence} x{agreed}") for gap in gaps)
        return Chunk(market.series, *span, table, "rest", accepted)

    async def _gather(self, market: Market, span: Span) -> pa.Table:
        step = market.series.interval_ms
        tables, start = [], span[0]
        while start < span[1]:
            table = await self.read(market, (start, span[1]))
            if table.num_rows == 0:
                break
            tables.append(table)
            start = table["open_time"][-1].cast(pa.int64()).as_py() + step
        if len(tables) == 1:
            return tables[0]
        return pa.concat_tables(tables).combine_chunks() if tables else BAR_SCHEMA.empty_table()


def _parse_all_but_rows(text: str) -> Any:
    """In the place of ccxt's own parsing: rows, and nothing but rows, stay the text that they are."""
    return text if text.startswith("[[") else orjson.loads(text)


def _bars_from_answer(answer: Any, endpoint: KlineEndpoint, span: Span, step: int) -> pa.Table:
    if isinstance(answer, str) and endpoint.layout is not None:
        table = bars_from_text(answer, endpoint.layout, span, step)
        if table is not None:
            return table
        try:
            answer = orjson.loads(answer)
        except ValueError as error:
            raise BadAnswerError(f"no JSON ({error})") from None
    return bars_from_rows(endpoint.rows(answer), endpoint.columns, span, step, newest_first=endpoint.newest_first)


def missing_spans(table: pa.Table, span: Span, step: int) -> list[Span]:
    """Stretches of the grid inside `span` for which `table`, in order of time, has no bar."""
    have = table["open_time"].cast(pa.int64()).to_numpy()
    first, stop = np.searchsorted(have, span)
    edges = np.concatenate(([span[0] - step], have[first:stop], [span[1]]))
    breaks = np.flatnonzero(np.diff(edges) > step)
    return [(int(edges[row]) + step, int(edges[row + 1])) for row in breaks]


def _local_ms() -> int:
    return int(time.time() * 1000)
