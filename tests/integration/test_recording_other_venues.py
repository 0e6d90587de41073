"""Bybit and OKX through ccxt's real client, on messages in the shapes of their documentation; never seen live."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.errors import InputError
from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.feed import Feed
from data_pipeline.recording.reader import read_recording
from data_pipeline.recording.recorder import Recorder
from data_pipeline.venue import Venue, open_client
from tests.emulator.other_streams import BybitExchange, OkxExchange
from tests.emulator.recording import Stage, record, stage, until
from tests.emulator.stream import StreamExchange

Script = Callable[[Stage, Recorder], Awaitable[None]]
VENUES: list[tuple[str, type[StreamExchange], str]] = [
    ("bybit", BybitExchange, "spot"),
    ("bybit", BybitExchange, "linear"),
    ("okx", OkxExchange, "spot"),
    ("okx", OkxExchange, "linear"),
]


def name_of(exchange: StreamExchange) -> str:
    return exchange.name("BTCUSDT") if isinstance(exchange, OkxExchange) else "BTCUSDT"


async def flowing(recorder: Recorder, exchange: StreamExchange) -> None:
    """Wait until everything comes in and the book is live."""
    counts, book = recorder.state.counts, recorder.state.book(name_of(exchange))
    start = {kind: counts[kind] for kind in ("depth", "bbo", "trades")}
    await until(lambda: book.live and all(counts[kind] >= start[kind] + 8 for kind in start))


async def settled(recorder: Recorder, exchange: StreamExchange) -> None:
    """Let the market rest; the recorder's book must become the exchange's."""
    await flowing(recorder, exchange)
    exchange.paused = True
    depth = 50 if isinstance(exchange, BybitExchange) else 400
    truth = exchange.books["BTCUSDT"].snapshot(depth)
    expected = [[(float(price), float(qty)) for price, qty in truth[side]] for side in ("bids", "asks")]
    book = recorder.state.book(name_of(exchange))
    await until(lambda: book.live and list(book.levels(10_000)) == expected, limit_s=5)


def play(out: Path, exchange: StreamExchange, script: Script, **settings: Any) -> Recorder:
    async def run() -> Recorder:
        async with stage(exchange) as on:

            async def act(recorder: Recorder) -> None:
                await flowing(recorder, exchange)
                await script(on, recorder)
                await settled(recorder, exchange)

            venue = "okx" if isinstance(exchange, OkxExchange) else "bybit"
            symbol = "BTC/USDT" if exchange.contract == "spot" else "BTC/USDT:USDT"
            config = RecordConfig(**{"symbols": (symbol,), "out": out, "exchange": venue, "flush_s": 0.02, **settings})
            recorder, _ = await record(on, config, act)
            assert on.network.refused == []
            return recorder

    return asyncio.run(run())


def findings(out: Path) -> list[str]:
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        return [row[0] for row in ledger.execute("SELECT what FROM findings ORDER BY local_ns")]


async def nothing(on: Stage, recorder: Recorder) -> None:
    """No trouble."""


@pytest.mark.parametrize(("venue", "make", "contract"), VENUES)
def test_book_quotes_and_trades_are_the_exchanges(
    tmp_path: Path, venue: str, make: type[StreamExchange], contract: str
) -> None:
    exchange = make(contract=contract)
    play(tmp_path, exchange, nothing)
    assert findings(tmp_path) == []
    assert exchange.accepted == 1, "one connection for all streams"
    name = name_of(exchange)
    book = read_recording(tmp_path, "book", name)
    assert book.num_rows >= 8
    assert all(book["complete"].to_pylist())
    bbo = read_recording(tmp_path, "bbo", name)
    quotes = {row["update_id"]: (row["bid_px"], row["bid_sz"], row["ask_px"], row["ask_sz"]) for row in bbo.to_pylist()}
    tops = {
        row["update_id"]: (row["bid1_px"], row["bid1_sz"], row["ask1_px"], row["ask1_sz"]) for row in book.to_pylist()
    }
    shared = quotes.keys() & tops.keys()
    assert len(shared) >= 8
    assert [number for number in shared if quotes[number] != tops[number]] == []
    trades = read_recording(tmp_path, "trades", name)
    assert sum(trades["joined"].to_pylist()) == len(trades) if venue == "bybit" else len(trades) > 0
    numbers = trades["trade_id"].to_pylist()
    if venue == "bybit":
        assert set(numbers) == {None}
    else:
        joined = trades["joined"].to_pylist()
        assert all(b - n == a for a, b, n in zip(numbers, numbers[1:], joined[1:], strict=False))
    assert set(trades["source"].to_pylist()) == {"ws"}


@pytest.mark.parametrize(("venue", "make"), [("bybit", BybitExchange), ("okx", OkxExchange)])
def test_a_gap_takes_a_new_connection_and_its_snapshot(tmp_path: Path, venue: str, make: type[StreamExchange]) -> None:
    async def lose(on: Stage, recorder: Recorder) -> None:
        on.exchange.skip = 2
        await until(lambda: recorder.state.counts["gap"] == 1)
        await until(lambda: on.exchange.accepted == 2)

    play(tmp_path, make(), lose)
    assert findings(tmp_path) == ["gap", "disconnect"]


def test_a_wrong_checksum_voids_the_book(tmp_path: Path) -> None:
    async def spoil(on: Stage, recorder: Recorder) -> None:
        assert isinstance(on.exchange, OkxExchange)
        on.exchange.wrong_checksums = 1
        await until(lambda: recorder.state.counts["checksum"] == 1)
        await until(lambda: on.exchange.accepted == 2)

    play(tmp_path, OkxExchange(), spoil)
    assert findings(tmp_path) == ["checksum", "disconnect"]


def test_okx_without_checksums_heartbeats_and_lower_numbers(tmp_path: Path) -> None:
    async def rest_and_maintenance(on: Stage, recorder: Recorder) -> None:
        assert isinstance(on.exchange, OkxExchange)
        await on.exchange.say_nothing_changed("BTCUSDT")
        await on.exchange.lower_the_numbers("BTCUSDT")
        await until(lambda: recorder.state.counts["old_depth"] == 1)

    recorder = play(tmp_path, OkxExchange(checksums=False), rest_and_maintenance)
    assert findings(tmp_path) == []
    assert (recorder.state.book("BTC-USDT").last_id or 0) < 100_000


def test_bybit_starting_again_sends_a_whole_book_under_the_number_one(tmp_path: Path) -> None:
    async def restart(on: Stage, recorder: Recorder) -> None:
        assert isinstance(on.exchange, BybitExchange)
        snapshots = recorder.state.counts["snapshots"]
        await on.exchange.restart("BTCUSDT")
        await until(lambda: recorder.state.counts["snapshots"] == snapshots + 1)

    exchange = BybitExchange()
    play(tmp_path, exchange, restart)
    assert findings(tmp_path) == []
    assert exchange.accepted == 1


def test_bars_come_of_numbered_trades_only(tmp_path: Path) -> None:
    """OKX's rows join the trades of an order and still sum to the exchange's bars; Bybit's have no numbers."""
    for make in (OkxExchange, BybitExchange):
        origin = time.time()
        exchange = make(clock=lambda origin=origin: origin + 300 * (time.time() - origin))
        name, out = name_of(exchange), tmp_path / make.__name__

        async def wait(on: Stage, recorder: Recorder) -> None:
            await asyncio.sleep(0.8)

        play(out, exchange, wait, streams=("trades", "bbo", "book"))
        if make is BybitExchange:
            with pytest.raises(InputError, match="no bars of"):
                read_recording(out, "bars", name)
            continue
        bars = read_recording(out, "bars", name).to_pylist()
        assert len(bars) >= 2
        for row in bars:
            tally = exchange.tallies["BTCUSDT"][int(row["open_time"].timestamp() * 1000)]
            assert [row["open"], row["close"]] == [float(tally.open), float(tally.close)]
            assert (row["volume"], row["quote_volume"]) == (tally.volume / 1e8, tally.quote / 10**16)
            assert row["trades"] == tally.trades


