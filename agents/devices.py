"""Mixins that make RLlib's learners and runners follow our choice of device.

RLlib knows CUDA only: asking it for a GPU where Ray counts an Intel one ends in `torch.cuda`. So these mixins decide
the device, and what Ray sets aside for a learner on an XPU is a custom resource.
"""

from __future__ import annotations

from typing import Any

import ray
import torch

from agents.peers import local_rank
from data_pipeline.errors import InputError
from supervised.devices import RESOURCES, device_count, resolve_device


def learner_place(device: str, learners: int) -> str:
    """The device as the learners' setting: checked here, if they run here.

    Args:
        device: auto, cpu, cuda[:i], xpu[:i].
        learners: actors that learn, perhaps on other machines than this one; 0: this process.

    Raises:
        InputError: the device is not present, or several learners are sent to the same one.
    """
    if learners == 0 or device == "auto":
        device = str(resolve_device(device))
        return device if learners == 0 else device.partition(":")[0]
    if learners > 1 and ":" in device:
        raise InputError(
            f"device {device!r} for {learners} learners", where="scale.learners", remedy="leave out the index"
        )
    return device


def reserved(device: str, learners: int) -> dict[str, int]:
    """What Ray must set aside for each learner actor: one device of its kind, by the names in `RESOURCES`."""
    kind = RESOURCES.get(device.partition(":")[0])
    return {kind: 1} if kind and learners else {}


class LearnerDeviceMixin:
    """Put a `TorchLearner` on `config.learner_device`; several learners of a machine on one device each.

    RLlib's `build` assigns `self._device` from its own CUDA-only lookup. A property swallows that assignment, so that
    everything later (module, batches, optimizer state, schedulers, restore) goes to our device.
    """

    config: Any
    _place: torch.device | None = None

    @property
    def _device(self) -> torch.device:
        if self._place is None:
            self._place = _own_device(self.config.learner_device, self.config.num_learners)
        return self._place

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


def _own_device(name: str, learners: int) -> torch.device:
    """The device of this learner; all learners of a group ask at the same time."""
    found = resolve_device(name)
    if learners < 2 or found.type == "cpu":
        return found
    before = local_rank(torch.distributed.get_rank(), ray.get_runtime_context().get_node_id())
    # Ray lets a learner see only its own CUDA device, but all XPUs.
    return torch.device(found.type, before % device_count(found.type))
