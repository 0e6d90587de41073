"""Tests reach loopback only: the network of the emulator leads the exchanges' hosts there and refuses every other."""

from __future__ import annotations

import asyncio

import aiohttp
import ccxt
import pytest

from data_pipeline.venue import Venue, open_client
from tests.emulator.core import ExchangeCore
from tests.emulator.lab import JANUARY, hourly
from tests.emulator.network import Network
from tests.emulator.server import serving


def test_the_exchanges_hosts_lead_to_loopback() -> None:
    async def run() -> int:
        network, core = Network(), ExchangeCore([hourly(hours=24)], clock=lambda: JANUARY / 1000 + 90_000)
        async with serving(network, core), network.session() as session:
            client = open_client(Venue("binance", "spot"), session=session)
            try:
                return len(await client.fetch_ohlcv("BTC/USDT", "1h"))
            finally:
                await client.close()

    assert asyncio.run(run()) == 24


def test_every_other_host_is_refused_and_remembered() -> None:
    async def run() -> list[str]:
        network = Network()
        async with serving(network, ExchangeCore([])), network.session() as session:
            client = open_client(Venue("bitfinex", "spot"), session=session)
            with pytest.raises(ccxt.NetworkError):
                await client.load_markets()
            await client.close()
            for url in ("https://example.com/", "https://192.0.2.1/"):
                with pytest.raises(aiohttp.ClientError):
                    await session.get(url)
        return network.refused

    assert set(asyncio.run(run())) == {"api-pub.bitfinex.com", "example.com", "192.0.2.1"}
