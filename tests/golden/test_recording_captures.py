"""The recorded Binance captures against what others made of them."""

from __future__ import annotations

import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from data_pipeline.recording.book import Rules
from data_pipeline.recording.events import Depth, Trade
from data_pipeline.recording.replay import replay, replay_steps
from data_pipeline.recording.sealing import book_row
from data_pipeline.recording.state import StreamState

DATA = os.environ.get("SCALPING_REAL_DATA")
pytestmark = pytest.mark.skipif(DATA is None, reason="SCALPING_REAL_DATA is unset")
HOME = Path(DATA or ".")
CAPTURES: dict[Rules, list[str]] = {
    "spot": ["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"],
    "linear": ["usdm_btcusdt_20240808.gz"],
}
MICRO = {"spot": "binance_spot_BTCUSDT_2024-08-08T2354", "linear": "binance_um_BTCUSDT_2024-08-08T2354"}
COUNTS = {"spot": (6495, 73174, 19904), "linear": (6551, 66089, 21313)}


def paths(rules: Rules) -> list[Path]:
    return [HOME / "raw" / name for name in CAPTURES[rules]]


@pytest.mark.parametrize("rules", ["spot", "linear"])
def test_no_gap_no_crossed_book_and_the_top_is_bookticker(rules: Rules) -> None:
    summary = replay(paths(rules), rules)
    counts = summary.state.counts
    assert (counts["depth"], counts["bbo"], counts["trades"]) == COUNTS[rules]
    assert summary.findings == []
    assert summary.different == 0
    assert summary.compared > 0.8 * counts["depth"]
    assert summary.state.books["BTCUSDT"].live


@pytest.mark.parametrize("rules", ["spot", "linear"])
def test_ten_levels_equal_the_published_book_at_every_update(rules: Rules) -> None:
    """Also where a level beyond the snapshot's span is unknown: both books then miss the same one."""
    published = pl.read_parquet(HOME / "micro" / f"{MICRO[rules]}.l10.parquet")
    columns = [f"{s}{n}_{what}" for s in ("bid", "ask") for n in range(1, 11) for what in ("px", "sz")]
    state = StreamState(rules)
    mine = {}
    for _, step in replay_steps(paths(rules), state):
        if step.book and isinstance(step.event, Depth):
            update_id, _, *levels = book_row(state.books["BTCUSDT"])
            mine[update_id] = tuple(levels)
    theirs = dict(zip(published["update_id"], published.select(columns).iter_rows(), strict=True))
    shared = mine.keys() & theirs.keys()
    assert len(shared) > 0.99 * len(theirs)
    assert [update for update in shared if mine[update] != theirs[update]] == []


@pytest.mark.parametrize("rules", ["spot", "linear"])
def test_bars_are_the_exact_sums_of_the_published_trades(rules: Rules) -> None:
    """Independent sums: fractions of the published table, one minute after the other."""
    trades = pl.read_parquet(HOME / "micro" / f"{MICRO[rules]}.trades.parquet").sort("trade_id")
    trades = trades.with_columns(minute=pl.col("trade_time_ms") // 60_000 * 60_000)
    bars = replay(paths(rules), rules).bars["BTCUSDT"]
    whole = sorted(trades["minute"].unique())[1:-1]
    assert [bar.open_time_ms for bar in bars] == whole
    assert len(whole) == (10 if rules == "spot" else 4)
    for bar in bars:
        rows = trades.filter(pl.col("minute") == bar.open_time_ms)
        price = [Fraction(repr(value)) for value in rows["price"]]
        qty = [Fraction(repr(value)) for value in rows["qty"]]
        taker = [0 if maker else 1 for maker in rows["buyer_is_maker"]]
        quote = [p * q for p, q in zip(price, qty, strict=True)]
        found = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume]
        assert [Fraction(value) for value in found] == [
            price[0],
            max(price),
            min(price),
            price[-1],
            sum(qty),
            sum(quote),
        ]
        assert bar.trades == len(rows)
        assert Fraction(bar.taker_buy_volume) == sum(q * t for q, t in zip(qty, taker, strict=True))
        assert Fraction(bar.taker_buy_quote_volume) == sum(q * t for q, t in zip(quote, taker, strict=True))


def test_one_lost_line_is_noticed(tmp_path: Path) -> None:
    """The checks above can fail: without one depth event and one trade, a gap and a hole are found."""
    import gzip

    lines = gzip.open(paths("linear")[0], "rb").read().splitlines(keepends=True)[:20_000]
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
