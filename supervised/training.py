"""Dense causal training: a loss at every row of contiguous chunks, never one window per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from scipy.special import expit
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data_pipeline.errors import InputError
from supervised.base import CausalModel, known_direction
from supervised.chunks import ChunkPlan, gather, plan_chunks
from supervised.config import TrainConfig

TEMPERATURES = (0.25, 20.0)  # a validation stretch without signal must not blow the logits up or erase their order
LEAST = 1e-6  # float32 rounds a larger logit's probability to 1, whose log-loss may be infinite
WARMUP_FRACTION = 0.2  # of the optimiser steps: the learning rate rises; over the rest it falls to zero


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training rows; losses are mean cross-entropies in nats (ln 2 = 0.693 knows nothing)."""

    number: int
    train_loss: float
    validation_loss: float


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
    """Train `model` in place; it ends with its best averaged weights, its temperature fitted, in eval mode.

    X: float32 (T, F) scaled features on the model's device. y, y_validation: float32 (T, H) label returns, NaN
    wherever a label may not be used: purging is done by whoever makes them. runs: int64 (R, 2) contiguous complete
    rows. A KeyboardInterrupt passes through between two steps. Raises InputError when there is nothing to train or
    validate on.
    """
    plan = _labelled_chunks("training", model, y, runs, config, min_context)
    validation = _labelled_chunks("validation", model, y_validation, runs, config, min_context)
    weights = _label_weights(y, config)
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
                loss = _loss(model(gather(X, chunks)), y, weights, chunks)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                schedule.step()
                averaged.update_parameters(model)
                losses.append(float(loss.detach()))
            logits, labels = _evaluate(averaged.module, X, y_validation, validation, config.batch)
            epoch = Epoch(number, float(np.mean(losses)), _cross_entropy(logits, labels))
            history.append(epoch)
            if progress is not None:
                progress(epoch)
            if epoch.validation_loss < best.validation_loss:
                best, best_state = epoch, copy_state(averaged.module)
            elif number - best.number >= config.patience:
                break
        model.load_state_dict(best_state)
        logits, labels = _evaluate(model, X, y_validation, validation, config.batch)
        model.temperature.copy_(fit_temperature(logits, labels))
    return history


def predict(
    model: CausalModel, X: torch.Tensor, runs: np.ndarray, lo: int, hi: int, config: TrainConfig, *, min_context: int
) -> np.ndarray:
    """P(up) float32 (hi - lo, H) of the rows [lo, hi), each from its run up to itself; NaN with too little context.

    Every batch has the same shape, the last one filled up with repeats: the same sums are then made in the same order
    whatever follows, and nothing after a row changes its prediction, to the bit.
    """
    probabilities = np.full((hi - lo, model.n_horizons), np.nan, dtype=np.float32)
    plan = plan_chunks(runs, lo, hi, model.receptive_field - 1, config.chunk, min_context)
    with torch_threads(config.threads):
        for at in range(0, len(plan), config.batch):
            number = np.arange(at, at + config.batch)
            chunks = plan.select(number.clip(max=len(plan) - 1))
            outputs = chunks.output_mask() & (number < len(plan))[:, None]
            logits = _infer(model, gather(X, chunks)).cpu().numpy()
            probabilities[chunks.input_rows()[outputs] - lo] = np.clip(expit(logits[outputs]), LEAST, 1 - LEAST)
    return probabilities


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 (H,): per horizon the divisor of the logits with the least cross-entropy (Guo et al. 2017, 1706.04599).

    logits, labels: (N, H); labels are returns, NaN or zero where they say nothing. A horizon without labels keeps 1.
    """
    temperature = torch.ones(logits.shape[1])
    for horizon in range(logits.shape[1]):
        known = known_direction(labels[:, horizon])
        if not known.any():
            continue
        z = logits[known, horizon].cpu().double().numpy()
        sign = np.sign(labels[known, horizon].cpu().double().numpy())
        found = minimize_scalar(  # convex in the factor on the logits, hence a search over 1 / T
            lambda scale, m=sign * z: float(np.logaddexp(0.0, -scale * m).mean()),
            bounds=(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]),
            method="bounded",
        )
        temperature[horizon] = 1.0 / found.x
    return temperature


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
    rows = known_direction(y).any(dim=1).cpu().numpy()
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


def _label_weights(y: torch.Tensor, config: TrainConfig) -> torch.Tensor:
    """float32 (T, H): 0 where the direction is unknown, else 1 or the move over the horizon's mean move."""
    known = known_direction(y)
    if not config.weight_by_move:
        return known.float()
    move = torch.where(known, y.abs(), 0.0)
    return move * known.sum(dim=0) / move.sum(dim=0).clamp(min=torch.finfo(move.dtype).tiny)


def _loss(logits: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, chunks: ChunkPlan) -> torch.Tensor:
    """Weighted mean cross-entropy over the chunks' outputs."""
    outputs = torch.from_numpy(chunks.output_mask()).to(logits.device)
    weight = gather(weights, chunks) * outputs[..., None]
    up = (gather(y, chunks) > 0).float()
    return (F.binary_cross_entropy_with_logits(logits, up, reduction="none") * weight).sum() / weight.sum()


def _evaluate(
    model: torch.nn.Module, X: torch.Tensor, y: torch.Tensor, plan: ChunkPlan, batch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels (N, H) of the plan's outputs."""
    logits, labels = [], []
    for at in range(0, len(plan), batch):
        chunks = plan.select(slice(at, at + batch))
        outputs = torch.from_numpy(chunks.output_mask())
        logits.append(_infer(model, gather(X, chunks))[outputs])
        labels.append(gather(y, chunks)[outputs])
    return torch.cat(logits), torch.cat(labels)


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    known = known_direction(labels)
    return float(F.binary_cross_entropy_with_logits(logits[known], (labels[known] > 0).float()))


def _infer(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return model(x)
