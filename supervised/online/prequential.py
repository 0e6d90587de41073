"""Predict, then learn: how a forecaster that learns on scores, row by row, against one that does not.

Every figure is of predictions made before their label was known, and learned from after (prequential: Dawid 1984). A
score belongs to the row at which its label ended, for that is when it is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_pipeline.errors import InputError
from supervised.diebold_mariano import Significance, diebold_mariano
from supervised.ensemble import log_losses


@dataclass(frozen=True, slots=True)
class Prequential:
    """One horizon: the learning forecaster against the frozen one, on the rows on which both spoke."""

    horizon: int
    rows: int
    accuracy: float
    frozen_accuracy: float
    log_loss: float
    """Nats."""
    frozen_log_loss: float
    lift: Significance
    """Diebold-Mariano on the log-losses, labels' overlap taken into account: negative is in favour of learning."""
    known_at: np.ndarray
    """int64 (N,): row at which each score became known, ascending."""
    difference: np.ndarray
    """float64 (N,): log-loss less the frozen one's, in the same order."""


def compare(
    p_up: np.ndarray, frozen: np.ndarray, y: np.ndarray, t1: np.ndarray, horizons: tuple[int, ...]
) -> tuple[Prequential, ...]:
    """Compare forecasts p_up and frozen (T, H), P(up), NaN for none, of label returns y (T, H), NaN unknown.

    t1: int64 (T, H), row at which each label ends. Raises InputError when the shapes differ or a horizon has no row.
    """
    if not p_up.shape == frozen.shape == y.shape == t1.shape or p_up.shape[1:] != (len(horizons),):
        raise InputError(
            f"forecasts {p_up.shape}, {frozen.shape}, labels {y.shape}, {t1.shape} and {len(horizons)} horizons differ",
            where="compare",
            remedy="give (T, H) each",
        )
    losses = log_losses(np.stack([p_up, frozen], axis=-1), y)
    found = []
    for column, horizon in enumerate(horizons):
        rows = np.flatnonzero(losses[:, column].any(axis=-1))
        if len(rows) == 0:
            raise InputError(f"horizon {horizon} has no score", where="compare", remedy="give rows with labels")
        rows = rows[np.argsort(t1[rows, column], kind="stable")]
        own, still = losses[rows, column].T
        up = y[rows, column] > 0
        found.append(
            Prequential(
                horizon=horizon,
                rows=len(rows),
                accuracy=float(((p_up[rows, column] > 0.5) == up).mean()),
                frozen_accuracy=float(((frozen[rows, column] > 0.5) == up).mean()),
                log_loss=float(own.mean()),
                frozen_log_loss=float(still.mean()),
                lift=diebold_mariano(own, still, overlap=horizon),
                known_at=t1[rows, column],
                difference=own - still,
            )
        )
    return tuple(found)


def against_best_member(
    mixture: np.ndarray, members: np.ndarray, y: np.ndarray, horizon: int, rows: int
) -> tuple[Significance, ...]:
    """For each stretch of `rows` rows: the mixture's log-loss against that of the member that was best *there*.

    mixture: P(up) (T,). members: (T, M). y: label returns (T,). The best is picked by hindsight, so luck is on its
    side: of M equal members the luckiest looks better than any mixture of them. Rows without a score are left out.
    """
    losses = log_losses(np.concatenate([members, mixture[:, None]], axis=1)[:, None], y[:, None])[:, 0]
    losses = losses[losses.any(axis=1)]
    found = []
    for start in range(0, len(losses) - rows + 1, rows):
        here = losses[start : start + rows]
        best = int(here[:, :-1].mean(axis=0).argmin())
        found.append(diebold_mariano(here[:, -1], here[:, best], overlap=horizon))
    return tuple(found)


def gain(p_up: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What each call gains in expected accuracy over a coin: (T,), NaN where there is no forecast.

    truth: the true P(up) (T,) given all that can be known. A call of the likelier side gains |truth - 1/2|, the best
    there is; one of the other side loses as much. Unlike the score of the outcome it has no noise of its own.
    """
    call = np.where(np.isfinite(p_up), np.sign(p_up - 0.5), np.nan)
    return call * (truth - 0.5)


def recovered(p_up: np.ndarray, truth: np.ndarray) -> float:
    """Share of the best possible gain in expected accuracy that the calls make; 1 is the best, negative is harmful."""
    gains = gain(p_up, truth)
    known = np.isfinite(gains)
    return float(gains[known].sum() / np.abs(truth[known] - 0.5).sum())


def recovery_rows(p_up: np.ndarray, truth: np.ndarray, change: int, window: int, share: float = 0.8) -> int | None:
    """Rows after `change` until a window of `window` rows that began after it recovers `share` of the best gain.

    The count runs to the *end* of that window, so it is at least `window`; None when none does. p_up, truth: (T,).
    """
    gains = np.nan_to_num(gain(p_up[change:], truth[change:]))
    best = np.where(np.isfinite(p_up[change:]), np.abs(truth[change:] - 0.5), 0.0)
    made, possible = (np.concatenate([[0.0], np.cumsum(values)]) for values in (gains, best))
    enough = made[window:] - made[:-window] >= share * (possible[window:] - possible[:-window])
    reached = np.flatnonzero(enough & (possible[window:] > possible[:-window]))
    return int(reached[0]) + window if len(reached) else None


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Mean log-loss (nats) on rows of the first regime, with the weights before and after the second was learned."""

    before: float
    after: float
    frozen: float

    @property
    def forgotten(self) -> float:
        """Nats per row that learning the second regime cost on the first."""
        return self.after - self.before


def forgetting(before: np.ndarray, after: np.ndarray, frozen: np.ndarray, y: np.ndarray) -> Forgetting:
    """P(up) (T, H) of the same first-regime rows by three sets of weights; y (T, H) their label returns."""
    losses = log_losses(np.stack([before, after, frozen], axis=-1), y)
    known = losses[losses.any(axis=-1)]
    return Forgetting(*(float(value) for value in known.mean(axis=0)))
