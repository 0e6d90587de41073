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


class PolicyNetwork(nn.Module):
    """Greedy actions in the environment's space, and the network's raw outputs.

    Forward: observations float32 (N, D) -> (actions, outputs). Outputs are logits (N, sum of choices) for discrete
    spaces, and for boxes the action (N, K) in units of half the range, before clipping.
    """

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.head = action_head(spec.action_space)
        width = self.head.num_inputs if isinstance(self.head, CategoricalHead) else self.head.num_actions
        self.perception = Perception(len(spec.observation_columns), spec.account_columns, spec.network)
        body = PolicyBody(self.perception.width, spec.network.hidden, width)
        self.pi = nn.Sequential(body, nn.Tanh()) if spec.algorithm == "ddpg" else body
        if not isinstance(self.head, CategoricalHead):
            low, high = torch.tensor(self.head.low), torch.tensor(self.head.high)
            self.register_buffer("low", low, persistent=False)
            self.register_buffer("half_range", (high - low) / 2.0, persistent=False)

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take what belongs to the policy of a trained module's weights; KeyError when something is missing."""
        self.load_state_dict({name: torch.from_numpy(weights[name]) for name in self.state_dict()})

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, _ = self.perception.step(observations, observations[:, :0])
        outputs = self.pi(features)
        if isinstance(self.head, CategoricalHead):
            actions = self.head.greedy(outputs)
            return (actions[:, 0] if self.head.scalar else actions), outputs
        return self.low + (outputs.clamp(-1.0, 1.0) + 1.0) * self.half_range, outputs
