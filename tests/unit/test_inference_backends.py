"""Which backend serves, and what is said where one cannot."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from data_pipeline.errors import InputError
from supervised.inference import backends, onnx_session, openvino_stream
from supervised.inference.backends import open_stream
from supervised.inference.compiled_stream import CompiledStream
from supervised.inference.config import Backend
from supervised.inference.step_stream import TorchStream
from supervised.probing import fails_in_child
from tests.inference_tools import dense_answers, lively_model, random_rows


def test_auto_is_compiled_on_the_cpu_and_torch_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively_model("tcn")
    assert isinstance(open_stream(model), CompiledStream)
    monkeypatch.setattr(backends, "resolve_device", lambda name: torch.device("meta"))
    assert isinstance(open_stream(model, device="xpu"), TorchStream)


@pytest.mark.parametrize("backend", ["compiled", "openvino"])
def test_backends_of_the_cpu_refuse_other_devices(backend: Backend) -> None:
    with pytest.raises(InputError, match=f"backend {backend} computes on the CPU only"):
        open_stream(lively_model("tcn"), backend, "cuda")


def test_onnx_refuses_a_device_that_its_package_lacks() -> None:
    with pytest.raises(InputError, match=r"ONNX Runtime cannot compute on 'cuda:0': it has .*CPUExecutionProvider"):
        onnx_session.load_session(b"", "cuda:0")


def test_openvino_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="OpenVINO is not installed; pip install openvino, or use backend onnx"):
        open_stream(lively_model("lstm"), "openvino")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.abort()", "it was ended by SIGABRT"),
        ("import sys; print('off by 1.0', file=sys.stderr); sys.exit(1)", "it ended with code 1 .off by 1.0."),
        ("import time; time.sleep(60)", "it did not end within 1 s"),
    ],
)
def test_openvino_that_fails_on_a_graph_is_refused(monkeypatch: pytest.MonkeyPatch, program: str, reason: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(openvino_stream, "fails_in_child", lambda _: fails_in_child(["-c", program], 1.0))
    with pytest.raises(InputError, match=f"OpenVINO cannot serve this graph: {reason}; use backend onnx"):
        open_stream(lively_model("lstm"), "openvino")


@pytest.mark.slow
def test_openvino_where_it_is_installed() -> None:
    """It serves within 1e-5, or is refused: nothing else may happen."""
    pytest.importorskip("openvino")
    model, x = lively_model("transformer"), random_rows(200)
    try:
        stream = open_stream(model, "openvino")
    except InputError as error:
        pytest.skip(str(error))
    said = np.array([stream.advance(row) for row in x])
    assert np.abs(said - dense_answers(model, x)).max() <= 1e-5
    assert "openvino" in sys.modules
