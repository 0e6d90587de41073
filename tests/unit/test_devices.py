"""Device names, and the guard in front of intel-extension-for-pytorch."""

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

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
    monkeypatch.setattr(devices, "device_count", lambda kind: {"xpu": 1, "cuda": 2}.get(kind, 0))
    assert devices.resolve_device("auto") == torch.device("xpu", 0)
    assert devices.resolve_device("cuda") == torch.device("cuda", 0)
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)
    monkeypatch.setattr(devices, "device_count", lambda kind: {"cuda": 1}.get(kind, 0))
    assert devices.resolve_device("auto") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "", "cpu0"])
def test_names_that_are_no_device(name: str) -> None:
    with pytest.raises(InputError, match="no such device; use auto, cpu"):
        devices.resolve_device(name)


def test_absent_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "device_count", lambda kind: {"cuda": 1}.get(kind, 0))
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


def install(site: Path, version: str, module: str) -> None:
    """A package of that name in `site`, and a torch that a child imports in no time."""
    about = site / f"intel_extension_for_pytorch-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: intel-extension-for-pytorch\nVersion: {version}\n")
    (site / "intel_extension_for_pytorch.py").write_text(module)
    (site / "torch.py").write_text("")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which this process and its children import."""
    devices._ipex_import_fails.cache_clear()
    monkeypatch.setattr(devices, "IPEX_SECONDS", 20.0)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield tmp_path
    devices._ipex_import_fails.cache_clear()
    sys.modules.pop("intel_extension_for_pytorch", None)


MATCHING = torch.__version__.split("+")[0] + "+cpu"
XPU = torch.device("xpu", 0)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import os\nos.exit(1)", "ended with code 1 .AttributeError: module 'os' has no attribute 'exit'"),
        ("raise ImportError('libintel.so')", "ended with code 1 .ImportError: libintel.so"),
        ("import sys\nsys.exit(127)", "ended with code 127"),
        ("import os\nos._exit(3)", "ended with code 3"),
        ("import os\nos.abort()", "was ended by SIGABRT"),
    ],
)
def test_a_broken_extension_is_left_out_and_harms_nothing(site: Path, module: str, reason: str) -> None:
    install(site, MATCHING, module)
    usable, said = devices.ipex_status()
    assert not usable
    assert re.search(reason, said)
    assert devices.load_ipex(XPU) == said
    assert "intel_extension_for_pytorch" not in sys.modules
    assert "left out" in devices.available_devices()["ipex"]


def test_an_extension_that_hangs_is_left_out(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "IPEX_SECONDS", 0.5)
    install(site, MATCHING, "import time\ntime.sleep(60)")
    assert devices.ipex_status() == (False, mock.ANY)
    assert "did not end within" in devices.ipex_status()[1]


def test_one_for_another_torch_is_not_even_tried(site: Path) -> None:
    install(site, "1.0.1", "open('tried', 'w')")
    assert "needs torch 1.0" in devices.load_ipex(XPU)
    assert not (site / "tried").exists()
    assert "intel_extension_for_pytorch" not in sys.modules


def test_a_sound_one_is_imported_for_an_xpu_only(site: Path) -> None:
    install(site, MATCHING, "import torch")
    assert devices.ipex_status()[0]
    devices.load_ipex(torch.device("cpu"))
    assert "intel_extension_for_pytorch" not in sys.modules
    assert "matches torch" in devices.load_ipex(XPU)
    assert "intel_extension_for_pytorch" in sys.modules
