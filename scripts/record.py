"""Record an exchange's websocket streams: every raw event, rebuilt books and bars, sealed to Parquet.

    python -m scripts.record --symbols BTC/USDT --streams book trades bbo --out recordings --minutes 60

Ctrl-C seals what has come and ends. What a killed recorder left is sealed by the next one on the same folder.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from data_pipeline.recording.config import RecordConfig
from scripts import cli

if TYPE_CHECKING:
    import aiohttp
    from rich.status import Status

    from data_pipeline.recording.recorder import Recorder, RecordSummary

EVENTS = {
    "depth": "book changes",
    "trades": "trades",
    "bbo": "quotes",
    "snapshots": "snapshots",
    "old_depth": "repeated book changes",
    "old_trades": "repeated trades",
    "other": "other messages",
}


async def record(config: RecordConfig, session: aiohttp.ClientSession | None = None) -> int:
    """Record until the time is up, Ctrl-C or SIGTERM; print what was recorded. `session`, if given, carries all."""
    from rich.console import Console

    from data_pipeline.recording.recorder import Recorder

    recorder = Recorder(config, session=session)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, recorder.stop)
    console = Console()
    told = f"{', '.join(config.streams)} of {', '.join(config.symbols)}"
    console.print(f"recording {told} at {config.exchange} into {config.out}; Ctrl-C ends it", soft_wrap=True)
    with console.status("connecting") as status:
        progress = asyncio.create_task(_show(recorder, status))
        try:
            summary = await recorder.run()
        finally:
            progress.cancel()
    for line in _report(recorder, summary):
        console.print(line, soft_wrap=True)
    return 0


def _report(recorder: Recorder, summary: RecordSummary) -> list[str]:
    counts, out = recorder.state.counts, recorder.config.out
    found = ", ".join(f"{what} {counts[what]}" for what in sorted(counts) if counts[what] and what not in EVENTS)
    lines = [f"events: {_counts(recorder)}", f"findings: {found or 'none'}"]
    if summary.clock_ms is not None:
        lines.append(f"clock: the exchange's minus the local one is at least {round(summary.clock_ms):+d} ms")
    lines.append(f"connections: {summary.connections}; events dropped because the disk was too slow: {summary.dropped}")
    lines.append(f"sealed under {out}; python -m scripts.check_data --store {out} --events tells all findings")
    return lines


async def _show(recorder: Recorder, status: Status) -> None:
    while True:
        await asyncio.sleep(1.0)
        status.update(f"{_counts(recorder)}; waiting {len(recorder.queue)}, dropped {recorder.queue.dropped}")


def _counts(recorder: Recorder) -> str:
    counts = recorder.state.counts
    return ", ".join(f"{EVENTS[kind]} {counts[kind]:,}" for kind in EVENTS if counts[kind]) or "none"


def main(config: RecordConfig) -> int:
    """Record as `config` says. Raises InputError for unusable input and for a disk that refuses."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    return asyncio.run(record(config))


def main_cli() -> int:
    """Console entry point."""
    return cli.run(RecordConfig, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
