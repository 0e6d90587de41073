"""How good outputs are on labelled rows, in sums that add up over batches and over processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from supervised.losses import LossWeights, TaskLosses, TaskSums, known_direction, task_sums
from supervised.outputs import OutputLayout
from supervised.peers import Peers

BINS = 10
"""Equal bins of P(up) that calibration is judged in."""


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over labelled rows, float64 on the host."""

    tasks: TaskSums
    """Of each task's losses."""
    bins: torch.Tensor
    """(H, BINS, 3): known directions by P(up): how many, sum of P(up), how many went up."""
    right: torch.Tensor
    """(H,): directions called right."""

    @classmethod
    def zero(cls, layout: OutputLayout) -> Score:
        """Of no rows."""
        horizons = len(layout.horizons)
        tasks = TaskSums(*torch.zeros(2, len(TaskLosses._fields), dtype=torch.float64))
        bins = torch.zeros(horizons, BINS, 3, dtype=torch.float64)
        return cls(tasks, bins, torch.zeros(horizons, dtype=torch.float64))

    @classmethod
    def of(cls, outputs: torch.Tensor, targets: torch.Tensor, layout: OutputLayout, weights: LossWeights) -> Score:
        """outputs: float32 (..., O). targets: float32 (..., H + K), NaN where unknown."""
        sums = task_sums(outputs, targets, layout, weights)
        y = targets[..., : len(layout.horizons)].flatten(0, -2).cpu().double()
        p = torch.sigmoid(outputs[..., layout.direction].flatten(0, -2).cpu().double())
        known, up = known_direction(y), y > 0
        table = torch.stack([known, known * p, known & up], dim=-1).double()
        number = (p * BINS).long().clamp(max=BINS - 1)
        bins = torch.zeros(len(layout.horizons), BINS, 3, dtype=torch.float64)
        bins.scatter_add_(1, number.T[..., None].expand(-1, -1, 3), table.transpose(0, 1))
        on_host = TaskSums(*(part.cpu().double() for part in sums))
        return cls(on_host, bins, (known & ((p > 0.5) == up)).sum(dim=0).double())

    def __add__(self, other: Score) -> Score:
        tasks = TaskSums(*(one + two for one, two in zip(self.tasks, other.tasks, strict=True)))
        return Score(tasks, self.bins + other.bins, self.right + other.right)

    def shared(self, peers: Peers) -> Score:
        """The sum of all peers' scores."""
        return Score(TaskSums(*map(peers.total, self.tasks)), peers.total(self.bins), peers.total(self.right))

    @property
    def losses(self) -> TaskLosses:
        """Mean loss of each task."""
        return self.tasks.means()

    @property
    def accuracy(self) -> torch.Tensor:
        """float64 (H,): share of the moves called right, NaN where none is known."""
        return self.right / self.bins[..., 0].sum(dim=1)

    @property
    def calibration_error(self) -> torch.Tensor:
        """float64 (H,): mean over labels of |mean P(up) - share that went up| in their bin (Naeini et al. 2015)."""
        return (self.bins[..., 1] - self.bins[..., 2]).abs().sum(dim=1) / self.bins[..., 0].sum(dim=1)
