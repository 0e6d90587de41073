"""A start from demonstrations: the policy network learns what a demonstrator wanted, before any reinforcement.

What endangers a cloned policy then is a critic that knows nothing. So only the critic learns at first
(`CloningSettings.critic_rows`), and DDPG's replay begins with the demonstrations, among them what was done wrong, from
which its critic learns why it was wrong. The encoder of a network with memory, and a shared trunk, are the critic's as
much as the policy's, and do move meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from agents.algorithm import BatchedAlgorithm
from agents.config import CloningSettings
from agents.ddpg import DDPG
from agents.heads import ActionHead, CategoricalHead
from agents.learner import GuardedLearner, to_device
from agents.modules import MEMORY, PLACES, STARTS
from agents.normaliser import moment_sums
from agents.runner import Rollout
from agents.sequences import whole_lanes

SMOOTHING = 0.02
"""Probability that a cloned choice leaves to all options together: without it exploration ends before it begins."""
LARGEST_MEAN = 0.95
"""Of cloned continuous actions, in half ranges: a tanh that reaches 1 has no slope left to learn by."""
LAST_RATE = 0.1  # of the first learning rate


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """What was seen and done in N lanes for T steps, and what the demonstrator wanted there."""

    rollout: Rollout
    """With actions as they were carried out, which may differ from what was wanted."""
    wanted: NDArray[Any]
    """(N, T, K) in the head's units."""


def clone(algorithm: BatchedAlgorithm, demonstrations: Demonstrations, settings: CloningSettings) -> dict[str, float]:
    """Let the policy of a fresh algorithm learn from demonstrations; runners get its weights.

    Every learner computes the same from the same rows and the same seed, so they need not agree on anything. DDPG's
    replay takes the demonstrations in.

    Returns:
        `cloning/loss`, of the last epoch, and `cloning/agreement`: how often the cloned policy chooses the wanted side.
    """
    work = partial(_clone_in, demonstrations=demonstrations, settings=settings)
    found = [result.get() for result in algorithm.learner_group.foreach_learner(work)]
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
    )
    if isinstance(algorithm, DDPG):
        algorithm.replay.add(demonstrations.rollout)
    loss, agreement = found[0]
    return {"cloning/loss": loss, "cloning/agreement": agreement}


def _clone_in(
    learner: GuardedLearner, demonstrations: Demonstrations, settings: CloningSettings
) -> tuple[float, float]:
    """Clone within a learner's process and on its device; returns the last epoch's loss and agreement."""
    net, device = learner._net, learner._device
    pupil = copy.deepcopy(net)  # so that the learner's own gradients and moments stay as they were made
    if pupil.perception.normaliser is not None:
        seen = demonstrations.rollout.observations[:, :-1][demonstrations.rollout.valid]
        pupil.perception.normaliser.take_in(moment_sums(seen, pupil.perception.market))
    parameters = [*pupil.perception.parameters(), *pupil.pi.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    decay = LAST_RATE ** (1.0 / max(1, settings.epochs - 1))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    rng = np.random.default_rng(learner.config.seed)
    told = torch.zeros(2, device=device)
    for _ in range(settings.epochs):
        figures = []
        for batch, wanted in _minibatches(pupil, demonstrations, settings.batch, rng, device):
            outputs = _policy_outputs(pupil, batch)
            loss = cloning_loss(pupil.head, outputs, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            figures.append(torch.stack([loss.detach(), _agreement(pupil.head, outputs.detach(), wanted)]))
        schedule.step()
        told = torch.stack(figures).mean(0)
    net.load_state_dict(pupil.state_dict())
    if hasattr(net, "target_pi"):
        net.target_pi.load_state_dict(net.pi.state_dict())
    loss_value, agreement = told.cpu().tolist()
    return loss_value, agreement


def cloning_loss(head: ActionHead, outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean smoothed cross-entropy of choices, or mean squared miss of continuous actions in half ranges.

    Args:
        head: what the outputs mean.
        outputs: (N, inputs of the head) logits, or (N, K) actions.
        wanted: (N, K).
    """
    if isinstance(head, CategoricalHead):
        parts = outputs.split(head.sizes, -1)
        losses = [
            torch.nn.functional.cross_entropy(part, wanted[:, k], label_smoothing=SMOOTHING)
            for k, part in enumerate(parts)
        ]
        return torch.stack(losses).sum()
    return (outputs - wanted.clamp(-LARGEST_MEAN, LARGEST_MEAN)).square().mean()


def _agreement(head: ActionHead, outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Share of the rows whose side is the wanted one; a continuous size counts by the nearest of -1, 0, 1."""
    if isinstance(head, CategoricalHead):
        return (head.greedy(outputs)[:, 0] == wanted[:, 0]).float().mean()
    return (outputs[:, 0].round() == wanted[:, 0].round()).float().mean()


def _policy_outputs(net: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits, or actions before clipping: what `PolicyNetwork` serves."""
    return net.pi(net.features(batch))


def _minibatches(
    net: Any, demonstrations: Demonstrations, size: int, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """One pass over the valid rows in random order, `size` at a time; whole lanes for networks with memory."""
    rollout = demonstrations.rollout
    lanes, steps = rollout.valid.shape
    wanted = demonstrations.wanted.reshape(lanes * steps, -1)
    parts = max(1, round(rollout.valid.sum() / size))
    if net.state_size:
        for chosen, places, rows in whole_lanes(rng, rollout.valid, parts):
            memory = np.zeros((len(chosen), net.state_size), np.float32)
            columns = {
                Columns.OBS: rollout.observations[chosen],
                MEMORY: memory,
                STARTS: rollout.starts[chosen],
                PLACES: places,
            }
            batch = {name: to_device(values, device) for name, values in columns.items()}
            yield batch, to_device(wanted[rows], device)
        return
    observations = rollout.observations.reshape(lanes * (steps + 1), -1)
    for rows in np.array_split(rng.permutation(np.flatnonzero(rollout.valid)), parts):
        batch = {Columns.OBS: to_device(observations[rows + rows // steps], device)}
        yield batch, to_device(wanted[rows], device)
