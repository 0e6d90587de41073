"""The one loss of every task: direction, size of the move, outcome of the brackets.

Each is a strictly proper score, so its minimum in expectation is the truth:

- direction: cross-entropy of P(up), labels of zero left out;
- move: m + |r| exp(-m) with m the output, the negative log-likelihood of a Laplace return with scale exp(m) (less
  ln 2). Its minimum over m is at exp(m) = E|r|, whatever the law of r: it is the QLIKE score of |r| (Patton 2011,
  J. Econometrics 160), which does not let the largest moves rule as a squared error does;
- bracket: cross-entropy over stop, time-out and take-profit.

Fixed weights add them up (`TaskConfig`). All tasks share one trunk, and what one task costs the others is the noise
that it adds to the trunk's gradient. At the base rate the direction's gradient per label has variance 1/4, the move's
Var|r| / E|r|^2, which is 1 for a Laplace return and 1.1 to 2.8 on minute bars of four markets, a bracket's at most 2/3.
With weights of 0.2 and 0.5 they add at most 0.11 and 0.17 to 0.25, so that neither can drown the direction, whose
signal is the smallest by far. Weights learned from each task's homoscedastic noise (Kendall et al. 2018, 1705.07115)
would do the opposite: they favour the task with the lowest loss, not the one that is traded on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from supervised.config import TaskConfig
from supervised.outputs import OUTCOMES, OutputLayout

TINY = torch.finfo(torch.float32).tiny


def known_direction(y: torch.Tensor) -> torch.Tensor:
    """bool, shape of y: where the label return is known (not NaN) and moved (not zero)."""
    return torch.isfinite(y) & (y != 0)


@dataclass(frozen=True, slots=True)
class LabelTally:
    """Counts of the training labels, enough for every weight and base rate; tallies of parts add up."""

    direction: np.ndarray
    """float64 (H, 2): labels down and up."""
    moved: np.ndarray
    """float64 (H,): sum of |return| in bps."""
    returns: np.ndarray
    """float64 (H,): known returns, those of zero included."""
    outcomes: np.ndarray
    """float64 (K, 3): stops, time-outs, take-profits."""

    @classmethod
    def of(cls, targets: torch.Tensor, layout: OutputLayout) -> LabelTally:
        """Of targets (..., H + K), NaN unknown."""
        horizons = len(layout.horizons)
        flat = targets.detach().cpu().numpy().reshape(-1, layout.targets)
        y, outcome = flat[:, :horizons], flat[:, horizons:]
        return cls(
            np.stack([(y < 0).sum(axis=0), (y > 0).sum(axis=0)], axis=1).astype(np.float64),
            np.nan_to_num(np.abs(y)).sum(axis=0, dtype=np.float64),
            np.isfinite(y).sum(axis=0).astype(np.float64),
            np.stack([(outcome == number - 1).sum(axis=0) for number in range(len(OUTCOMES))], axis=1).astype(float),
        )

    def __add__(self, other: LabelTally) -> LabelTally:
        return LabelTally(
            self.direction + other.direction,
            self.moved + other.moved,
            self.returns + other.returns,
            self.outcomes + other.outcomes,
        )

    @property
    def mean_move(self) -> np.ndarray:
        """float64 (H,): mean |return| in bps; 1 where no return is known or none moved."""
        mean = self.moved / np.maximum(self.returns, 1.0)
        return np.where(mean > 0, mean, 1.0)


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each label weighs."""

    tasks: TaskConfig
    direction: torch.Tensor
    """float32 (H, 2): of a label down and up."""
    outcomes: torch.Tensor
    """float32 (K, 3): of a stop, a time-out and a take-profit."""
    mean_move: torch.Tensor
    """float32 (H,): mean |return| in bps, the unit of `weight_by_move`."""

    @classmethod
    def even(cls, layout: OutputLayout, tasks: TaskConfig, device: torch.device) -> LossWeights:
        """Every label counts 1."""
        horizons, brackets = len(layout.horizons), len(layout.brackets)
        ones = torch.ones(horizons, 2, device=device), torch.ones(brackets, len(OUTCOMES), device=device)
        return cls(tasks, *ones, torch.ones(horizons, device=device))

    def shift(self) -> torch.Tensor:
        """float32 (O,): what the class weights add to the logits of a perfectly fitted model.

        The weighted cross-entropy is least at odds times the ratio of the weights; taken off the logits, the model
        says true probabilities again (Saerens et al. 2002, Neural Computation 14). Zero without class weights.
        """
        up = torch.log(self.direction[:, 1] / self.direction[:, 0])
        return torch.cat([up, torch.zeros_like(up), torch.log(self.outcomes).reshape(-1)])


