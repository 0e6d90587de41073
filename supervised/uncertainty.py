"""How sure a direction logit is: the Laplace approximation of the posterior of the head's rows.

The head's row w of a horizon (its bias last) is a logistic regression on the encoder's output phi (a 1 last), with the
logit a = w' phi / T at temperature T. Around the trained weights the posterior is taken as normal with precision

    P = G + lambda I,      G = sum over training rows of p (1 - p) phi phi' / T^2 / h

(MacKay 1992, Neural Computation 4: "The evidence framework applied to classification networks"; for the last layer of
a deep network: Kristiadi, Hein & Hennig 2020, 2002.10118; Daxberger et al. 2021, 2106.14806). G is the Gauss-Newton
matrix, here also the exact Hessian. The labels of a horizon of h bars overlap h-fold, so that each counts 1/h. The
prior precision lambda maximises the evidence; its fixed point is lambda = gamma / |w|^2 with gamma = sum of
e / (e + lambda) over the eigenvalues e of G, the number of directions that the data determine. Then

    sd(a) = sqrt(phi' P^-1 phi) / T,      P(up) averaged over the posterior ~ sigmoid(a / sqrt(1 + pi sd^2 / 8)).

It knows what the head does not know given its encoder; it does not know that the market may change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from supervised.base import CausalModel

from supervised.losses import known_direction

STEPS = 50  # of the evidence's fixed point, which settles within ten
# Bounds of the logit's standard deviation before any data, phi being normalised to length sqrt(hidden): without an
# upper bound of the precision, a head that found nothing would claim to be certain of that.
PRIOR_SD = (0.1, 10.0)


def fit_covariance(model: CausalModel, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Posterior covariance of each horizon's head row, float32 (H, hidden + 1, hidden + 1), the bias last.

    batches: pairs of x (B, T, F) and targets (B, T, H + K) that the head was trained on, NaN where unknown or context;
    on the model's device. The temperature must have been fitted. A horizon without labels has the prior's.
    """
    horizons = len(model.layout.horizons)
    width = model.head.in_features + 1
    gauss_newton = torch.zeros(horizons, width, width, dtype=torch.float64)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for x, targets in batches:
            hidden = model.encode(x)
            logits = model.head(hidden)[..., model.layout.direction] / model.temperature[model.layout.direction]
            phi = with_one(hidden)
            slope = torch.sigmoid(logits) * torch.sigmoid(-logits) * known_direction(targets[..., :horizons])
            for number in range(horizons):
                rows = slope[..., number] > 0
                features = phi[rows]
                gauss_newton[number] += (features.mT @ (features * slope[..., number][rows][:, None])).cpu().double()
    model.train(was_training)

    rows_of_head = torch.cat([model.head.weight, model.head.bias[:, None]], dim=1).detach().cpu().double()
    covariance = torch.empty_like(gauss_newton)
    for number, horizon in enumerate(model.layout.horizons):
        information = gauss_newton[number] / float(model.temperature[number]) ** 2 / horizon
        eigenvalues, vectors = torch.linalg.eigh(information)
        eigenvalues = eigenvalues.clamp(min=0.0)
        precision = prior_precision(eigenvalues, float(rows_of_head[number].square().sum()), width)
        covariance[number] = (vectors / (eigenvalues + precision)) @ vectors.mT
    return covariance.float()


def prior_precision(eigenvalues: torch.Tensor, squared_norm: float, width: int) -> float:
    """MacKay's fixed point lambda = gamma / |w|^2, within the precisions that PRIOR_SD allows to `width` weights.

    eigenvalues: float64 (width,) of G. squared_norm: |w|^2.
    """
    low, high = (width / sd**2 for sd in reversed(PRIOR_SD))
    precision = float(width)
    for _ in range(STEPS):
        determined = float((eigenvalues / (eigenvalues + precision)).sum())
        precision = min(max(determined / max(squared_norm, 1e-12), low), high)
    return precision


def logit_sd(hidden: torch.Tensor, covariance: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Standard deviation of the direction logits, float32 (..., H).

    hidden: float32 (..., hidden), what the head sees. covariance: (H, hidden + 1, hidden + 1). temperature: (H,).
    """
    phi = with_one(hidden)
    variance = torch.einsum("...i,hij,...j->...h", phi, covariance, phi)
    return variance.clamp(min=0.0).sqrt() / temperature


def averaged_probability(logits: torch.Tensor, sd: torch.Tensor) -> torch.Tensor:
    """P(up) averaged over a normal logit, by the probit approximation (MacKay 1992): nearer one half than sigmoid."""
    return torch.sigmoid(logits / torch.sqrt(1.0 + math.pi / 8.0 * sd.square()))


def with_one(hidden: torch.Tensor) -> torch.Tensor:
    """(..., hidden) -> (..., hidden + 1): a 1 behind, for the bias."""
    return torch.cat([hidden, torch.ones_like(hidden[..., :1])], dim=-1)
