"""Probabilities that mean what they say: a temperature for each horizon and bracket, and how far forecasts are off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import log_softmax, xlogy

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


@dataclass(frozen=True, slots=True)
class Decomposition:
    """A mean score as `miscalibration - discrimination + uncertainty`; less is better, but of the second."""

    score: float
    miscalibration: float
    """What recalibrating would save: 0 when every probability is what happens at that probability."""
    discrimination: float
    """What the forecasts, recalibrated, save against the base rate: 0 when they tell nothing apart."""
    uncertainty: float
    """Score of the base rate, known in hindsight."""


def decompose(p_up: np.ndarray, up: np.ndarray) -> tuple[Decomposition, Decomposition]:
    """Brier score and log-loss (nats), each decomposed.

    p_up: float (N,) in (0, 1). up: bool (N,). The recalibrated forecast is the isotonic regression of what happened on
    the forecast: no bins to choose, and every part is at least zero (Dimitriadis, Gneiting & Jordan 2021, PNAS 118,
    "CORP"). The isotonic fit follows the noise too: calibrated forecasts show a miscalibration of up to N^(-2/3) nats,
    and forecasts that are noise a discrimination of about (ln N) / 2N. Every part is NaN when N is 0.
    """
    if len(p_up) == 0:
        nothing = Decomposition(math.nan, math.nan, math.nan, math.nan)
        return nothing, nothing
    order = np.lexsort((-up.astype(np.float64), p_up))  # ties of a forecast end in one level of the regression
    p, y = p_up[order].astype(np.float64), up[order].astype(np.float64)
    fitted = np.asarray(isotonic_regression(y).x)
    base = np.full_like(p, y.mean())

    def parts(scores: list[float]) -> Decomposition:
        said, recalibrated, ignorant = scores
        return Decomposition(said, said - recalibrated, ignorant - recalibrated, ignorant)

    forecasts = (p, fitted, base)
    brier = [float(np.mean((f - y) ** 2)) for f in forecasts]
    log_loss = [-float(np.mean(xlogy(y, f) + xlogy(1 - y, 1 - f))) for f in forecasts]
    return parts(brier), parts(log_loss)
