"""The small parts of the recorder: queue, watchdog, settings, folder lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from data_pipeline.recording.config import EXCHANGES, RecordConfig
from data_pipeline.recording.ledger import last_tapes, open_ledger
from data_pipeline.recording.queue import EventQueue
from data_pipeline.recording.recorder import Recorder
from data_pipeline.recording.rotation import SegmentLog, lock_folder, rotation_due
from data_pipeline.recording.venues import VENUES
from data_pipeline.recording.watchdog import Watchdog
from data_pipeline.store.writer import open_store


def test_full_queue_drops_counts_and_says_so_in_its_place() -> None:
    queue = EventQueue(2)
    assert [queue.offer(n, {"n": n}) for n in range(4)] == [True, True, False, False]
    queue.put(4, {"recorder": "stall"})
    assert queue.dropped == 2
    assert [message for _, message in queue.take()] == [
        {"n": 0},
        {"n": 1},
        {"recorder": "dropped", "count": 2},
        {"recorder": "stall"},
    ]
    assert queue.offer(5, {"n": 5})
    assert queue.take() == [(5, {"n": 5})]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_watchdog_knows_three_limits() -> None:
    clock = Clock()
    dog = Watchdog(stale_s=2.5, stream_stale_s=60, connect_s=10, clock=clock)
    clock.now += 1000
    assert dog.verdict() is None, "nothing is watched before a connection is opened"
    dog.start()
    clock.now += 9
    assert dog.verdict() is None
    clock.now += 2
    assert "of connecting" in (dog.verdict() or "")
    dog.seen(("book", "BTCUSDT"))
    clock.now += 2.4
    assert dog.verdict() is None
    clock.now += 0.2
    assert "no event for 2.6 s" in (dog.verdict() or "")
    for _ in range(40):
        dog.seen(None)
        assert dog.verdict() is None
        clock.now += 1.45
    dog.seen(None)
    assert "no book event of BTCUSDT" in (dog.verdict() or "")
    dog.start()
    assert dog.verdict() is None
    assert not dog.has_data


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"symbols": ()}, "--symbols"),
        ({"streams": ()}, "--streams"),
        ({"exchange": "kraken"}, "use one of binance bybit okx"),
        ({"stale_s": 0.0}, "--stale-s"),
        ({"minutes": float("nan")}, "--minutes"),
        ({"snapshot_limit": 9999}, "--snapshot-limit"),
        ({"symbols": ("BTC/USDT",) * 67}, "at most 66"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, where: str) -> None:
    with pytest.raises(InputError, match=where):
        RecordConfig(**{"symbols": ("BTC/USDT",), **settings})


def test_the_settings_name_the_venues_that_are_described() -> None:
    assert tuple(VENUES) == EXCHANGES


def test_spot_and_perpetual_do_not_mix() -> None:
    with pytest.raises(InputError, match="mixed"):
        Recorder(RecordConfig(symbols=("BTC/USDT", "BTC/USDT:USDT")))


def test_second_recorder_on_a_folder_is_refused(tmp_path: Path) -> None:
    first = lock_folder(tmp_path)
    with pytest.raises(InputError, match=r"process \d+ .* is recording here"):
        lock_folder(tmp_path)
    first.close()
    lock_folder(tmp_path).close()


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        lock_folder(tmp_path / "file" / "out")


def test_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.execute("PRAGMA user_version=99")
    with pytest.raises(InputError, match="version 99"), open_ledger(tmp_path):
        pass


def test_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("this is not a database, however long it may be" * 100)
    with pytest.raises(InputError, match="not a ledger"), open_ledger(tmp_path):
        pass


def test_a_store_of_bars_is_left_alone(tmp_path: Path) -> None:
    """Both have a ledger.sqlite; neither writes into the other's."""
    with open_store(tmp_path / "store"):
        pass
    before = (tmp_path / "store" / "ledger.sqlite").read_bytes()
    with pytest.raises(InputError, match="holds a store of bars"), open_ledger(tmp_path / "store"):
        pass
    assert (tmp_path / "store" / "ledger.sqlite").read_bytes() == before
    (tmp_path / "recording").mkdir()
    with open_ledger(tmp_path / "recording"):
        pass
    with pytest.raises(InputError, match="holds a recording, not a store"), open_store(tmp_path / "recording"):
        pass


def test_a_ledger_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.executescript("DROP TABLE tapes; PRAGMA user_version=1;")
    assert last_tapes(tmp_path, "binance_spot") == {}


def test_segments_rotate_on_the_grid_and_by_size(tmp_path: Path) -> None:
    hour = 3600 * 10**9
    log = SegmentLog(tmp_path, 5 * hour + 1)
    assert not rotation_due(log, 6 * hour - 1, 60, 1)
    assert rotation_due(log, 6 * hour, 60, 1)
    log.write(b"x" * 1_000_000)
    assert rotation_due(log, 5 * hour + 2, 60, 1)
    log.close()


def test_clock_set_back_does_not_overwrite_a_segment(tmp_path: Path) -> None:
    first, second = SegmentLog(tmp_path, 7), SegmentLog(tmp_path, 7)
    assert first.path != second.path
    first.close()
    second.close()
