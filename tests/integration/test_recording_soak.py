"""Days of recording in moments: the record command under a stream as fast as it can take, with memory and handles flat.

`SCALPING_SOAK_EVENTS` sets how many events; a day of one busy symbol is about ten million.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from data_pipeline.recording.check import check_recording
from tests.emulator.recording import Stage, stage, start_child, until
from tests.emulator.stream import StreamExchange

EVENTS = int(os.environ.get("SCALPING_SOAK_EVENTS", "150000"))
STEPS = 60  # samples taken and, at every fifth, a connection lost
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Samples:
    """What the recorder's process held, over the run."""

    resident_mb: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)

    def take(self, process: int) -> None:
        """Look now."""
        home = Path(f"/proc/{process}")
        self.resident_mb.append(int((home / "statm").read_text().split()[1]) * PAGE_MB)
        self.handles.append(len(list((home / "fd").iterdir())))
        self.children.append(len((home / "task" / str(process) / "children").read_text().split()))


@pytest.mark.slow
def test_memory_and_handles_stay_flat_over_millions_of_events(tmp_path: Path) -> None:
    out = tmp_path / "out"
    origin = time.time()
    # an hour of the exchange's clock a second: bars, tapes and holes of days
    exchange = StreamExchange(clock=lambda: origin + 3600 * (time.time() - origin), remember=1000)
    samples = Samples()

    async def stream(on: Stage) -> None:
        for step in range(STEPS):
            stop = exchange.delivered + EVENTS // STEPS
            async with asyncio.timeout(EVENTS / STEPS / 200 + 20):
                while exchange.delivered < stop:
                    await exchange.move_book("BTCUSDT")
                    await exchange.trade("BTCUSDT")
                    if not exchange.subscriptions:
                        await asyncio.sleep(0.01)
            samples.take(child.pid)
            if step % 5 == 4:
                connected = exchange.accepted
                exchange.drop_connections()
                await until(lambda: exchange.accepted > connected and len(exchange.subscriptions) == 3)  # noqa: B023

    async def run() -> str:
        nonlocal child
        async with stage(exchange, pump=False) as on:
            child = await start_child(on, out, rotate_mb=max(2.0, EVENTS / 75_000))
            await until(lambda: len(exchange.subscriptions) == 3, limit_s=30)
            await stream(on)
            child.send_signal(signal.SIGINT)
            output, _ = await child.communicate()
            assert child.returncode == 0, output.decode()
            return output.decode()

    child: asyncio.subprocess.Process
    told = asyncio.run(run())

    early, late = samples.resident_mb[STEPS // 3 : 2 * STEPS // 3], samples.resident_mb[2 * STEPS // 3 :]
    growth = statistics.median(late) - statistics.median(early)
    print(f"{exchange.delivered} events, resident {statistics.median(late):.0f} MB, growth {growth:+.1f} MB")
    print(f"handles {min(samples.handles)} to {max(samples.handles)}, sealing processes up to {max(samples.children)}")
    assert growth < 0.03 * statistics.median(late), samples.resident_mb
    assert max(samples.handles[2 * STEPS // 3 :]) <= max(samples.handles[: 2 * STEPS // 3]) + 2, samples.handles
    assert max(samples.children) <= 1
    check = check_recording(out)
    assert check.sound
    assert check.waiting == []
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        segments, lines = ledger.execute("SELECT count(*), sum(lines) FROM segments").fetchone()
    assert segments >= 10
    # what was in flight when a connection was cut is gone; the rest is there
    assert lines > 0.99 * exchange.delivered
    assert "connections: 13" in told
