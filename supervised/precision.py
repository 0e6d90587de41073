"""Mixed precision: which matrix products run in sixteen bits. Weights, optimiser, attention and losses stay float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from data_pipeline.errors import InputError
from supervised.config import Precision

BFLOAT16_CPU = ("amx_bf16", "avx512_bf16")
"""Instructions without which bfloat16 on a CPU is converted forth and back, and slower than float32."""


@dataclass(frozen=True, slots=True)
class MixedPrecision:
    """What `torch.autocast` computes in, on which device."""

    device: torch.device
    dtype: torch.dtype | None
    """None: everything in float32."""

    @classmethod
    def choose(cls, wanted: Precision, device: torch.device) -> MixedPrecision:
        """float16 needs an accelerator, and both need a device that torch can autocast on (InputError elsewhere);
        "auto" is bfloat16 where the device is made for it."""
        if wanted == "auto":
            wanted = "bfloat16" if _fast_bfloat16(device) else "float32"
        if wanted == "float16" and device.type == "cpu":
            raise InputError("float16 is not for the CPU", where="precision", remedy="use bfloat16, float32 or auto")
        if wanted != "float32" and not torch.amp.is_autocast_available(device.type):
            raise InputError(f"torch has no {wanted} for {device}", where="precision", remedy="use float32 or auto")
        return cls(device, {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted])

    def region(self) -> AbstractContextManager[object]:
        """Around the forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def grad_scaler(self) -> torch.amp.GradScaler:
        """Keeps small gradients from vanishing in float16, whose exponent is short; does nothing otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)


def _fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in BFLOAT16_CPU)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "xpu"
