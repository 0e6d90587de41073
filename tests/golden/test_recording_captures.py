"""The recorded Binance captures against what others made of them."""

from __future__ import annotations

import asyncio
import gzip
import os
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from data_pipeline.recording.aggregate import Bar
from data_pipeline.recording.book import Rules
from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.events import Depth, Trade, read_log
from data_pipeline.recording.ledger import sealed_parts
from data_pipeline.recording.recorder import Recorder
from data_pipeline.recording.replay import replay, replay_steps
from data_pipeline.recording.sealing import book_row
from data_pipeline.recording.state import Finding, StreamState
from tests.emulator.recording import record, stage, until
from tests.emulator.stream import StreamExchange

DATA = os.environ.get("SCALPING_REAL_DATA")
pytestmark = pytest.mark.skipif(DATA is None, reason="SCALPING_REAL_DATA is unset")
HOME = Path(DATA or ".")
CAPTURES: dict[Rules, list[str]] = {
    "spot": ["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"],
    "linear": ["usdm_btcusdt_20240808.gz"],
}
MICRO = {"spot": "binance_spot_BTCUSDT_2024-08-08T2354", "linear": "binance_um_BTCUSDT_2024-08-08T2354"}
QUOTE = ["bid_px", "bid_sz", "ask_px", "ask_sz"]
COUNTS = {"spot": (6495, 73174, 19904), "linear": (6551, 66089, 21313)}


def paths(rules: Rules) -> list[Path]:
    return [HOME / "raw" / name for name in CAPTURES[rules]]


@dataclass
class Rebuilt:
    """One replay of a venue's captures: final state, ten levels at every update, bars, findings."""

    rules: Rules
    state: StreamState
    levels: dict[int, tuple] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@pytest.fixture(scope="module", params=["spot", "linear"])
def rebuilt(request: pytest.FixtureRequest) -> Rebuilt:
    result = Rebuilt(request.param, StreamState(request.param))
    for _, step in replay_steps(paths(request.param), result.state):
        result.bars.extend(step.bars)
        result.findings.extend(step.findings)
        if step.book and isinstance(step.event, Depth):
            update_id, _, *levels = book_row(result.state.books["BTCUSDT"])
            result.levels[update_id] = tuple(levels)
    return result


def test_no_gap_no_crossed_book_and_the_top_is_bookticker(rebuilt: Rebuilt) -> None:
    counts = rebuilt.state.counts
    check = rebuilt.state.checks["BTCUSDT"]
    assert (counts["depth"], counts["bbo"], counts["trades"]) == COUNTS[rebuilt.rules]
    assert rebuilt.findings == []
    assert check.different == 0
    assert check.compared > 0.8 * counts["depth"]
    assert rebuilt.state.books["BTCUSDT"].live


def test_ten_levels_equal_the_published_book_at_every_update(rebuilt: Rebuilt) -> None:
    """Also where a level beyond the snapshot's span is unknown: both books then miss the same one."""
    published = pl.read_parquet(HOME / "micro" / f"{MICRO[rebuilt.rules]}.l10.parquet")
    columns = [f"{s}{n}_{what}" for s in ("bid", "ask") for n in range(1, 11) for what in ("px", "sz")]
    theirs = dict(zip(published["update_id"], published.select(columns).iter_rows(), strict=True))
    shared = rebuilt.levels.keys() & theirs.keys()
    assert len(shared) > 0.99 * len(theirs)
    assert [update for update in shared if rebuilt.levels[update] != theirs[update]] == []


def test_bars_are_the_exact_sums_of_the_published_trades(rebuilt: Rebuilt) -> None:
    """Independent sums: fractions of the published table, one minute after the other."""
    trades = pl.read_parquet(HOME / "micro" / f"{MICRO[rebuilt.rules]}.trades.parquet").sort("trade_id")
    trades = trades.with_columns(minute=pl.col("trade_time_ms") // 60_000 * 60_000)
    whole = sorted(trades["minute"].unique())[1:-1]
    assert [bar.open_time_ms for bar in rebuilt.bars] == whole
    assert len(whole) == (10 if rebuilt.rules == "spot" else 4)
    for bar in rebuilt.bars:
        rows = trades.filter(pl.col("minute") == bar.open_time_ms)
        price = [Fraction(repr(value)) for value in rows["price"]]
        qty = [Fraction(repr(value)) for value in rows["qty"]]
        taker = [0 if maker else 1 for maker in rows["buyer_is_maker"]]
        quote = [p * q for p, q in zip(price, qty, strict=True)]
        found = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume]
        truth = [price[0], max(price), min(price), price[-1], sum(qty), sum(quote)]
        assert [Fraction(value) for value in found] == truth
        assert bar.trades == len(rows)
        assert Fraction(bar.taker_buy_volume) == sum(q * t for q, t in zip(qty, taker, strict=True))
        assert Fraction(bar.taker_buy_quote_volume) == sum(q * t for q, t in zip(quote, taker, strict=True))


