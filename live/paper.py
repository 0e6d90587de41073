"""A paper session from its options to its summary."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import asdict

from rich.console import Console
from rich.live import Live

from data_pipeline.errors import InputError
from live.bus import RedisBus, connect_bus
from live.config import PaperConfig, SessionLimits
from live.feed import ReplayFeed
from live.kill_switch import KillSwitch
from live.runner import StopSignal, run_session
from live.session import PaperSession, Step
from live.session_folder import SessionFolder
from live.summary import session_summary, status_line, summary_table
from live.trained_run import load_run


def paper_trade(config: PaperConfig, console: Console | None = None) -> int:
    """Trade the bars; 0, 1 when the session ends halted, or 128 + the signal that stopped it (130 for Ctrl-C).

    Raises InputError for options, run, bars, session or bus that cannot be used, and for a halt that cannot be lifted;
    nothing is written before.
    """
    config.check()
    console = console or Console()
    run = load_run(config.run, symbol=config.symbol, policy=config.policy)
    out = config.out or config.run / "paper" / run.instrument.symbol.replace("/", "-")
    resumed = SessionFolder.resume(out, run, config.limits) if config.resume else None
    feed = ReplayFeed(
        config.bars,
        symbol=run.instrument.symbol,
        interval_ms=run.interval_ms,
        after_ms=resumed.session.counts.last_open_ms if resumed else None,
        speed=config.speed,
    )
    bus = connect_bus(out.name, run.instrument.symbol, os.environ)
    kill = KillSwitch(out, bus)
    if resumed and config.rearm is not None:
        _rearm(resumed, kill, config.rearm)
    learning = config.learning if config.learn else None
    folder = resumed or SessionFolder.start(out, PaperSession(run, config.capital, config.limits, learning))
    session = folder.session
    if config.limits != SessionLimits():
        folder.log_risk("limits", limits={name: value for name, value in asdict(session.limits).items() if value})

    def summary() -> dict:
        return session_summary(session, synthetic=feed.synthetic, bus_lost=_lost(bus))

    with StopSignal() as stop, kill:
        with Live(console=console, refresh_per_second=8) if console.is_terminal else nullcontext() as live:

            def show(step: Step) -> None:
                if live is not None:
                    live.update(status_line(summary(), step))

            run_session(folder, feed, stop=stop, killed=lambda: kill.pulled_by() is not None, bus=bus, show=show)
        folder.close(summary())
        session.predictor.members.close()
        console.print(summary_table(summary()))
        if stop():
            console.print(f"stopped; the same command with --resume goes on  {out}", highlight=False)
            return 128 + stop.number
    console.print(f"journal {out / 'journal.jsonl'}", highlight=False)
    if session.account.risk.needs_rearm:
        console.print("halted: --resume --rearm 'who and why' lets it trade again", highlight=False)
        return 1
    return 0


def _rearm(folder: SessionFolder, kill: KillSwitch, note: str) -> None:
    """Lift the halt of a resumed session, and write down who did and why."""
    risk, where = folder.session.account.risk, str(folder.path)
    pulled_by = kill.pulled_by()
    if pulled_by is not None:
        raise InputError(f"the kill switch is pulled by {pulled_by}", where=where, remedy="remove it first")
    if risk.state == "active":
        raise InputError("nothing is halted", where=where, remedy="leave --rearm out")
    lifted = risk.reason
    risk.rearm()
    folder.log_risk("rearmed", lifted=lifted, note=note)
    folder.commit()


def _lost(bus: RedisBus | None) -> int:
    return 0 if bus is None else bus.lost
