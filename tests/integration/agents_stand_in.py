"""A stand-in accelerator in pure Python: `torch.device("standin")`, for testing device moves without hardware.

Each of its tensors wraps a CPU tensor and computes there, so results equal the CPU's bit for bit; but an operation that
mixes it with a CPU tensor raises, as on a real device. Waits for the device (`.item()` and copies to the host) are
counted. It uses torch's experimental Python backend, and changes the process it is imported in: use a subprocess.
"""

from __future__ import annotations

import collections
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "standin"
COUNTS: collections.Counter[str] = collections.Counter()
# Host indices are allowed on real devices too.
TAKES_HOST_INDICES = {"index", "index_put_", "_index_put_impl_"}


class Backend:
    """What torch asks of `torch.standin`."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Any) -> None: ...

    def synchronize(self, device: Any = None) -> None: ...

    def manual_seed(self, seed: int) -> None: ...

    def manual_seed_all(self, seed: int) -> None: ...

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def _is_in_bad_fork(self) -> bool:
        return False


_setup_privateuseone_for_python_backend(rename=NAME, backend_module=Backend())
DEVICE = torch.device(NAME, 0)


class StandInTensor(torch.Tensor):
    """A tensor "on" the stand-in: `held` is the CPU tensor behind it."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> StandInTensor:
        with torch.inference_mode(False):  # a view of a tensor made outside that mode may not be one made inside
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=DEVICE,
            )
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"StandInTensor({self.held})"

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        copy: torch.Tensor = StandInTensor(self.held.detach().clone())
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        memo[id(self)] = copy
        return copy

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {})


def lstm_cell(input_gates: torch.Tensor, hidden_gates: torch.Tensor, cell: torch.Tensor, *biases: Any) -> Any:
    """Hidden and cell state after one row, and the gates for the way back."""
    gates = input_gates + hidden_gates + sum(bias for bias in biases if bias is not None)
    i, f, g, o = gates.chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    after = f * cell + i * g
    return o * after.tanh(), after, torch.cat([i, f, g, o], dim=1)


def lstm_cell_backward(
    grad_hidden: Any, grad_cell: Any, cell: torch.Tensor, after: torch.Tensor, gates: torch.Tensor, has_bias: bool
) -> Any:
    """Gradients of the gates, of the cell state before, and of the bias."""
    i, f, g, o = gates.chunk(4, dim=1)
    bent = after.tanh()
    hidden = torch.zeros_like(after) if grad_hidden is None else grad_hidden
    state = hidden * o * (1 - bent**2) + (0 if grad_cell is None else grad_cell)
    parts = (state * g * i * (1 - i), state * cell * f * (1 - f), state * i * (1 - g**2), hidden * bent * o * (1 - o))
    grad = torch.cat(parts, dim=1)
    return grad, state * f, grad.sum(dim=0) if has_bias else None


# Torch hands these to accelerators whole and has no CPU version of them.
FUSED = {"_thnn_fused_lstm_cell": lstm_cell, "_thnn_fused_lstm_cell_backward_impl": lstm_cell_backward}


def run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do one operation on the CPU tensors behind the arguments, and put the results where they belong."""
    # Under inference_mode torch passes composite operations (`to`, `linear`) on whole; take them apart first.
    if (parts := function.decompose(*args, **kwargs)) is not NotImplemented:
        return parts
    name = function.overloadpacket.__name__
    leaves = tree_flatten((args, kwargs))[0]
    ours = any(isinstance(leaf, StandInTensor) for leaf in leaves)
    if name in ("_to_copy", "copy_"):
        return move(name, function, args, kwargs)
    if name in ("_local_scalar_dense", "item"):
        COUNTS["waits"] += 1
        return function(*tree_map(held, args), **kwargs)
    strangers = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, StandInTensor)]
    if ours and name not in TAKES_HOST_INDICES and any(leaf.dim() for leaf in strangers):
        raise RuntimeError(f"{name} mixes {NAME} and CPU tensors")
    kwargs = tree_map(held, kwargs)
    if kwargs.get("device") is not None:
        ours = torch.device(kwargs["device"]).type == NAME
        kwargs["device"] = "cpu" if ours else kwargs["device"]
    result = FUSED.get(name, function)(*tree_map(held, args), **kwargs)
    if name.endswith("_") and not name.endswith("__"):  # in place: the caller wants the very tensor it passed
        return args[0] if function._schema.returns else None
    if not ours:
        return result
    return tree_map(lambda each: StandInTensor(each) if isinstance(each, torch.Tensor) else each, result)


def move(name: str, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Copies between host and stand-in; only these may see both."""
    if name == "copy_":
        target, source = args[0], args[1]
        COUNTS["waits"] += isinstance(source, StandInTensor) and not isinstance(target, StandInTensor)
        held(target).copy_(held(source))
        return target
    source = args[0]
    device = kwargs.pop("device", None)
    kwargs.pop("pin_memory", None)
    arrives = isinstance(source, StandInTensor) if device is None else torch.device(device).type == NAME
    COUNTS["waits"] += isinstance(source, StandInTensor) and not arrives
    copy = function(held(source), *args[1:], **kwargs)
    copy = copy.clone() if copy is held(source) else copy
    return StandInTensor(copy) if arrives else copy


def held(value: Any) -> Any:
    return value.held if isinstance(value, StandInTensor) else value


library = torch.library.Library("_", "IMPL")  # kept: its registrations end with it
library.fallback(lambda operation, *args, **kwargs: run(operation, args, kwargs), "PrivateUse1")

host_tensor = torch.tensor


def tensor(data: Any, *, device: Any = None, requires_grad: bool = False, **options: Any) -> torch.Tensor:
    """`torch.tensor` cannot make a Python-backed tensor from data (an assertion inside torch): make it on the CPU."""
    made = host_tensor(data, **options)
    made = made.to(device) if device is not None else made
    return made.requires_grad_(requires_grad)


torch.tensor = tensor  # type: ignore[assignment]
