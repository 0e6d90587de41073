"""An exported streaming graph in OpenVINO: an optional backend for Intel machines (extra `openvino`).

As a program, `python -m supervised.inference.openvino_stream GRAPH` tries a graph out: some releases of OpenVINO
end the process on some graphs, so every graph runs in a child first.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.inference.onnx_session import ROW, TOLERANCE, layout_of, load_session, with_weights
from supervised.inference.onnx_stream import OnnxStream
from supervised.inference.step_stream import StepStream
from supervised.probing import fails_in_child

WHERE = "backend openvino"
TRIAL_ROWS = 120
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # its own choice is bfloat16 where the processor has it: errors to 5e-3
    "PERFORMANCE_HINT": "LATENCY",
}
"""A limit on its threads is not among them: 2026.4.1 ends the process over one while it compiles these graphs."""


class OpenVinoStream(StepStream):
    """A `streaming.Stream` of the bytes of a file that `onnx_export.export_stream` wrote."""

    backend = "openvino"

    def __init__(self, graph: bytes) -> None:
        """Nothing is checked: see `open_openvino`."""
        session = load_session(graph)
        row, *state = session.get_inputs()
        self._names = [value.name for value in state]
        self._open(graph)
        super().__init__(row.shape[1], layout_of(session), state[0].name, tuple(state[0].shape))

    def _open(self, graph: bytes) -> None:
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(core.read_model(graph), "CPU", SETTINGS)
        self._graph, self._request = graph, compiled.create_infer_request()

    def _run(self, row: NDArray[np.float32], state: list[np.ndarray]) -> list[np.ndarray]:
        self._request.infer({ROW: row, **dict(zip(self._names, state, strict=True))})
        return [output.data.copy() for output in self._request.output_tensors]

    def _replace(self, model: CausalModel) -> None:
        self._open(with_weights(self._graph, model))


def open_openvino(graph: bytes) -> OpenVinoStream:
    """A stream of the graph. Raises InputError when OpenVINO is not installed, fails on this graph, or is off by more
    than 1e-5."""
    if importlib.util.find_spec("openvino") is None:
        raise InputError("OpenVINO is not installed", where=WHERE, remedy="pip install openvino, or use backend onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        path.write_bytes(graph)
        reason = fails_in_child(["-m", __name__, str(path)])
    if reason:
        raise InputError(f"OpenVINO cannot serve this graph: {reason}", where=WHERE, remedy="use backend onnx")
    return OpenVinoStream(graph)


def _trial(graph: bytes) -> int:
    """Answer random rows in OpenVINO and in ONNX Runtime; 1 when they differ."""
    known, tried = OnnxStream(graph), OpenVinoStream(graph)
    x = np.random.default_rng(0).standard_normal((TRIAL_ROWS, known.n_features)).astype(np.float32)
    difference = max(float(np.abs(tried.advance(row) - known.advance(row)).max()) for row in x)
    if difference <= TOLERANCE:
        return 0
    print(f"its answers differ by {difference:.1e}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(_trial(Path(sys.argv[1]).read_bytes()))
