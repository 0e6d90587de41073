"""The part of a trained module that acts, as a plain torch module: it is what serves and what is exported."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agents.heads import CategoricalHead, action_head
from agents.networks import Perception, PolicyBody
from agents.policy_spec import PolicySpec
from data_pipeline.errors import InputError

SIDE, RESTRICTED = "account_side", "account_restricted"


class PolicyNetwork(nn.Module):
    """Greedy actions in the environment's space, the network's raw outputs, and its memory after the row.

    Forward: observations float32 (N, D), and memory float32 (N, S) where S > 0 -> (actions, outputs), and memory.
    Outputs are logits (N, sum of choices) for discrete spaces, and for boxes the action (N, K) in units of half the
    range, before clipping.

    A policy that learned with masks rules out here what the observation itself tells to be impossible: shorts where
    nothing can be shorted, and under a circuit breaker all but flat or the side held. The masks it learned with knew
    two things more, the breakers of the bar to come and whether it can be traded at all; there an impossible action
    means flat, as it does for every policy.
    """

    low: torch.Tensor
    half_range: torch.Tensor

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.head = action_head(spec.action_space)
        width = self.head.num_inputs if isinstance(self.head, CategoricalHead) else self.head.num_actions
        self.perception = Perception(len(spec.observation_columns), spec.account_columns, spec.network)
        self.masks = _Masks(spec) if spec.network.mask_actions else None
        body = PolicyBody(self.perception.width, spec.network.hidden, width)
        self.pi = nn.Sequential(body, nn.Tanh()) if spec.algorithm == "ddpg" else body
        if not isinstance(self.head, CategoricalHead):
            low, high = torch.tensor(self.head.low), torch.tensor(self.head.high)
            self.register_buffer("low", low, persistent=False)
            self.register_buffer("half_range", (high - low) / 2.0, persistent=False)

    @property
    def state_size(self) -> int:
        """Numbers of memory per lane."""
        return self.perception.state_size

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take what belongs to the policy of a trained module's weights; KeyError when something is missing."""
        self.load_state_dict({name: torch.from_numpy(weights[name]) for name in self.state_dict()})

    def forward(self, observations: torch.Tensor, memory: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        features, memory = self.perception.step(observations, observations[:, :0] if memory is None else memory)
        answer = self._answer(self.pi(features), observations)
        return (*answer, memory) if self.state_size else answer

    def _answer(self, outputs: torch.Tensor, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(self.head, CategoricalHead):
            if self.masks is not None:
                outputs = self.head.masked(outputs, self.masks(observations))
            actions = self.head.greedy(outputs)
            return (actions[:, 0] if self.head.scalar else actions), outputs
        return self.low + (outputs.clamp(-1.0, 1.0) + 1.0) * self.half_range, outputs


class _Masks(nn.Module):
    """Which actions an observation allows, bool (N, A): flat, long, short, then brackets, which are always allowed."""

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        missing = [name for name in (SIDE, RESTRICTED) if name not in spec.observation_columns]
        if missing or not spec.choices or spec.choices[0] != 3:
            raise InputError(
                f"mask_actions without {missing or 'sides to choose'}", where="policy", remedy="unset mask_actions"
            )
        self.side, self.restricted = (spec.observation_columns.index(name) for name in (SIDE, RESTRICTED))
        self.shortable, self.brackets = spec.shortable, sum(spec.choices[1:])

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        held, restricted = observations[:, self.side], observations[:, self.restricted]
        free, reducing = restricted < 0.25, (restricted >= 0.25) & (restricted < 0.75)  # stopped is 1
        long = free | (reducing & (held > 0.0))
        short = (free | (reducing & (held < 0.0))) & self.shortable
        flat = torch.ones_like(long)
        return torch.stack([flat, long, short, *[flat] * self.brackets], 1)