@pytest.mark.parametrize(("venue", "make"), [("bybit", BybitExchange), ("okx", OkxExchange)])
def test_pongs_reach_the_client(venue: str, make: type[StreamExchange], tmp_path: Path) -> None:
    """Their pings are messages: were the answers kept from ccxt, it would give every connection up."""
    exchange = make()

    async def run() -> int:
        async with stage(exchange) as on, on.network.session() as session:
            client = open_client(Venue(venue, "spot"), session=session, pro=True)
            client.streaming["keepAlive"] = 100
            came: list[dict] = []
            config = RecordConfig(symbols=("BTC/USDT",), out=tmp_path, exchange=venue)
            feed = Feed(client, "spot", config, lambda local_ns, message: came.append(message))
            await feed.load()
            try:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(feed.run(), 1.0)
            finally:
                await feed.close()
            return sum("pong" in str(message) for message in came)

    assert asyncio.run(run()) >= 3
    assert exchange.accepted == 1


def test_more_symbols_than_a_request_takes(tmp_path: Path) -> None:
    bases = ("BTC", "ETH", "BNB", "SOL", "POL", "FIL", "ADA", "XRP", "DOT", "LTC", "TRX", "ETC")
    exchange = BybitExchange(symbols=tuple(f"{base}USDT" for base in bases))

    async def run() -> None:
        async with stage(exchange) as on:
            symbols = tuple(f"{base}/USDT" for base in bases)
            config = RecordConfig(symbols=symbols, out=tmp_path, exchange="bybit", streams=("bbo",))
            await record(on, config, lambda recorder: until(lambda: len(exchange.subscriptions) == len(bases)))

    asyncio.run(run())
