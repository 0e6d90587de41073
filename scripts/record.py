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

    from data_pipeline.recording.recorder import Recorder


async def record(config: RecordConfig, session: aiohttp.ClientSession | None = None) -> int:
    """Record until the time is up, Ctrl-C or SIGTERM; print what was recorded. `session`, if given, carries all."""
    from rich.console import Console

    from data_pipeline.recording.recorder import Recorder

    recorder = Recorder(config, session=session)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, recorder.stop)
    console = Console()
    with console.status("connecting") as status:
        progress = asyncio.create_task(_show(recorder, status))
        try:
            summary = await recorder.run()
        finally:
            progress.cancel()
    console.print(_counts(recorder))
    if summary.clock_ms is not None:
        console.print(f"exchange clock minus local clock: {summary.clock_ms:.0f} ms or more")
    console.print(f"connections: {summary.connections}; events dropped: {summary.dropped}")
    console.print(f"sealed under {config.out}; findings are in its ledger.sqlite")
    return 0


async def _show(recorder: Recorder, status: Status) -> None:
    while True:
        await asyncio.sleep(1.0)
        status.update(f"{_counts(recorder)}; waiting {len(recorder.queue)}, dropped {recorder.queue.dropped}")


def _counts(recorder: Recorder) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(recorder.state.counts.items()) if count) or "no events"


def main(config: RecordConfig) -> int:
    """Record as `config` says. Raises InputError for unusable input and for a disk that refuses."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    return asyncio.run(record(config))


def main_cli() -> int:
    """Console entry point."""
    return cli.run(RecordConfig, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
