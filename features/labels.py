"""What a model is asked to predict: returns that could have been traded, each with the row at which it became known.

Every label starts at the *next* bar's open. A label from the close of bar t contains the bounce between bid and ask
that set this close; a model learns to call the bounce back and nobody can trade it (docs/features.md, "Labels").
Labels never reach across a gap.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays, segments


@dataclass(frozen=True, slots=True)
class Labels:
    """One label per row: row t is decided on at the close of bar t and entered at the open of bar t + 1."""

    values: np.ndarray
    """float64 (T,) bps, before costs; NaN where not valid."""
    t1: np.ndarray
    """int64 (T,) row of the bar that ends the label, at its open or inside it; T (no row) where not valid."""
    valid: np.ndarray
    """bool (T,) whether every bar that the label may need lies in the stretch of row t."""


@dataclass(frozen=True, slots=True)
class BarrierLabels(Labels):
    """Labels of a bracket, with what ended it."""

    outcome: np.ndarray
    """int8 (T,) +1 take-profit, -1 stop, 0 time-out or not valid."""


def fixed_horizon(bars: BarArrays, horizon: int, interval_ms: int = 60_000) -> Labels:
    """Return from the next open to the open `horizon` bars later: 1e4 ln(open[t+1+h] / open[t+1]) bps, t1 = t+1+h.

    Raises InputError for a horizon below 1.
    """
    if horizon < 1:
        raise InputError(f"horizon {horizon} is below 1 bar", where="fixed_horizon", remedy="use 1 or more")
    valid, t1 = _reach(bars, horizon, interval_ms)
    values = np.full(len(bars), np.nan)
    log_open = np.log(bars.open)
    rows = np.flatnonzero(valid)
    values[rows] = 1e4 * (log_open[rows + 1 + horizon] - log_open[rows + 1])
    return Labels(values, t1, valid)


def triple_barrier(
    bars: BarArrays,
    *,
    take_profit_bps: float,
    stop_loss_bps: float,
    ttl_bars: int,
    side: int = 1,
    interval_ms: int = 60_000,
) -> BarrierLabels:
    """What a bracket entered at the next open would have earned, before costs: side × 1e4 (exit / entry - 1) bps.

    The rules are those of the simulator: take-profit is a limit, filled at its price and only when a bar trades
    *through* it (a mere touch fills nothing); the stop is hit when touched and fills at its price, or at the open of
    a bar that opens beyond it; a bar that reaches both counts as the stop. The entry bar t + 1 counts as the first of
    `ttl_bars`; after the last one the position leaves at the next open, row t + 1 + ttl. `inf` switches a barrier off.

    A row is valid only if that time-out open lies in its stretch, also where a barrier is hit earlier: before a gap
    there would otherwise be labels of hits only, and the sample would lean towards them.

    Raises InputError for a barrier that is not positive, a ttl below 1 or a side other than +1 and -1.
    """
    where = "triple_barrier"
    for name, value in (("take_profit_bps", take_profit_bps), ("stop_loss_bps", stop_loss_bps)):
        if not value > 0:
            raise InputError(f"{name} {value} is not positive", where=where, remedy="use bps above 0, or inf for none")
    if ttl_bars < 1:
        raise InputError(f"ttl_bars {ttl_bars} is below 1", where=where, remedy="use 1 or more")
    if side not in (1, -1):
        raise InputError(f"side {side} is neither +1 nor -1", where=where, remedy="+1 is long, -1 is short")
    valid, t1 = _reach(bars, ttl_bars, interval_ms)
    values, outcome = _barriers(
        np.array((bars.open, bars.high, bars.low)),
        valid,
        t1,
        side,
        float(take_profit_bps) * 1e-4,
        float(stop_loss_bps) * 1e-4,
    )
    return BarrierLabels(values, t1, valid, outcome)


def end_time_ms(labels: Labels, open_time_ms: np.ndarray, interval_ms: int = 60_000) -> np.ndarray:
    """When each label is certainly known: the close of bar t1, int64 (T,) ms; the largest int64 where not valid.

    A label that ends at the open of t1 is known one bar earlier; purging by this time errs on the safe side.
    """
    times = np.full(len(labels.t1), np.iinfo(np.int64).max)
    times[labels.valid] = open_time_ms[labels.t1[labels.valid]] + interval_ms
    return times


def _reach(bars: BarArrays, ahead: int, interval_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows have bar t + 1 + ahead in their stretch, and that row (T where not): bool (T,), int64 (T,)."""
    total = len(bars)
    end = np.arange(1 + ahead, total + 1 + ahead, dtype=np.int64)
    stretches = segments(bars.open_time_ms, interval_ms)
    stops = np.repeat(stretches[:, 1], stretches[:, 1] - stretches[:, 0])
    valid = end < stops
    return valid, np.where(valid, end, total)


@njit(cache=True, error_model="numpy")
def _barriers(
    prices: np.ndarray, valid: np.ndarray, t1: np.ndarray, side: int, take_profit: float, stop_loss: float
) -> tuple[np.ndarray, np.ndarray]:
    """Values and outcomes; `t1` comes in as the time-out row and is moved forward to the bar of a hit, in place."""
    values = np.full(len(valid), np.nan)
    outcome = np.zeros(len(valid), dtype=np.int8)
    for t in range(len(valid)):
        if not valid[t]:
            continue
        entry = prices[0, t + 1]
        target = entry * (1.0 + side * take_profit)
        stop = entry * (1.0 - side * stop_loss)
        exit_price = prices[0, t1[t]]
        for k in range(t + 1, t1[t]):
            opened = prices[0, k]
            best = prices[1, k] if side > 0 else prices[2, k]
            worst = prices[2, k] if side > 0 else prices[1, k]
            if side * (worst - stop) <= 0.0:
                exit_price = opened if side * (opened - stop) < 0.0 else stop
                outcome[t] = -1
            elif side * (best - target) > 0.0:
                exit_price = target
                outcome[t] = 1
            if outcome[t] != 0:
                t1[t] = k
                break
        values[t] = side * 1e4 * (exit_price / entry - 1.0)
    return values, outcome
