"""The audit of time: a row may know what had been received when it claims to be known, not what had been sent.

Every item of the input has two times. A bar begins at its open time and is known one interval later (and later still
where the venue publishes late); a trade or a book is stamped by the exchange and received some milliseconds after,
sometimes overtaken by younger ones. Data on disk sits there with the earlier stamp, and that is where leaks come from:
resampling labelled by the left edge, a fill at the open by the signal of the same bar, seconds cut by the exchange's
clock and read at their end by ours.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from features.audit.report import AuditReport, Leak, as_rows, differs, first_difference, value_count
from features.audit.series import perturb, take

TimedCompute = Callable[[Any], tuple[np.ndarray, np.ndarray]]
"""A function that returns (when each row is known, int64 (N,), increasing or equal; rows (N,) or (N, F))."""


def audit_delay(
    compute: TimedCompute,
    series: Any,
    sent_at: np.ndarray,
    known_at: np.ndarray,
    moments: Sequence[int] | int = 12,
    seed: int = 0,
) -> AuditReport:
    """Take away, then change, all items with `known_at` past T, for each T in `moments`; rows known by T must stay.

    series    `BarArrays`, `Events` or another dataclass of arrays (T,)
    sent_at   int64 (T,), when each item began to exist: open time of a bar, the exchange's stamp. It serves to choose
              moments, and to count what was in flight: a clean report that saw nothing in flight proves little.
    known_at  int64 (T,), when each was received here: open time + interval (+ delay) of a bar, the local stamp
    moments   times in the same unit; or how many to choose among the rows' own times, at which a leak shows first:
              half of them evenly, half where most items are in flight

    Rows must come with the times by which they claim to be known, in the same unit and clock as `known_at`. A row that
    vanishes, or that appears only then, is a leak too: it could not have been there at T.

    Raises InputError for no moment, clocks of another length, or rows without as many times.
    """
    for name, clock in (("sent_at", sent_at), ("known_at", known_at)):
        if clock.shape != (len(series),):
            raise InputError(f"{name} has shape {clock.shape}", where="audit_delay", remedy="give a time for each item")
    times, rows = _timed(compute, series)
    chosen = choose_moments(times, sent_at, known_at, moments) if isinstance(moments, int) else moments
    if len(chosen) == 0:
        raise InputError("there is no moment to look at", where="audit_delay", remedy="give rows, and one or more")
    leaks: list[Leak] = []
    compared = responded = in_flight = 0
    for moment in chosen:
        late = known_at > moment
        in_flight += int((late & (sent_at <= moment)).sum())
        claimed = rows[times <= moment]
        compared += value_count(claimed)
        found = None
        for other in (take(series, ~late), perturb(series, late, seed) if late.any() else series):
            other_times, other_rows = _timed(compute, other)
            found = found or _difference(int(moment), times, rows, other_times, other_rows)
            if len(other_rows) == len(rows):
                after = times > moment
                responded += int(differs(rows[after], other_rows[after]).sum())
        if found:
            leaks.append(found)
    return AuditReport(tuple(leaks), len(chosen), compared, responded, in_flight)


def choose_moments(times: np.ndarray, sent_at: np.ndarray, known_at: np.ndarray, count: int) -> list[int]:
    """Up to `count` of the rows' times, half spread evenly, half where most items are sent and not yet received."""
    candidates = np.unique(times)
    candidates = candidates[len(candidates) // 20 : max(len(candidates) - 1, 1)]  # after the last one comes nothing
    spread = np.linspace(0, len(candidates) - 1, min(count - count // 2, len(candidates))).astype(np.int64)
    in_flight = np.searchsorted(np.sort(sent_at), candidates, "right")
    in_flight -= np.searchsorted(np.sort(known_at), candidates, "right")
    shuffled = np.random.default_rng(0).permutation(len(candidates))  # of equally busy ones not the first
    busiest = shuffled[np.argsort(-in_flight[shuffled], kind="stable")[: count // 2]]
    return candidates[np.union1d(spread, busiest)].tolist()


def _timed(compute: TimedCompute, series: Any) -> tuple[np.ndarray, np.ndarray]:
    """Times int64 (N,) and rows (N, F) of what the function returned."""
    result = compute(series)
    if not isinstance(result, tuple) or len(result) != 2:
        raise InputError("got rows without times", where="audit_delay", remedy="return (known_at, rows)")
    times = np.asarray(result[0])
    if times.ndim != 1 or times.dtype.kind != "i" or (np.diff(times) < 0).any():
        raise InputError(
            f"times of shape {times.shape} and type {times.dtype} are not increasing whole numbers",
            where="audit_delay",
            remedy="return int64 (N,) in the unit of the clock, in order",
        )
    return times, as_rows(result[1], len(times), "time")


def _difference(
    moment: int, times: np.ndarray, rows: np.ndarray, other_times: np.ndarray, other_rows: np.ndarray
) -> Leak | None:
    """The first of the rows known by `moment` that is not the same in the other result, or is missing in one."""
    ours, theirs = times[times <= moment], other_times[other_times <= moment]
    common = min(len(ours), len(theirs))
    moved = np.flatnonzero(ours[:common] != theirs[:common])
    if len(moved):
        common = int(moved[0])
    found = first_difference("delay", moment, rows[:common], other_rows[:common])
    if found is None and (len(moved) or len(ours) != len(theirs)):
        return Leak("delay", moment, common, tuple(range(rows.shape[1])))
    return found
