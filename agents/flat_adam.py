"""Adam over all parameters of a network as one tensor: one norm, one step, one snapshot instead of a dozen each."""

from __future__ import annotations

import torch
from torch import nn


class FlatAdam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015) over `flat`, of which the module's parameters and their gradients become views.

    The module gets new `nn.Parameter`s of the same names and values: make the optimizer before anything keeps the old.
    Every step moves all parameters; one without a gradient in it has gradient zero.

    Args:
        module: its parameters are float32, on one device.
        lr: step size.
    """

    def __init__(self, module: nn.Module, lr: float) -> None:
        self.flat = _flattened(module)
        super().__init__([self.flat], lr=lr, fused=True)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero the gradients where they are; they cannot be None, because they are views."""
        assert self.flat.grad is not None
        self.flat.grad.zero_()


def _flattened(module: nn.Module) -> nn.Parameter:
    places = [(part, name) for part in module.modules() for name, _ in part.named_parameters(recurse=False)]
    old = [part.get_parameter(name).detach() for part, name in places]
    flat = nn.Parameter(torch.cat([each.flatten() for each in old]))
    flat.grad = torch.zeros_like(flat)
    sizes = [each.numel() for each in old]
    for (part, name), like, values, gradient in zip(
        places, old, flat.detach().split(sizes), flat.grad.split(sizes), strict=True
    ):
        parameter = nn.Parameter(values.view_as(like))
        parameter.grad = gradient.view_as(like)
        setattr(part, name, parameter)
    return flat
