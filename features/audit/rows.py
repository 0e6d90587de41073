"""Audits of functions that give one row per bar (or event): take the future away, or change it."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from data_pipeline.errors import InputError
from features.audit.report import AuditReport, Leak, as_rows, differs, first_difference, value_count
from features.audit.series import perturb

Compute = Callable[[Any], np.ndarray]
ActsAt = Literal["close", "open"]


def audit_truncation(compute: Compute, series: Any, cuts: Sequence[int]) -> AuditReport:
    """Recompute on the first n rows alone for each n in `cuts` and demand the same bytes as the whole history gave.

    `series` are `BarArrays` or `Events` (anything with a length and `slice`). A function that chooses fold borders from
    the length of its input fails though it may be honest; fix the borders, or use the perturbation audit, which keeps
    the length.

    Raises InputError for cuts outside 1 .. T - 1, or a `compute` that does not return one row per input row.
    """
    _check_cuts(cuts, len(series))
    whole = _rows(compute, series)
    leaks = [first_difference("truncation", n, whole[:n], _rows(compute, series.slice(0, n))) for n in cuts]
    return _report(leaks, sum(value_count(whole[:n]) for n in cuts), 0)


def audit_perturbation(
    compute: Compute, series: Any, cuts: Sequence[int], seed: int = 0, acts_at: ActsAt = "close"
) -> AuditReport:
    """Change everything from row n on, for each n in `cuts`, and demand the same bytes in all rows that cannot know it.

    `acts_at` says when row t is used. "close": it is known at the close of bar t, as features are, so rows before n
    must stay. "open": row t is what is done at the open of bar t (a position entered there, an order filled there), so
    row n must stay as well: whoever fills at an open by a signal from the same bar's close is caught. Audit the
    positions themselves: in a profit per bar this leak cannot be seen, for the bar's close is in it rightly.

    Raises InputError as `audit_truncation` does.
    """
    _check_cuts(cuts, len(series))
    known = 1 if acts_at == "open" else 0
    whole = _rows(compute, series)
    leaks = []
    responded = 0
    for n in cuts:
        changed = _rows(compute, perturb_future(series, n, seed))
        leaks.append(first_difference("perturbation", n, whole[: n + known], changed[: n + known]))
        responded += int(differs(whole[n + known :], changed[n + known :]).sum())
    return _report(leaks, sum(value_count(whole[: n + known]) for n in cuts), responded)


def perturb_future(series: Any, start: int, seed: int = 0) -> Any:
    """The series with other prices and sizes from row `start` on, see `features.audit.series.perturb`."""
    return perturb(series, np.arange(len(series)) >= start, seed)


def _report(leaks: Sequence[Leak | None], compared: int, responded: int) -> AuditReport:
    return AuditReport(tuple(leak for leak in leaks if leak), len(leaks), compared, responded)


def _rows(compute: Compute, series: Any) -> np.ndarray:
    return as_rows(compute(series), len(series), "bar")


def _check_cuts(cuts: Sequence[int], total: int) -> None:
    if not cuts:
        raise InputError("no cut is given", where="audit", remedy="give rows between 1 and the last")
    for n in cuts:
        if not 1 <= n < total:
            raise InputError(f"cut {n} is not in 1 .. {total - 1}", where="audit", remedy="cut inside the bars")
