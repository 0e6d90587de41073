"""Folds over time, and which labels a fold's models may see: the purge and the embargo."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data_pipeline.errors import InputError
from supervised.config import WalkForwardConfig


@dataclass(frozen=True, slots=True)
class Fold:
    """One stretch of rows to predict and the rows its models learn from. All are row numbers."""

    number: int
    train_start: int
    """First row whose label is trained on."""
    validation_start: int
    """First row whose label stops the training early; no label trained on reaches it."""
    cut: int
    """No label used in any way reaches this row: the embargo before `start`."""
    start: int
    """First row predicted."""
    stop: int
    """End of the rows predicted."""


def plan_folds(rows: int, config: WalkForwardConfig) -> tuple[Fold, ...]:
    """Equal consecutive folds that cover the rows after the first `first_train_fraction` of them."""
    bounds = np.linspace(rows * config.first_train_fraction, rows, config.folds + 1).astype(int).tolist()
    folds = []
    for number, (start, stop) in enumerate(pairwise(bounds)):
        cut = start - config.embargo_rows
        train_start = max(0, cut - config.rolling_rows) if config.rolling_rows else 0
        validation_start = cut - int((cut - train_start) * config.train.validation_fraction)
        if not (train_start < validation_start < cut and start < stop):
            raise InputError(
                f"{rows} rows do not make fold {number} of {config.folds} (training rows [{train_start}, {cut}), "
                f"predicted rows [{start}, {stop}))",
                where="plan_folds",
                remedy="give more rows, fewer folds or a smaller embargo_rows",
            )
        folds.append(Fold(number, train_start, validation_start, cut, start, stop))
    return tuple(folds)


def purge(y: np.ndarray, t1: np.ndarray, start: int, cut: int, rows: np.ndarray | None = None) -> np.ndarray:
    """The labels of rows from `start` on that end before row `cut`; NaN in place of all others.

    y: float32 (..., C). t1: int64 (..., C), row at which each label ends. rows: int64 (...), the number of each row;
    without it they are counted from 0. Returns float32 (..., C).
    """
    numbers = np.arange(len(y)) if rows is None else rows
    return np.where((t1 < cut) & (numbers >= start)[..., None], y, np.float32(np.nan)).astype(np.float32, copy=False)


def last_end(t1: np.ndarray, *labels: np.ndarray) -> int:
    """Latest row at which any of the known `labels` (each (T, H), NaN unknown) ends."""
    return max(int(t1[np.isfinite(y)].max()) for y in labels)
