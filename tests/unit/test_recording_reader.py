"""Reading a recording, checking it, and mending what was damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from data_pipeline.errors import InputError
from data_pipeline.recording import mending
from data_pipeline.recording.check import check_recording, findings_of
from data_pipeline.recording.ledger import altered_parts, sealed_parts
from data_pipeline.recording.mending import mend
from data_pipeline.recording.reader import read_recording
from data_pipeline.recording.rotation import lock_folder, unsealed_logs
from data_pipeline.recording.sealing import SCHEMAS, seal
from data_pipeline.recording.state import StreamState
from scripts.check_data import Args, main
from tests.emulator.logs import START_NS, messages, write_log

SECOND_NS = START_NS + 10**12


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A recording of two segments, whose cut nobody should notice."""
    records = messages(120)
    state = StreamState("spot")
    for record in records[:200]:
        state.apply(record)
    seal(write_log(tmp_path, records[:200]), tmp_path)
    seal(write_log(tmp_path, [*state.carry(), *records[200:]], SECOND_NS), tmp_path)
    return tmp_path


def damage(path: Path, kind: str) -> None:
    data = bytearray(path.read_bytes())
    if kind == "altered":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif kind == "truncated":
        path.write_bytes(data[:-100])
    else:
        path.unlink()


def parts(out: Path) -> list[tuple]:
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        return ledger.execute("SELECT path, rows, sha256 FROM parts ORDER BY path").fetchall()


def test_every_kind_comes_as_one_table(out: Path) -> None:
    for kind, schema in SCHEMAS.items():
        symbol = "" if kind == "events" else "BTCUSDT"
        table = read_recording(out, kind, symbol)
        files = [pl.read_parquet(path) for path in sealed_parts(out, kind, symbol)]
        assert len(files) == 2
        assert table.num_rows == sum(map(len, files))
        assert table.schema.names == schema.names
    trades = read_recording(out, "trades", "BTCUSDT", columns=["trade_id", "source"])
    assert trades.schema.names == ["trade_id", "source"]
    ids = trades["trade_id"].to_pylist()
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert set(trades["source"].to_pylist()) == {"ws"}


def test_ranges_are_by_local_time_and_for_bars_by_open_time(out: Path) -> None:
    bars = read_recording(out, "bars", "BTCUSDT")
    times = [int(value.timestamp() * 1000) for value in bars["open_time"].to_pylist()]
    assert times == sorted(times)
    some = read_recording(out, "bars", "BTCUSDT", times[2], times[5])
    assert some.equals(bars.slice(2, 3))
    middle = SECOND_NS // 1_000_000
    before, after = (
        read_recording(out, "bbo", "BTCUSDT", None, middle),
        read_recording(out, "bbo", "BTCUSDT", middle),
    )
    assert max(before["local_ts_ns"].to_pylist()) < SECOND_NS <= min(after["local_ts_ns"].to_pylist())
    assert before.num_rows + after.num_rows == read_recording(out, "bbo", "BTCUSDT").num_rows
    assert read_recording(out, "bbo", "BTCUSDT", "2030-01-01").num_rows == 0


