"""Who trains the same model beside us: nobody, or other processes that each take a share of every batch."""

from __future__ import annotations

from typing import Protocol

import torch


class Peers(Protocol):
    """The processes of one training, this one among them. All make the same calls in the same order."""

    @property
    def rank(self) -> int:
        """Of this process, from 0."""

    @property
    def size(self) -> int:
        """Processes."""

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of everybody's `values`, the same bits for all."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return values


def share_gradients(model: torch.nn.Module, peers: Peers) -> None:
    """Replace each gradient by the sum over all peers, in one exchange."""
    if peers.size == 1:
        return
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    summed = peers.total(torch.cat([gradient.flatten() for gradient in gradients]))
    for parameter, part in zip(parameters, summed.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)
