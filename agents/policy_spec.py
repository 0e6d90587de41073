"""What a trained policy is, in plain values: enough to rebuild its network, and to check that a market fits it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from agents.config import NetworkConfig
from data_pipeline.errors import InputError
from envs.observation import ACCOUNT_COLUMNS

SpaceKind = Literal["discrete", "multi_discrete", "box"]


@dataclass(frozen=True)
class PolicySpec:
    """Travels as JSON beside the weights of a checkpoint and inside an ONNX file's metadata."""

    algorithm: str
    """ppo or ddpg."""
    network: NetworkConfig
    """Shape of the policy network."""
    space: SpaceKind
    """Kind of action space; in the market discrete, multi_discrete and continuous (box)."""
    choices: tuple[int, ...]
    """Options of each choice; empty for a box."""
    low: tuple[float, ...]
    """Lower bounds of a box; empty otherwise."""
    high: tuple[float, ...]
    """Upper bounds of a box; empty otherwise."""
    observation_columns: tuple[str, ...]
    """Names of the D observation columns, in order."""
    market: dict[str, Any]
    """Settings of the market it was trained in (`MarketConfig` as a dict)."""
    iteration: int
    """Training iterations behind these weights."""
    shortable: bool = True
    """Whether every market it was trained on can be sold short."""
    seen: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    """Days that make no evidence for it: (symbol, first, last open time in ms) of the markets it was "trained" on and
    of those it was "selected" by. Empty: it is not known."""

    def __post_init__(self) -> None:
        # As it will be read back (lists for tuples), so that a policy and its saved copy are equal.
        for name in ("market", "seen"):
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))

    @property
    def action_space(self) -> gym.Space:
        """The space that actions come from."""
        if self.space == "discrete":
            return gym.spaces.Discrete(self.choices[0])
        if self.space == "multi_discrete":
            return gym.spaces.MultiDiscrete(list(self.choices))
        return gym.spaces.Box(np.asarray(self.low, np.float32), np.asarray(self.high, np.float32))

    @property
    def account_columns(self) -> int:
        """How many of the last observation columns tell of the account, not of the market."""
        count = len(ACCOUNT_COLUMNS)
        return count if self.observation_columns[-count:] == ACCOUNT_COLUMNS else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> PolicySpec:
        """The spec stored in `where`; fields of newer versions are ignored, the last two may be absent.

        Raises:
            InputError: a field is missing.
        """
        names = [each.name for each in fields(cls)]
        missing = [name for name in names if name not in values and name not in ("seen", "shortable")]
        if missing:
            raise InputError(f"policy field {missing[0]!r} is missing", where=where, remedy="save the policy again")
        known: dict[str, Any] = {name: values[name] for name in names if name in values}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        shape = {each.name for each in fields(NetworkConfig)}
        known["network"] = NetworkConfig(**{name: known["network"][name] for name in shape & known["network"].keys()})
        return cls(**known)


def space_fields(space: gym.Space) -> dict[str, Any]:
    """The fields `space`, `choices`, `low`, `high` that describe an action space."""
    if isinstance(space, gym.spaces.Box):
        bounds = {"low": tuple(map(float, space.low)), "high": tuple(map(float, space.high))}
        return {"space": "box", "choices": (), **bounds}
    if isinstance(space, gym.spaces.Discrete):
        return {"space": "discrete", "choices": (int(space.n),), "low": (), "high": ()}
    assert isinstance(space, gym.spaces.MultiDiscrete)
    return {"space": "multi_discrete", "choices": tuple(int(n) for n in space.nvec), "low": (), "high": ()}
