"""What an equity curve and its trades say: daily returns, drawdown, profit factor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

DAY_MS = 86_400_000


def daily_returns(open_time_ms: Longs, equity: Floats, initial_capital: float) -> tuple[Longs, Floats]:
    """Simple return of each UTC day that has bars, from the last equity before it to its own last.

    `open_time_ms` int64 (T,); `equity` float64 (T,) or (T, L), marked at each bar's close. Returns the days' first
    milliseconds, int64 (D,), and the returns, float64 (D,) or (D, L). The first day starts from `initial_capital`. A
    day on which equity was zero or below returns -1 once and 0 after: a ruined account stays ruined.
    """
    day = np.asarray(open_time_ms) // DAY_MS
    last = np.flatnonzero(np.append(np.diff(day) != 0, True)) if day.size else np.zeros(0, dtype=np.int64)
    closing = np.maximum(np.asarray(equity, dtype=np.float64)[last], 0.0)
    opening = np.concatenate([np.full_like(closing[:1], initial_capital), closing[:-1]])
    change = np.divide(closing - opening, opening, out=np.zeros_like(closing), where=opening > 0.0)
    return day[last] * DAY_MS, change


def bar_returns(equity: Floats, initial_capital: float) -> Floats:
    """Simple return of each bar, float64 (T,), the first from `initial_capital`."""
    before = np.concatenate([[initial_capital], equity[:-1]])
    return np.divide(equity - before, before, out=np.zeros_like(equity), where=before > 0.0)


def drawdown(equity: Floats, initial_capital: float) -> Floats:
    """Share lost since the highest equity so far (at least `initial_capital`), float64 like `equity`, in [0, ...),
    time first."""
    peak = np.maximum(np.maximum.accumulate(equity, axis=0), initial_capital)
    return 1.0 - equity / peak


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of an equity curve."""

    depth: float
    """Share of the peak that was lost, 0 when equity never fell."""
    peak: int
    """Row of the peak; -1 when it is the initial capital, before the first row."""
    trough: int
    """Row of the lowest point; -1 when equity never fell."""
    recovered: int
    """First row after the trough at which the peak was reached again, -1 when it was not."""


def max_drawdown(equity: Floats, initial_capital: float) -> Drawdown:
    """The deepest drawdown of `equity` (float64 (T,)), with where it began, ended and healed."""
    falls = drawdown(equity, initial_capital)
    if falls.size == 0 or falls.max() <= 0.0:
        return Drawdown(0.0, -1, -1, -1)
    trough = int(np.argmax(falls))
    before = equity[: trough + 1]
    top = max(float(before.max()), initial_capital)
    peak = int(np.argmax(before)) if before.max() >= initial_capital else -1
    healed = np.flatnonzero(equity[trough:] >= top)
    return Drawdown(float(falls[trough]), peak, trough, trough + int(healed[0]) if healed.size else -1)


def profit_factor(net_pnl: Floats) -> float:
    """Sum of the gains over the sum of the losses: above 1 earns. Infinity without losses, NaN without trades."""
    gains, losses = float(net_pnl[net_pnl > 0].sum()), float(-net_pnl[net_pnl < 0].sum())
    if losses > 0.0:
        return gains / losses
    return math.inf if gains > 0.0 else math.nan
