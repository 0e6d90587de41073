"""What a model is asked to predict: returns that could have been traded, each with the row at which it became known.

Every label starts at the *next* bar's open. A label from the close of bar t contains the bounce between bid and ask
that set this close; a model learns to call the bounce back and nobody can trade it (docs/features.md, "Labels").
Labels never reach across a gap.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays, segments
from features.brackets import bracket_outcomes
from features.config import TradingCosts

GROSS = TradingCosts()
"""No costs at all: what the prices alone did."""


@dataclass(frozen=True, slots=True)
class Labels:
    """One label per row: row t is decided on at the close of bar t and entered at the open of bar t + 1."""

    values: np.ndarray
    """float64 (T,) bps (0 or 1 for meta-labels); NaN where not valid."""
    t1: np.ndarray
    """int64 (T,) row of the bar that ends the label, at its open or inside it; T (no row) where not valid."""
    until: np.ndarray
    """int64 (T,) first row whose bar the label no longer uses: t1 when it ended at that bar's open, t1 + 1 inside."""
    valid: np.ndarray
    """bool (T,) whether every bar that the label may need lies in the stretch of row t."""


@dataclass(frozen=True, slots=True)
class BarrierLabels(Labels):
    """Labels of a bracket, with what ended it."""

    outcome: np.ndarray
    """int8 (T,) +1 take-profit, -1 stop, 0 time-out or not valid."""
    ambiguous: np.ndarray
    """bool (T,) whether the bar of the exit touched both barriers, so that the stop was taken by rule."""


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
    return Labels(values, t1, t1.copy(), valid)


def costs_of(instrument: Instrument, half_spread_bps: float) -> TradingCosts:
    """Costs and price steps of `instrument` for `triple_barrier`; the half-spread is the market's, not the venue's."""
    return TradingCosts(half_spread_bps, instrument.maker_fee_bps, instrument.taker_fee_bps, instrument.tick_size)


def triple_barrier(
    bars: BarArrays,
    *,
    take_profit_bps: float | np.ndarray,
    stop_loss_bps: float | np.ndarray,
    ttl_bars: int,
    side: int | np.ndarray = 1,
    costs: TradingCosts = GROSS,
    interval_ms: int = 60_000,
) -> BarrierLabels:
    """What a bracket entered at the next open earns, in bps of its entry's value (López de Prado 2018, ch. 3).

    It is filled by the functions that the simulator fills by (`features.brackets`, docs/fills.md): bought at open[t+1]
    plus the half-spread; the take-profit a limit that must be traded through and pays the maker fee; the stop hit when
    touched; in a bar that reaches both, the stop, unless its open decides. The entry bar t + 1 counts as the first of
    `ttl_bars`; after the last one the position leaves at the next open, row t + 1 + ttl, unless a barrier does so at
    that very open. With E and X the fills at entry and exit and the fees that each pays,

        value = 1e4 (side (X - E) - fee_E E - fee_X X) / E

    which without `costs` is side × 1e4 (X / E - 1) between unrounded levels. Barriers may be arrays (T,), such as
    multiples of a volatility known at the close of each row (NaN: no label there), and `inf` switches one off. `side`
    may be an array (T,) of a primary model's sides, 0 for none.

    A row is valid only if the time-out's open lies in its stretch, also where a barrier is hit earlier: before a gap
    there would otherwise be labels of hits only, and the sample would lean towards them.

    Raises InputError for a barrier that is not positive, a ttl below 1, a side other than +1, -1 (and 0 in an array),
    and arrays of another length.
    """
    if ttl_bars < 1:
        raise InputError(f"ttl_bars {ttl_bars} is below 1", where="triple_barrier", remedy="use 1 or more")
    rows = len(bars)
    tp_bps = _per_row("take_profit_bps", take_profit_bps, rows)
    sl_bps = _per_row("stop_loss_bps", stop_loss_bps, rows)
    sides = _sides(side, rows)
    valid, t1 = _reach(bars, ttl_bars, interval_ms)
    valid &= (sides != 0.0) & ~np.isnan(tp_bps) & ~np.isnan(sl_bps)
    t1[~valid] = rows
    labels = BarrierLabels(
        np.full(rows, np.nan), t1, t1.copy(), valid, np.zeros(rows, dtype=np.int8), np.zeros(rows, dtype=bool)
    )
    bracket_outcomes(
        np.array((bars.open, bars.high, bars.low)),
        sides,
        tp_bps,
        sl_bps,
        _cost_terms(costs),
        valid,
        labels.t1,
        labels.until,
        labels.values,
        labels.outcome,
        labels.ambiguous,
    )
    return labels


def meta_labels(labels: Labels) -> Labels:
    """1.0 where following the side paid more than it cost, else 0.0; NaN where not valid.

    López de Prado 2018, ch. 3.6. `labels` are the brackets of a primary model: `triple_barrier` with its sides (T,) and
    with costs. Without costs the question would be whether the side was right, not whether to trade.
    """
    return replace(labels, values=np.where(labels.valid, (labels.values > 0.0).astype(np.float64), np.nan))


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


def _per_row(name: str, value: float | np.ndarray, rows: int) -> np.ndarray:
    """A barrier's distance in bps for each row, float64 (T,); NaN may stand in arrays only."""
    distances = np.array(value, dtype=np.float64)
    if distances.ndim == 0 and not distances > 0:
        raise InputError(f"{name} {value} is not positive", where="triple_barrier", remedy="give bps, or inf for none")
    if distances.shape not in ((), (rows,)):
        raise InputError(f"{name} has shape {distances.shape}", where="triple_barrier", remedy="give one for each bar")
    if (distances <= 0).any():
        row = int(np.argmax(distances <= 0))
        raise InputError(
            f"{name} {distances[row]} is not positive",
            where=f"triple_barrier, row {row}",
            remedy="give bps, inf for none, or NaN where there is no label",
        )
    return distances if distances.ndim else np.full(rows, distances)


def _sides(side: int | np.ndarray, rows: int) -> np.ndarray:
    """Each row's side as float64 (T,)."""
    sides = np.array(side, dtype=np.float64)
    if sides.ndim == 0 and sides not in (1.0, -1.0):
        raise InputError(f"side {side} is neither +1 nor -1", where="triple_barrier", remedy="+1 is long, -1 is short")
    if sides.shape not in ((), (rows,)):
        raise InputError(f"side has shape {sides.shape}", where="triple_barrier", remedy="give one for each bar")
    strange = ~np.isin(sides, (1.0, 0.0, -1.0))
    if strange.any():
        row = int(np.argmax(strange))
        raise InputError(
            f"side {sides[row]} is not +1, -1 or 0", where=f"triple_barrier, row {row}", remedy="0 means no label"
        )
    return sides if sides.ndim else np.full(rows, sides)


def _cost_terms(costs: TradingCosts) -> np.ndarray:
    """The costs in the order of `features.brackets`, float64 (5,)."""
    tick = Fraction(repr(float(costs.tick_size)))
    return np.array(
        (
            costs.half_spread_bps * 1e-4,
            costs.maker_fee_bps * 1e-4,
            costs.taker_fee_bps * 1e-4,
            tick.numerator,
            tick.denominator,
        ),
        dtype=np.float64,
    )
