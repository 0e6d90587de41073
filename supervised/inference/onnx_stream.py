"""An exported streaming graph in ONNX Runtime, with its state carried for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from supervised.base import CausalModel
from supervised.inference.onnx_session import ANSWER, ROW, layout_of, load_session, with_weights
from supervised.inference.step_stream import StepStream


class OnnxStream(StepStream):
    """A `streaming.Stream` of the bytes of a file that `onnx_export.export_stream` wrote; needs no torch model."""

    backend = "onnx"

    def __init__(self, graph: bytes, device: str = "cpu") -> None:
        self._graph, self._device = graph, device
        self._session = load_session(graph, device)
        row, *state = self._session.get_inputs()
        self._names = [value.name for value in state]
        super().__init__(row.shape[1], layout_of(self._session), state[0].name, tuple(state[0].shape))
        assert (row.name, self._session.get_outputs()[0].name) == (ROW, ANSWER)

    def _run(self, row: NDArray[np.float32], state: list[np.ndarray]) -> list[np.ndarray]:
        return self._session.run(None, {ROW: row, **dict(zip(self._names, state, strict=True))})

    def _replace(self, model: CausalModel) -> None:
        self._graph = with_weights(self._graph, model)
        self._session = load_session(self._graph, self._device)
