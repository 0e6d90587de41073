"""The exported graph computes what the model computes, or there is no file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from supervised.base import CausalModel
from supervised.config import MODEL_KINDS, ModelKind
from supervised.inference import onnx_export
from supervised.inference.onnx_export import export_onnx, export_stream
from supervised.inference.onnx_session import TOLERANCE, ExportError, load_session
from tests.inference_tools import lively_model


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_onnx_equals_torch_at_any_batch_and_length(kind: ModelKind, tmp_path: Path) -> None:
    model = lively_model(kind).train()
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path) <= TOLERANCE
    assert model.training
    session = load_session(path)
    model.eval()
    for batch, rows in ((1, 1), (4, 19), (2, 20), (3, 111)):
        x = torch.randn(batch, rows, 7, generator=torch.Generator().manual_seed(rows))
        with torch.inference_mode():
            expected = model(x).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], expected, atol=1e-5)


def test_a_graph_that_differs_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = onnx_export._trace

    def trace_then_learn(module: torch.nn.Module, *rest: object) -> None:
        trace(module, *rest)
        with torch.no_grad():
            model.head.bias.add_(1e-4)

    monkeypatch.setattr(onnx_export, "_trace", trace_then_learn)
    model = lively_model("tcn")
    with pytest.raises(ExportError, match="differ by"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_streaming_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_weights(graph: bytes, model: CausalModel) -> bytes:
        return with_weights(graph, lively_model("tcn", seed=2))

    with_weights = onnx_export.with_weights
    monkeypatch.setattr(onnx_export, "with_weights", other_weights)
    with pytest.raises(ExportError, match="differ by"):
        export_stream(lively_model("tcn"), tmp_path / "stream.onnx")
    assert list(tmp_path.iterdir()) == []
