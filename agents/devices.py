"""Where learners and runners compute: device names resolved once, and mixins that make RLlib follow.

RLlib knows CUDA only: asking it for a GPU where Ray counts an Intel one ends in `torch.cuda`. So the algorithms here
reserve no GPU through RLlib (`num_gpus_per_learner=0`) and these mixins decide the device instead.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import torch

from data_pipeline.errors import InputError

AUTO_ORDER = ("xpu", "cuda")
IPEX = "intel-extension-for-pytorch"


def resolve_device(name: str) -> torch.device:
    """Turn a device name into a torch device that is present.

    Args:
        name: "auto" (the first of xpu, cuda, cpu that is there), "cpu", "cuda", "xpu", or one with an index ("xpu:1").
            Any other accelerator type that torch has a backend module for works too.

    Returns:
        The device. Accelerators always carry an index: RLlib compares devices, and "xpu" differs from "xpu:0".

    Raises:
        InputError: the name is no device, or the device is not present.
    """
    where = f"device {name!r}"
    if name == "auto":
        return next((torch.device(kind, 0) for kind in AUTO_ORDER if _count(kind)), torch.device("cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError("no such device", where=where, remedy="use auto, cpu, cuda[:i] or xpu[:i]") from error
    if device.type == "cpu":
        return torch.device("cpu")
    count, index = _count(device.type), device.index or 0
    if index >= count:
        raise InputError(f"not present here ({count} of its kind found)", where=where, remedy="use auto or cpu")
    return torch.device(device.type, index)


def _count(kind: str) -> int:
    """Number of devices of a type that this torch can use now."""
    backend = getattr(torch, kind, None)
    if backend is None or not hasattr(backend, "is_available") or not backend.is_available():
        return 0
    return int(backend.device_count())


def ipex_status() -> tuple[bool, str]:
    """Whether intel-extension-for-pytorch can be used here, and why (not).

    The extension refuses to import beside another torch than the one it was built for, and an import that fails half
    way leaves torch damaged. So only package metadata is read: the versions must agree in their first two numbers.
    """
    try:
        extension = importlib.metadata.version(IPEX)
    except importlib.metadata.PackageNotFoundError:
        return False, f"{IPEX} is not installed (optional; torch.xpu works without it)"
    wanted, found = (".".join(version.split(".")[:2]) for version in (extension, torch.__version__))
    if wanted != found:
        return False, f"{IPEX} {extension} needs torch {wanted}, found {torch.__version__}: left out"
    return True, f"{IPEX} {extension} matches torch {torch.__version__}"


def load_ipex(device: torch.device) -> str:
    """Import intel-extension-for-pytorch when the device is an XPU and the versions agree; say what was done."""
    usable, reason = ipex_status()
    if device.type == "xpu" and usable:
        importlib.import_module("intel_extension_for_pytorch")
    return reason


class LearnerDeviceMixin:
    """Put a `TorchLearner` on `config.learner_device`.

    RLlib's `build` assigns `self._device` from its own CUDA-only lookup. A property swallows that assignment, so that
    everything later (module, batches, optimizer state, schedulers, restore) goes to our device.
    """

    config: Any

    @property
    def _device(self) -> torch.device:
        return resolve_device(self.config.learner_device)

    @_device.setter
    def _device(self, value: object) -> None:
        del value


class RunnerDeviceMixin:
    """Put an `EnvRunner`'s module on `config.sampling_device`; see `LearnerDeviceMixin`."""

    config: Any

    @property
    def _device(self) -> torch.device:
        return resolve_device(self.config.sampling_device)

    @_device.setter
    def _device(self, value: object) -> None:
        del value
