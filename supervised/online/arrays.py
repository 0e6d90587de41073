"""State as named arrays: what goes into one .npz file without pickle, and comes back to the bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


def prefixed(name: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Every key with `name.` in front."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


def part(arrays: Mapping[str, np.ndarray], name: str) -> Arrays:
    """What `prefixed` put under `name`."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def json_array(value: Any) -> np.ndarray:
    """A JSON value as bytes, uint8 (N,)."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def json_value(array: np.ndarray) -> Any:
    """Back from `json_array`."""
    return json.loads(array.tobytes())


def weights_of(model: torch.nn.Module) -> Arrays:
    """A copy of the parameters and buffers."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def load_weights(model: torch.nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Back from `weights_of`, into a model of the same shape."""
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
