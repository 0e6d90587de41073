"""The networks of DDPG and TD3 behind RLlib's own interfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDeterministic
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from torch import nn

from agents.config import NetworkConfig
from agents.critics import CriticEnsemble
from agents.exploration import ornstein_uhlenbeck, scale_after, to_uniform
from agents.heads import ActionHead, action_head
from agents.modules import MEMORY, BatchedModule, Exploration
from agents.networks import PolicyBody

NEXT_MEMORY = "new_memory"  # column of a batch: memory before the next observation


class DDPGModule(BatchedModule, InferenceOnlyAPI, TargetNetworkAPI):
    """A tanh policy, one or two critics, and their targets. Actions are in units of half the range, in [-1, 1].

    `model_config` holds `network` (`NetworkConfig`), `twin_critics`, and the exploration: `warmup_rows` of uniform
    actions, then noise of `noise_kind` (gaussian, or ou with `noise_reversion`) whose standard deviation falls from
    `noise` to `noise_final` over the first `noise_rows` sampled rows.
    """

    head: ActionHead
    pi: nn.Sequential
    critics: CriticEnsemble

    def setup(self) -> None:
        self.head = action_head(self.action_space)
        network = NetworkConfig(**self.model_config["network"])
        self.perceive(network)
        hidden, size, actions = network.hidden, self.perception.width, self.head.num_actions
        body = PolicyBody(size, hidden, actions)
        if self.model_config["side_column"] is not None:
            body.lean(0, column=self.model_config["side_column"], weight=self.model_config["hold_mean"])
        self.pi = nn.Sequential(body, nn.Tanh())
        self.action_dist_cls = TorchDeterministic
        if not self.inference_only:
            self.critics = CriticEnsemble(size + actions, hidden, 2 if self.model_config["twin_critics"] else 1)

    def get_non_inference_attributes(self) -> list[str]:
        return ["critics", "target_pi", "target_critics"]

    def make_target_networks(self) -> None:
        self.target_pi = make_target_network(self.pi)
        self.target_critics = make_target_network(self.critics)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.pi, self.target_pi), (self.critics, self.target_critics)]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTIONS: self.pi(self.features(batch))}

    @property
    def noise_state_size(self) -> int:
        return self.head.num_actions if self.model_config["noise_kind"] == "ou" else 0

    def draw_noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], sampled: int, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Noise for `explore` (*shape, K) after `sampled` rows and `state` (N, `noise_state_size`), and the state after
        it: evenly spread actions during warm-up, then noise of a falling scale, both with the memory of its kind."""
        settings, size = self.model_config, (*shape, self.head.num_actions)
        if self.noise_state_size:
            noise, state = ornstein_uhlenbeck(rng, size, settings["noise_reversion"], state)
        else:
            noise = rng.standard_normal(size, dtype=np.float32)
        if sampled < settings["warmup_rows"]:
            return to_uniform(noise), state
        scale = scale_after(sampled, settings["noise_rows"], settings["noise"], settings["noise_final"])
        return noise * np.float32(scale), state

    def explore(
        self,
        observations: torch.Tensor,
        noise: torch.Tensor,
        sampled: int,
        memory: torch.Tensor,
        masks: torch.Tensor | None,
    ) -> Exploration:
        """Actions for observations (N, D) after `sampled` rows of training, given memory (N, S)."""
        features, memory = self.perception.step(observations, memory)
        if sampled < self.model_config["warmup_rows"]:
            actions = noise
        else:
            actions = (self.pi(features) + noise).clamp(-1.0, 1.0)
        return Exploration(actions, torch.zeros_like(actions[:, 0]), memory)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Q (critics, N) of the stored actions, and Q (N,) of the policy's own actions from the first critic.

        The second sees the critic's weights as constants, so one backward pass of (critic loss - policy value) gives
        each network its own gradient and nothing else. An encoder learns from the critics alone (as in DrQ-v2, Yarats
        et al. 2021).
        """
        features, actions = self.features(batch), batch[Columns.ACTIONS]
        stored = torch.cat([features, actions], -1)
        features = features.detach()
        own = torch.cat([features, self.pi(features)], -1)
        return {
            "q": self.critics(stored),
            "q_policy": self.critics.first_as_constant(own),
        }

    @torch.no_grad()
    def forward_target(self, batch: dict[str, Any]) -> torch.Tensor:
        """Smallest target Q (N,) at the next observation, for the target policy's action plus `target_noise`."""
        following = {Columns.OBS: batch[Columns.NEXT_OBS]}
        if NEXT_MEMORY in batch:
            following[MEMORY] = batch[NEXT_MEMORY]
        features = self.features(following)
        actions = (self.target_pi(features) + batch["target_noise"]).clamp(-1.0, 1.0)
        return self.target_critics(torch.cat([features, actions], -1)).amin(0)
