"""Streams whose state goes into a step and comes out of it: torch, ONNX Runtime, OpenVINO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from supervised.base import CausalModel
from supervised.inference.memory import MEMORIES, Memory
from supervised.inference.steps import step_of
from supervised.inference.streaming import check_row, check_successor, pack_state, unpack_state
from supervised.outputs import OutputLayout


class StepStream(ABC):
    """A `Stream` around one step: a subclass says how the step is computed, and how its weights are replaced."""

    backend: str

    def __init__(self, n_features: int, layout: OutputLayout, first_input: str, shape: tuple[int, ...]) -> None:
        self.n_features, self.layout = n_features, layout
        self.rows = 0
        self._first_input, self._sizes = first_input, shape
        self._memory: Memory = MEMORIES[first_input](shape)
        self._gathered: list[np.ndarray] | None = None
        self._about = f"{self.backend} {first_input} {shape}"

    @abstractmethod
    def _run(self, row: NDArray[np.float32], state: list[np.ndarray]) -> list[np.ndarray]:
        """row (1, F) and the state in; the answer (1, O + H) and what is to be stored out."""

    @abstractmethod
    def _replace(self, model: CausalModel) -> None:
        """Compute with the weights of `model` from now on."""

    def advance(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `streaming.Stream`."""
        check_row(row, self.n_features)
        self.prepare()
        assert self._gathered is not None
        answer, *changes = self._run(row[None], self._gathered)
        self._memory.store(self.rows, changes)
        self._gathered = None
        self.rows += 1
        return answer[0]

    def prepare(self) -> None:
        """Gather the state for the next step, which itself is one piece."""
        if self._gathered is None:
            self._gathered = self._memory.inputs(self.rows)

    def reset(self) -> None:
        """See `streaming.Stream`."""
        for part in self._memory.parts:
            part[...] = 0.0
        self._gathered = None
        self.rows = 0

    def update_weights(self, model: CausalModel) -> None:
        """See `streaming.Stream`. Raises InputError when the shape differs."""
        step = step_of(model)
        check_successor(model, self, (step.inputs[0], step.shape) == (self._first_input, self._sizes))
        self._replace(model)

    def state_bytes(self) -> bytes:
        """See `streaming.Stream`."""
        return pack_state(self.rows, self._memory.parts, self._about)

    def restore(self, state: bytes) -> None:
        """See `streaming.Stream`."""
        self.rows = unpack_state(state, self._memory.parts, self._about)
        self._gathered = None


class TorchStream(StepStream):
    """The step in torch, over a model's own weights: what the model learns shows at once. Works on any device."""

    backend = "torch"

    def __init__(self, model: CausalModel) -> None:
        self._step: Any = step_of(model)
        super().__init__(model.n_features, model.layout, self._step.inputs[0], self._step.shape)

    def _run(self, row: NDArray[np.float32], state: list[np.ndarray]) -> list[np.ndarray]:
        device = self._step.model.head.weight.device
        with torch.inference_mode():
            results = self._step(*(torch.from_numpy(part).to(device) for part in (row, *state)))
        return [result.cpu().numpy() for result in results]

    def _replace(self, model: CausalModel) -> None:
        self._step = step_of(model)
