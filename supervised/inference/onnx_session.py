"""Exported graphs as they are used: names of inputs and outputs, sessions, and new weights for an old graph."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnxruntime

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.outputs import Bracket, OutputLayout

TOLERANCE = 1e-5
"""Most by which a graph's answers may differ from the model's."""
INPUT, OUTPUT = "x", "outputs"
ROW, ANSWER = "row", "answer"
LAYOUT = "layout"
"""Key of the file's metadata that holds the outputs' layout as JSON."""
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "xpu": "OpenVINOExecutionProvider"}


class ExportError(RuntimeError):
    """The exported graph does not compute what the model computes, or not at the price that was asked."""


def load_session(path: Path | bytes, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session of an exported graph (a path, or the file's bytes) on one thread.

    Raises InputError when this ONNX Runtime has no provider for the device (cpu, cuda or xpu).
    """
    provider = PROVIDERS.get(device.partition(":")[0])
    present = onnxruntime.get_available_providers()
    if provider not in present:
        raise InputError(
            f"ONNX Runtime cannot compute on {device!r}: it has {', '.join(present)}",
            where="onnx",
            remedy="use device cpu, or install the onnxruntime package of that device",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = path if isinstance(path, bytes) else str(path)
    return onnxruntime.InferenceSession(source, options, providers=[provider])


def layout_of(session: onnxruntime.InferenceSession) -> OutputLayout:
    """What the outputs of an exported graph mean."""
    about = json.loads(session.get_modelmeta().custom_metadata_map[LAYOUT])
    return OutputLayout(tuple(about["horizons"]), tuple(Bracket(**bracket) for bracket in about["brackets"]))


def with_weights(graph: bytes, model: CausalModel) -> bytes:
    """The streaming graph with the weights of `model`, found by name; ExportError when one of them is missing.

    Takes some ten milliseconds where an export takes up to a second: fit for a model that learns while it serves.
    """
    proto = onnx.load_from_string(graph)
    wanted = {f"model.{name}": value for name, value in model.state_dict().items()}
    missing = set(wanted)
    for initializer in proto.graph.initializer:
        if initializer.name in wanted:
            value = wanted[initializer.name].detach().cpu().numpy()
            initializer.CopyFrom(onnx.numpy_helper.from_array(value, initializer.name))
            missing.remove(initializer.name)
    if missing:
        raise ExportError(f"the graph has no weights named {', '.join(sorted(missing))}")
    return proto.SerializeToString()
