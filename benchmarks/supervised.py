"""Labelled samples a second of dense causal training against training on one window per label.

    python -m benchmarks.supervised

The same model, loss and optimiser on both sides. Dense: the chunks that `supervised.training` uses, a loss at every
row past the model's context. Windowed: batches of windows of 100 rows, cut without copying from the same array, a
loss at the last row of each: how sequence models are commonly trained. One training step of each in turns, medians of
processor time count (other work on the machine disturbs them less). `dense_vs_windowed_*` is the ratio of labelled
samples a second.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import tyro

from supervised.base import CausalModel
from supervised.chunks import gather, plan_chunks
from supervised.config import MODEL_KINDS, ModelConfig, TrainConfig
from supervised.devices import torch_threads
from supervised.models import build_model
from supervised.outputs import OutputLayout

LAYOUT = OutputLayout((1, 5))


@dataclass(frozen=True)
class Args:
    """Benchmark of the supervised models' training."""

    rows: int = 50_000
    """Rows of random features and labels."""
    features: int = 40
    """Columns."""
    hidden: int = 0
    """Width of each model; 0 takes its default."""
    windows: int = 256
    """Windows per step of windowed training."""
    rounds: int = 15
    """Steps of each side, in turns."""
    threads: int = 1
    """Torch threads."""


def training_step(model: CausalModel, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """One step of AdamW on `loss`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def dense_step(
    model: CausalModel, X: torch.Tensor, up: torch.Tensor, train: TrainConfig
) -> tuple[Callable[[], None], int]:
    """A step on `train.batch` chunks, and its labels."""
    context = model.receptive_field - 1
    plan = plan_chunks(np.array([[0, len(X)]]), context, len(X), context, train.chunk, 0)
    random = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        chunks = plan.select(random.choice(len(plan) - 1, train.batch, replace=False))
        x, target = (torch.from_numpy(gather(values.numpy(), chunks)) for values in (X, up))
        return F.binary_cross_entropy_with_logits(model(x)[:, context:, LAYOUT.direction], target[:, context:])

    return training_step(model, loss), train.batch * train.chunk


def windowed_step(
    model: CausalModel, X: torch.Tensor, up: torch.Tensor, window: int, windows: int
) -> tuple[Callable[[], None], int]:
    """A step on single windows, and its labels."""
    views = X.unfold(0, window, 1).transpose(1, 2)
    random = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        start = torch.from_numpy(random.integers(0, len(views), windows))
        return F.binary_cross_entropy_with_logits(model(views[start])[:, -1, LAYOUT.direction], up[start + window - 1])

    return training_step(model, loss), windows


def labels_per_second(sides: dict[str, tuple[Callable[[], None], int]], rounds: int) -> dict[str, float]:
    """Median of each side's labelled samples per second of processor time; the sides take turns."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for attempt in range(rounds + 2):
        for name, (step, labels) in sides.items():
            start = time.process_time()
            step()
            if attempt >= 2:
                rates[name].append(labels / (time.process_time() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def main(args: Args) -> int:
    """Print a line per model and the RESULT line."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(args.rows, args.features, generator=generator)
    up = (torch.rand(args.rows, 2, generator=generator) > 0.5).float()
    result = {}
    with torch_threads(args.threads):
        for kind in MODEL_KINDS:
            config = ModelConfig(kind=kind, hidden=args.hidden)
            sides = {
                "dense": dense_step(build_model(config, args.features, LAYOUT), X, up, TrainConfig()),
                "windowed": windowed_step(
                    build_model(config, args.features, LAYOUT), X, up, config.window, args.windows
                ),
            }
            rate = labels_per_second(sides, args.rounds)
            result[f"dense_vs_windowed_{kind}"] = round(rate["dense"] / rate["windowed"], 1)
            result[f"dense_per_s_{kind}"] = round(rate["dense"])
            print(
                f"{kind:12s} dense {rate['dense']:10,.0f} labels/s   windowed {rate['windowed']:8,.0f} labels/s   "
                f"ratio {rate['dense'] / rate['windowed']:6.1f}"
            )
    print(f"RESULT {json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