def test_levels_that_may_be_missing_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    """A snapshot of two levels: what lies beyond them and never changes is unknown, and the touch moves there."""
    last = [["100", "0"], ["99", "0"], ["97", "1"]]
    records: list[dict] = [
        {"recorder": "snapshot", "symbol": "BTCUSDT", "response": {
            "lastUpdateId": 1, "bids": [["100", "1"], ["99", "1"]], "asks": [["101", "1"], ["102", "1"]]}},
        {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 2, "u": 2, "b": [["100", "2"]], "a": []},
        {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 3, "u": 3, "b": last, "a": []},
    ]  # fmt: skip
    log = write_log(tmp_path, records)
    log.write_bytes(log.read_bytes().replace(b'"snapshot_limit":1000', b'"snapshot_limit":2'))
    seal(log, tmp_path)
    assert read_recording(tmp_path, "book", "BTCUSDT", columns=["update_id"])["update_id"].to_pylist() == [2]
    every = read_recording(tmp_path, "book", "BTCUSDT", incomplete=True)
    assert every["update_id"].to_pylist() == [2, 3]
    assert every["complete"].to_pylist() == [True, False]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda out: read_recording(out, "candles", "BTCUSDT"), "use one of events trades"),
        (lambda out: read_recording(out, "bbo", "BTCUSD"), "it holds binance_spot bars BTCUSDT"),
        (lambda out: read_recording(out, "bbo", "BTCUSDT", columns=["mid"]), "column 'mid' is unknown"),
        (lambda out: read_recording(out / "none", "bbo", "BTCUSDT"), r"scripts\.record first"),
    ],
)
def test_what_is_not_there_is_told(out: Path, ask: Callable[[Path], object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        ask(out)


@pytest.mark.parametrize("kind", ["altered", "truncated", "gone"])
@pytest.mark.parametrize("victim", ["trades", "bars", "book"])
def test_a_damaged_part_is_named_set_aside_and_rebuilt_from_the_events(
    out: Path, kind: str, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = parts(out)
    path = sealed_parts(out, victim, "BTCUSDT")[0]
    name = str(path.relative_to(out))
    damage(path, kind)
    with pytest.raises(InputError, match=r"not what was sealed; run .* --mend"):
        read_recording(out, victim, "BTCUSDT")
    assert main(Args(out)) == 1
    assert f"DAMAGED {name}" in capsys.readouterr().out
    assert main(Args(out, mend=True)) == 0
    told = capsys.readouterr().out
    assert f"rebuilt from the raw events: {name}" in told
    assert ("in quarantine: 000__" in told) is (kind != "gone")
    assert parts(out) == truth, "the same events, the same bytes"
    assert altered_parts(out) == []
    assert unsealed_logs(out) == []


def test_damaged_events_are_said_to_be_lost_and_what_came_of_them_stays(out: Path) -> None:
    rows = read_recording(out, "trades", "BTCUSDT").num_rows
    events, bbo = sealed_parts(out, "events")[0], sealed_parts(out, "bbo", "BTCUSDT")[0]
    damage(events, "altered")
    damage(bbo, "truncated")
    report = mend(out)
    assert report.rebuilt == []
    assert sorted(report.lost) == sorted(str(path.relative_to(out)) for path in (events, bbo))
    assert len(list((out / "quarantine").iterdir())) == 2
    assert check_recording(out).sound
    assert read_recording(out, "trades", "BTCUSDT").num_rows == rows
    (told,) = [detail for _, what, _, detail in findings_of(out) if what == "part_lost"]
    assert told.startswith("bbo BTCUSDT, events, 2023-11-14")
    assert mend(out).lines() == []


@pytest.mark.parametrize("step", ["_write_log", "forget_segment", "recover"])
def test_a_mending_that_is_killed_is_finished_by_the_next(
    out: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = parts(out)
    damage(sealed_parts(out, "trades", "BTCUSDT")[0], "altered")

    class Killed(BaseException):
        pass

    calls = [0]

    def die(*_: object) -> None:
        calls[0] += 1
        if step != "recover" or calls[0] == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(mending, step, die)
        with pytest.raises(Killed):
            mend(out)
    mend(out)
    assert parts(out) == truth
    assert check_recording(out).sound


def test_nobody_mends_under_a_recorder(out: Path) -> None:
    lock = lock_folder(out)
    with pytest.raises(InputError, match="is recording here"):
        mend(out)
    lock.close()


def test_the_check_tells_what_is_there_and_what_happened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = messages(40)
    gap = next(n for n, record in enumerate(records) if n > 60 and record.get("e") == "depthUpdate")
    seal(write_log(tmp_path, records[:gap] + records[gap + 1 :]), tmp_path)
    write_log(tmp_path, messages(2), SECOND_NS)
    assert main(Args(tmp_path, events=True)) == 0
    told = capsys.readouterr().out
    assert told.startswith("binance_spot\n")
    assert "BTCUSDT: bars 5, bbo 40, book " in told
    assert "    gap: 1\n" in told
    assert f"not sealed yet: {SECOND_NS}.log" in told
    assert "gap BTCUSDT: event" in told


def test_a_store_is_not_mended(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a store is mended by the next download"):
        main(Args(tmp_path, mend=True))
