"""kill -9 and Ctrl-C at any moment of a build: what was there stays readable, the next build ends at the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.errors import InputError
from data_pipeline.store.layout import Series
from features.store.build import build
from features.store.reader import FeatureStore
from tests.feature_store_tools import REQUEST, assert_same_bits, expected, hourly_bars, rows_of, source, with_one_change

ROOT = Path(__file__).resolve().parents[2]
BARS = hourly_bars(120, missing=((45, 46),))
CHANGED = with_one_change(BARS, 700)  # the end of January: everything up to the gap in February is made anew


def killed_at(count: int, root: Path, threads: int) -> bool:
    """Build `CHANGED` in a fork that kills itself at the `count`-th file operation; whether it came that far."""

    def job() -> None:
        left = [count]

        def dying(operation: Any) -> Any:
            def step(*args: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return operation(*args, **options)

            return step

        for place, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
            setattr(place, name, dying(getattr(place, name)))
        build(root, [source(CHANGED)], REQUEST, threads=threads)

    child = multiprocessing.get_context("fork").Process(target=job)
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def test_a_kill_at_every_file_operation_of_a_rebuild(tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    build(clean, [source(BARS)], REQUEST)
    before, after = expected(BARS), expected(CHANGED)
    kills = 0
    while True:
        root = tmp_path / str(kills)
        shutil.copytree(clean, root)
        if not killed_at(kills + 1, root, threads=1 + kills % 2):
            break
        kills += 1
        # a reader sees one pass or the other, or is told that they do not fit; never a mixture
        with suppress(InputError):
            assert rows_of(root).tobytes() in (before.tobytes(), after.tobytes())
        report = build(root, [source(CHANGED)], REQUEST)[0]
        assert_same_bits(rows_of(root), after)
        names = [path.name for path in root.rglob("*") if path.is_file()]
        assert not [name for name in names if name.endswith(".tmp")]
        assert len(names) == 2 * (len(report.built) + report.kept) + 2  # rows, states, manifest, lock
        shutil.rmtree(root)
    assert kills > 20


PROGRAM = """
import sys
from pathlib import Path
from data_pipeline.store.layout import Series
from features.store.build import build
from features.store.processes import processes
from tests.feature_store_tools import REQUEST, hourly_bars, source

if __name__ == "__main__":
    import multiprocessing
    bars = hourly_bars(1500)
    sources = [source(bars, Series("binance_spot", name, "1h")) for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT")]
    with processes(2) as executor:
        executor.submit(int).result()
        print(*[process.pid for process in multiprocessing.active_children()], flush=True)
        build(Path(sys.argv[1]), sources, REQUEST, executor=executor)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1)])
def test_workers_end_with_the_builder_and_the_next_build_goes_on(tmp_path: Path, number: int, code: int) -> None:
    script = tmp_path / "job.py"
    script.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    root = tmp_path / "features"
    job = subprocess.Popen(
        [sys.executable, script, root], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    )
    assert job.stdout is not None
    workers = [int(word) for word in job.stdout.readline().split()]
    assert workers
    deadline = time.monotonic() + 60
    while not list(root.rglob("manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(job.pid, number)  # to the builder alone, as a supervisor would
    job.communicate(timeout=30)
    assert job.returncode in (code, -number)
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))

    bars = hourly_bars(1500)
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    reports = build(root, [source(bars, Series("binance_spot", name, "1h")) for name in names], REQUEST)
    assert sum(len(report.built) for report in reports) > 0
    assert sum(report.kept for report in reports) > 0
    wanted = expected(bars)
    for name in names:
        assert FeatureStore(root, interval="1h").read(name).num_rows == len(wanted)
    assert_same_bits(rows_of(root), wanted)
