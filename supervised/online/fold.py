"""A trained fold row by row: its models answer and learn on, and so does the ensemble over all that answer.

Live calls `step` with one new row, research with several between two changes of the weights; both go through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from supervised.fold_store import FoldForecast, TrainedFold
from supervised.meta import Ensemble
from supervised.online.arrays import Arrays, json_array, json_value, part, prefixed
from supervised.online.config import LearningConfig
from supervised.online.learner import OnlineLearner
from supervised.online.linear import LinearExpert
from supervised.online.pending import KnownLabel

LINEAR = "linear"
"""Name of the linear expert among the ensemble's members."""


class Said(NamedTuple):
    """P(up) of N rows."""

    serving: np.ndarray
    """float32 (N, H, M): of the models as they stood at each row, in the fold's order."""
    mixture: np.ndarray
    """float64 (N, H): of the ensemble."""
    frozen: np.ndarray
    """float32 (N, H, M): of the models as they were trained; `serving` itself where nothing is learned."""
    linear: np.ndarray | None
    """float32 (N, H): of the linear expert; None without one."""
    further: np.ndarray
    """float32 (N, E): what else the models that learn on say, see `FoldForecast`."""


class Forecaster(Protocol):
    """Predicts as `TrainedFold` does; asked about every row once and in order, it may carry a state along."""

    def predict(self, X: np.ndarray, segments: np.ndarray, lo: int) -> FoldForecast:
        """See `TrainedFold.predict`; of the rows from `lo` on."""


