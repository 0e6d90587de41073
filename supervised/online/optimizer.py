"""The optimizer of a student, and its state as arrays."""

from __future__ import annotations

import numpy as np
import torch

from supervised.base import CausalModel
from supervised.online.arrays import Arrays
from supervised.online.config import LearningConfig


def build_optimizer(model: CausalModel, config: LearningConfig) -> torch.optim.Optimizer:
    """Over the parameters that may learn."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=config.learning_rate)
    return torch.optim.Adam(parameters, lr=config.learning_rate)


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> Arrays:
    """Step counts and moments: `{parameter number}.{name}`. Settings are not part of it."""
    return {
        f"{number}.{name}": value.detach().cpu().numpy().copy()
        for number, slots in optimizer.state_dict()["state"].items()
        for name, value in slots.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, arrays: Arrays) -> None:
    """Back from `optimizer_arrays`, into one that was built the same way."""
    state = optimizer.state_dict()
    for key, array in arrays.items():
        number, name = key.split(".", 1)
        state["state"].setdefault(int(number), {})[name] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict(state)
