"""Probabilities that mean what they say: one temperature for each horizon and each bracket."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from supervised.losses import known_direction
from supervised.outputs import OUTCOMES, OutputLayout

TEMPERATURES = (0.25, 20.0)  # a validation stretch without signal must not blow the logits up or erase their order


def fit_temperature(outputs: torch.Tensor, targets: torch.Tensor, layout: OutputLayout) -> torch.Tensor:
    """float32 (O,): the divisors of the logits with the least cross-entropy (Guo et al. 2017, 1706.04599).

    outputs: (N, O) at temperature 1. targets: (N, H + K), NaN where unknown. One divisor per horizon and one for the
    three outcomes of each bracket; 1 for the moves and wherever nothing is known.
    """
    temperature = torch.ones(layout.size)
    z, y = outputs.cpu().double().numpy(), targets.cpu().double()
    horizons = len(layout.horizons)
    for column in range(horizons):
        known = known_direction(y[:, column]).numpy()
        # A binary logit is a choice between 0 and z.
        pair = np.stack([np.zeros(known.sum()), z[known, column]], axis=1)
        temperature[column] = _divisor(pair, (y[known, column] > 0).long().numpy())
    for number in range(len(layout.brackets)):
        outcome = y[:, horizons + number].numpy()
        known = np.isfinite(outcome)
        place = slice(
            layout.barrier.start + number * len(OUTCOMES), layout.barrier.start + (number + 1) * len(OUTCOMES)
        )
        temperature[place] = _divisor(z[known, place], outcome[known].astype(np.int64) + 1)
    return temperature


def _divisor(logits: np.ndarray, classes: np.ndarray) -> float:
    """Of logits float64 (N, C) with what happened, int64 (N,)."""
    if len(classes) == 0:
        return 1.0
    rows = np.arange(len(classes))
    found = minimize_scalar(  # convex in the factor on the logits, hence a search over 1 / T
        lambda scale: -float(log_softmax(scale * logits, axis=1)[rows, classes].mean()),
        bounds=(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]),
        method="bounded",
    )
    return float(1.0 / found.x)
