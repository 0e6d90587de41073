"""Trained members and their ensemble on one stream of feature rows: a row in, P(up) of each and of all together out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from features.scaling import Scaler
from supervised.base import CausalModel
from supervised.config import ModelConfig
from supervised.fold_store import FoldForecast
from supervised.forecasting import LEAST
from supervised.inference.backends import open_stream
from supervised.inference.config import Backend
from supervised.inference.kernels.edges import forecast, scale
from supervised.inference.streaming import Stream
from supervised.meta import Ensemble


class StreamingMembers:
    """The members of a trained fold, each a stream, fed the same rows.

    A row with a value missing ends the stretch: nothing is said of it and every stream starts anew at the next one, as
    research cuts its runs. Who feeds the rows calls `reset` at a gap in time.
    """

    def __init__(
        self,
        models: Mapping[str, CausalModel],
        settings: tuple[ModelConfig, ...],
        scaler: Scaler,
        *,
        backend: Backend = "auto",
        device: str = "cpu",
    ) -> None:
        """`settings` as in the fold's config: their order is the members', their `min_context` is kept."""
        self.streams: dict[str, Stream] = {
            member.kind: open_stream(models[member.kind], backend, device) for member in settings
        }
        self.scaled = np.zeros(len(scaler.mean), dtype=np.float32)
        """The last row as the models saw it, float32 (F,)."""
        self._min_context = [member.min_context for member in settings]
        layout = next(iter(self.streams.values())).layout
        self._horizons = len(layout.horizons)
        self._said = np.empty((len(settings), layout.size + self._horizons), dtype=np.float32)
        self._mean, self._clip = scaler.mean, scaler.clip
        self._divisor = np.where(scaler.std > 0, scaler.std, np.inf)

    def advance(self, features: NDArray[np.float64]) -> FoldForecast:
        """Take the next unscaled feature row, float64 (F,), and forecast it: `FoldForecast` of one row, as
        `TrainedFold.predict` gives it, NaN of members with too little context."""
        if features.shape != self._mean.shape:
            raise InputError(
                f"features have shape {features.shape}", where="stream", remedy=f"pass ({len(self._mean)},)"
            )
        self._said[:] = np.nan
        if not scale(features, self._mean, self._divisor, self._clip, self.scaled):
            self.reset()
        else:
            for stream, context, said in zip(self.streams.values(), self._min_context, self._said, strict=True):
                answer = stream.advance(self.scaled)
                if stream.rows > context:
                    forecast(answer, self._horizons, LEAST, said)
        p_up = self._said[:, : self._horizons].T[None]
        return FoldForecast(p_up.copy(), self._said[:, self._horizons :].reshape(1, -1))

    def predict(self, X: NDArray[np.float64], segments: NDArray[np.int64], lo: int) -> FoldForecast:
        """`TrainedFold.predict` of the rows from `lo` on, for who asks about every row once and in order.

        X (T, F), unscaled; segments int64 (K, 2), contiguous stretches: a row that begins one starts the streams anew.
        """
        starts = set(segments[:, 0].tolist())
        said = []
        for number in range(lo, len(X)):
            if number in starts:
                self.reset()
            said.append(self.advance(X[number]))
            self.prepare()
        return FoldForecast(*(np.concatenate(parts) for parts in zip(*said, strict=True)))

    def prepare(self) -> None:
        """Do between two rows what does not wait for the next one."""
        for stream in self.streams.values():
            stream.prepare()

    def reset(self) -> None:
        """Start anew, as after a gap."""
        for stream in self.streams.values():
            if stream.rows:
                stream.reset()

    def update_weights(self, kind: str, model: CausalModel) -> None:
        """Serve another model from the next row on, the state kept; see `streaming.Stream.update_weights`."""
        self.streams[kind].update_weights(model)

    def state(self) -> dict[str, bytes]:
        """Everything that rows have changed, by member."""
        return {kind: stream.state_bytes() for kind, stream in self.streams.items()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Go on from `state`. Raises InputError when it is of other members or backends."""
        for kind, stream in self.streams.items():
            stream.restore(state.get(kind, b""))


class Said(NamedTuple):
    """The answer to one row."""

    forecast: FoldForecast
    """Of the members, N = 1."""
    experts: NDArray[np.float64]
    """What `Ensemble.online_update` has to be shown when the row's labels become known, (H, E)."""
    regime: NDArray[np.float64]
    """Likewise, (G,)."""
    ensemble: NDArray[np.float64]
    """P(up) (H,), NaN where a member's is."""


class StreamingEnsemble:
    """Members and ensemble together. The ensemble learns when whoever knows labels calls `ensemble.online_update`."""

    def __init__(self, members: StreamingMembers, ensemble: Ensemble) -> None:
        if tuple(members.streams) != ensemble.members:
            raise InputError(
                f"members {tuple(members.streams)} are not the ensemble's {ensemble.members}",
                where="stream",
                remedy="give those of one fold, in its order",
            )
        self.members, self.ensemble = members, ensemble

    def advance(self, features: NDArray[np.float64]) -> Said:
        """Take the next unscaled feature row (F,) and answer it. Call `members.prepare` when there is time."""
        return self.answer(self.members.advance(features))

    def answer(self, forecast: FoldForecast) -> Said:
        """The ensemble's part, for those who let it learn between the members' forecast and its own: research enters
        the labels that end at a row before it mixes that row."""
        regime = self.ensemble.regime(self.members.scaled)
        experts = self.ensemble.experts(forecast.p_up[0], regime)
        return Said(forecast, experts, regime, self.ensemble.combine(experts))
