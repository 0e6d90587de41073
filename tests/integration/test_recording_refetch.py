"""Trades that happen while the stream is away: asked for by REST, marked, and the bars are the exchange's own again."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.ledger import sealed_parts
from data_pipeline.recording.recorder import Recorder
from tests.emulator.faults import Fault
from tests.emulator.recording import Stage, record, stage, until
from tests.emulator.stream import StreamExchange

Script = Callable[[Stage, Recorder], Awaitable[None]]


def fast_exchange(contract: str = "spot", **faults: Any) -> StreamExchange:
    """Exchange time runs two-hundredfold, so that an outage of a fraction of a second spans minutes."""
    origin = time.time()
    return StreamExchange(contract=contract, clock=lambda: origin + 200 * (time.time() - origin), **faults)


def play(out: Path, exchange: StreamExchange, script: Script, **settings: Any) -> Stage:
    """Record some minutes, let `script` make trouble, and some minutes more."""
    symbol = "BTC/USDT" if exchange.contract == "spot" else "BTC/USDT:USDT"

    async def run() -> Stage:
        async with stage(exchange) as on:

            async def act(recorder: Recorder) -> None:
                await minutes(recorder, 2)
                await script(on, recorder)
                await until(lambda: recorder.state.tapes["BTCUSDT"].hole() is None)
                await minutes(recorder, 2)

            config = RecordConfig(symbols=(symbol,), out=out, **{"streams": ("trades",), "flush_s": 0.02, **settings})
            await record(on, config, act, limit_s=40)
            assert on.network.refused == []
            return on

    return asyncio.run(run())


async def minutes(recorder: Recorder, count: int) -> None:
    """Wait until the exchange's clock has closed so many minutes more."""
    await until(lambda: "BTCUSDT" in recorder.state.tapes and recorder.state.tapes["BTCUSDT"].bar is not None)
    tape = recorder.state.tapes["BTCUSDT"]
    first = tape.bar.open_time_ms if tape.bar else 0
    await until(lambda: tape.bar is not None and tape.bar.open_time_ms >= first + 60_000 * count)


async def outage(on: Stage, recorder: Recorder) -> None:
    """Half a second without a connection: about two minutes of the exchange's, and some fifty orders."""
    on.exchange.closed = True
    on.exchange.drop_connections()
    await asyncio.sleep(0.5)
    on.exchange.closed = False
    await until(lambda: recorder.state.counts["disconnect"] >= 1)
    connected = on.exchange.accepted
    await until(lambda: on.exchange.accepted > connected or recorder.state.counts["trades_refetched"] > 0)
    await until(lambda: recorder.state.counts["trades_refetched"] + recorder.state.counts["trades_lost"] > 0)


def recorded(out: Path, kind: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(part) for part in sealed_parts(out, kind, "BTCUSDT")])


def findings(out: Path) -> list[str]:
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        return [row[0] for row in ledger.execute("SELECT what FROM findings ORDER BY local_ns")]


def compare_bars(out: Path, exchange: StreamExchange) -> tuple[list[int], list[int]]:
    """Assert that every bar is the exchange's; returns the open times of the bars, and those missing between them."""
    bars = recorded(out, "bars").sort("open_time")
    times = []
    for row in bars.iter_rows(named=True):
        times.append(int(row["open_time"].timestamp() * 1000))
        tally = exchange.tallies["BTCUSDT"][times[-1]]
        assert [row["open"], row["high"], row["low"], row["close"]] == [
            float(text) for text in (tally.open, tally.high, tally.low, tally.close)
        ]
        sums = (tally.volume / 1e8, tally.quote / 10**16, tally.taker_volume / 1e8, tally.taker_quote / 10**16)
        assert (row["volume"], row["quote_volume"], row["taker_buy_volume"], row["taker_buy_quote_volume"]) == sums
        assert row["trades"] == tally.trades
    return times, sorted(set(range(times[0], times[-1], 60_000)) - set(times))


