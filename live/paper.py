"""A paper session from its options to its summary."""

from __future__ import annotations

import os
from contextlib import nullcontext

from rich.console import Console
from rich.live import Live

from live.bus import RedisBus, connect_bus
from live.config import PaperConfig
from live.feed import ReplayFeed
from live.runner import StopSignal, run_session
from live.session import PaperSession, Step
from live.session_folder import SessionFolder
from live.summary import session_summary, status_line, summary_table
from live.trained_run import load_run


def paper_trade(config: PaperConfig, console: Console | None = None) -> int:
    """Trade the bars; 0, or 128 + the signal that stopped the session (130 for Ctrl-C).

    Raises InputError for options, run, bars, session or bus that cannot be used; nothing is written before.
    """
    config.check()
    console = console or Console()
    run = load_run(config.run, symbol=config.symbol, policy=config.policy)
    out = config.out or config.run / "paper" / run.instrument.symbol.replace("/", "-")
    resumed = SessionFolder.resume(out, run) if config.resume else None
    feed = ReplayFeed(
        config.bars,
        symbol=run.instrument.symbol,
        interval_ms=run.interval_ms,
        after_ms=resumed.session.counts.last_open_ms if resumed else None,
        speed=config.speed,
    )
    bus = connect_bus(out.name, run.instrument.symbol, os.environ)
    folder = resumed or SessionFolder.start(out, PaperSession(run, config.capital))
    session = folder.session

    def summary() -> dict:
        return session_summary(session, synthetic=feed.synthetic, bus_lost=_lost(bus))

    with StopSignal() as stop:
        with Live(console=console, refresh_per_second=8) if console.is_terminal else nullcontext() as live:

            def show(step: Step) -> None:
                if live is not None:
                    live.update(status_line(summary(), step))

            run_session(folder, feed, stop=stop, bus=bus, show=show)
        folder.close(summary())
        console.print(summary_table(summary()))
        if stop():
            console.print(f"stopped; the same command with --resume goes on  {out}", highlight=False)
            return 128 + stop.number
    console.print(f"journal {out / 'journal.jsonl'}", highlight=False)
    return 0


def _lost(bus: RedisBus | None) -> int:
    return 0 if bus is None else bus.lost