def test_the_tops_that_differ_from_bookticker_are_flagged() -> None:
    """Beyond the 1000 levels of the snapshot two tops differ from the published quotes: neither row is `complete`."""
    quotes = pl.read_parquet(HOME / "micro" / f"{MICRO['spot']}.bbo.parquet").sort("update_id")
    state = StreamState("spot")
    rows = []
    for _, step in replay_steps(paths("spot"), state):
        if step.book and isinstance(step.event, Depth):
            update_id, complete, bid, bid_size, *_ = row = book_row(state.books["BTCUSDT"])
            rows.append((update_id, complete, bid, bid_size, row[22], row[23]))
    tops = pl.DataFrame(rows, ["update_id", "complete", "bid", "bid_size", "ask", "ask_size"], orient="row")
    last = quotes["update_id"].max()
    joined = tops.filter(pl.col("update_id") <= last).join_asof(quotes, on="update_id").drop_nulls("bid_px")
    assert len(joined) > 6400
    same = [pl.col(ours) == pl.col(theirs) for ours, theirs in zip(tops.columns[2:], QUOTE, strict=True)]
    different = joined.filter(~pl.all_horizontal(same))
    assert len(different) == 2
    assert different["complete"].to_list() == [False, False]


def test_one_lost_line_is_noticed(tmp_path: Path) -> None:
    """The checks above can fail: without one depth event and one trade, a gap and a hole are found."""
    with gzip.open(paths("linear")[0], "rb") as file:
        lines = file.read().splitlines(keepends=True)[:20_000]
    for stream in (b"@depth", b"@trade"):
        victim = [number for number, line in enumerate(lines) if stream in line[:60]][700]
        del lines[victim]
    path = tmp_path / "capture.log"
    path.write_bytes(b"".join(lines))
    found = [finding.what for finding in replay([path], "linear").findings]
    assert sorted(found) == ["gap", "trades_lost"]


def test_decimals_of_a_capture_are_those_of_the_exchange() -> None:
    state = StreamState("spot")
    steps = replay_steps(paths("spot")[:1], state)
    event = next(step.event for _, step in steps if isinstance(step.event, Trade))
    assert (Decimal(event.price), event.price) == (Decimal("61837.63"), "61837.63000000")


def test_capture_replayed_through_the_real_client(tmp_path: Path) -> None:
    """Emulator, websocket, ccxt, queue, log, Parquet: what comes out is the capture, and the same book and bars."""
    lines = 16_000
    expected = StreamState("spot")
    bars = []
    for number, line in enumerate(read_log(paths("spot")[0])):
        if number < lines:
            bars += expected.apply(line.message).bars
    exchange = StreamExchange()

    async def run() -> None:
        async with stage(exchange, pump=False) as on:

            async def act(recorder: Recorder) -> None:
                await until(lambda: len(exchange.subscriptions) == 3)
                await exchange.replay(paths("spot")[0], lines)
                await until(lambda: sum(recorder.state.counts[k] for k in ("depth", "bbo", "trades")) == lines - 1)

            config = RecordConfig(symbols=("BTC/USDT",), out=tmp_path, queue_events=lines)
            recorder, summary = await record(on, config, act)
            assert summary.dropped == 0
            assert recorder.state.books["BTCUSDT"].top() == expected.books["BTCUSDT"].top()
            assert recorder.state.checks["BTCUSDT"].different == 0

    asyncio.run(run())
    recorded = pl.read_parquet(sealed_parts(tmp_path, "bars", "BTCUSDT")[0])
    assert recorded["quote_volume"].to_list() == [float(bar.quote_volume) for bar in bars]
    assert len(recorded) >= 1
    assert len(pl.read_parquet(sealed_parts(tmp_path, "bbo", "BTCUSDT")[0])) == expected.counts["bbo"]