@pytest.mark.parametrize("contract", ["spot", "linear"])
@pytest.mark.parametrize("recent", [1000, 10])
def test_a_minute_with_a_disconnect_is_the_exchanges_own(tmp_path: Path, contract: str, recent: int) -> None:
    """`recent` 10: the hole is longer than `trades` reaches back, so groups of trades are asked for instead."""
    exchange = fast_exchange(contract, recent=recent)
    on = play(tmp_path, exchange, outage)
    times, missing = compare_bars(tmp_path, exchange)
    assert len(times) >= 3
    # USD-M joins trades of a tenth of a second: a group at the turn of a minute leaves both minutes in doubt
    assert missing == [] or (contract, recent) == ("linear", 10)
    assert "trades_refetched" in findings(tmp_path)
    assert "trades_lost" not in findings(tmp_path)
    asked = {path.rsplit("/", 1)[-1] for _, path, _ in on.core.requests}
    assert ("aggTrades" in asked) is (recent == 10)
    assert on.core.statuses.get(429, 0) == 0

    trades = recorded(tmp_path, "trades").sort("trade_id")
    first = trades["trade_id"] - trades["joined"] + 1
    assert (first[1:] == trades["trade_id"][:-1] + 1).all(), "every id is there, and once"
    again = trades.filter(pl.col("source") != "ws")
    assert set(again["source"]) == {"rest_trades" if recent == 1000 else "rest_aggTrades"}
    assert again["event_time_ms"].is_null().all()
    assert trades.filter(pl.col("source") == "ws")["event_time_ms"].is_not_null().all()
    later = trades.filter(pl.col("trade_id") > again["trade_id"].max()).row(0, named=True)
    assert again["local_ts_ns"].min() > later["local_ts_ns"], "the local time is that of the answer, not of the trade"


def test_what_the_exchange_does_not_give_is_lost_and_said_so(tmp_path: Path) -> None:
    exchange = fast_exchange(hidden=(7000, 10**9))

    async def lose(on: Stage, recorder: Recorder) -> None:
        await outage(on, recorder)
        on.exchange.hidden = (0, -1)

    play(tmp_path, exchange, lose)
    _, missing = compare_bars(tmp_path, exchange)
    assert missing, "no bar is made up"
    assert "trades_lost" in findings(tmp_path)


def test_a_part_that_is_missing_stays_missing(tmp_path: Path) -> None:
    """An answer with a row too few is no proof: the ids show it, the minute gives no bar."""
    exchange = fast_exchange()

    async def hide_one(on: Stage, recorder: Recorder) -> None:
        last = recorder.state.tapes["BTCUSDT"].last_id or 0
        on.exchange.hidden = (last + 20, last + 20)
        await outage(on, recorder)
        await until(lambda: recorder.state.counts["trades_lost"] > 0)

    play(tmp_path, exchange, hide_one)
    _, missing = compare_bars(tmp_path, exchange)
    assert 1 <= len(missing) <= 3
    trades = recorded(tmp_path, "trades")["trade_id"].sort()
    assert trades[-1] - trades[0] + 1 - len(trades) == 1


@pytest.mark.parametrize("kind", ["429", "truncated_json"])
def test_refused_and_broken_answers_are_asked_for_again(tmp_path: Path, kind: Any) -> None:
    exchange = fast_exchange()

    async def spoil(on: Stage, recorder: Recorder) -> None:
        on.core.faults.add(Fault(kind, path="trades", count=4, retry_after=0))
        await outage(on, recorder)
        assert on.core.faults.struck == [kind] * 4

    play(tmp_path, exchange, spoil)
    _, missing = compare_bars(tmp_path, exchange)
    assert missing == []
    assert "trades_lost" not in findings(tmp_path)


def test_a_hole_that_is_too_long_is_not_asked_for(tmp_path: Path) -> None:
    exchange = fast_exchange()
    on = play(tmp_path, exchange, outage, refetch_trades=3)
    assert "trades_lost" in findings(tmp_path)
    assert [path for _, path, _ in on.core.requests if "rades" in path] == []


def test_the_time_without_a_recorder_is_asked_for_by_the_next_one(tmp_path: Path) -> None:
    exchange = fast_exchange()

    async def run() -> None:
        async with stage(exchange) as on:
            config = RecordConfig(symbols=("BTC/USDT",), out=tmp_path, streams=("trades",), flush_s=0.02)
            for count in (2, 3):
                await record(on, config, lambda recorder, count=count: minutes(recorder, count))

    asyncio.run(run())
    _, missing = compare_bars(tmp_path, exchange)
    assert missing == []
    assert findings(tmp_path) == ["trades_refetched"]
    assert len(sealed_parts(tmp_path, "bars", "BTCUSDT")) == 2
