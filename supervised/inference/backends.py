"""Which machinery answers: one function from a model to a `Stream`."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.devices import resolve_device
from supervised.inference.compiled_stream import KERNELS, CompiledStream
from supervised.inference.config import Backend
from supervised.inference.onnx_export import export_stream
from supervised.inference.onnx_stream import OnnxStream
from supervised.inference.openvino_stream import open_openvino
from supervised.inference.step_stream import TorchStream
from supervised.inference.streaming import Stream


def open_stream(model: CausalModel, backend: Backend = "auto", device: str = "cpu") -> Stream:
    """A stream of the model's present weights.

    `auto` is the compiled kernels on the CPU, and torch on an accelerator. The compiled kernels and OpenVINO know the
    CPU only; ONNX Runtime knows the devices that its installed package does. Raises InputError when the backend or
    the device is not to be had, ExportError when a graph does not compute what the model does.
    """
    chosen = backend
    if backend == "auto":
        chosen = "compiled" if resolve_device(device).type == "cpu" and type(model) in KERNELS else "torch"
    if chosen in ("compiled", "openvino") and device not in ("cpu", "auto"):
        raise InputError(
            f"backend {chosen} computes on the CPU only", where=f"device {device!r}", remedy="use backend torch"
        )
    if chosen == "compiled":
        return CompiledStream(model)
    if chosen == "torch":
        return TorchStream(_on(model, resolve_device(device)))
    if chosen == "onnx":
        return OnnxStream(_graph(model), resolve_device(device).type)
    return open_openvino(_graph(model))


def _on(model: CausalModel, device: torch.device) -> CausalModel:
    """The model itself where it is on the device, else a copy there."""
    return model if model.head.weight.device == device else copy.deepcopy(model).to(device)


def _graph(model: CausalModel) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.onnx"
        export_stream(model, path)
        return path.read_bytes()
