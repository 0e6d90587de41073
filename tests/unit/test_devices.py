"""Device names, and the guard in front of intel-extension-for-pytorch."""

import importlib.metadata

import pytest
import torch

from data_pipeline.errors import InputError
from supervised import devices


def test_cpu_and_auto() -> None:
    assert devices.resolve_device("cpu") == torch.device("cpu")
    found = devices.resolve_device("auto")
    assert found.type in ("xpu", "cuda", "cpu")
    assert found.type == "cpu" or found.index == 0


def test_auto_prefers_xpu_then_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_count", lambda kind: {"xpu": 1, "cuda": 2}.get(kind, 0))
    assert devices.resolve_device("auto") == torch.device("xpu", 0)
    assert devices.resolve_device("cuda") == torch.device("cuda", 0)
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)
    monkeypatch.setattr(devices, "_count", lambda kind: {"cuda": 1}.get(kind, 0))
    assert devices.resolve_device("auto") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "", "cpu0"])
def test_names_that_are_no_device(name: str) -> None:
    with pytest.raises(InputError, match="no such device; use auto, cpu"):
        devices.resolve_device(name)


def test_absent_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_count", lambda kind: {"cuda": 1}.get(kind, 0))
    with pytest.raises(InputError, match=r"device 'cuda:3': not present here \(1 of its kind found\)"):
        devices.resolve_device("cuda:3")
    with pytest.raises(InputError, match=r"device 'xpu': not present here \(0 of its kind found\)"):
        devices.resolve_device("xpu")


def test_ipex_is_left_out_unless_its_torch_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(_name: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert devices.ipex_status()[0] is False
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "1.0.1")
    usable, reason = devices.ipex_status()
    assert not usable
    assert "needs torch 1.0" in reason
    assert devices.load_ipex(torch.device("xpu", 0)) == reason  # refused by version: nothing is imported
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: torch.__version__.split("+")[0] + "+xpu")
    assert devices.ipex_status()[0] is True
