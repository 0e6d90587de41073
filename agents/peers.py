"""The learners of one run: how they find each other, share gradients, and stay alike.

RLlib wraps each learner's module in DistributedDataParallel, which expects every parameter to have a gradient in every
step; with a delayed policy that does not hold. Here gradients travel in one exchange per step, with nothing wrapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
from ray.rllib.core.learner import learner_group

from supervised.peers import Alone, Peers

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl", "xpu": "cpu:gloo,xpu:xccl"}
"""How learners talk, by where they compute: CPU tensors by gloo, those of a device by what its maker offers."""


@contextmanager
def learner_backend(device: str) -> Iterator[None]:
    """Learner groups built inside talk by the backend of `device` (auto, cpu, cuda[:i], xpu[:i]).

    RLlib leaves the choice to Ray Train, which knows NCCL and gloo only, and offers no setting for it; so the function
    that it asks is replaced meanwhile. `peers_of` notices if it asks another one some day.
    """
    backend = BACKENDS.get(device.partition(":")[0])
    stock = learner_group._get_backend_config

    def chosen(learner_class: Any) -> Any:
        config = stock(learner_class)
        config.backend = backend or config.backend
        return config

    learner_group._get_backend_config = chosen
    try:
        yield
    finally:
        learner_group._get_backend_config = stock


def peers_of(device: torch.device) -> Peers:
    """All learners of the process group that this process is in; nobody else without one.

    Raises:
        RuntimeError: the group was made without the backend that the device needs.
    """
    if not (torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        return Alone()
    found = torch.distributed.get_backend_config()
    wanted = BACKENDS.get(device.type, "gloo").rpartition(",")[2]
    if wanted not in found:
        raise RuntimeError(f"learners on {device.type} need {wanted}, RLlib connected them by {found}")
    return Learners(on_host=device.type not in BACKENDS)


class Learners:
    """The learners of a process group (see `supervised.peers.Peers`).

    Args:
        on_host: exchange by way of the CPU, for devices that have no backend of their own.
    """

    def __init__(self, *, on_host: bool) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._on_host = on_host

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of everybody's `values`, on the device where they are."""
        summed = values.detach().to("cpu" if self._on_host else values.device, copy=True)
        torch.distributed.all_reduce(summed)
        return summed.to(values.device)


def mean(values: torch.Tensor, peers: Peers) -> torch.Tensor:
    """The mean of everybody's `values`; not finite where anybody's is not."""
    return values if peers.size == 1 else peers.total(values) / peers.size


def average_gradients(parameters: Iterable[torch.nn.Parameter], peers: Peers) -> None:
    """Replace each gradient by its mean over all learners, in one exchange. All must have the same ones."""
    if peers.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]), peers)
    for gradient, part in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def follow_first(module: torch.nn.Module, peers: Peers) -> None:
    """Everybody takes over the weights and buffers of the first learner."""
    if peers.size == 1:
        return
    for value in module.state_dict().values():
        value.copy_(peers.total(value if peers.rank == 0 else torch.zeros_like(value)))


def local_rank(rank: int, host: str) -> int:
    """How many learners before this one are on the same machine.

    Args:
        rank: of this learner.
        host: any name of the machine that no other machine has.
    """
    hosts: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(hosts, host)
    return hosts[:rank].count(host)
