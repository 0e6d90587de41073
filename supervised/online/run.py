"""Research over arrays with models that learn on: the same steps as live, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from supervised.fold_store import TrainedFold
from supervised.meta import Ensemble
from supervised.online.config import LearningConfig
from supervised.online.fold import OnlineFold
from supervised.online.learner import Counts
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
    """What was said on rows [lo, hi) of a run, each row from labels known by then, and where it ended."""

    serving: np.ndarray
    """float32 (N, H, M): P(up) of the models that learn on."""
    frozen: np.ndarray
    """float32 (N, H, M): of the models as they were trained."""
    linear: np.ndarray | None
    """float32 (N, H): of the linear expert."""
    mixture: np.ndarray
    """float64 (N, H): of the ensemble."""
    counts: dict[str, Counts]
    """By kind."""
    fold: OnlineFold
    """As it stands after the last row."""


def run_online(
    fold: TrainedFold,
    ensemble: Ensemble,
    X: np.ndarray,
    labels: LabelArrays,
    segments: np.ndarray,
    lo: int,
    hi: int,
    learning: LearningConfig | None,
    *,
    one_by_one: bool = False,
) -> OnlineRun:
    """Let the fold's models and the ensemble go on over the rows [lo, hi), which must come after the fold's cut.

    X: float (T, F) unscaled features. labels: of all rows; a label is used from the row on at which it ends, and only
    if its own row is one of [lo, hi). segments: int64 (S, 2). Rows between two changes of the weights are predicted
    together; `one_by_one` asks for each alone, which is what live does, to the bit (sums of other lengths round
    differently).
    """
    block = 1 if one_by_one else STILL_ROWS if learning is None else learning.update_every
    online = OnlineFold(_in_blocks(fold, block), ensemble, learning)
    arriving = _by_end(labels, lo, hi)
    said = []
    row = lo
    while row < hi:
        stop = min(row + 1 if one_by_one else row + (online.quiet_rows() or block), hi)
        first = max(row - online.context, 0)
        near = np.clip(segments, first, stop) - first
        near = near[near[:, 0] < near[:, 1]]
        said.append(online.step(X[first:stop], near, [arriving.get(t, []) for t in range(row, stop)]))
        row = stop
    online.close()
    counts = {kind: learner.counts for kind, learner in online.learners.items()}
    return OnlineRun(
        serving=np.concatenate([part.serving for part in said]),
        frozen=np.concatenate([part.frozen for part in said]),
        linear=None if said[0].linear is None else np.concatenate([part.linear for part in said]),
        mixture=np.concatenate([part.mixture for part in said]),
        counts=counts,
        fold=online,
    )


def _in_blocks(fold: TrainedFold, rows: int) -> TrainedFold:
    """The fold, predicting `rows` at a time: no more than a step asks for."""
    return replace(fold, config=replace(fold.config, train=replace(fold.config.train, chunk=rows, batch=1, threads=1)))


def _by_end(labels: LabelArrays, lo: int, hi: int) -> dict[int, list[KnownLabel]]:
    """The known labels of rows [lo, hi) that end there too, by the row of their end; numbered from `lo` on."""
    y, t1 = labels.y[lo:hi], labels.t1[lo:hi]
    found: dict[int, list[KnownLabel]] = {}
    for row, column in np.argwhere(np.isfinite(y) & (t1 < hi)).tolist():
        end = int(t1[row, column])
        found.setdefault(end, []).append(KnownLabel(row, column, float(y[row, column]), end - lo))
    return found
