"""RLlib modules: what both algorithms share, and the networks of PPO, behind RLlib's own interfaces."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from agents.config import NetworkConfig
from agents.heads import ActionHead, CategoricalHead, GaussianHead, action_head
from agents.networks import QUIET_GAIN, PolicyBody, mlp


class BatchedModule(TorchRLModule):
    """RLlib walks the whole module to set training mode before every step; nothing here has two modes."""

    def forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward_train(batch, **kwargs)


class PPOModule(BatchedModule, InferenceOnlyAPI, ValueFunctionAPI):
    """Policy and value networks with separate trunks.

    `model_config` holds `network` (`NetworkConfig`), `log_std` (initial, for boxes), and how an untrained policy
    trades when `side_column` names the observation that tells the held side: `flat_bias` is added to the logit of flat,
    `hold_bias` to that of the side held (for boxes `hold_mean` × side is the first mean). Without them a random policy
    flips its position every bar, pays fees for it, and learns to stay out before it has ever held a position that pays.
    """

    head: ActionHead
    pi: PolicyBody
    vf: nn.Sequential

    def setup(self) -> None:
        self.head = action_head(self.action_space)
        settings, size = self.model_config, int(self.observation_space.shape[0])
        hidden, side = NetworkConfig(**settings["network"]).hidden, settings["side_column"]
        if isinstance(self.head, GaussianHead):
            self.pi = PolicyBody(size, hidden, self.head.num_actions)
            self.log_std = nn.Parameter(torch.full((self.head.num_actions,), float(settings["log_std"])))
            self.action_dist_cls = TorchDiagGaussian
            if side is not None:
                self.pi.lean(0, column=side, weight=settings["hold_mean"])
        else:
            self.pi = PolicyBody(size, hidden, self.head.num_inputs)
            self.action_dist_cls = _categorical(self.head, self.action_space)
            if side is not None:
                flat, long, short = 0, 1, 2
                self.pi.lean(flat, bias=settings["flat_bias"])
                self.pi.lean(long, column=side, weight=settings["hold_bias"])
                self.pi.lean(short, column=side, weight=-settings["hold_bias"])
        if not self.inference_only:
            self.vf = mlp(size, hidden, 1, gain=QUIET_GAIN)

    def get_non_inference_attributes(self) -> list[str]:
        return ["vf"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        outputs = self.pi(batch[Columns.OBS])
        if isinstance(self.head, GaussianHead):
            outputs = torch.cat([outputs, self.log_std.expand_as(outputs)], -1)
        return {Columns.ACTION_DIST_INPUTS: outputs}

    _forward_train = _forward

    def draw_noise(self, rng: np.random.Generator, shape: tuple[int, ...], sampled: int) -> NDArray[np.float32]:
        """Noise for `explore`, drawn for a whole fragment at once: (*shape, noise size)."""
        return self.head.noise(rng, shape)

    def explore(
        self, observations: torch.Tensor, noise: torch.Tensor, sampled: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions (N, K) drawn for observations (N, D), and their log-probability (N,)."""
        inputs = self._forward({Columns.OBS: observations})[Columns.ACTION_DIST_INPUTS]
        actions = self.head.sample(inputs, noise)
        return actions, self.head.logp(inputs, actions)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """V (N,) of observations (N, D)."""
        return self.vf(batch[Columns.OBS]).squeeze(-1)


def _categorical(head: CategoricalHead, space: gym.Space) -> type:
    if head.scalar:
        return TorchCategorical
    return TorchMultiCategorical.get_partial_dist_cls(space=space, input_lens=list(head.sizes))
