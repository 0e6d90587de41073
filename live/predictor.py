"""Predictions for the newest bar: the fold's models on the rows at hand, mixed by an ensemble that goes on learning.

Nothing is computed here that research computes elsewhere: scaling, minimum context and learning are
`supervised.online.fold`'s, a label and the row at which it is known are `features.labels`'. Models that stay as they
were trained answer row by row (`supervised.inference`), within 1e-5 of research.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_pipeline.schema import segments
from features.labels import fixed_horizon
from live.feed import ClosedBar, bar_block
from supervised.fold_store import TrainedFold
from supervised.inference.members import StreamingMembers
from supervised.meta import Ensemble
from supervised.online.arrays import part, prefixed
from supervised.online.config import LearningConfig
from supervised.online.fold import OnlineFold
from supervised.online.pending import KnownLabel


class RollingPredictor:
    """Holds as many rows as the models look back on, or a label takes to become known, whichever is longer."""

    def __init__(
        self, fold: TrainedFold, ensemble: Ensemble, interval_ms: int, learning: LearningConfig | None = None
    ) -> None:
        """`learning`: how the models learn on; None leaves them as they were trained."""
        # Models that learn are asked from a window of rows, each time with the weights they have by then: research does
        # the same, and the two are equal to the bit.
        self._streams = StreamingMembers(fold.models, fold.config.models, fold.scaler) if learning is None else None
        self.members = OnlineFold(fold, ensemble, learning, self._streams)
        self._interval_ms = interval_ms
        self._horizons = fold.config.horizons
        self._window = max(self.members.context + 1, max(self._horizons) + 2)
        self._times = np.empty(0, dtype=np.int64)
        self._bars = np.empty((0, 9))
        self._features = np.empty((0, len(fold.feature_names)))

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
        said = self.members.step(self._features, stretches, [self._known()])
        return np.concatenate([said.serving[0].reshape(-1), said.mixture[0]]).astype(np.float32), said.further[0]

    def _known(self) -> list[KnownLabel]:
        """The labels that the newest bar has made known."""
        now, labels = self.members.row + 1, []
        for column, horizon in enumerate(self._horizons):
            span = horizon + 2  # from the row decided on to the open that ends its label
            if len(self._times) < span:
                continue
            found = fixed_horizon(bar_block(self._times[-span:], self._bars[-span:]), horizon, self._interval_ms)
            if found.valid[0]:
                labels.append(KnownLabel(now - span + 1, column, float(found.values[0]), now))
        return labels

    def state(self) -> dict[str, np.ndarray]:
        """Everything that changes, as arrays."""
        own = {"times": self._times, "bars": self._bars, "features": self._features}
        own |= prefixed("members", self.members.state())
        if self._streams is not None:
            states = self._streams.state()
            own |= prefixed("streams", {kind: np.frombuffer(states[kind], dtype=np.uint8) for kind in states})
        return own

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `state` of the same fold and settings. Raises KeyError when a part is missing."""
        self._times, self._bars, self._features = state["times"], state["bars"], state["features"]
        self.members.restore(part(state, "members"))
        if self._streams is not None:
            self._streams.restore({kind: saved.tobytes() for kind, saved in part(state, "streams").items()})
