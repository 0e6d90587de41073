"""The emulated exchange as the real client sees it: trades and books, their windows, weights and refusals."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt
import pytest

from data_pipeline.venue import Venue, open_client
from tests.emulator.binance import TRADE_STEP_MS
from tests.emulator.core import ExchangeCore
from tests.emulator.faults import Fault
from tests.emulator.lab import HOUR, JANUARY, hourly
from tests.emulator.network import Network
from tests.emulator.server import serving

HOURS = 24 * 5


def asked(
    core: ExchangeCore, ask: Callable[[Any], Awaitable[Any]], contract: str = "spot", network: Network | None = None
) -> Any:
    """What `ask` gets from ccxt's client of Binance."""
    network = network or Network()

    async def main() -> Any:
        async with serving(network, core), network.session() as session:
            client = open_client(Venue("binance", contract), session=session)  # type: ignore[arg-type]
            try:
                return await ask(client)
            finally:
                await client.close()

    return asyncio.run(main())


def core_of(contract: str = "spot") -> ExchangeCore:
    listing = hourly(hours=HOURS, contract=contract)
    return ExchangeCore([listing], clock=lambda: (listing.source.stop_ms + 17_000) / 1000)


@pytest.mark.parametrize(
    ("contract", "method", "weight"), [("spot", "publicGetAggTrades", 4), ("linear", "fapiPublicGetAggTrades", 20)]
)
def test_aggregate_trades_are_found_by_id_by_time_and_newest(contract: str, method: str, weight: int) -> None:
    core = core_of(contract)
    last = HOURS * HOUR // TRADE_STEP_MS - 1

    async def ask(client: Any) -> list[list[dict[str, Any]]]:
        call = getattr(client, method)
        windows: list[dict[str, int]] = [
            {"fromId": 1000, "limit": 5},
            {"startTime": JANUARY + 1, "endTime": JANUARY + 3 * TRADE_STEP_MS},
            {"limit": 3},
            {"fromId": last - 1},
            {"fromId": 0, "limit": 5000},
        ]
        return [await call({"symbol": "BTCUSDT", **window}) for window in windows]

    by_id, by_time, newest, ending, most = asked(core, ask, contract)
    assert [int(trade["a"]) for trade in by_id] == [1000, 1001, 1002, 1003, 1004]
    assert [int(trade["a"]) for trade in by_time] == [1, 2, 3]  # both ends included, as Binance has them
    assert [int(trade["a"]) for trade in newest] == [last - 2, last - 1, last]
    assert [int(trade["a"]) for trade in ending] == [last - 1, last]
    assert len(most) == 1000
    assert all(int(one["l"]) + 1 == int(two["f"]) for one, two in itertools.pairwise(most))
    assert core.peak_weight[contract] == 5 * weight


def test_the_clients_own_trades_are_those_of_the_emulator() -> None:
    core = core_of()

    async def ask(client: Any) -> list[dict[str, Any]]:
        return await client.fetch_trades("BTC/USDT", since=JANUARY + 10_000, limit=7)

    trades = asked(core, ask)
    assert [trade["timestamp"] for trade in trades] == [
        JANUARY + 10_000 + number * TRADE_STEP_MS for number in range(7)
    ]
    assert {trade["price"] for trade in trades} == {core.listings[0].source.columns["open"][0]}
    assert [trade["side"] for trade in trades[:2]] == ["sell", "buy"]  # the buyer was the maker of every even one


SPOT_BOOKS = [("spot", 5, 5), ("spot", 100, 5), ("spot", 500, 25), ("spot", 1000, 50)]
LINEAR_BOOKS = [("linear", 5, 2), ("linear", 100, 5), ("linear", 500, 10), ("linear", 1000, 20)]


@pytest.mark.parametrize(("contract", "limit", "weight"), SPOT_BOOKS + LINEAR_BOOKS)
def test_a_book_is_as_deep_as_asked_and_weighs_as_documented(contract: str, limit: int, weight: int) -> None:
    core = core_of(contract)

    async def ask(client: Any) -> tuple[dict[str, Any], int]:
        await client.load_markets()
        before = core.peak_weight[contract]
        return await client.fetch_order_book("BTC/USDT" if contract == "spot" else "BTC/USDT:USDT", limit), before

    book, before = asked(core, ask, contract)
    assert len(book["bids"]) == len(book["asks"]) == min(limit, 500)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert [price for price, _ in book["bids"]] == sorted((price for price, _ in book["bids"]), reverse=True)
    assert [price for price, _ in book["asks"]] == sorted(price for price, _ in book["asks"])
    assert core.peak_weight[contract] - before == weight


def test_too_much_weight_is_refused_and_insisting_banned() -> None:
    core = core_of()
    core.weight_limits["spot"] = 20

    async def ask(client: Any) -> list[str]:
        outcomes = []
        for _ in range(30):
            try:
                await client.publicGetAggTrades({"symbol": "BTCUSDT", "limit": 1})
                outcomes.append("200")
            except ccxt.DDoSProtection as error:
                outcomes.append(str(error).split()[1])
        return outcomes

    outcomes = asked(core, ask)
    assert outcomes == ["200"] * 5 + ["429"] * 20 + ["418"] * 5


@pytest.mark.parametrize("kind", ["html", "truncated_json"])
def test_faults_reach_trades_and_books_too(kind: Any) -> None:
    core = core_of()
    core.faults.add(Fault(kind, path="aggTrades|depth", count=2))

    async def ask(client: Any) -> list[Any]:
        query = {"symbol": "BTCUSDT", "limit": 5}
        return [
            await client.publicGetAggTrades(query),
            await client.publicGetDepth(query),
            await client.publicGetDepth(query),
        ]

    trades, book, sound = asked(core, ask)
    assert isinstance(trades, str)  # ccxt hands out what it cannot parse
    assert isinstance(book, str)
    assert len(sound["bids"]) == 5
    assert core.faults.struck == [kind, kind]


def test_an_unknown_symbol_and_an_unknown_host_are_refused() -> None:
    core, network = core_of(), Network()

    async def ask(client: Any) -> None:
        for method in (client.publicGetAggTrades, client.publicGetDepth):
            with pytest.raises(ccxt.BadSymbol):
                await method({"symbol": "XYZUSDT"})
        network.hosts.pop("fapi.binance.com")
        with pytest.raises(ccxt.NetworkError):
            await client.fapiPublicGetPing()

    asked(core, ask, network=network)
    assert network.refused == ["fapi.binance.com"]