def loss_weights(tally: LabelTally, tasks: TaskConfig, device: torch.device | str = "cpu") -> LossWeights:
    """Weights for labels as counted: all classes equal, or with `balance` inversely to their frequency (mean 1)."""

    def classes(counts: np.ndarray) -> torch.Tensor:
        weights = np.ones_like(counts)
        if tasks.balance and counts.size:
            smoothed = counts + 1.0  # a class that never came must not weigh infinitely
            weights = smoothed.sum(axis=1, keepdims=True) / (counts.shape[1] * smoothed)
        return torch.tensor(weights, dtype=torch.float32, device=device)

    mean_move = torch.tensor(tally.mean_move, dtype=torch.float32, device=device)
    return LossWeights(tasks, classes(tally.direction), classes(tally.outcomes), mean_move)


def base_rates(tally: LabelTally, layout: OutputLayout) -> torch.Tensor:
    """float32 (O,): outputs that say the mean move and the outcomes' frequencies; 0 (one half) for the direction.

    A head that starts there need not travel through the first passes, and does not drag the trunk along.
    """
    start = np.zeros(layout.size)
    start[layout.move] = np.log(tally.mean_move)
    smoothed = tally.outcomes + 1.0
    start[layout.barrier] = np.log(smoothed / smoothed.sum(axis=1, keepdims=True)).reshape(-1)
    return torch.tensor(start, dtype=torch.float32)


class TaskSums(NamedTuple):
    """Of each task in the order of `TaskLosses`: sums over labels, which add up over batches and over processes."""

    losses: torch.Tensor
    """(3,): of loss times weight."""
    weights: torch.Tensor
    """(3,): of the weights."""

    def means(self) -> TaskLosses:
        """The one over the other."""
        return TaskLosses(*(self.losses / self.weights.clamp(min=TINY)))


class TaskLosses(NamedTuple):
    """Mean loss of each task in nats, scalars; 0 for a task without a known label."""

    direction: torch.Tensor
    move: torch.Tensor
    barrier: torch.Tensor

    def total(self, tasks: TaskConfig) -> torch.Tensor:
        """Their weighted sum."""
        return tasks.direction * self.direction + tasks.move * self.move + tasks.barrier * self.barrier


def task_loss(outputs: torch.Tensor, targets: torch.Tensor, layout: OutputLayout, weights: LossWeights) -> torch.Tensor:
    """The weighted sum of the tasks' losses, a scalar: see `task_losses`."""
    return task_losses(outputs, targets, layout, weights).total(weights.tasks)


def task_losses(outputs: torch.Tensor, targets: torch.Tensor, layout: OutputLayout, weights: LossWeights) -> TaskLosses:
    """Mean loss of each task over the known targets: see `task_sums`."""
    return task_sums(outputs, targets, layout, weights).means()


def task_sums(outputs: torch.Tensor, targets: torch.Tensor, layout: OutputLayout, weights: LossWeights) -> TaskSums:
    """Summed losses of each task over the known targets, and the weights to divide them by.

    outputs: float32 (..., O). targets: float32 (..., H + K) label returns (bps) and outcomes (-1, 0, +1), NaN where
    unknown or where a row is context only. Known labels of all horizons (brackets) of a task count alike, but for
    their weights.
    """
    horizons = len(layout.horizons)
    y, outcome = targets[..., :horizons], targets[..., horizons:]

    moved = known_direction(y)
    up = (y > 0).float()
    size = torch.where(torch.isfinite(y), y.abs(), 0.0)
    weight = moved * torch.where(y > 0, weights.direction[:, 1], weights.direction[:, 0])
    if weights.tasks.weight_by_move:
        weight = weight * size / weights.mean_move
    direction = F.binary_cross_entropy_with_logits(outputs[..., layout.direction], up, reduction="none")

    returns = torch.isfinite(y).float()
    log_move = outputs[..., layout.move]
    move = log_move + size * torch.exp(-log_move)

    known = torch.isfinite(outcome)
    number = torch.where(known, outcome + 1, 0.0).long()
    logits = outputs[..., layout.barrier].unflatten(-1, (len(layout.brackets), len(OUTCOMES)))
    said = logits.log_softmax(dim=-1).gather(-1, number[..., None])[..., 0]
    outcome_weight = known * weights.outcomes.expand(*number.shape, -1).gather(-1, number[..., None])[..., 0]
    return TaskSums(
        torch.stack([(direction * weight).sum(), (move * returns).sum(), -(said * outcome_weight).sum()]),
        torch.stack([weight.sum(), returns.sum(), outcome_weight.sum()]),
    )
