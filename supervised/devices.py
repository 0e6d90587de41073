"""Where models compute: device names resolved once, for supervised models and for agents alike."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from data_pipeline.errors import InputError
from supervised.probing import fails_in_child

AUTO_ORDER = ("xpu", "cuda")
RESOURCES = {"cuda": "GPU", "xpu": "XPU"}
"""What Ray calls the devices; XPU is a custom resource that the nodes must have been started with."""
IPEX = "intel-extension-for-pytorch"
IPEX_MODULE = "intel_extension_for_pytorch"
IPEX_SECONDS = 120.0
"""Longest that its import may take."""


def resolve_device(name: str) -> torch.device:
    """Turn a device name into a torch device that is present.

    Args:
        name: "auto" (the first of xpu, cuda, cpu that is there), "cpu", "cuda", "xpu", or one with an index ("xpu:1").
            Any other accelerator type that torch has a backend module for works too.

    Returns:
        The device. Accelerators always carry an index: devices are compared, and "xpu" differs from "xpu:0".

    Raises:
        InputError: the name is no device, or the device is not present.
    """
    where = f"device {name!r}"
    if name == "auto":
        return next((torch.device(kind, 0) for kind in AUTO_ORDER if device_count(kind)), torch.device("cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError("no such device", where=where, remedy="use auto, cpu, cuda[:i] or xpu[:i]") from error
    if device.type == "cpu":
        return torch.device("cpu")
    count, index = device_count(device.type), device.index or 0
    if index >= count:
        raise InputError(f"not present here ({count} of its kind found)", where=where, remedy="use auto or cpu")
    return torch.device(device.type, index)


def available_devices() -> dict[str, str]:
    """Device kind -> what this torch finds of it, in one line; the optional Intel extension among them."""
    found = {"cpu": f"present, {torch.get_num_threads()} threads, torch {torch.__version__}"}
    for kind in AUTO_ORDER:
        count = device_count(kind)
        names = [getattr(torch, kind).get_device_name(i) for i in range(count)]
        found[kind] = f"{count} present: {', '.join(names)}" if count else "none found by this torch"
    found["ipex"] = ipex_status()[1]
    return found


def device_count(kind: str) -> int:
    """Number of devices of a type that this torch can use now."""
    backend = getattr(torch, kind, None)
    if backend is None or not hasattr(backend, "is_available") or not backend.is_available():
        return 0
    return int(backend.device_count())


def ipex_status() -> tuple[bool, str]:
    """Whether intel-extension-for-pytorch can be used here, and why (not).

    Beside another torch than the one it was built for its import raises, or ends the process, and one that fails half
    way leaves torch damaged. So the package metadata must agree in the first two numbers of the version, and then a
    child process must survive the import; only after that is it imported here.
    """
    try:
        extension = importlib.metadata.version(IPEX)
    except importlib.metadata.PackageNotFoundError:
        return False, f"{IPEX} is not installed (optional; torch.xpu works without it)"
    wanted, found = (".".join(version.split(".")[:2]) for version in (extension, torch.__version__))
    if wanted != found:
        return False, f"{IPEX} {extension} needs torch {wanted}, found {torch.__version__}: left out"
    reason = _ipex_import_fails()
    if reason:
        return False, f"{IPEX} {extension} cannot be imported ({reason}): left out"
    return True, f"{IPEX} {extension} matches torch {torch.__version__}"


@functools.cache
def _ipex_import_fails() -> str:
    """ "" or why; tried once per process, for it takes seconds."""
    return fails_in_child(["-c", f"import torch, {IPEX_MODULE}"], IPEX_SECONDS)


def load_ipex(device: torch.device) -> str:
    """Import intel-extension-for-pytorch when the device is an XPU and it is usable; say what was done."""
    usable, reason = ipex_status()
    if device.type == "xpu" and usable:
        importlib.import_module(IPEX_MODULE)
    return reason


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Torch's intra-op threads set to `threads` inside, put back afterwards; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
