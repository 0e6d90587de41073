"""A picture of an episode: the price, where the account went in and out and why, its brackets, and its equity.

Needs matplotlib (the `render` extra), which is imported only when something is drawn, and draws without a display.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from envs import lanes
from envs.columns import CLOSE, HIGH, LOW
from envs.lanes import EXIT_REASONS
from envs.market import Market

WIDTH_INCHES, HEIGHT_INCHES, DPI = 10.0, 6.0, 100
GAIN, LOSS, PRICE, LEVEL = "#1a7f5a", "#c0392b", "#34495e", "#8e9aa6"


@dataclass
class EpisodeTrace:
    """What a picture of one lane's episode needs besides the market: closes passed so far."""

    first_row: int
    equity: list[float] = field(default_factory=list)
    """At each close from `first_row` on."""
    levels: list[tuple[float, float]] = field(default_factory=list)
    """(take-profit, stop-loss) at each close, NaN when flat or without one."""

    def add(self, account: np.ndarray, lane: int = 0) -> None:
        """Note how `lane` stands at its row's close; `account` as `LaneState.account`."""
        self.equity.append(float(account[lanes.EQUITY, lane]))
        levels = account[[lanes.TAKE_PROFIT, lanes.STOP_LOSS], lane]
        held = account[lanes.QTY, lane] != 0.0
        take_profit, stop_loss = np.where(np.isfinite(levels) & held, levels, np.nan).tolist()
        self.levels.append((take_profit, stop_loss))


def episode_image(market: Market, trace: EpisodeTrace, trades: np.ndarray) -> np.ndarray:
    """The episode so far as an image, uint8 (600, 1000, 3). `trades` float64 (K, 13): its exits."""
    figure = _draw(market, trace, trades)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()


def save_episode(path: Path, market: Market, trace: EpisodeTrace, trades: np.ndarray) -> None:
    """Write the same picture as PNG."""
    _draw(market, trace, trades).savefig(path, format="png", dpi=DPI)


def _draw(market: Market, trace: EpisodeTrace, trades: np.ndarray) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "matplotlib is not installed", where="render", remedy="pip install 'crypto-scalping-suite[render]'"
        ) from error
    rows = np.arange(trace.first_row, trace.first_row + len(trace.equity))
    times = market.open_time_ms[rows].astype("datetime64[ms]") + np.timedelta64(market.interval_ms, "ms")
    prices = market.prices[rows]
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.fill_between(times, prices[:, LOW], prices[:, HIGH], color=PRICE, alpha=0.15, linewidth=0, label="range")
    top.plot(times, prices[:, CLOSE], color=PRICE, linewidth=0.9, label="close")
    levels = np.array(trace.levels).reshape(-1, 2)
    top.plot(times, levels[:, 0], color=GAIN, linewidth=0.8, linestyle="--", label="take-profit")
    top.plot(times, levels[:, 1], color=LOSS, linewidth=0.8, linestyle="--", label="stop-loss")
    for record in trades:
        _draw_trade(top, market, record)
    top.set_ylabel("price")
    top.legend(loc="upper left", fontsize=8, ncols=4, frameon=False)
    initial = trace.equity[0]
    bottom.plot(times, trace.equity, color=PRICE, linewidth=1.0)
    bottom.axhline(initial, color=LEVEL, linewidth=0.8)
    bottom.set_ylabel("equity")
    net = trace.equity[-1] / initial - 1.0
    figure.suptitle(f"{market.symbol}: {len(trades)} exits, {net:+.2%} net of costs", fontsize=11)
    return figure


def _draw_trade(axes: Any, market: Market, record: np.ndarray) -> None:
    """A line from entry to exit, green for a net gain, with the entry's side and the exit's reason."""
    entry, leave = (market.open_time_ms[int(record[c])] for c in (lanes.ENTRY_BAR, lanes.EXIT_BAR))
    ends = np.array([entry, leave]).astype("datetime64[ms]")
    costs = record[[lanes.TRADE_FEES, lanes.TRADE_SPREAD, lanes.TRADE_IMPACT, lanes.TRADE_FUNDING]].sum()
    colour = GAIN if record[lanes.GROSS_PNL] - costs > 0.0 else LOSS
    marker = "^" if record[lanes.SIDE] > 0.0 else "v"
    axes.plot(ends, record[[lanes.ENTRY_FILL, lanes.EXIT_FILL]], color=colour, linewidth=1.4)
    axes.plot(ends[:1], record[[lanes.ENTRY_FILL]], marker=marker, color=colour, markersize=6)
    axes.plot(ends[1:], record[[lanes.EXIT_FILL]], marker="x", color=colour, markersize=6)
    axes.annotate(
        EXIT_REASONS[int(record[lanes.REASON])].replace("_", " "),
        (ends[1], record[lanes.EXIT_FILL]),
        textcoords="offset points",
        xytext=(4, 4),
        fontsize=6,
        color=colour,
    )
