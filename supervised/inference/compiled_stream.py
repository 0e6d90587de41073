"""The fastest backend: one compiled step per architecture, on the CPU."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.inference.kernels import lstm, mixer, tcn, transformer
from supervised.inference.streaming import check_row, check_successor, pack_state, unpack_state
from supervised.lstm import LSTM
from supervised.mixer import Mixer
from supervised.tcn import TCN
from supervised.transformer import Transformer

KERNELS: dict[type[CausalModel], ModuleType] = {TCN: tcn, LSTM: lstm, Transformer: transformer, Mixer: mixer}


class CompiledStream:
    """The model's kernels over its packed weights.

    `update_weights` may be called from another thread while `advance` runs: it packs a new array and then swaps one
    reference, so every row is answered by the old weights or by the new ones as a whole.
    """

    def __init__(self, model: CausalModel) -> None:
        """Take the weights as they are; later changes of `model` do not show until `update_weights`."""
        kernels = KERNELS.get(type(model))
        if kernels is None:
            raise InputError(
                f"there is no compiled step of {type(model).__name__}", where="stream", remedy="use backend torch"
            )
        self._kind: type[CausalModel] = type(model)
        self._kernels: Any = kernels
        self.n_features, self.layout = model.n_features, model.layout
        self._sizes: tuple[int, ...] = self._kernels.shape_of(model)
        self._about = f"compiled {self._kind.__name__} {self._sizes}"
        self._shape = np.array(self._sizes, dtype=np.int64)
        self._state = np.zeros(self._kernels.state_floats(self._sizes), dtype=np.float32)
        self._answers = self.layout.size + len(self.layout.horizons)
        self._weights = np.concatenate(self._kernels.pieces(model))
        self._prepared_with: np.ndarray | None = None
        self.rows = 0

    def advance(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Stream`."""
        check_row(row, self.n_features)
        weights = self._weights
        if self._prepared_with is not weights:
            self._kernels.prepare(weights, self._state, self.rows, self._shape)
        out = np.empty(self._answers, dtype=np.float32)
        self._kernels.step(row, weights, self._state, self.rows, self._shape, out)
        self.rows += 1
        self._prepared_with = None
        return out

    def prepare(self) -> None:
        """See `Stream`."""
        weights = self._weights
        if self._prepared_with is not weights:
            self._kernels.prepare(weights, self._state, self.rows, self._shape)
            self._prepared_with = weights

    def reset(self) -> None:
        """See `Stream`."""
        self._state[:] = 0.0
        self.rows = 0
        self._prepared_with = None

    def update_weights(self, model: CausalModel) -> None:
        """See `Stream`. Raises InputError when the shape differs."""
        check_successor(model, self, type(model) is self._kind and self._kernels.shape_of(model) == self._sizes)
        self._weights = np.concatenate(self._kernels.pieces(model))

    def state_bytes(self) -> bytes:
        """See `Stream`."""
        return pack_state(self.rows, [self._state], self._about)

    def restore(self, state: bytes) -> None:
        """See `Stream`."""
        self.rows = unpack_state(state, [self._state], self._about)
        self._prepared_with = None
