"""Models as ONNX files, checked against torch before they may be used."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from data_pipeline.files import atomic_path
from supervised.base import CausalModel

TOLERANCE = 1e-5
INPUT, OUTPUT = "x", "logits"


class ExportError(RuntimeError):
    """The exported graph does not compute what the model computes."""


def export_onnx(model: CausalModel, path: Path) -> float:
    """Write `model` as ONNX: input `x` float32 (batch, time, F), output `logits` (batch, time, H), both sizes free.

    The file appears at `path` only if ONNX Runtime's logits are within 1e-5 of torch's on random rows, for batches
    and lengths other than the traced ones, shorter and longer than the receptive field; otherwise ExportError.
    Returns the largest difference seen. The model is left as it was.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval().cpu()
    try:
        with atomic_path(Path(path)) as temporary:
            _trace(model, temporary)
            difference = _largest_difference(model, temporary)
            if not difference <= TOLERANCE:
                raise ExportError(f"{path}: ONNX and torch differ by {difference:.1e}, more than {TOLERANCE:.0e}")
    finally:
        model.train(was_training).to(device)
    return difference


def load_session(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session of an exported model, on one thread: `session.run(None, {"x": rows})[0]` gives the logits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _trace(model: CausalModel, path: Path) -> None:
    example = torch.zeros(2, model.receptive_field + 1, model.n_features)
    free = {0: "batch", 1: "time"}
    with warnings.catch_warnings():
        # The newer exporter writes the traced length into the LSTM's output; this one leaves time free for all three.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: free, OUTPUT: free},
            dynamo=False,
        )


def _largest_difference(model: CausalModel, path: Path) -> float:
    session = load_session(path)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch, rows in ((1, 1), (3, 7), (1, model.receptive_field), (2, 2 * model.receptive_field + 3)):
        x = torch.randn(batch, rows, model.n_features, generator=generator)
        with torch.inference_mode():
            expected = model(x).numpy()
        differences.append(np.abs(session.run(None, {INPUT: x.numpy()})[0] - expected).max())
    return float(np.max(differences))
