"""Fully connected networks whose learning reuses its memory.

A gradient step of a small network on thousands of rows spends as long on fresh memory as on arithmetic: every layer's
outputs and their gradients are allocated anew and given back, page by page. Here they live in buffers that are handed
from step to step, and large layers are multiplied by the quicker of two libraries. Results are those of the plain
layers: bit for bit where the same library multiplies, else to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's product, by which torch multiplies float32 in compiled models only. On a processor of AMD's with AVX-512 it
takes half the time of the library behind `torch.mm`; it cannot be told where to write."""
_MANY_ROWS, _WIDE = 1_024, 32
"""From where on it is the quicker one."""


def _by_onednn(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether a layer's products are left to `_linear`."""
    fits = _linear is not None and rows.device.type == "cpu" and rows.dtype == torch.float32
    return fits and len(rows) >= _MANY_ROWS and min(weight.shape) >= _WIDE


class Buffers:
    """Matrices to write into, by width; one that was given back serves again for as many rows or fewer."""

    def __init__(self) -> None:
        self._free: dict[int, list[torch.Tensor]] = {}

    def take(self, rows: int, width: int, like: torch.Tensor) -> torch.Tensor:
        """A matrix of at least `rows` rows with any contents, of the kind and on the device of `like`."""
        free = self._free.setdefault(width, [])
        while free:
            found = free.pop()
            if len(found) >= rows:
                return found
        return like.new_empty((rows, width))

    def give(self, matrices: Sequence[torch.Tensor]) -> None:
        """Hand matrices back that nothing reads any more."""
        for matrix in matrices:
            self._free[matrix.shape[1]].append(matrix)


class Dense(nn.Sequential):
    """Linear layers with ReLU between them: Linear, ReLU, Linear, …, Linear.

    `keep_buffers` switches the reuse of memory on, for float32 training. Each output may then be differentiated once.
    """

    _buffers_kept: Buffers | None = None

    def keep_buffers(self) -> None:
        """From now on learn in buffers that are kept."""
        self._buffers_kept = Buffers()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 (N, inputs) -> (N, outputs)."""
        if self._buffers_kept is None or not torch.is_grad_enabled():
            return super().forward(inputs)
        outputs: torch.Tensor = _DenseFunction.apply(inputs, self._buffers_kept, *self.parameters())
        return outputs


class _DenseFunction(torch.autograd.Function):
    """What `Dense.forward` computes, and its derivatives (backpropagation, Rumelhart et al. 1986)."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, buffers: Buffers, *parameters: torch.Tensor) -> torch.Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        rows, below = len(inputs), inputs
        layers, held = [inputs], []
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            if _by_onednn(below, weight):
                below = _linear(below, weight, bias, "relu", [], "")
            else:
                held.append(buffers.take(rows, len(weight), inputs))
                below = torch.addmm(bias, below, weight.t(), out=held[-1][:rows]).clamp_(min=0.0)
            layers.append(below)
        ctx.buffers, ctx.held, ctx.layers = buffers, held, layers[1:]
        ctx.save_for_backward(inputs, *weights)
        return torch.addmm(biases[-1], below, weights[-1].t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, *weights = ctx.saved_tensors
        buffers, rows = ctx.buffers, len(inputs)
        layers, used, found = [inputs, *ctx.layers], list(ctx.held), []
        ctx.held = ctx.layers = None  # a second pass would read what others have written since
        for layer, weight in zip(reversed(layers), reversed(weights), strict=True):
            by_onednn = _by_onednn(layer, weight)
            across = _linear(gradient.t(), layer.t(), None, "none", [], "") if by_onednn else gradient.t().mm(layer)
            found += [gradient.sum(0), across]
            if layer is inputs:
                break
            if by_onednn:
                below = _linear(gradient, weight.t(), None, "none", [], "")
            else:
                used.append(buffers.take(rows, layer.shape[1], inputs))
                below = torch.mm(gradient, weight, out=used[-1][:rows])
            gradient = torch.ops.aten.threshold_backward.grad_input(below, layer, 0.0, grad_input=below)
        buffers.give(used)
        return (gradient.mm(weights[0]) if ctx.needs_input_grad[0] else None, None, *reversed(found))
