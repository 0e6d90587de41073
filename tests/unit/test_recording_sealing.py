"""Sealing and recovery: nothing is lost, doubled or torn wherever the process ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from data_pipeline.errors import InputError
from data_pipeline.recording import sealing
from data_pipeline.recording.events import read_log
from data_pipeline.recording.ledger import altered_parts, sealed_parts
from data_pipeline.recording.replay import replay
from data_pipeline.recording.rotation import unsealed_logs
from data_pipeline.recording.sealing import recover, seal, seal_segment
from data_pipeline.recording.state import StreamState
from tests.emulator.logs import START_NS, messages, write_log


def table(out: Path, kind: str, symbol: str = "BTCUSDT") -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sealed_parts(out, kind, symbol)])


def test_parts_hold_every_line_and_what_it_means(tmp_path: Path) -> None:
    records = messages()
    log = write_log(tmp_path, records)
    lines = [(line.local_ns, line.text) for line in read_log(log)]
    summary = replay([log], "spot")
    seal(log, tmp_path)
    assert not log.exists()
    events = table(tmp_path, "events", "")
    assert list(zip(events["local_ts_ns"], events["payload"], strict=True)) == lines
    trades = table(tmp_path, "trades")
    assert trades["trade_id"].to_list() == [record["t"] for record in records if record.get("e") == "trade"]
    assert trades["trade_time_ms"].to_list() == [record["T"] for record in records if record.get("e") == "trade"]
    bars = table(tmp_path, "bars")
    assert bars["volume"].to_list() == [float(bar.volume) for bar in summary.bars["BTCUSDT"]]
    assert len(bars) >= 15
    book = table(tmp_path, "book")
    bid, bid_qty, ask, ask_qty = summary.state.books["BTCUSDT"].top()
    last = book.row(-1, named=True)
    assert (last["bid1_px"], last["bid1_sz"], last["ask1_px"], last["ask1_sz"]) == (bid, bid_qty, ask, ask_qty)
    assert last["update_id"] == summary.state.books["BTCUSDT"].last_id
    assert book["complete"].all()


def test_any_engine_reads_the_parts_as_a_hive(tmp_path: Path) -> None:
    records = messages(30)
    seal(write_log(tmp_path, records), tmp_path)
    frame = pl.read_parquet(tmp_path / "venue=binance_spot" / "kind=trades", hive_partitioning=True)
    assert frame["symbol"].unique().to_list() == ["BTCUSDT"]
    assert len(frame) == sum(record.get("e") == "trade" for record in records)


@pytest.mark.parametrize("cut", [10, 77, 200, 313])
def test_rotation_changes_nothing_but_the_files(tmp_path: Path, cut: int) -> None:
    records = messages()
    whole, split = tmp_path / "whole", tmp_path / "split"
    seal(write_log(whole, records), whole)
    state = StreamState("spot")
    for record in records[:cut]:
        state.apply(record)
    seal(write_log(split, records[:cut]), split)
    seal(write_log(split, [*state.carry(), *records[cut:]], START_NS + 10**9), split)
    for kind in ("trades", "bars", "book", "bbo"):
        one, two = table(whole, kind), table(split, kind)
        columns = [name for name in one.columns if name != "local_ts_ns"]
        assert one.select(columns).equals(two.select(columns)), kind


@pytest.mark.parametrize("cut", [1, 7])
def test_torn_tail_is_measured_and_left_out(tmp_path: Path, cut: int) -> None:
    log = write_log(tmp_path, messages(20))
    good = log.read_bytes()
    log.write_bytes(good[:-cut])
    sealed = seal(log, tmp_path)
    assert sealed is not None
    last_line = good.splitlines(keepends=True)[-1]
    assert sealed.torn_bytes == len(last_line) - cut
    assert len(table(tmp_path, "events", "")) == len(good.splitlines()) - 1
    assert not (tmp_path / "quarantine").exists()


def test_log_with_a_damaged_line_is_kept_aside(tmp_path: Path) -> None:
    log = write_log(tmp_path, messages(20))
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:10], b"\0" * 40 + b"\n", *lines[11:]]))
    sealed = seal(log, tmp_path)
    assert sealed is not None
    assert sealed.lines == 10
    assert (tmp_path / "quarantine" / log.name).stat().st_size > 0
    assert [finding.what for _, finding in sealed.findings][-2:] == ["torn", "quarantined"]


def test_empty_log_of_a_recorder_killed_at_once(tmp_path: Path) -> None:
    log = write_log(tmp_path, [])
    log.write_bytes(b"17000")
    (sealed,) = recover(tmp_path)
    assert (sealed.lines, sealed.torn_bytes) == (0, 5)
    assert unsealed_logs(tmp_path) == []


def test_foreign_log_is_refused(tmp_path: Path) -> None:
    log = write_log(tmp_path, [])
    log.write_bytes(b'17 {"stream":"x","data":{}}\n')
    with pytest.raises(InputError, match="segment record"):
        seal_segment(log, tmp_path)


@pytest.mark.parametrize("step", ["second part", "commit_segment", "unlink"])
def test_crash_between_any_two_steps_is_mended_by_the_next_start(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = messages(60)
    undisturbed, crashed = tmp_path / "undisturbed", tmp_path / "crashed"
    seal(write_log(undisturbed, records), undisturbed)
    log = write_log(crashed, records)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if step == "commit_segment":
            patched.setattr(sealing, "commit_segment", die)
        elif step == "unlink":
            patched.setattr(Path, "unlink", lambda self, missing_ok=False: die() if self.suffix == ".log" else None)
        else:
            patched.setattr(sealing, "file_sha256", die)
        with pytest.raises(Killed):
            seal(log, crashed)
    assert log.exists()
    recover(crashed)
    recover(crashed)
    assert not log.exists()
    assert altered_parts(crashed) == []

    def ledger(out: Path) -> list:
        with sqlite3.connect(out / "ledger.sqlite") as connection:
            return connection.execute("SELECT path, rows, sha256 FROM parts ORDER BY path").fetchall()

    assert ledger(crashed) == ledger(undisturbed), "same log, same bytes"


def test_altered_part_is_named(tmp_path: Path) -> None:
    seal(write_log(tmp_path, messages(20)), tmp_path)
    assert altered_parts(tmp_path) == []
    victim = sealed_parts(tmp_path, "trades", "BTCUSDT")[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    assert altered_parts(tmp_path) == [str(victim.relative_to(tmp_path))]
    victim.unlink()
    assert altered_parts(tmp_path) == [str(victim.relative_to(tmp_path))]


def test_many_rows_are_written_in_groups_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "ROWS_AT_ONCE", 50)
    records = messages(120)
    seal(write_log(tmp_path, records), tmp_path)
    metadata = pq.read_metadata(sealed_parts(tmp_path, "events")[0])
    assert max(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)) == 50
    assert metadata.num_rows == 1 + len(records)
