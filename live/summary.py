"""Where a session stands: one line while it runs, a table and summary.json at its end."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from data_pipeline.schema import iso_time
from envs import lanes
from live.session import PaperSession, Step

COSTS = {"fees": "fees", "spread_cost": "half-spread", "impact_cost": "impact"}
"""Keys of the summary and what they are called."""
SYNTHETIC, REHEARSAL, RUINED = "SYNTHETIC", "REHEARSAL", "RUINED"


def session_summary(session: PaperSession, *, synthetic: bool, bus_lost: int = 0) -> dict[str, Any]:
    """The session so far, in JSON types. Money in quote units, net of all costs."""
    account, counts = session.account, session.counts
    equity, trades = account.money(lanes.EQUITY), account.count(lanes.TRADES)
    return {
        "symbol": session.run.instrument.symbol,
        "synthetic": synthetic,
        "bars": counts.bars,
        "first_bar": iso_time(counts.first_open_ms) if counts.bars else None,
        "last_bar": iso_time(counts.last_open_ms) if counts.bars else None,
        "gaps": counts.gaps,
        "bars_not_ready": counts.not_ready,
        "bars_known_to_the_run": counts.rehearsed,
        "initial_capital": session.capital,
        "equity": equity,
        "net_return": equity / session.capital - 1.0,
        "market_return": counts.last_price / counts.first_price - 1.0 if counts.bars else 0.0,
        "max_drawdown": account.money(lanes.MAX_DRAWDOWN),
        "position": account.money(lanes.QTY),
        "trades": trades,
        "win_rate": account.count(lanes.WINS) / trades if trades else None,
        "fees": account.money(lanes.FEES),
        "spread_cost": account.money(lanes.SPREAD_COST),
        "impact_cost": account.money(lanes.IMPACT_COST),
        "entries_refused": account.count(lanes.REFUSED),
        "risk_state": account.risk.state,
        "risk_reason": account.risk.reason,
        "needs_rearm": account.risk.needs_rearm,
        "ruined": account.count(lanes.PHASE) == lanes.HALTED,
        "steps_lost_by_the_bus": bus_lost,
    }


def badges(summary: dict[str, Any]) -> Text:
    """What a reader must know before any number."""
    text = Text()
    if summary["synthetic"]:
        text.append(f" {SYNTHETIC} ", style="black on yellow").append(" ")
    if summary["bars_known_to_the_run"]:
        text.append(f" {REHEARSAL} ", style="black on yellow").append(" ")
    if summary["risk_state"] != "active":
        text.append(f" {summary['risk_state'].upper()}: {summary['risk_reason']} ", style="white on red").append(" ")
    if summary["ruined"]:
        text.append(f" {RUINED} ", style="white on red").append(" ")
    return text


def status_line(summary: dict[str, Any], step: Step) -> Text:
    """One line: badges, time, price, position, equity, trades, what was decided."""
    wanted = "long" if step.decision.target > 0 else "short" if step.decision.target < 0 else "flat"
    text = badges(summary)
    text.append(f"{summary['last_bar']}  {summary['symbol']} {step.close:g}  ")
    text.append(f"equity {step.equity:,.2f} ({summary['net_return']:+.2%})  ", style="bold")
    text.append(f"holds {step.position:+g}  trades {summary['trades']}  ")
    text.append(f"wants {wanted}" if step.ready else "warming up", style="cyan")
    if summary["steps_lost_by_the_bus"]:
        text.append(f"  bus lost {summary['steps_lost_by_the_bus']}", style="red")
    return text


def summary_table(summary: dict[str, Any]) -> Table:
    """The end of a session."""
    table = Table(title=Text("Paper session  ").append_text(badges(summary)), show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(justify="right")
    win_rate = "–" if summary["win_rate"] is None else f"{summary['win_rate']:.0%}"
    for name, value in (
        ("Bars", f"{summary['bars']:,} from {summary['first_bar']} to {summary['last_bar']}"),
        ("Not traded", f"{summary['bars_not_ready']:,} bars in warm-up, {summary['gaps']:,} gaps"),
        ("Equity", f"{summary['equity']:,.2f} of {summary['initial_capital']:,.2f}"),
        ("Net return", f"{summary['net_return']:+.2%} (market {summary['market_return']:+.2%})"),
        ("Largest drawdown", f"{summary['max_drawdown']:.2%}"),
        ("Trades", f"{summary['trades']:,}, {win_rate} won, {summary['entries_refused']:,} entries refused"),
        ("Costs", ", ".join(f"{word} {summary[name]:,.2f}" for name, word in COSTS.items())),
        ("Open position", f"{summary['position']:+g}"),
    ):
        table.add_row(name, value)
    if summary["bars_known_to_the_run"]:
        table.add_row("Rehearsal", f"{summary['bars_known_to_the_run']:,} bars were known to the run: no evidence")
    if summary["steps_lost_by_the_bus"]:
        table.add_row("Bus", f"{summary['steps_lost_by_the_bus']:,} steps were not published")
    return table
