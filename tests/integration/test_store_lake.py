"""One table over hot and sealed rows; a lake that others read; damage that is named, set aside and mended."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BAR_SCHEMA
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.check import check_store
from data_pipeline.store.instruments import put_instrument, snapshots
from data_pipeline.store.joined import read_joined
from data_pipeline.store.layout import LEDGER_FILE, Series, merge, split_by_month, subtract
from data_pipeline.store.ledger import Chunk, Ledger
from data_pipeline.store.seal import months_to_seal, seal_month
from data_pipeline.store.writer import open_store
from tests.emulator.lab import FEBRUARY, HOUR, JANUARY, MARCH, Lab, hourly

SERIES = Series("binance_spot", "BTCUSDT", "1h")
LISTING = hourly(hours=24 * 70, missing=frozenset({50, 51, 900}))
SOURCE = LISTING.source


def fill(root: Path, piece: int = 300 * HOUR, series: Series = SERIES, seal: bool = True) -> None:
    """All bars as chunks of `piece` ms; January and February sealed."""
    with open_store(root) as (ledger, _):
        for low, stop in split_by_month((JANUARY, SOURCE.stop_ms)):
            for start in range(low, stop, piece):
                span = (start, min(start + piece, stop))
                ledger.put_chunks([Chunk(series, *span, SOURCE.table(*span), "rest")])
        if seal:
            for month in months_to_seal(ledger, series, SOURCE.stop_ms):
                seal_month(ledger, series, month)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    fill(root)
    return root


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_range_over_the_seam_is_the_exchanges_bars(store: Path, data: st.DataObject) -> None:
    low = data.draw(st.integers(JANUARY - HOUR, SOURCE.stop_ms + HOUR))
    stop = data.draw(st.integers(low, SOURCE.stop_ms + 2 * HOUR))
    columns = data.draw(st.lists(st.sampled_from(BAR_SCHEMA.names), min_size=1, unique=True))
    with BarStore(store, interval="1h") as reader:
        table = reader.read("BTC/USDT", low, stop, columns).replace_schema_metadata(None)
    assert table.combine_chunks().equals(SOURCE.table(low, stop).select(columns).combine_chunks())


def test_hot_or_sealed_makes_no_difference(tmp_path: Path, store: Path) -> None:
    fill(tmp_path / "hot", seal=False)
    with BarStore(tmp_path / "hot", interval="1h") as hot, BarStore(store, interval="1h") as sealed:
        assert (
            hot.read("BTCUSDT").combine_chunks().equals(sealed.read("BTC/USDT").combine_chunks(), check_metadata=True)
        )


def test_duckdb_reads_the_lake(store: Path) -> None:
    pattern = str(store / "bars/**/*.parquet")
    rows = duckdb.sql(
        f"""SELECT venue, symbol, "interval", month, count(*), sum(volume) FROM
            read_parquet('{pattern}', hive_partitioning = true) GROUP BY ALL ORDER BY month"""
    ).fetchall()
    assert [row[:5] for row in rows] == [
        ("binance_spot", "BTCUSDT", "1h", "2024-01", 24 * 31 - 2),
        ("binance_spot", "BTCUSDT", "1h", "2024-02", 24 * 29 - 1),
    ]
    wanted = SOURCE.table(JANUARY, FEBRUARY)["volume"].to_numpy().sum()
    assert rows[0][5] == pytest.approx(wanted, rel=1e-12)


def test_polars_reads_the_lake(store: Path) -> None:
    frame = pl.scan_parquet(store / "bars/**/*.parquet", hive_partitioning=True)
    table = frame.filter(pl.col("month") == "2024-02").sort("open_time").collect()
    assert table["symbol"].unique().to_list() == ["BTCUSDT"]
    assert table["close"].to_list() == SOURCE.table(FEBRUARY, MARCH)["close"].to_pylist()


def test_a_chunk_that_overlaps_or_crosses_a_month_is_refused(store: Path, tmp_path: Path) -> None:
    fill(tmp_path)
    with open_store(tmp_path) as (ledger, _):
        for span in ((JANUARY, JANUARY + HOUR), (MARCH + HOUR, MARCH + 2 * HOUR)):
            with pytest.raises(ValueError, match="overlaps"):
                ledger.put_chunks([Chunk(SERIES, *span, SOURCE.table(*span), "rest")])
        span = (JANUARY - HOUR, JANUARY + HOUR)
        with pytest.raises(ValueError, match="crosses a month"):
            ledger.put_chunks([Chunk(Series("v", "S", "1h"), *span, SOURCE.table(*span), "rest")])


@pytest.mark.parametrize("damage", ["altered", "truncated", "gone"])
def test_a_damaged_part_is_named_set_aside_and_fetched_again(tmp_path: Path, damage: str) -> None:
    lab = Lab(tmp_path / "store", [hourly(hours=24 * 40)], JANUARY + 40 * 24 * HOUR + HOUR)
    lab.download()
    name = "bars/venue=binance_spot/symbol=BTCUSDT/interval=1h/month=2024-01/part.parquet"
    part = lab.store / name
    content = bytearray(part.read_bytes())
    if damage == "altered":
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
    elif damage == "truncated":
        part.write_bytes(content[:1000])
    else:
        part.unlink()
    with (
        BarStore(lab.store, interval="1h") as store,
        pytest.raises(InputError, match=r"python -m scripts\.download again"),
    ):
        store.read("BTC/USDT")
    check = check_store(lab.store)[0]
    assert check.damaged == [name]
    assert not check.sound
    outcome = lab.download()
    assert outcome.recovery.quarantined == ([] if damage == "gone" else [name])
    assert outcome.recovery.vanished == ([name] if damage == "gone" else [])
    assert outcome.rows == 24 * 31
    assert len(list((lab.store / "quarantine").glob("*part.parquet"))) == (damage != "gone")
    assert check_store(lab.store)[0].sound
    with BarStore(lab.store, interval="1h") as store:
        assert store.read("BTC/USDT").replace_schema_metadata(None).equals(lab.listings[0].source.table())


def test_leftovers_of_a_killed_run_are_removed_and_foreign_files_are_not(store: Path) -> None:
    folder = store / "bars/venue=binance_spot/symbol=BTCUSDT/interval=1h"
    mine = folder / "month=2024-03" / "part.parquet"
    mine.parent.mkdir()
    pq.write_table(SOURCE.table(MARCH), mine)
    torn = folder / "month=2024-01" / ".part.parquet.77.tmp"
    torn.write_bytes(b"half a file")
    foreign = folder / "notes.txt"
    foreign.write_text("mine")
    with open_store(store) as (_, recovery):
        assert sorted(recovery.leftovers) == sorted(str(path.relative_to(store)) for path in (mine, torn))
    assert foreign.exists()
    assert not mine.exists()
    assert not torn.exists()
    foreign.unlink()


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / LEDGER_FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for attempt in (lambda: open_store(tmp_path).__enter__(), lambda: BarStore(tmp_path)):
        with pytest.raises(InputError, match="version 99, this program knows up to 1"):
            attempt()


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from data_pipeline.store.writer import open_store
with open_store(Path({str(tmp_path)!r})):
    print("mine", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(InputError, match=f"another download .process {other.pid}. writes to this store"):
            open_store(tmp_path).__enter__()
        other.communicate(b"\n")
        assert other.returncode == 0
    with open_store(tmp_path):
        pass  # the lock went with its owner


def test_a_full_disk_is_told_and_what_was_committed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path / "store", [hourly(hours=24 * 40)], JANUARY + 40 * 24 * HOUR + HOUR)
    make = Ledger._open

    def small(self: Ledger, write: bool) -> None:
        make(self, write)
        self.connection.execute("PRAGMA max_page_count = 28")  # SQLite's own way to a full disk

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_open", small)
        with pytest.raises(InputError, match="the disk is full; free some space"):
            lab.download(in_flight=1)
    with BarStore(lab.store, interval="1h") as store:
        assert 0 < store.read("BTC/USDT").num_rows < 24 * 40

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(InputError, match="the disk is full"):
            lab.download()
    lab.download()
    with BarStore(lab.store, interval="1h") as store:
        assert store.read("BTC/USDT").replace_schema_metadata(None).equals(lab.listings[0].source.table())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*choose a folder"):
        open_store(tmp_path / "file" / "store").__enter__()


def test_unknown_symbols_columns_and_stores_are_told_with_the_nearest(store: Path, tmp_path: Path) -> None:
    with BarStore(store, interval="1h") as reader:
        with pytest.raises(InputError, match="did you mean BTCUSDT"):
            reader.read("BTC/USD")
        with pytest.raises(InputError, match="column 'price' is unknown"):
            reader.read("BTC/USDT", columns=["price"])
        with pytest.raises(InputError, match="is after end"):
            reader.read("BTC/USDT", "2024-02-01", "2024-01-01")
    with pytest.raises(InputError, match=r"scripts\.download first"):
        BarStore(tmp_path)


def test_two_instruments_are_joined_only_by_a_view_that_says_so(tmp_path: Path) -> None:
    with open_store(tmp_path) as (ledger, _):
        for name, span in (
            ("MATICUSDT", (JANUARY, JANUARY + 9 * HOUR)),
            ("POLUSDT", (JANUARY + 12 * HOUR, JANUARY + 20 * HOUR)),
        ):
            ledger.put_chunks([Chunk(Series("binance_spot", name, "1h"), *span, SOURCE.table(*span), "rest")])
    with BarStore(tmp_path, interval="1h") as store:
        assert store.read("MATIC/USDT").num_rows == 9
        assert store.read("POL/USDT").num_rows == 8
        joined = read_joined(store, ["MATIC/USDT", "POL/USDT"])
        assert joined["instrument"].to_pylist() == ["MATIC/USDT"] * 9 + ["POL/USDT"] * 8
        assert joined.schema.metadata[b"derived"] == b"true"
        with pytest.raises(InputError, match="before POL/USDT ends"):
            read_joined(store, ["POL/USDT", "MATIC/USDT"])


def test_instruments_are_kept_with_the_date_of_each_change(tmp_path: Path) -> None:
    old, new = (
        Instrument("BTC/USDT", 0.01, 0.001, 5, 10, 10, "spot"),
        Instrument("BTC/USDT", 0.1, 0.001, 5, 10, 10, "spot"),
    )
    with open_store(tmp_path) as (ledger, _):
        for instrument, at in ((old, 10), (old, 20), (new, 30), (new, 40)):
            put_instrument(ledger, "binance_spot", instrument, "BTCUSDT", True, at)
        kept = snapshots(ledger, "binance_spot", "BTC/USDT")
    assert [(entry.instrument.tick_size, entry.taken_ms, entry.seen_ms) for entry in kept] == [
        (0.01, 10, 20),
        (0.1, 30, 40),
    ]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))), st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_spans_merge_and_subtract_as_sets_do(spans: list[tuple[int, int]], span: tuple[int, int]) -> None:
    held = {point for low, stop in spans for point in range(low, stop)}
    assert {point for low, stop in merge(spans) for point in range(low, stop)} == held
    assert {p for low, stop in subtract(span, spans) for p in range(low, stop)} == set(range(*span)) - held


def test_rows_come_back_as_they_were(store: Path) -> None:
    with BarStore(store, interval="1h") as reader:
        table = reader.read("BTC/USDT", "2024-01-31", "2024-02-02")
    assert isinstance(table, pa.Table)
    assert table.schema.metadata == {b"symbol": b"BTCUSDT", b"venue": b"binance_spot", b"interval": b"1h"}