class OnlineFold:
    """With `learning`, the members of the ensemble are the models as trained, the models that learn on
    (`tcn_online`, …), and the linear expert; without it, the models as trained."""

    def __init__(
        self,
        fold: TrainedFold,
        ensemble: Ensemble,
        learning: LearningConfig | None = None,
        forecaster: Forecaster | None = None,
    ) -> None:
        """`fold` and `ensemble` are left as they are. `forecaster`: who says what the models as trained say; None: the
        fold itself, from a window of rows. Raises InputError for a drift detector without river."""
        self.fold = fold
        self._forecaster = forecaster
        self.learners: dict[str, OnlineLearner] = {}
        self.linear: LinearExpert | None = None
        self.ensemble = ensemble.copy()
        horizons = fold.config.horizons
        if learning is not None:
            for settings in fold.config.models:
                model = fold.models[settings.kind]
                self.learners[settings.kind] = OnlineLearner(model, learning, min_context=settings.min_context)
            if learning.linear:
                self.linear = LinearExpert(len(fold.scaler.mean), horizons, learning.linear_half_life)
            copies = {f"{kind}_online": kind for kind in self.learners}
            self.ensemble = ensemble.extended(copies, (LINEAR,) if learning.linear else ())
        self.row = -1
        """Number of the newest row."""
        self._keep = 2 + max(horizons)
        self._x = np.empty((0, len(fold.scaler.mean)), dtype=np.float32)
        self._experts = np.empty((0, len(horizons), len(self.ensemble.hedge.members)))

    @property
    def context(self) -> int:
        """Rows that `step` needs in front of a new one, so that every model has its whole view."""
        least = max(settings.min_context for settings in self.fold.config.models)
        return max(*(model.receptive_field - 1 for model in self.fold.models.values()), least)

    def quiet_rows(self) -> int | None:
        """Rows that one `step` may take at most; None for any number."""
        return min((learner.quiet_rows() for learner in self.learners.values()), default=None)

    def step(self, X: np.ndarray, segments: np.ndarray, labels: Sequence[Sequence[KnownLabel]]) -> Said:
        """Enter the next N = len(labels) rows, the last ones of X (T, F), unscaled; up to `context` rows go before.

        segments: int64 (S, 2), stretches of X without a gap. labels: for each new row the labels that it has made
        known; their `row` and `end` count the rows entered. Raises LeakError for a label that cannot be known yet.
        """
        lo = len(X) - len(labels)
        starts = set(segments[:, 0].tolist())
        for learner in self.learners.values():
            learner.begin_row()
        asked = self._asked(len(labels))
        as_trained = (self._forecaster or asked).predict(X, segments, lo)
        served, reference = self._learned(asked, X, segments, lo, as_trained)
        frozen, serving = as_trained.p_up, served.p_up
        scaled = self.fold.scaler.transform(X[lo:])
        linear = np.full(frozen.shape[:2], np.nan, dtype=np.float32)
        mixture = np.empty(frozen.shape[:2])
        for i, known in enumerate(labels):
            self.row += 1
            x = scaled[i]
            drifted = False
            for kind, learner in enumerate(self.learners.values()):
                drifts = learner.counts.drifts
                learner.end_row(x, serving[i, :, kind], reference[i, :, kind], known, follows=lo + i not in starts)
                drifted |= learner.counts.drifts > drifts
            if self.linear is not None:
                if drifted:
                    self.linear.loosen()
                self._learn_linear(known)
                linear[i] = self.linear.predict(x)
            self._learn_ensemble(known)
            parts = [frozen[i]]
            parts += [serving[i]] if self.learners else []
            parts += [linear[i][:, None]] if self.linear is not None else []
            experts = self.ensemble.experts(np.concatenate(parts, axis=1), self.ensemble.regime(x))
            mixture[i] = self.ensemble.combine(experts)
            self._x = np.concatenate([self._x[-self._keep + 1 :], x[None]])
            self._experts = np.concatenate([self._experts[-self._keep + 1 :], experts[None]])
        return Said(serving, mixture, frozen, linear if self.linear is not None else None, served.further)

    def _asked(self, rows: int) -> TrainedFold:
        """The fold, predicting `rows` at a time and no more, on one thread: for so few a second one only waits."""
        train = replace(self.fold.config.train, chunk=rows, batch=1, threads=1)
        return replace(self.fold, config=replace(self.fold.config, train=train))

    def _learned(
        self, asked: TrainedFold, X: np.ndarray, segments: np.ndarray, lo: int, as_trained: FoldForecast
    ) -> tuple[FoldForecast, np.ndarray]:
        """What the serving models and (P(up) only) the references say. Weights that are still those of training are
        not asked again."""
        if all(learner.version == 0 for learner in self.learners.values()):
            return as_trained, as_trained.p_up
        models = {kind: learner.serving for kind, learner in self.learners.items()}
        served = replace(asked, models=models).predict(X, segments, lo)
        if all(learner.counts.promotions == 0 for learner in self.learners.values()):
            return served, as_trained.p_up
        models = {kind: learner.reference for kind, learner in self.learners.items()}
        return served, replace(asked, models=models).predict(X, segments, lo).p_up

    def _learn_linear(self, known: Sequence[KnownLabel]) -> None:
        assert self.linear is not None
        for label in known:
            at = self._before(label)
            if label.column < len(self.fold.config.horizons) and at >= 0:
                self.linear.learn(self._x[at], label.column, label.value)

    def _learn_ensemble(self, known: Sequence[KnownLabel]) -> None:
        """Once per row, labels or not: the weights fade by the row."""
        horizons = len(self.fold.config.horizons)
        experts = np.full(self._experts.shape[1:], np.nan)
        regime = np.full((horizons, len(self.ensemble.regime(np.zeros(self._x.shape[1])))), np.nan)
        y = np.full(horizons, np.nan)
        for label in known:
            at = self._before(label)
            if label.column < horizons and at >= 0:
                experts[label.column] = self._experts[at, label.column]
                regime[label.column] = self.ensemble.regime(self._x[at])
                y[label.column] = label.value
        self.ensemble.online_update(experts, regime, y)

    def _before(self, label: KnownLabel) -> int:
        """Where the label's row lies in `_x`, which does not hold the newest row yet; negative if it does not."""
        return len(self._x) - (self.row - label.row)

    def close(self) -> None:
        """End the learners' threads."""
        for learner in self.learners.values():
            learner.close()

    def state(self) -> Arrays:
        """Everything that changes, as arrays."""
        arrays = {
            "row": np.array(self.row),
            "x": self._x,
            "experts": self._experts,
            "ensemble": json_array(self.ensemble.to_dict()),
        }
        for kind, learner in self.learners.items():
            arrays |= prefixed(kind, learner.state())
        if self.linear is not None:
            arrays |= prefixed(LINEAR, self.linear.state())
        return arrays

    def restore(self, state: Arrays) -> None:
        """Go on from `state` of the same fold and settings, bit for bit. Raises KeyError when a part is missing."""
        self.row = int(state["row"])
        self._x, self._experts = state["x"], state["experts"]
        self.ensemble = Ensemble.from_dict(json_value(state["ensemble"]), self.ensemble.hedge.config)
        for kind, learner in self.learners.items():
            learner.restore(part(state, kind))
        if self.linear is not None:
            self.linear.restore(part(state, LINEAR))
