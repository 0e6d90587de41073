"""kill -9 at every commit point and at random moments under faults: nothing lost, nothing twice, nothing torn."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import iso_time
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.layout import LEDGER_FILE
from data_pipeline.store.ledger import Gap, Ledger
from data_pipeline.store.parts import is_intact
from tests.emulator.faults import FaultPlan
from tests.emulator.lab import FEBRUARY, HOUR, JANUARY, Lab, hourly
from tests.emulator.server import serving

pytestmark = pytest.mark.slow
# without faults that agree with themselves when they strike twice: those have tests of their own
STORM = ("500", "html", "reset_before", "reset_mid_body", "truncated_json", "duplicate_bar", "misaligned_bar")


class Bench:
    """An emulated exchange in a thread, a fork server, and the truth."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # January comes from the archive, February is sealed from REST, some days of March stay hot
        self.listing = hourly(hours=24 * 66, missing=frozenset({100, 101, 1000}))
        self.lab = Lab(folder / "clean", [self.listing], self.listing.source.stop_ms + HOUR // 2)
        began, opened = self.lab.now_ms / 1000, time.monotonic()
        # a clock that goes: hundreds of runs in one minute that never ends would use its weight up
        self.lab.core.clock = lambda: began + time.monotonic() - opened
        self.lab.archive.put_bars(self.listing, "1h", "2024-01", JANUARY, FEBRUARY)
        self.truth = self.listing.source.table()
        self.kills = 0

    def run(self, store: Path, **job: Any) -> dict[str, Any]:
        """One download in a fork; counts the kill."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"store": str(store), **job}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        self.kills += answer["killed"]
        return answer

    def rows(self, store: Path) -> pa.Table | None:
        """What a reader sees; None before there is anything."""
        try:
            with BarStore(store, interval="1h") as reader:
                return reader.read("BTC/USDT").replace_schema_metadata(None).combine_chunks()
        except InputError:
            return None

    def wrongs(self, store: Path, before: pa.Table | None) -> list[str]:
        """Violations right after a kill, before any recovery."""
        if not (store / LEDGER_FILE).exists():
            return []
        found = []
        connection = sqlite3.connect(store / LEDGER_FILE)
        if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            found.append("the ledger is damaged")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.close()
        if version == 0:
            return found if before is None else [*found, "the ledger vanished"]
        ledger = Ledger(store, write=False)
        found += [f"torn: {part.path}" for part in ledger.parts() if not is_intact(store, part)]
        ledger.close()
        rows = self.rows(store)
        if rows is None or rows.num_rows == 0:
            return found if before is None or before.num_rows == 0 else [*found, "every row was lost"]
        times = rows["open_time"]
        if len(times.unique()) != len(times):
            found.append("a row is there twice")
        wanted = self.truth.filter(pc.is_in(self.truth["open_time"], value_set=times.combine_chunks()))
        if not rows.equals(wanted.combine_chunks()):
            found.append("rows differ from the exchange's")
        if (
            before is not None
            and not pc.all(pc.is_in(before["open_time"], value_set=times.combine_chunks())).as_py()
            and before.num_rows
        ):
            found.append("rows that were committed are gone")
        return found

    def end_state(self, store: Path) -> tuple[pa.Table | None, list[tuple[str, int, str]], list[Gap]]:
        """Rows, sealed parts and gaps."""
        ledger = Ledger(store, write=False)
        series = ledger.series()[0]
        parts = [(part.path, part.rows, part.sha256) for part in ledger.parts()]
        gaps = ledger.gaps(series)
        ledger.close()
        files = sorted(str(path.relative_to(store)) for path in (store / "bars").rglob("*") if path.is_file())
        assert files == sorted(path for path, _, _ in parts)
        return self.rows(store), parts, gaps

    def fresh(self) -> Path:
        """An empty place for a store."""
        store = self.folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        return store


@contextmanager
def exchange_in_thread(lab: Lab) -> Iterator[int]:
    """Serve the lab's exchange from another thread for as long as the block runs."""
    ready, done = threading.Event(), threading.Event()
    port = 0

    def run() -> None:
        async def main() -> None:
            nonlocal port
            async with serving(lab.network, lab.core, lab.archive) as port:
                ready.set()
                await asyncio.to_thread(done.wait)

        asyncio.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    try:
        yield port
    finally:
        done.set()
        thread.join(10)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("crash")
    bench = Bench(folder)
    with exchange_in_thread(bench.lab) as port:
        authority = bench.lab.network.authority
        config = {
            "symbols": ["BTC/USDT"],
            "since": iso_time(JANUARY),
            "interval": "1h",
            "source": "auto",
            "retry_wait_s": 0.001,
            "attempts": 40,
            "page_rows": 150,
            "agreeing_reads": 2,
        }
        pem = [authority.cert_pem.bytes().decode(), authority.private_key_pem.bytes().decode()]
        settings = folder / "settings.json"
        settings.write_text(json.dumps({"port": port, "authority": pem, "config": config}))
        command = [sys.executable, "-m", "tests.emulator.crash_child", str(settings)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bench.process:
            yield bench
            assert bench.process.stdin is not None
            bench.process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> tuple[int, Any]:
    """Commit points of a run that nobody kills, and its end state, which is the truth."""
    store = bench.folder / "undisturbed"
    points = bench.run(store)["points"]
    state = bench.end_state(store)
    assert state[0].equals(bench.truth.combine_chunks())
    assert [rows for _, rows, _ in state[1]] == [24 * 31 - 2, 24 * 29 - 1]
    assert len(state[2]) == 2
    return points, state


def test_killed_at_every_commit_point_and_once_more_on_the_way(bench: Bench, undisturbed: tuple[int, Any]) -> None:
    points, state = undisturbed
    chance = random.Random(1)
    assert points > 50
    killed = 0
    for point in range(1, points + 1):
        store = bench.fresh()
        # a busy machine commits more chunks at once, and so passes fewer points: then nobody is left to kill
        answer = bench.run(store, kill_at=point)
        assert answer["killed"] or answer["points"] < point, point
        killed += answer["killed"]
        before = bench.rows(store)
        assert bench.wrongs(store, None) == [], point
        bench.run(store, kill_at=chance.randint(1, points // 2))  # may end before it gets there: then nobody dies
        assert bench.wrongs(store, before) == [], point
        bench.run(store)
        assert bench.end_state(store) == state, point
    assert killed >= 40


def test_killed_at_random_moments_under_faults(bench: Bench, undisturbed: tuple[int, Any]) -> None:
    _, state = undisturbed
    chance = random.Random(2)
    bench.lab.core.faults = FaultPlan(chance=0.2, kinds=STORM, seed=3)
    finished = 0
    try:
        while bench.kills < 210 or finished < 3:
            store, before = bench.fresh(), None
            for _ in range(40):
                answer = bench.run(store, kill_after=chance.uniform(0.02, 0.35))
                assert bench.wrongs(store, before) == []
                before = bench.rows(store)
                if not answer["killed"]:
                    break
            bench.run(store)
            assert bench.end_state(store) == state
            finished += 1
    finally:
        bench.lab.core.faults = FaultPlan()


def test_the_fuzz_finds_a_ledger_without_transactions(bench: Bench, undisturbed: tuple[int, Any]) -> None:
    points, _ = undisturbed
    for point in range(20, points + 1):
        store, before = bench.fresh(), None
        bench.run(store, kill_at=point, mutant=True)
        before = bench.rows(store)
        if bench.wrongs(store, None):
            return
        ledger = Ledger(store, write=False)
        covered = sum(stop - start for start, stop in ledger.coverage(ledger.series()[0])) if ledger.series() else 0
        missing = sum(gap.stop_ms - gap.start_ms for gap in (ledger.gaps(ledger.series()[0]) if covered else []))
        ledger.close()
        if before is not None and covered - missing != before.num_rows * HOUR:
            return  # a chunk stands in the ledger without the gaps that explain what it lacks
    pytest.fail("no kill of the mutant was noticed")
