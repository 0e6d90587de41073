"""The trades on the price: a window drawn here, an overview of the whole span, and the data with which the page's
script moves the window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.axes import nice_ticks, padded, thin, time_ticks
from envs.market import Market
from evaluation.account import Account
from evaluation.figures import hole
from evaluation.svg import Figure, Plot, broken

Floats = NDArray[np.float64]

MAX_BARS = 45_000
"""A month of minutes. A longer test span is shown whole in the overview, and in detail over its last part."""
MAX_TRADES = 5_000
OVERVIEW_POINTS = 900
WINDOW_TRADES = 24
LEGEND = (("long", "Long: entry, and the way to its exit"), ("short", "Short"), ("exit", "Exit"), ("price", "Close"))


def trade_figure(account: Account, market: Market) -> tuple[Figure, Figure]:
    """The detail, whose `hover` is the script's data (see `_payload`), and the overview, whose `hover` is the
    window."""
    first = max(0, len(market) - MAX_BARS)
    exits = account.trade_column("exit_time_ms")
    if exits.size > MAX_TRADES:
        first = max(first, int(np.searchsorted(market.open_time_ms, exits[-MAX_TRADES])))
    times = market.open_time_ms[first:].astype(np.float64)
    closes = market.prices[first:, 3]
    entries = account.trade_column("entry_time_ms")
    shown = entries >= times[0]
    trades = {
        name: account.trade_column(name)[shown]
        for name in ("entry_time_ms", "entry_price", "exit_time_ms", "exit_price", "side")
    }
    window = _window(times, trades["entry_time_ms"])
    reasons = [r for r, keep in zip(account.trades.column("exit_reason").to_pylist(), shown, strict=True) if keep]
    payload = _payload(market, first, trades, account.trade_bps[shown], reasons, window)
    detail = _detail(market.symbol, times, closes, trades, window, int(exits.size))
    x, y = thin(market.open_time_ms.astype(np.float64), market.prices[:, 3], OVERVIEW_POINTS)
    label = f"Close of {market.symbol} over the whole test span, from {y[0]:g} to {y[-1]:g}"
    overview = Plot((x[0], x[-1]), padded([y]), 56, label)
    overview.line(*broken(x, y, hole(x)), "price thin")
    overview.x_ticks = time_ticks(x[0], x[-1])
    span = x[-1] - x[0]
    left, width, begin = window[0] - x[0], window[1] - window[0], times[0] - x[0]
    place = {"left": left / span, "width": width / span, "from": begin / span}
    return Figure(detail.render("detail"), LEGEND, payload), Figure(overview.render("overview"), hover=place)


def _window(times: Floats, entries: Floats) -> tuple[float, float]:
    """A stretch in the middle that holds about `WINDOW_TRADES` trades, at least two hours and at most three days."""
    span = times[-1] - times[0]
    width = span * WINDOW_TRADES / max(entries.size, WINDOW_TRADES)
    width = min(max(width, 2 * 3_600_000.0), 3 * 86_400_000.0, span)
    middle = float(np.median(entries)) if entries.size else times[0] + span / 2
    start = min(max(middle - width / 2, times[0]), times[-1] - width)
    return start, start + width


def _detail(
    symbol: str, times: Floats, closes: Floats, trades: dict[str, Floats], window: tuple[float, float], total: int
) -> Plot:
    rows = (times >= window[0]) & (times <= window[1])
    inside = (trades["exit_time_ms"] >= window[0]) & (trades["entry_time_ms"] <= window[1])
    label = f"{int(inside.sum())} of {total} trades of {symbol} on the close; longs and shorts, entries and exits"
    part = {name: column[inside] for name, column in trades.items()}
    x, y = thin(times[rows], closes[rows], 2000)
    plot = Plot(window, padded([y, part["entry_price"], part["exit_price"]]), 320, label)
    plot.x_ticks = time_ticks(*window)
    plot.y_ticks = [(at, f"{at:,.6g}") for at in nice_ticks(*plot.y)]
    plot.line(x, y, "price")
    for css, side in (("long", 1.0), ("short", -1.0)):
        chosen = part["side"] == side
        x0, y0 = part["entry_time_ms"][chosen], part["entry_price"][chosen]
        plot.segments(x0, y0, part["exit_time_ms"][chosen], part["exit_price"][chosen], css)
        plot.dots(x0, y0, css)
    plot.dots(part["exit_time_ms"], part["exit_price"], "exit")
    return plot


def _payload(
    market: Market, first: int, trades: dict[str, Floats], bps: Floats, reasons: list[str], window: tuple[float, float]
) -> dict[str, Any]:
    """What the script needs, small: bars as runs of consecutive intervals and price steps in whole ticks.

    `start`, `step` ms; `runs` [[first interval, bars], ...]; `tick`, `base`, `steps` prices as base + cumulative
    steps × tick; trades by column: `entry`, `exit` in intervals from `start`, prices, `side`, `bps`, `reason` (index
    into `reasons`).
    """
    start, step = int(market.open_time_ms[first]), market.interval_ms
    offsets = (market.open_time_ms[first:] - start) // step
    breaks = np.flatnonzero(np.diff(offsets, prepend=-2) != 1)
    lengths = np.diff(np.append(breaks, offsets.size))
    tick = market.instrument.tick_size
    ticks = np.round(market.prices[first:, 3] / tick).astype(np.int64)
    names = sorted(set(reasons))
    return {
        "start": start,
        "step": step,
        "runs": [[int(offsets[b]), int(n)] for b, n in zip(breaks, lengths, strict=True)],
        "tick": tick,
        "base": int(ticks[0]),
        "steps": np.diff(ticks, prepend=ticks[0]).tolist(),
        "entry": np.round((trades["entry_time_ms"] - start) / step, 2).tolist(),
        "exit": np.round((trades["exit_time_ms"] - start) / step, 2).tolist(),
        "entryPrice": [float(f"{p:.10g}") for p in trades["entry_price"]],
        "exitPrice": [float(f"{p:.10g}") for p in trades["exit_price"]],
        "side": trades["side"].astype(int).tolist(),
        "bps": np.round(bps, 1).tolist(),
        "reason": [names.index(r) for r in reasons],
        "reasons": [r.replace("_", " ") for r in names],
        "window": [(window[0] - start) / step, (window[1] - start) / step],
    }
