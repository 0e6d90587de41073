"""RLlib modules: what both algorithms share, and the networks of PPO, behind RLlib's own interfaces."""

from __future__ import annotations

from typing import Any, NamedTuple

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
from agents.networks import QUIET_GAIN, Perception, PolicyBody, mlp
from data_pipeline.errors import InputError

MEMORY, STARTS, PLACES, MASKS = "memory", "starts", "places", "masks"  # columns of a batch besides RLlib's


class Exploration(NamedTuple):
    """What a module does in one step of N lanes."""

    actions: torch.Tensor
    """(N, K) in the head's units."""
    logp: torch.Tensor
    """(N,) log-probability; zeros for a deterministic policy."""
    memory: torch.Tensor
    """(N, S) after the step."""


class BatchedModule(TorchRLModule):
    """What the modules share: perception, and that they have one mode, where RLlib walks the whole module before every
    step to set it."""

    perception: Perception
    mask_actions: bool

    def perceive(self, network: NetworkConfig) -> None:
        """Make the perception; first of all networks, for a policy's weights must not depend on what else there is."""
        size = int(self.observation_space.shape[0])
        self.perception = Perception(size, self.model_config["account_columns"], network)
        self.mask_actions = network.mask_actions

    @property
    def state_size(self) -> int:
        """Numbers of memory per lane."""
        return self.perception.state_size

    @property
    def noise_state_size(self) -> int:
        """Numbers per lane that exploration noise carries from one fragment to the next."""
        return 0

    def features(self, batch: dict[str, Any]) -> torch.Tensor:
        """What the trunks read, (N, F): of observations (N, D) with their memory (N, S); or, where the batch has
        `starts`, of whole lanes (L, T, D) from their first memory (L, S), of which `places` (N,) picks some rows."""
        observations = batch[Columns.OBS]
        if STARTS in batch:
            features = self.perception.sequence(observations, batch[MEMORY], batch[STARTS]).flatten(0, 1)
            return features.index_select(0, batch[PLACES]) if PLACES in batch else features
        memory = batch.get(MEMORY)
        return self.perception.step(observations, observations[:, :0] if memory is None else memory)[0]

    def forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward_train(batch, **kwargs)


class PPOModule(BatchedModule, InferenceOnlyAPI, ValueFunctionAPI):
    """Policy and value networks over one perception (normaliser and encoder), with separate trunks or a shared one.

    `model_config` holds `network` (`NetworkConfig`), `account_columns` (how many of the last observation columns are
    the account's, which encoders do not read), `log_std` (initial, for boxes), and how an untrained policy trades when
    `side_column` names the observation that tells the held side: `flat_bias` is added to the logit of flat, `hold_bias`
    to that of the side held (for boxes `hold_mean` × side is the first mean). Without them a random policy flips its
    position every bar, pays fees for it, and learns to stay out before it has ever held a position that pays.
    """

    head: ActionHead
    pi: PolicyBody
    vf: nn.Sequential

    def setup(self) -> None:
        self.head = action_head(self.action_space)
        settings, side = self.model_config, self.model_config["side_column"]
        network = NetworkConfig(**settings["network"])
        hidden, self.shared_trunk = network.hidden, network.shared_trunk
        self.perceive(network)
        size = self.perception.width
        if isinstance(self.head, GaussianHead):
            if network.mask_actions:
                raise InputError("continuous actions have no mask", where="agents", remedy="unset mask_actions")
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
            self.vf = mlp(*((hidden[-1], ()) if self.shared_trunk else (size, hidden)), 1, gain=QUIET_GAIN)

    def get_non_inference_attributes(self) -> list[str]:
        return ["vf"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features = self.features(batch)
        return {Columns.ACTION_DIST_INPUTS: self._inputs(self.pi(features), batch.get(MASKS))}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Inputs of the action distribution, and what `compute_values` takes as embeddings."""
        features = self.features(batch)
        if self.shared_trunk:
            outputs, features = self.pi.with_trunk(features)
        else:
            outputs = self.pi(features)
        return {Columns.ACTION_DIST_INPUTS: self._inputs(outputs, batch.get(MASKS)), Columns.EMBEDDINGS: features}

    def _inputs(self, outputs: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
        if isinstance(self.head, GaussianHead):
            return torch.cat([outputs, self.log_std.expand_as(outputs)], -1)
        return outputs if masks is None else self.head.masked(outputs, masks)

    def draw_noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], sampled: int, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Noise for `explore`, drawn for a whole fragment at once: (*shape, noise size). It has no memory."""
        return self.head.noise(rng, shape), state

    def explore(
        self,
        observations: torch.Tensor,
        noise: torch.Tensor,
        sampled: int,
        memory: torch.Tensor,
        masks: torch.Tensor | None,
    ) -> Exploration:
        """Actions drawn for observations (N, D), given memory (N, S) and the allowed actions bool (N, A), if any."""
        features, memory = self.perception.step(observations, memory)
        inputs = self._inputs(self.pi(features), masks)
        actions = self.head.sample(inputs, noise)
        return Exploration(actions, self.head.logp(inputs, actions), memory)

    def compute_values(self, batch: dict[str, Any], embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """V (N,) of the batch's rows, or of the embeddings that `_forward_train` found for them."""
        if embeddings is None:
            features = self.features(batch)
            embeddings = self.pi.net[:-1](features) if self.shared_trunk else features
        return self.vf(embeddings).squeeze(-1)


def _categorical(head: CategoricalHead, space: gym.Space) -> type:
    if head.scalar:
        return TorchCategorical
    return TorchMultiCategorical.get_partial_dist_cls(space=space, input_lens=list(head.sizes))
