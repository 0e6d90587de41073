"""Models as ONNX files, checked against torch before they may be used.

Two forms. The *full* graph takes whole stretches of rows: batches, or a window recomputed at every row. The
*streaming* graph takes one row and the state (`steps`), which `onnx_stream.OnnxStream` carries for it.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from data_pipeline.files import atomic_path
from supervised.base import CausalModel
from supervised.inference.memory import MEMORIES
from supervised.inference.onnx_session import (
    ANSWER,
    INPUT,
    LAYOUT,
    OUTPUT,
    ROW,
    TOLERANCE,
    ExportError,
    load_session,
    with_weights,
)
from supervised.inference.onnx_stream import OnnxStream
from supervised.inference.steps import step_of
from supervised.outputs import OutputLayout

OPSET = 18  # the first stable one with layer norm as one operator


def export_onnx(model: CausalModel, path: Path) -> float:
    """Write the full graph: input `x` float32 (batch, time, F), output `outputs` (batch, time, O), both sizes free.

    The file appears at `path` only if ONNX Runtime's outputs are within 1e-5 of torch's on random rows, for batches
    and lengths other than the traced ones, shorter and longer than the receptive field; otherwise ExportError.
    Returns the largest difference seen. The model is left as it was.
    """
    example = (torch.zeros(2, model.receptive_field + 1, model.n_features),)
    free = {0: "batch", 1: "time"}

    def write(target: Path) -> None:
        _trace(model, model.layout, example, target, [INPUT], [OUTPUT], {INPUT: free, OUTPUT: free})

    with _as_served(model):
        return _checked(path, write, lambda written: _full_difference(model, written))


def export_stream(model: CausalModel, path: Path) -> float:
    """Write the streaming graph: `row` float32 (1, F) and the state in, `answer` (1, O + H) and new state out.

    The names and meaning of the state are those of `steps`. The weights keep the names they have in the model, which
    lets `onnx_stream` replace them without a new export. Checked against the dense model, from an empty state to
    beyond its receptive field, within 1e-5, else ExportError. Returns the largest difference seen.
    """
    with _as_served(model):
        step = step_of(_stranger(model))
        memory = MEMORIES[step.inputs[0]](step.shape)
        state = tuple(torch.from_numpy(part) for part in memory.inputs(0))

        def write(target: Path) -> None:
            example = (torch.zeros(1, model.n_features), *state)
            names = [ROW, *step.inputs], [ANSWER, *step.outputs]
            _trace(step, model.layout, example, target, *names, {})
            target.write_bytes(with_weights(target.read_bytes(), model))

        return _checked(path, write, lambda written: _stream_difference(model, written))


def _stranger(model: CausalModel) -> CausalModel:
    """A copy in which every weight is a number of its own: the exporter merges weights that are equal."""
    stranger = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    for value in stranger.state_dict().values():
        value.uniform_(1.0, 2.0, generator=generator)
    return stranger


@contextmanager
def _as_served(model: CausalModel) -> Iterator[None]:
    """The model in eval mode on the CPU inside, afterwards as it was."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval().cpu()
    try:
        yield
    finally:
        model.train(was_training).to(device)


def _checked(path: Path, write: Callable[[Path], None], difference_of: Callable[[Path], float]) -> float:
    with atomic_path(Path(path)) as temporary:
        write(temporary)
        difference = difference_of(temporary)
        if not difference <= TOLERANCE:
            raise ExportError(f"{path}: ONNX and torch differ by {difference:.1e}, more than {TOLERANCE:.0e}")
    return difference


def _trace(
    module: nn.Module,
    layout: OutputLayout,
    example: tuple[torch.Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    free: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings():
        # The newer exporter writes the traced length into the LSTM's output; this one leaves time free for all.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=free,
            opset_version=OPSET,
            do_constant_folding=bool(free),  # folded weights would lose their names; ONNX Runtime folds when it loads
            dynamo=False,
        )
    proto = onnx.load(str(path))
    onnx.helper.set_model_props(proto, {LAYOUT: json.dumps(asdict(layout))})
    onnx.save(proto, str(path))


def _full_difference(model: CausalModel, path: Path) -> float:
    session = load_session(path)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch, rows in ((1, 1), (3, 7), (1, model.receptive_field), (2, 2 * model.receptive_field + 3)):
        x = torch.randn(batch, rows, model.n_features, generator=generator)
        with torch.inference_mode():
            expected = model(x).numpy()
        differences.append(np.abs(session.run(None, {INPUT: x.numpy()})[0] - expected).max())
    return float(np.max(differences))


def _stream_difference(model: CausalModel, path: Path) -> float:
    stream = OnnxStream(path.read_bytes())
    x = torch.randn(model.receptive_field + 50, model.n_features, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(x[None])[0].numpy()
    said = np.array([stream.advance(row)[: model.layout.size] for row in x.numpy()])
    return float(np.abs(said - expected).max())
