"""What a network's outputs mean as actions: sampling, log-probability, entropy and the greedy choice, without
distribution objects (their validation costs more than the network on small batches).

An action here has one row per lane: int64 (N, K) choices for (multi-)discrete spaces, float32 (N, K) in units of half
the range for boxes. `to_env` turns it into what the environment's space holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from data_pipeline.errors import InputError

SMALLEST_UNIFORM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class CategoricalHead:
    """K independent choices among `sizes` options each; the inputs are their logits, side by side."""

    sizes: tuple[int, ...]
    scalar: bool = False  # Discrete: the environment takes (N,), not (N, 1)
    dtype: ClassVar[type] = np.int64

    @property
    def num_inputs(self) -> int:
        return sum(self.sizes)

    @property
    def num_actions(self) -> int:
        return len(self.sizes)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard Gumbel noise (*shape, num_inputs): the largest of logits + noise is a sample of the softmax."""
        uniform = rng.random((*shape, self.num_inputs), dtype=np.float32)
        return -np.log(-np.log(np.maximum(uniform, SMALLEST_UNIFORM)))

    def sample(self, inputs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Actions (N, K) drawn from the distribution with the given noise (N, num_inputs)."""
        return self.greedy(inputs + noise)

    def greedy(self, inputs: torch.Tensor) -> torch.Tensor:
        """The likeliest actions (N, K)."""
        return torch.stack([part.argmax(-1) for part in inputs.split(self.sizes, -1)], -1)

    def masked(self, inputs: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """The logits with those of options that bool `masks` (N, num_inputs) rules out so low that their probability is
        0, and finite still: minus infinity would make the entropy NaN."""
        return inputs.masked_fill(~masks, torch.finfo(inputs.dtype).min / 2)

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probability (N,) of actions (N, K)."""
        return self.logp_entropy(inputs, actions)[0]

    def logp_entropy(self, inputs: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability (N,) of actions (N, K), and the entropy (N,) of the distribution."""
        logp = torch.zeros_like(inputs[:, 0])
        entropy = torch.zeros_like(logp)
        for k, part in enumerate(inputs.split(self.sizes, -1)):
            # Options down, rows along: torch normalises long contiguous rows several times as fast as many short ones.
            log_probs = torch.log_softmax(part.t().contiguous(), 0)
            logp = logp + log_probs.gather(0, actions[None, :, k])[0]
            entropy = entropy - (log_probs.exp() * log_probs).sum(0)
        return logp, entropy

    def to_env(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Actions in the environment's space."""
        return actions[:, 0] if self.scalar else actions


@dataclass(frozen=True)
class GaussianHead:
    """K independent Gaussians; the inputs are K means and K log standard deviations, in units of half the range.

    The log-probability is that of the unclipped draw; the environment gets it clipped to the box.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: ClassVar[type] = np.float32

    @property
    def num_inputs(self) -> int:
        return 2 * len(self.low)

    @property
    def num_actions(self) -> int:
        return len(self.low)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Standard normal noise (*shape, K)."""
        return rng.standard_normal((*shape, self.num_actions), dtype=np.float32)

    def sample(self, inputs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Actions (N, K) drawn from the distribution with the given noise (N, K)."""
        mean, log_std = inputs.chunk(2, -1)
        return mean + log_std.exp() * noise

    def greedy(self, inputs: torch.Tensor) -> torch.Tensor:
        """The means (N, K)."""
        return inputs[:, : self.num_actions]

    def logp(self, inputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-density (N,) of actions (N, K)."""
        return self.logp_entropy(inputs, actions)[0]

    def logp_entropy(self, inputs: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-density (N,) of actions (N, K), and the differential entropy (N,) of the distribution."""
        mean, log_std = inputs.chunk(2, -1)
        z = (actions - mean) * (-log_std).exp()
        logp = -(0.5 * z * z + log_std + 0.5 * math.log(2.0 * math.pi)).sum(-1)
        entropy = (log_std + 0.5 * math.log(2.0 * math.pi * math.e)).sum(-1)
        return logp, entropy

    def to_env(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions clipped to the box and scaled to its bounds."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        return low + (np.clip(actions, -1.0, 1.0) + 1.0) * (0.5 * (high - low))


ActionHead = CategoricalHead | GaussianHead


def action_head(space: gym.Space) -> ActionHead:
    """The head that belongs to an action space.

    Raises:
        InputError: the space is not Discrete, MultiDiscrete or a bounded one-dimensional Box.
    """
    if isinstance(space, gym.spaces.Discrete) and space.start == 0:
        return CategoricalHead((int(space.n),), scalar=True)
    if isinstance(space, gym.spaces.MultiDiscrete) and space.nvec.ndim == 1 and not np.any(space.start):
        return CategoricalHead(tuple(int(n) for n in space.nvec))
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded():
        return GaussianHead(tuple(map(float, space.low)), tuple(map(float, space.high)))
    raise InputError(
        f"action space {space} is not supported", where="agents", remedy="use Discrete, MultiDiscrete or a bounded Box"
    )
