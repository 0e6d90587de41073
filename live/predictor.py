"""Predictions for the newest bar: the fold's models on the rows at hand, mixed by an ensemble that goes on learning.

Nothing is computed here that research computes elsewhere: models, scaling and minimum context are `TrainedFold`'s, a
label and the row at which it is known are `features.labels`', losses and weights are `supervised.ensemble`'s.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.schema import segments
from features.labels import fixed_horizon
from live.feed import ClosedBar, bar_block
from supervised.ensemble import Hedge, log_losses
from supervised.fold_store import TrainedFold


class RollingPredictor:
    """Holds as many rows as the models look back on, or a label takes to become known, whichever is longer."""

    def __init__(self, fold: TrainedFold, hedge: Hedge, interval_ms: int) -> None:
        one_row = replace(fold.config.train, chunk=1, batch=1, threads=1)  # one row: a second thread only waits
        self._fold = replace(fold, config=replace(fold.config, train=one_row))
        self._interval_ms = interval_ms
        self.hedge = replace(hedge, log_weights=hedge.log_weights.copy())
        context = max(model.receptive_field for model in fold.models.values())
        least = max(settings.min_context for settings in fold.config.models) + 1
        self._window = max(context, least, max(hedge.horizons) + 2)
        width, members = len(fold.feature_names), len(hedge.members)
        self._times = np.empty(0, dtype=np.int64)
        self._bars = np.empty((0, 9))
        self._features = np.empty((0, width))
        self._said = np.empty((0, len(hedge.horizons), members), dtype=np.float32)

    def update(self, bar: ClosedBar, features: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take in a bar and its feature row (F,); return P(up) float32 (K,) in the order of `Predictions.columns`, and
        what else the models say, float32 (E,) in the order of `Predictions.further_columns`.

        NaN while the features are warming up, or the contiguous stretch is shorter than the models' `min_context`.
        """
        keep = slice(-self._window + 1, None)
        self._times = np.append(self._times[keep], bar.open_time_ms)
        self._bars = np.concatenate([self._bars[keep], bar.row()[None]])
        self._features = np.concatenate([self._features[keep], features[None]])
        stretches = segments(self._times, self._interval_ms)
        said = self._fold.predict(self._features, stretches, len(self._times) - 1)
        self._said = np.concatenate([self._said[keep], said.p_up])
        self.hedge.advance(self._new_losses())
        mixture = self.hedge.combine(said.p_up[0])
        return np.concatenate([said.p_up[0].reshape(-1), mixture]).astype(np.float32), said.further[0]

    def _new_losses(self) -> NDArray[np.float64]:
        """Losses (H, M) of the labels that the newest bar has made known; 0 where it has made none."""
        y = np.full(len(self.hedge.horizons), np.nan)
        p = np.full(self._said.shape[1:], np.nan, dtype=np.float32)
        for column, horizon in enumerate(self.hedge.horizons):
            span = horizon + 2  # from the row decided on to the open that ends its label
            if len(self._times) < span:
                continue
            labels = fixed_horizon(bar_block(self._times[-span:], self._bars[-span:]), horizon, self._interval_ms)
            if labels.valid[0]:
                y[column] = labels.values[0]
                p[column] = self._said[-span, column]
        return log_losses(p, y)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that changes, as arrays."""
        return {
            "times": self._times,
            "bars": self._bars,
            "features": self._features,
            "said": self._said,
            "log_weights": self.hedge.log_weights,
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `state`."""
        self._times, self._bars, self._features = state["times"], state["bars"], state["features"]
        self._said, self.hedge.log_weights = state["said"], state["log_weights"]
