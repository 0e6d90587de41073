"""Observation columns scaled by their running moments, which are saved and travel with the weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

CLIP = 10.0  # in deviations: a column that never moved in training may not blow up later
SMALLEST_VARIANCE = 1e-8


class Normaliser(nn.Module):
    """(x - mean) / deviation of M columns, clipped to ±10.

    The moments are buffers: checkpoints, runners and exported policies carry them. They start as mean 0 and variance 1.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    count: torch.Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("variance", torch.ones(columns))
        self.register_buffer("count", torch.zeros(1))  # not a scalar: RLlib hands those out as Python numbers

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (..., M), scaled."""
        return ((rows - self.mean) * (self.variance + SMALLEST_VARIANCE).rsqrt()).clamp(-CLIP, CLIP)

    @torch.no_grad()
    def take_in(self, sums: torch.Tensor) -> None:
        """Count further rows in, given the `moment_sums` of them (Chan, Golub & LeVeque 1983)."""
        number, total, squares = sums[0], *sums[1:].chunk(2)
        mean = total / number
        variance = (squares / number - mean.square()).clamp_min(0.0)
        device = self.mean.device  # the sums stay on the host, in the double precision that differences of squares need
        mean, variance = mean.float().to(device), variance.float().to(device)
        share = float(number) / (self.count + float(number))
        shift = mean - self.mean
        self.mean += share * shift
        self.variance += share * (variance - self.variance) + share * (1.0 - share) * shift.square()
        self.count += float(number)


def moment_sums(rows: NDArray[np.float32], columns: int) -> torch.Tensor:
    """Number of rows, sums, and sums of squares of the first M columns of rows (..., D): float64 (1 + 2 M,).

    Sums of several learners' rows may be added up.
    """
    flat = rows.reshape(-1, rows.shape[-1])[:, :columns].astype(np.float64)
    return torch.from_numpy(np.concatenate([[len(flat)], flat.sum(0), np.einsum("ij,ij->j", flat, flat)]))
