"""Mixins that make RLlib's learners and runners follow our choice of device.

RLlib knows CUDA only: asking it for a GPU where Ray counts an Intel one ends in `torch.cuda`. So the algorithms here
reserve no GPU through RLlib (`num_gpus_per_learner=0`) and these mixins decide the device instead.
"""

from __future__ import annotations

from typing import Any

import torch

from supervised.devices import resolve_device


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
