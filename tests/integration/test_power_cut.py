"""The power cut at every sync, rename, removal and commit: nothing that the ledger names was left unsynced."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipeline.recording import sealing
from data_pipeline.recording.events import encode_line, read_log
from data_pipeline.recording.ledger import altered_parts
from data_pipeline.recording.rotation import SegmentLog, lock_folder, unsealed_logs
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.layout import Series, split_by_month
from data_pipeline.store.ledger import Chunk, Ledger
from data_pipeline.store.parts import is_intact
from data_pipeline.store.seal import months_to_seal, seal_month
from data_pipeline.store.writer import open_store
from tests.emulator.lab import FEBRUARY, HOUR, JANUARY, hourly
from tests.emulator.power import Disk, Forgets

HEAD = {"recorder": "segment", "venue": "binance_spot", "contract": "spot", "snapshot_limit": 1000}
START_NS = 1_700_000_000_000_000_000


@pytest.fixture
def make_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Disk]]:
    """Makes the folder `disk` on a disk whose power can be cut."""
    disks: list[Disk] = []

    def make(forgets: Forgets = "nothing") -> Disk:
        (tmp_path / "disk").mkdir()
        disks.append(Disk(tmp_path / "disk", monkeypatch, forgets))
        return disks[-1]

    yield make
    for disk in disks:
        disk.at_each_point = lambda: None
        disk.close()


def trade(number: int) -> dict:
    return {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": "1", "q": "1", "T": number * 5_000, "m": True}


def write_log(out: Path, count: int) -> Path:
    """A synced log of `count` trades."""
    log = SegmentLog(out / "log", START_NS)
    log.write(b"".join(encode_line(START_NS + n, line) for n, line in enumerate([HEAD, *map(trade, range(count))])))
    return log.close()


def sealed(out: Path) -> list[tuple]:
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        return ledger.execute("SELECT path, rows, sha256 FROM parts ORDER BY path").fetchall()


def watch_sealing(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Seal a log and cut the power at every point; returns what went wrong."""
    target = disk.root.parent
    write_log(target / "undisturbed", 40)
    sealing.recover(target / "undisturbed")
    truth = sealed(target / "undisturbed")
    assert len(truth) == 3
    wrongs: list[str] = []
    busy = False

    def cut() -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        for eager in (False, True):
            left = disk.image(target / "left", eager=eager)
            told = f"cut {disk.cuts}, {'eager' if eager else 'lazy'}"
            named = altered_parts(left)
            sealing.recover(left)
            if named or altered_parts(left):
                wrongs.append(f"{told}: the ledger names {named or altered_parts(left)}, not on the disk")
            elif sealed(left) != truth or unsealed_logs(left):
                wrongs.append(f"{told}: {len(sealed(left))} of {len(truth)} parts")
        busy = False

    log = write_log(disk.root, 40)
    disk.at_each_point = cut
    monkeypatch.setattr(sealing, "commit_segment", disk.around(sealing.commit_segment))
    sealing.seal(log, disk.root)
    assert disk.cuts > 20
    return wrongs


def test_sealing_survives_a_power_cut_at_every_point(
    make_disk: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch_sealing(make_disk(), monkeypatch) == []


@pytest.mark.parametrize("forgets", ["files", "folders"])
def test_a_sync_that_is_left_out_is_found(
    make_disk: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch, forgets: Forgets
) -> None:
    assert watch_sealing(make_disk(forgets), monkeypatch) != []


def test_the_ledger_before_the_parts_is_found(make_disk: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant that names parts in the ledger before they are renamed into place."""
    disk = make_disk()
    commit = sealing.commit_segment

    def early(log: Path, out: Path) -> sealing.SealedSegment:
        found = seal_segment(log, out)
        for part in found.parts:
            (out / part.path).rename(out / f"{part.path}.late")
        return found

    seal_segment = sealing.seal_segment
    monkeypatch.setattr(sealing, "seal_segment", early)
    log = write_log(disk.root, 40)
    wrongs: list[list[str]] = []
    monkeypatch.setattr(sealing, "commit_segment", disk.around(commit))
    disk.at_each_point = lambda: wrongs.append(altered_parts(disk.image(disk.root.parent / "left", eager=True)))
    sealing.seal(log, disk.root)
    assert any(wrongs)


def test_an_open_log_keeps_what_was_synced(make_disk: Callable[..., Disk], tmp_path: Path) -> None:
    disk = make_disk()
    lock_folder(disk.root / "out").close()
    log = SegmentLog(disk.root / "out" / "log", START_NS)
    log.write(encode_line(START_NS, HEAD))
    for number in range(10):
        log.write(encode_line(START_NS + number, trade(number)))
        if number in (3, 7):
            log.sync()
            left = disk.image(tmp_path / "left", eager=False) / "out"
            (kept,) = unsealed_logs(left)
            assert len(list(read_log(kept))) == number + 2
    left = disk.image(tmp_path / "left", eager=False) / "out"
    sealing.recover(left)
    assert [rows for path, rows, _ in sealed(left) if "kind=trades" in path] == [8], "two were not synced"
    log.close()


def watch_store(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Seal a month of a store and cut the power at every point; returns what went wrong."""
    series, source = Series("binance_spot", "BTCUSDT", "1h"), hourly(hours=24 * 33).source
    target, root = disk.root.parent / "left", disk.root / "data" / "store"
    wrongs: list[str] = []
    busy = False

    def cut() -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        for eager in (False, True):
            left = disk.image(target, eager=eager) / "data" / "store"
            told = f"cut {disk.cuts}, {'eager' if eager else 'lazy'}"
            if not (left / "ledger.sqlite").exists():
                wrongs.append(f"{told}: the ledger is gone")
                continue
            ledger = Ledger(left, write=False)
            wrongs.extend(f"{told}: {part.path}" for part in ledger.parts() if not is_intact(left, part))
            ledger.close()
            with open_store(left), BarStore(left, interval="1h") as store:
                if read(store) != expected:
                    wrongs.append(f"{told}: rows differ")
        busy = False

    def read(store: BarStore) -> pa.Table:
        return store.read("BTC/USDT").replace_schema_metadata(None).combine_chunks()

    with open_store(root) as (ledger, _):
        for low, stop in split_by_month((JANUARY, source.stop_ms)):
            for start in range(low, stop, 240 * HOUR):
                span = (start, min(start + 240 * HOUR, stop))
                ledger.put_chunks([Chunk(series, *span, source.table(*span), "rest")])
        with BarStore(root, interval="1h") as store:
            expected = read(store)
        disk.at_each_point = cut
        monkeypatch.setattr(Ledger, "put_part", disk.around(Ledger.put_part))
        assert months_to_seal(ledger, series, source.stop_ms) == [(JANUARY, FEBRUARY)]
        seal_month(ledger, series, (JANUARY, FEBRUARY))
    assert disk.cuts >= 8
    return wrongs


def test_a_store_survives_a_power_cut_at_every_point_of_a_seal(
    make_disk: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch_store(make_disk(), monkeypatch) == []


@pytest.mark.parametrize("forgets", ["files", "folders"])
def test_a_sync_that_a_store_leaves_out_is_found(
    make_disk: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch, forgets: Forgets
) -> None:
    assert watch_store(make_disk(forgets), monkeypatch) != []
