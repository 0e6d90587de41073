"""Rows of events (trades, quotes, books) brought to decision times: what was really known, by the local clock."""

import numpy as np

from data_pipeline.errors import InputError


def known_rows(decision_time: np.ndarray, event_local_time: np.ndarray, max_age: int | None = None) -> np.ndarray:
    """Index of the last event that had been received at each decision time, int64 (D,), -1 where there is none.

    Args:
        decision_time: int64 (D,), when each decision is taken, in any order.
        event_local_time: int64 (T,), when each event was received, in the order in which they were received. A clock
            that was set back does not make an event known before the one ahead of it: the latest stamp so far counts.
        max_age: an event received more than this before the decision counts as none; None lets any age pass.

    All three are in one unit, of one clock: the local one. An exchange's own stamp says when something happened, not
    when it was known here, and the distance between the two clocks changes; a decision taken at the close of a bar
    falls at the local time at which that bar arrived.

    Raises InputError for times that are not whole numbers in one dimension, or a negative `max_age`.
    """
    for name, times in (("decision_time", decision_time), ("event_local_time", event_local_time)):
        if times.ndim != 1 or times.dtype.kind != "i":
            remedy = "pass int64 (D,) and (T,) in one unit, nanoseconds for example"
            raise InputError(
                f"{name} has shape {times.shape} and type {times.dtype}", where="known_rows", remedy=remedy
            )
    if max_age is not None and max_age < 0:
        raise InputError(f"max_age {max_age} is negative", where="known_rows", remedy="pass None for no limit")
    known_at = np.maximum.accumulate(event_local_time)
    rows = np.searchsorted(known_at, decision_time, side="right").astype(np.int64) - 1
    if max_age is not None and len(known_at):
        rows[decision_time - known_at[np.maximum(rows, 0)] > max_age] = -1
    return rows


def sample_asof(
    decision_time: np.ndarray, event_local_time: np.ndarray, rows: np.ndarray, *, max_age: int | None = None
) -> np.ndarray:
    """The event row known at each decision time, float64 (D, F); NaN before the first and where it is too old.

    `rows` float64 (T, F) holds one row per event, as a `FeatureStream` over events gives them; the rest is as in
    `known_rows`. Beside a matrix of bar features of the same decisions: `np.concatenate((bars, sampled), axis=1)`.

    >>> sample_asof(np.array([5, 10, 40]), np.array([10, 20, 30]), np.array([[1.0], [2.0], [3.0]]))
    array([[nan],
           [ 1.],
           [ 3.]])

    Raises InputError as `known_rows` does, and when there is not one row per event.
    """
    if rows.ndim != 2 or len(rows) != len(event_local_time):
        what = f"rows have shape {rows.shape} for {len(event_local_time)} events"
        raise InputError(what, where="sample_asof", remedy="pass one feature row per event")
    source = known_rows(decision_time, event_local_time, max_age)
    sampled = np.full((len(source), rows.shape[1]), np.nan)
    known = source >= 0
    sampled[known] = rows[source[known]]
    return sampled
