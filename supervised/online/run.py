"""Research over arrays with models that learn on: the same steps as live, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from supervised.online.fold import OnlineFold
from supervised.online.pending import KnownLabel

STILL_ROWS = 256
"""Rows predicted together where no model changes."""


class LabelArrays(NamedTuple):
    """Labels of T rows."""

    y: np.ndarray
    """float (T, H + K): label returns (bps) and outcomes, NaN unknown."""
    t1: np.ndarray
    """int64 (T, H + K): row at which each ends."""


@dataclass(frozen=True)
class OnlineRun:
    """What was said of N rows, of each with what was known by then."""

    serving: np.ndarray
    """float32 (N, H, M): P(up) of the models that learn on."""
    frozen: np.ndarray
    """float32 (N, H, M): of the models as they were trained."""
    linear: np.ndarray | None
    """float32 (N, H): of the linear expert; None without one."""
    mixture: np.ndarray
    """float64 (N, H): of the ensemble."""


def run_online(
    online: OnlineFold,
    X: np.ndarray,
    labels: LabelArrays,
    segments: np.ndarray,
    lo: int,
    hi: int,
    *,
    one_by_one: bool = False,
) -> OnlineRun:
    """Let `online` go on over the rows [lo, hi), which must follow on those it has seen and come after the fold's cut.

    X: float (T, F) unscaled features. labels: of all rows; one is used from the row on at which it ends, and only if
    its own row was gone over too. segments: int64 (S, 2). Rows between two changes of the weights are predicted
    together; `one_by_one` asks for each alone, which is what live does, to the bit (sums of other lengths round
    differently).
    """
    origin = lo - (online.row + 1)
    arriving = _by_end(labels, origin, lo, hi)
    said = []
    row = lo
    while row < hi:
        stop = min(row + (1 if one_by_one else online.quiet_rows() or STILL_ROWS), hi)
        first = max(row - online.context, 0)
        near = np.clip(segments, first, stop) - first
        near = near[near[:, 0] < near[:, 1]]
        said.append(online.step(X[first:stop], near, [arriving.get(t, []) for t in range(row, stop)]))
        row = stop
    linear = [part.linear for part in said if part.linear is not None]
    return OnlineRun(
        serving=np.concatenate([part.serving for part in said]),
        frozen=np.concatenate([part.frozen for part in said]),
        linear=np.concatenate(linear) if linear else None,
        mixture=np.concatenate([part.mixture for part in said]),
    )


def _by_end(labels: LabelArrays, origin: int, lo: int, hi: int) -> dict[int, list[KnownLabel]]:
    """The known labels of rows [origin, hi) that end in [lo, hi), by the row of their end; numbered from `origin`."""
    y, t1 = labels.y[origin:hi], labels.t1[origin:hi]
    found: dict[int, list[KnownLabel]] = {}
    for row, column in np.argwhere(np.isfinite(y) & (t1 >= lo) & (t1 < hi)).tolist():
        end = int(t1[row, column])
        found.setdefault(end, []).append(KnownLabel(row, column, float(y[row, column]), end - origin))
    return found
