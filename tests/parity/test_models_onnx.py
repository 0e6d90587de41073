"""The exported graph computes what the model computes, or there is no file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from supervised import onnx_export
from supervised.base import CausalModel
from supervised.config import MODEL_KINDS, ModelConfig
from supervised.models import build_model
from supervised.onnx_export import ExportError, export_onnx, load_session
from supervised.outputs import OutputLayout


def model_of(kind: str) -> CausalModel:
    model = build_model(ModelConfig(kind=kind, hidden=16, window=20), 6, OutputLayout((1, 5)), seed=1)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    model.temperature.copy_(torch.tensor([0.7, 1.6, 1.0, 1.0]))
    return model


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_onnx_equals_torch_at_any_batch_and_length(kind: str, tmp_path: Path) -> None:
    model = model_of(kind).train()
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path) <= onnx_export.TOLERANCE
    assert model.training
    session = load_session(path)
    model.eval()
    for batch, rows in ((1, 1), (4, 19), (2, 20), (3, 111)):
        x = torch.randn(batch, rows, 6, generator=torch.Generator().manual_seed(rows))
        with torch.inference_mode():
            expected = model(x).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], expected, atol=1e-5)


def test_a_graph_that_differs_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = onnx_export._trace

    def trace_then_learn(model: CausalModel, path: Path) -> None:
        trace(model, path)
        with torch.no_grad():
            model.head.bias.add_(1e-4)

    monkeypatch.setattr(onnx_export, "_trace", trace_then_learn)
    with pytest.raises(ExportError, match="differ by"):
        export_onnx(model_of("tcn"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
