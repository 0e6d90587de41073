"""Dense causal training: a loss at every row of contiguous chunks, never one window per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data_pipeline.errors import InputError
from supervised.base import CausalModel, Forecast
from supervised.calibration import fit_temperature
from supervised.chunks import ChunkPlan, gather, plan_chunks
from supervised.config import TaskConfig, TrainConfig
from supervised.losses import LabelTally, LossWeights, base_rates, known_direction, loss_weights, task_loss, task_losses
from supervised.uncertainty import fit_covariance

LEAST = 1e-6  # float32 rounds a larger logit's probability to 1, whose log-loss may be infinite
WARMUP_FRACTION = 0.2  # of the optimiser steps: the learning rate rises; over the rest it falls to zero


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training rows."""

    number: int
    train_loss: float
    """Of all tasks, weighted."""
    validation_loss: float
    """Mean cross-entropy of the direction in nats (ln 2 = 0.693 knows nothing): what training stops on."""
    validation_move: float = math.nan
    """Of the size of the move: mean of m + |r| exp(-m)."""
    validation_barrier: float = math.nan
    """Mean cross-entropy of the brackets' outcomes; 0 without brackets."""


def fit(
    model: CausalModel,
    X: torch.Tensor,
    y: torch.Tensor,
    y_validation: torch.Tensor,
    runs: np.ndarray,
    config: TrainConfig,
    *,
    min_context: int,
    seed: int,
    progress: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train `model` in place; it ends with its best averaged weights, temperature and uncertainty fitted, in eval mode.

    X: float32 (T, F) scaled features on the model's device. y, y_validation: float32 (T, H + K) targets, NaN wherever
    a label may not be used: purging is done by whoever makes them. runs: int64 (R, 2) contiguous complete rows. A
    KeyboardInterrupt passes through between two steps. Raises InputError when there is nothing to train or validate on.
    """
    plan = _labelled_chunks("training", model, y, runs, config, min_context)
    validation = _labelled_chunks("validation", model, y_validation, runs, config, min_context)
    tally = LabelTally.of(y, model.layout)
    weights = loss_weights(tally, config.tasks, y.device)
    if not model.head.weight.any():  # fresh, and not trained before
        with torch.no_grad():
            model.head.bias.copy_(base_rates(tally, model.layout).to(y.device) + weights.shift())
    batches = math.ceil(len(plan) / config.batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * batches, pct_start=WARMUP_FRACTION
    )
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.average_decay))
    order = np.random.default_rng(seed)
    history: list[Epoch] = []
    best = Epoch(0, math.nan, math.inf)
    best_state = copy_state(model)

    with torch.random.fork_rng(devices=[]), torch_threads(config.threads):
        torch.manual_seed(seed)
        for number in range(1, config.epochs + 1):
            model.train()
            losses = []
            for batch in np.array_split(order.permutation(len(plan)), batches):
                chunks = plan.select(batch)
                optimizer.zero_grad(set_to_none=True)
                loss = task_loss(model(gather(X, chunks)), _targets(y, chunks), model.layout, weights)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                schedule.step()
                averaged.update_parameters(model)
                losses.append(float(loss.detach()))
            epoch = _judged(
                cast(CausalModel, averaged.module), number, losses, X, y_validation, validation, weights, config.batch
            )
            history.append(epoch)
            if progress is not None:
                progress(epoch)
            if epoch.validation_loss < best.validation_loss:
                best, best_state = epoch, copy_state(averaged.module)
            elif number - best.number >= config.patience:
                break
        model.load_state_dict(best_state)
        with torch.no_grad():
            model.head.bias.sub_(weights.shift())
        said, known = _evaluate(model, X, y_validation, validation, config.batch)
        model.temperature.copy_(fit_temperature(said, known, model.layout))
        model.covariance.copy_(fit_covariance(model, _batches(X, y, plan, config.batch)))
    return history


def predict(
    model: CausalModel, X: torch.Tensor, runs: np.ndarray, lo: int, hi: int, config: TrainConfig, *, min_context: int
) -> np.ndarray:
    """Forecasts float32 (hi - lo, O + H) of the rows [lo, hi), each from its run up to itself; NaN with too few rows.

    Columns in the order of `layout.columns` and `layout.sd_columns`: P(up) in (0, 1), expected absolute return (bps),
    outcomes' probabilities, standard deviation of the logit of P(up).

    Every batch has the same shape, the last one filled up with repeats: the same sums are then made in the same order
    whatever follows, and nothing after a row changes its prediction, to the bit.
    """
    layout = model.layout
    forecasts = np.full((hi - lo, layout.size + len(layout.horizons)), np.nan, dtype=np.float32)
    plan = plan_chunks(runs, lo, hi, model.receptive_field - 1, config.chunk, min_context)
    model.eval()
    with torch_threads(config.threads):
        for at in range(0, len(plan), config.batch):
            number = np.arange(at, at + config.batch)
            chunks = plan.select(number.clip(max=len(plan) - 1))
            outputs = chunks.output_mask() & (number < len(plan))[:, None]
            said = _side_by_side(model.forecast(gather(X, chunks))).cpu().numpy()
            forecasts[chunks.input_rows()[outputs] - lo] = said[outputs]
    up = layout.direction
    np.clip(forecasts[:, up], LEAST, 1 - LEAST, out=forecasts[:, up])
    return forecasts


def _side_by_side(forecast: Forecast) -> torch.Tensor:
    """(B, T, O + H)."""
    return torch.cat([forecast.p_up, forecast.move_bps, forecast.outcomes.flatten(2), forecast.logit_sd], dim=-1)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Torch's intra-op threads set to `threads` inside, put back afterwards; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def copy_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the weights that further training does not touch."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _labelled_chunks(
    name: str, model: CausalModel, y: torch.Tensor, runs: np.ndarray, config: TrainConfig, min_context: int
) -> ChunkPlan:
    """The chunks that have at least one known label."""
    rows = known_direction(y[:, : len(model.layout.horizons)]).any(dim=1).cpu().numpy()
    known = np.flatnonzero(rows)
    if len(known) == 0:
        raise InputError(f"no {name} row has a known label", where="fit", remedy="give more rows or shorter horizons")
    plan = plan_chunks(runs, known[0], known[-1] + 1, model.receptive_field - 1, config.chunk, min_context)
    counts = np.concatenate([[0], np.cumsum(rows)])
    labelled = plan.select(counts[plan.stop] > counts[plan.first])
    if len(labelled) == 0:
        raise InputError(
            f"no {name} row with a known label has {min_context} complete rows before it",
            where="fit",
            remedy="give longer contiguous stretches or a smaller min_context",
        )
    return labelled


def _targets(y: torch.Tensor, chunks: ChunkPlan) -> torch.Tensor:
    """(N, rows, H + K): the chunks' targets, NaN at context and filling."""
    outputs = torch.from_numpy(chunks.output_mask()).to(y.device)
    return gather(y, chunks).masked_fill(~outputs[..., None], math.nan)


def _batches(
    X: torch.Tensor, y: torch.Tensor, plan: ChunkPlan, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs (B, rows, F) and targets (B, rows, H + K) of all chunks."""
    for at in range(0, len(plan), batch):
        chunks = plan.select(slice(at, at + batch))
        yield gather(X, chunks), _targets(y, chunks)


def _evaluate(
    model: torch.nn.Module, X: torch.Tensor, y: torch.Tensor, plan: ChunkPlan, batch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs (N, O) and targets (N, H + K) of the plan's rows with any label."""
    model.eval()
    outputs, targets = [], []
    with torch.inference_mode():
        for x, target in _batches(X, y, plan, batch):
            rows = torch.isfinite(target).any(dim=-1)
            outputs.append(model(x)[rows])
            targets.append(target[rows])
    return torch.cat(outputs), torch.cat(targets)


def _judged(
    model: CausalModel,
    number: int,
    train_losses: list[float],
    X: torch.Tensor,
    y: torch.Tensor,
    plan: ChunkPlan,
    weights: LossWeights,
    batch: int,
) -> Epoch:
    """The losses on the validation rows, every label counting alike: class weights and what they do are taken off."""
    outputs, targets = _evaluate(model, X, y, plan, batch)
    even = LossWeights.even(model.layout, TaskConfig(), y.device)
    losses = task_losses(outputs - weights.shift(), targets, model.layout, even)
    return Epoch(number, float(np.mean(train_losses)), *map(float, losses))
