"""The real ccxt client against the emulated exchange: each way in which a stream fails, and what the recording says."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from data_pipeline.errors import InputError
from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.events import read_log
from data_pipeline.recording.ledger import altered_parts, sealed_parts
from data_pipeline.recording.recorder import Recorder, RecordSummary
from data_pipeline.recording.rotation import SegmentLog, unsealed_logs
from tests.emulator.faults import Fault
from tests.emulator.recording import Stage, record, stage, start_child, until
from tests.emulator.stream import StreamExchange

Script = Callable[[Stage, Recorder], Awaitable[None]]


async def flowing(on: Stage, recorder: Recorder, events: int = 8) -> None:
    """Wait until book, quotes and trades come in and the book is live."""
    book = recorder.state.book("BTCUSDT")
    counts = recorder.state.counts
    start = {name: counts[name] for name in ("depth", "bbo", "trades")}
    await until(lambda: book.live and all(counts[name] >= start[name] + events for name in start))


async def settled(on: Stage, recorder: Recorder) -> None:
    """Let the market rest, wait for the recorder to catch up, and compare its book with the exchange's own.

    Whole where the snapshot was, else ten levels.
    """
    depth = 10_000 if recorder.config.snapshot_limit >= 1000 else 10
    await flowing(on, recorder)
    on.exchange.paused = True
    truth = on.exchange.books["BTCUSDT"]
    book = recorder.state.book("BTCUSDT")
    await until(lambda: book.live and book.last_id == truth.last_id and book.covers(depth))
    expected = truth.snapshot(depth)
    bids, asks = book.levels(depth)
    assert [list(level) for level in bids] == [[float(v) for v in level] for level in expected["bids"]]
    assert [list(level) for level in asks] == [[float(v) for v in level] for level in expected["asks"]]


def play(
    tmp_path: Path, script: Script, *, exchange: StreamExchange | None = None, **settings: Any
) -> tuple[Stage, Recorder, RecordSummary]:
    """Record the emulated market while `script` makes trouble; at the end book, hashes and ledger must be right."""
    exchange = exchange or StreamExchange()
    symbol = "BTC/USDT" if exchange.contract == "spot" else "BTC/USDT:USDT"

    async def run() -> tuple[Stage, Recorder, RecordSummary]:
        async with stage(exchange) as on:

            async def act(recorder: Recorder) -> None:
                await flowing(on, recorder)
                await script(on, recorder)
                await settled(on, recorder)

            config = RecordConfig(**{"symbols": (symbol,), "out": tmp_path / "out", "flush_s": 0.02, **settings})
            recorder, summary = await record(on, config, act)
            assert on.network.refused == []
            return on, recorder, summary

    on, recorder, summary = asyncio.run(run())
    assert altered_parts(tmp_path / "out") == []
    assert unsealed_logs(tmp_path / "out") == []
    return on, recorder, summary


def events(out: Path) -> list[dict[str, Any]]:
    return [orjson.loads(text) for part in sealed_parts(out, "events") for text in pl.read_parquet(part)["payload"]]


def from_exchange(out: Path) -> list[str]:
    """What the exchange sent, as text, without acknowledgements."""
    kept = [event for event in events(out) if "recorder" not in event and "result" not in event]
    return [orjson.dumps(event).decode() for event in kept]


def findings(out: Path) -> list[str]:
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        return [row[0] for row in ledger.execute("SELECT what FROM findings ORDER BY local_ns")]


async def nothing(on: Stage, recorder: Recorder) -> None:
    """No trouble."""


@pytest.mark.parametrize("contract", ["spot", "linear"])
def test_every_event_is_kept_in_its_order_with_both_clocks(tmp_path: Path, contract: str) -> None:
    started = time.time_ns()
    on, recorder, summary = play(tmp_path, nothing, exchange=StreamExchange(contract=contract))
    out = tmp_path / "out"
    assert from_exchange(out) == on.exchange.sent
    assert findings(out) == []
    assert (summary.connections, summary.dropped, on.exchange.accepted) == (1, 0, 1)
    check = recorder.state.checks["BTCUSDT"]
    assert check.compared >= 5
    assert check.different == 0
    trades = pl.read_parquet(sealed_parts(out, "trades", "BTCUSDT")[0])
    assert trades["local_ts_ns"].is_between(started, time.time_ns()).all()
    delay = trades["local_ts_ns"] / 1e6 - trades["trade_time_ms"]
    assert delay.is_between(-1.0, 2000.0).all()


def test_streams_can_be_chosen(tmp_path: Path) -> None:
    exchange = StreamExchange()

    async def run() -> None:
        async with stage(exchange) as on:

            async def act(recorder: Recorder) -> None:
                await until(lambda: recorder.state.counts["trades"] > 10)
                assert exchange.subscriptions == {"btcusdt@trade"}

            await record(on, RecordConfig(symbols=("BTC/USDT",), streams=("trades",), out=tmp_path), act)

    asyncio.run(run())
    assert sealed_parts(tmp_path, "book", "BTCUSDT") == []


def test_dropped_websocket(tmp_path: Path) -> None:
    async def drop(on: Stage, recorder: Recorder) -> None:
        on.exchange.drop_connections()
        await until(lambda: on.exchange.accepted == 2)

    _, recorder, summary = play(tmp_path, drop)
    found = findings(tmp_path / "out")
    assert summary.connections == 2
    assert found.count("disconnect") == 1
    assert recorder.state.counts["snapshots"] >= 2
    assert recorder.state.counts["top_differs"] == 0


@pytest.mark.parametrize("contract", ["spot", "linear"])
def test_sequence_gap_is_resynced_on_the_same_connection(tmp_path: Path, contract: str) -> None:
    async def lose(on: Stage, recorder: Recorder) -> None:
        on.exchange.skip = 3
        await until(lambda: recorder.state.counts["gap"] == 1)

    on, recorder, _ = play(tmp_path, lose, exchange=StreamExchange(contract=contract))
    assert findings(tmp_path / "out") == ["gap"]
    assert recorder.state.counts["snapshots"] == 2
    assert on.exchange.accepted == 1


def test_stale_snapshots_are_refused_until_a_fresh_one_comes(tmp_path: Path) -> None:
    _, recorder, _ = play(tmp_path, nothing, exchange=StreamExchange(stale_snapshots=2))
    assert findings(tmp_path / "out") == ["stale", "stale"]
    assert recorder.state.counts["snapshots"] == 3


@pytest.mark.parametrize(
    ("kind", "record_kind"),
    [("truncated_json", "snapshot"), ("html", None), ("reset_mid_body", "reply"), ("429", "reply")],
)
def test_unusable_snapshot_answers_never_become_a_book(tmp_path: Path, kind: Any, record_kind: str | None) -> None:
    async def spoil(on: Stage, recorder: Recorder) -> None:
        on.core.faults.add(Fault(kind, path="depth", retry_after=3))
        started = time.monotonic()
        on.exchange.skip = 1
        await until(lambda: recorder.state.counts["gap"] == 1)
        await until(lambda: on.core.faults.struck == [kind])
        assert not recorder.state.book("BTCUSDT").live
        await until(lambda: recorder.state.book("BTCUSDT").live)
        assert kind != "429" or time.monotonic() - started >= 3.0, "Retry-After was not honoured"

    play(tmp_path, spoil)
    out = tmp_path / "out"
    if record_kind == "reply":
        assert "reply" in [event.get("recorder") for event in events(out)]
    elif record_kind == "snapshot":
        assert findings(out).count("malformed") == 1


def test_silent_stall_with_pings_answered(tmp_path: Path) -> None:
    waited: list[float] = []

    async def stall(on: Stage, recorder: Recorder) -> None:
        on.exchange.silent = True
        started = time.monotonic()
        await until(lambda: on.exchange.accepted == 2)
        waited.append(time.monotonic() - started)
        on.exchange.silent = False

    play(tmp_path, stall, stale_s=0.5)
    assert 0.4 < waited[0] < 2.0
    assert findings(tmp_path / "out")[:2] == ["stall", "disconnect"]


def test_one_silent_stream_among_flowing_ones(tmp_path: Path) -> None:
    async def stall(on: Stage, recorder: Recorder) -> None:
        on.exchange.skip = 10**9
        await until(lambda: on.exchange.accepted == 2)
        on.exchange.skip = 0

    play(tmp_path, stall, stream_stale_s=0.5)
    assert findings(tmp_path / "out")[:2] == ["stall", "disconnect"]


def test_slow_consumer_is_counted_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = SegmentLog.write
    slow = [False]

    def slow_write(self: SegmentLog, data: bytes) -> None:
        if slow[0]:
            slow[0] = False
            time.sleep(1.0)
        write(self, data)

    monkeypatch.setattr(SegmentLog, "write", slow_write)

    async def jam(on: Stage, recorder: Recorder) -> None:
        slow[0] = True
        await until(lambda: recorder.state.counts["dropped"] > 0)

    with caplog.at_level(logging.WARNING, "data_pipeline.recording"):
        on, recorder, summary = play(tmp_path, jam, queue_events=60)
    out = tmp_path / "out"
    assert summary.dropped > 0
    assert summary.queue_highest <= 60
    assert sum(event["count"] for event in events(out) if event.get("recorder") == "dropped") == summary.dropped
    assert len(from_exchange(out)) + summary.dropped == len(on.exchange.sent)
    assert "events dropped so far" in caplog.text
    assert recorder.state.counts["snapshots"] >= 2, "the book was taken anew"


def test_duplicated_and_reordered_events(tmp_path: Path) -> None:
    async def shuffle(on: Stage, recorder: Recorder) -> None:
        on.exchange.repeat = 30
        await until(lambda: on.exchange.repeat == 0)
        on.exchange.swap = 6
        await until(lambda: on.exchange.swap == 0)

    on, recorder, _ = play(tmp_path, shuffle)
    out = tmp_path / "out"
    assert from_exchange(out) == on.exchange.sent, "the raw events stay as they came"
    ids = pl.read_parquet(sealed_parts(out, "trades", "BTCUSDT")[0])["trade_id"]
    assert ids.n_unique() == len(ids)
    assert sorted(ids) == list(range(ids.min(), ids.max() + 1))  # type: ignore[arg-type, operator]
    counts = recorder.state.counts
    assert counts["old_trades"] > 0
    assert counts["old_depth"] > 0
    assert counts["trades_lost"] == 0
    assert counts["top_differs"] == 0


def test_clock_skew_is_measured_and_never_mixed_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "data_pipeline.recording"):
        _, _, summary = play(tmp_path, nothing, exchange=StreamExchange(clock=lambda: time.time() + 90))
    assert summary.clock_ms == pytest.approx(90_000, abs=1500)
    assert "the local clock is -90" in caplog.text or "the local clock is -89" in caplog.text
    trades = pl.read_parquet(sealed_parts(tmp_path / "out", "trades", "BTCUSDT")[0])
    assert (trades["event_time_ms"] - trades["local_ts_ns"] / 1e6).is_between(85_000, 91_000).all()


def test_bars_are_the_exchanges_own(tmp_path: Path) -> None:
    """Exchange time runs a hundredfold, so that minutes close while the test waits."""
    origin = time.time()
    exchange = StreamExchange(clock=lambda: origin + 100 * (time.time() - origin))

    async def wait(on: Stage, recorder: Recorder) -> None:
        tape = recorder.state.tapes["BTCUSDT"]
        first = tape.bar.open_time_ms if tape.bar else 0
        await until(lambda: tape.bar is not None and tape.bar.open_time_ms > first + 240_000)

    play(tmp_path, wait, exchange=exchange)
    bars = pl.concat([pl.read_parquet(part) for part in sealed_parts(tmp_path / "out", "bars", "BTCUSDT")])
    assert len(bars) >= 3
    for row in bars.iter_rows(named=True):
        tally = exchange.tallies["BTCUSDT"][int(row["open_time"].timestamp() * 1000)]
        prices = [float(text) for text in (tally.open, tally.high, tally.low, tally.close)]
        assert [row["open"], row["high"], row["low"], row["close"]] == prices
        assert row["trades"] == tally.trades
        sums = (tally.volume / 1e8, tally.quote / 10**16, tally.taker_volume / 1e8, tally.taker_quote / 10**16)
        assert (row["volume"], row["quote_volume"], row["taker_buy_volume"], row["taker_buy_quote_volume"]) == sums


def test_segments_rotate_and_seal_while_recording_goes_on(tmp_path: Path) -> None:
    async def wait(on: Stage, recorder: Recorder) -> None:
        out = tmp_path / "out"
        await until(lambda: len(sealed_parts(out, "events")) >= 2)

    on, recorder, _ = play(tmp_path, wait, rotate_minutes=0.01)
    out = tmp_path / "out"
    assert from_exchange(out) == on.exchange.sent
    assert recorder.state.counts["snapshots"] == 1, "a new segment needs no new snapshot"
    books = [pl.read_parquet(part) for part in sealed_parts(out, "book", "BTCUSDT")]
    assert len(books) >= 3
    updates = pl.concat(books)["update_id"].to_list()
    sent = [event["u"] for event in map(orjson.loads, on.exchange.sent) if event.get("e") == "depthUpdate"]
    assert updates == sent[sent.index(updates[0]) :], "from the first snapshot on every event has its book"


def test_book_is_refreshed_when_the_price_leaves_the_span_of_its_snapshot(tmp_path: Path) -> None:
    async def rally(on: Stage, recorder: Recorder) -> None:
        on.exchange.books["BTCUSDT"].mid += 15
        book = recorder.state.book("BTCUSDT")
        await until(lambda: not book.covers(10))
        assert book.live
        await until(lambda: book.covers(10))

    on, recorder, _ = play(tmp_path, rally, snapshot_limit=20)
    out = tmp_path / "out"
    assert set(findings(out)) <= {"stale"}, "on a busy machine an answer may be too late, and is then asked for again"
    assert recorder.state.counts["snapshots"] >= 2
    book = pl.read_parquet(sealed_parts(out, "book", "BTCUSDT")[0])
    assert book["complete"].n_unique() == 2
    sent = [event["u"] for event in map(orjson.loads, on.exchange.sent) if event.get("e") == "depthUpdate"]
    assert book["update_id"].to_list() == sent[sent.index(book["update_id"][0]) :], "the refresh broke the book off"


def test_recording_ends_after_its_minutes(tmp_path: Path) -> None:
    async def run() -> RecordSummary:
        async with stage(StreamExchange()) as on:
            config = RecordConfig(symbols=("BTC/USDT",), out=tmp_path, minutes=0.01)
            _, summary = await record(on, config, lambda recorder: asyncio.sleep(20))
            return summary

    assert asyncio.run(run()).counts["bbo"] > 0
    assert unsealed_logs(tmp_path) == []


def test_disk_full_ends_the_recording_and_loses_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SegmentLog.write
    full = [False]

    def write_until_full(self: SegmentLog, data: bytes) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, data)

    monkeypatch.setattr(SegmentLog, "write", write_until_full)

    async def fill(on: Stage, recorder: Recorder) -> None:
        full[0] = True
        await asyncio.sleep(5)

    with pytest.raises(InputError, match="No space left on device"):
        play(tmp_path, fill)
    full[0] = False
    (log,) = unsealed_logs(tmp_path / "out")
    assert len(list(read_log(log))) > 20


def test_unknown_symbol_names_the_nearest(tmp_path: Path) -> None:
    async def run() -> None:
        async with stage(StreamExchange(), pump=False) as on:
            await record(on, RecordConfig(symbols=("BTC/USDC",), out=tmp_path), lambda recorder: asyncio.sleep(20))

    with pytest.raises(InputError, match="did you mean BTC/USDT"):
        asyncio.run(run())


def test_killed_recorder_loses_its_tail_only_and_the_next_one_recovers(tmp_path: Path) -> None:
    """SIGKILL in mid-write; the command starts again on the same folder, recovers, and ends on Ctrl-C."""
    out = tmp_path / "out"

    def lines() -> int:
        return sum(path.read_bytes().count(b"\n") for path in unsealed_logs(out)) if out.exists() else 0

    async def run() -> tuple[list[str], int, str]:
        async with stage(StreamExchange()) as on:
            child = await start_child(on, out)
            await until(lambda: lines() > 100, limit_s=30)
            sent = len(on.exchange.sent)
            child.kill()
            await child.communicate()
            on.exchange.drop_connections()
            first = list(on.exchange.sent)
            kept = lines()
            assert kept >= 100
            assert sent - kept < 60, "more than the last tenths of a second is gone"
            (left,) = unsealed_logs(out)
            child = await start_child(on, out)
            await until(lambda: left not in unsealed_logs(out) and lines() > 100, limit_s=30)
            child.send_signal(signal.SIGINT)
            output, _ = await child.communicate()
            return first, child.returncode or 0, output.decode()

    first, code, output = asyncio.run(run())
    assert code == 0, output
    assert "recovered segment" in output
    assert unsealed_logs(out) == []
    assert altered_parts(out) == []
    recovered, second = sealed_parts(out, "events")
    payloads = [orjson.loads(text) for text in pl.read_parquet(recovered)["payload"]]
    texts = [orjson.dumps(p).decode() for p in payloads if "recorder" not in p and "result" not in p]
    assert texts == first[: len(texts)], "what was kept is what was sent, from the first event on without a hole"
    assert len(pl.read_parquet(second)) > 100
