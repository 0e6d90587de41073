"""Does a row know more than it should? Two audits for any function of bars that gives one output row per bar.

`compute` may be anything: a feature, a scaler and model behind it, the observations of the market. It takes `BarArrays`
and returns an array whose first axis is the bar, float or not. Row t may depend on bars 0 .. t and nothing later.

- Truncation: compute on the first n bars alone; its rows must be the very bytes that the whole history gave.
- Perturbation: change every bar from row n on, keeping their times; no row before n may change by a bit.

A function that chooses fold borders from the length of its input fails the truncation audit though it may be honest;
fix the borders, or use the perturbation audit, which keeps the length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays

Compute = Callable[[BarArrays], np.ndarray]


@dataclass(frozen=True, slots=True)
class Leak:
    """The first row that changed when bars after it did."""

    kind: str
    """truncation or perturbation"""
    cut: int
    """First bar that was taken away or changed."""
    row: int
    columns: tuple[int, ...]
    """Columns of that row that changed."""

    def __str__(self) -> str:
        places = f"columns {', '.join(map(str, self.columns))}" if self.columns else "its value"
        return f"{self.kind}: bars from row {self.cut} on changed row {self.row}, {places}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit saw. A report without leaks only means something if it compared values that were not NaN."""

    leaks: tuple[Leak, ...]
    """At most one per cut."""
    compared: int
    """Values that were not NaN and had to be equal."""
    responded: int
    """Values after the cuts that did change; perturbation only. 0 means that the function does not read the bars."""

    @property
    def clean(self) -> bool:
        return not self.leaks

    def __str__(self) -> str:
        verdict = "no look-ahead found" if self.clean else "; ".join(map(str, self.leaks))
        return f"{verdict} ({self.compared} values compared)"


def audit_truncation(compute: Compute, bars: BarArrays, cuts: Sequence[int]) -> AuditReport:
    """Recompute on `bars[:n]` for each n in `cuts` and demand the same bytes as the whole history gave.

    Raises InputError for cuts outside 1 .. T - 1, or a `compute` that does not return one row per bar.
    """
    _check_cuts(cuts, len(bars))
    whole = _rows(compute, bars)
    leaks = [_first_difference("truncation", n, whole[:n], _rows(compute, bars.slice(0, n))) for n in cuts]
    return AuditReport(tuple(leak for leak in leaks if leak), sum(_values(whole[:n]) for n in cuts), 0)


def audit_perturbation(compute: Compute, bars: BarArrays, cuts: Sequence[int], seed: int = 0) -> AuditReport:
    """Change all bars from row n on, for each n in `cuts`, and demand the same bytes before n.

    Raises InputError as `audit_truncation` does.
    """
    _check_cuts(cuts, len(bars))
    whole = _rows(compute, bars)
    leaks = []
    responded = 0
    for n in cuts:
        changed = _rows(compute, perturb_future(bars, n, seed))
        leaks.append(_first_difference("perturbation", n, whole[:n], changed[:n]))
        responded += int(_differs(whole[n:], changed[n:]).sum())
    return AuditReport(tuple(leak for leak in leaks if leak), sum(_values(whole[:n]) for n in cuts), responded)


def perturb_future(bars: BarArrays, start: int, seed: int = 0) -> BarArrays:
    """Bars whose rows from `start` on hold other prices and sizes that are still valid bars at the same times.

    Each bar's prices are scaled by its own random factor and its range is stretched at both ends, so that
    low <= open, close <= high stays; every size is scaled by another factor. A sum, a maximum, a mean or a rank over
    them all moves, and so does the shape of each bar.
    """
    rng = np.random.default_rng((seed, start))
    rows = len(bars) - start

    def scaled(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
        return np.concatenate((values[:start], values[start:] * factor))

    price = np.exp(0.5 + 0.2 * rng.standard_normal(rows))
    up, down = 1.0 + 1e-3 * rng.random((2, rows))
    size, count, taker = np.exp(0.5 + rng.standard_normal((3, rows)))
    taker_share = taker / (1.0 + taker)  # below 1: the taker's part cannot exceed the whole
    return replace(
        bars,
        open=scaled(bars.open, price),
        high=scaled(bars.high, price * up),
        low=scaled(bars.low, price / down),
        close=scaled(bars.close, price),
        volume=scaled(bars.volume, size),
        quote_volume=scaled(bars.quote_volume, size * price),
        trades=scaled(bars.trades, 1.0 + np.ceil(count)),
        taker_buy_volume=scaled(bars.taker_buy_volume, size * taker_share),
        taker_buy_quote_volume=scaled(bars.taker_buy_quote_volume, size * price * taker_share),
    )


def _check_cuts(cuts: Sequence[int], total: int) -> None:
    if not cuts:
        raise InputError("no cut is given", where="audit", remedy="give rows between 1 and the last")
    for n in cuts:
        if not 1 <= n < total:
            raise InputError(f"cut {n} is not in 1 .. {total - 1}", where="audit", remedy="cut inside the bars")


def _rows(compute: Compute, bars: BarArrays) -> np.ndarray:
    rows = np.asarray(compute(bars))
    if rows.ndim == 0 or len(rows) != len(bars):
        found = f"{len(rows)} rows" if rows.ndim else "a single value"
        raise InputError(f"got {found} for {len(bars)} bars", where="audit", remedy="return one row per bar")
    return np.ascontiguousarray(rows).reshape(len(rows), -1)


def _differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """bool (N, F): where the bytes differ. Shapes and dtypes must agree."""
    if a.dtype != b.dtype or a.shape != b.shape:
        raise InputError(
            f"{a.shape[1]} columns of {a.dtype} became {b.shape[1]} of {b.dtype}",
            where="audit",
            remedy="the columns must not depend on the bars: name the features",
        )
    if a.size == 0:
        return np.zeros(a.shape, dtype=bool)
    bytes_a, bytes_b = (np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, x.itemsize) for x in (a, b))
    return (bytes_a != bytes_b).any(axis=2)


def _values(rows: np.ndarray) -> int:
    return int(np.count_nonzero(rows == rows))


def _first_difference(kind: str, cut: int, a: np.ndarray, b: np.ndarray) -> Leak | None:
    differs = _differs(a, b)
    rows = np.flatnonzero(differs.any(axis=1))
    if len(rows) == 0:
        return None
    row = int(rows[0])
    return Leak(kind, cut, row, tuple(int(j) for j in np.flatnonzero(differs[row])))
