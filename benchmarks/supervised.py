"""Dense training against training on windows, float32 against bfloat16, and one tick of the trained ensemble.

    python -m benchmarks.supervised

Training: labelled samples a second of the same model, loss and optimiser. Dense: the chunks that `supervised.training`
uses, a loss at every row past the model's context. Windowed: batches of windows of 100 rows, cut without copying from
the same array, a loss at the last row of each: how sequence models are commonly trained. Ticks: see `supervised_ticks`.

All sides take turns in one run; medians of processor time (training) and quantiles of wall time (ticks) count. Two
sizes: the suite's defaults, and `large`, 64 features with TCN 6 x 64, Transformer 2 x 64 with 4 heads, LSTM 2 x 64.
Keys of the RESULT line are of the defaults unless they end in `_large`:

    dense_vs_windowed_{model}          ratio of labelled samples a second
    bf16_vs_fp32_{model}               likewise, dense training in bfloat16 where the processor has it
    tick_compiled_us, tick_onnx_us     p50 of a tick in a hot loop; `_p99`, and `_life` as a process meets it
    tick_vs_eager, tick_vs_eager_onnx  p50 of torch eager on the window over ours
    update_weights_us                  slowest of the members: new weights into the compiled stream
    int8_vs_fp32_{model}               time of a float32 window over one in eight bits (ONNX Runtime)
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import tyro

from benchmarks.supervised_ticks import int8_report, lively, quantiles, tick_times, update_us
from supervised.base import CausalModel
from supervised.chunks import gather, plan_chunks
from supervised.config import ENSEMBLE_KINDS, ModelConfig, TrainConfig
from supervised.devices import torch_threads
from supervised.models import build_model
from supervised.outputs import OutputLayout

LAYOUT = OutputLayout((1, 5))
DEFAULTS = tuple(ModelConfig(kind) for kind in ENSEMBLE_KINDS)
LARGE = (
    ModelConfig("tcn", hidden=64, layers=6),
    ModelConfig("transformer", hidden=64, layers=2, heads=4),
    ModelConfig("lstm", hidden=64, layers=2),
)
Step = Callable[[], None]


@dataclass(frozen=True)
class Args:
    """Benchmark of the supervised models: training, and answering."""

    rows: int = 50_000
    """Rows of random features and labels to train on."""
    features: int = 40
    """Columns at the default sizes; the large ones have 64."""
    windows: int = 256
    """Windows per step of windowed training."""
    rounds: int = 9
    """Steps of each side of training, in turns."""
    threads: int = 1
    """Torch threads."""


def training_step(
    model: CausalModel, loss: Callable[[], torch.Tensor], precision: Callable[[], AbstractContextManager[object]]
) -> Step:
    """One step of AdamW on `loss`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision():
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def dense_step(
    model: CausalModel,
    X: np.ndarray,
    up: np.ndarray,
    train: TrainConfig,
    precision: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> tuple[Step, int]:
    """A step on `train.batch` chunks, and its labels."""
    context = model.receptive_field - 1
    plan = plan_chunks(np.array([[0, len(X)]]), context, len(X), context, train.chunk, 0)
    random = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        chunks = plan.select(random.choice(len(plan) - 1, train.batch, replace=False))
        x, target = (torch.from_numpy(gather(values, chunks)) for values in (X, up))
        logits = model(x)[:, context:, LAYOUT.direction].float()
        return F.binary_cross_entropy_with_logits(logits, target[:, context:])

    return training_step(model, loss, precision), train.batch * train.chunk


def windowed_step(model: CausalModel, X: np.ndarray, up: np.ndarray, window: int, windows: int) -> tuple[Step, int]:
    """A step on single windows, and its labels."""
    views = torch.from_numpy(X).unfold(0, window, 1).transpose(1, 2)
    labels = torch.from_numpy(up)
    random = np.random.default_rng(0)

    def loss() -> torch.Tensor:
        start = torch.from_numpy(random.integers(0, len(views), windows))
        logits = model(views[start])[:, -1, LAYOUT.direction]
        return F.binary_cross_entropy_with_logits(logits, labels[start + window - 1])

    return training_step(model, loss, nullcontext), windows


def labels_per_second(sides: dict[str, tuple[Step, int]], rounds: int) -> dict[str, float]:
    """Median of each side's labelled samples per second of processor time; the sides take turns."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for attempt in range(rounds + 2):
        for name, (step, labels) in sides.items():
            start = time.process_time()
            step()
            if attempt >= 2:
                rates[name].append(labels / (time.process_time() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def training(args: Args, configs: tuple[ModelConfig, ...], features: int) -> dict[str, float]:
    """Ratios by key, and a line per model."""
    random = np.random.default_rng(0)
    X = random.standard_normal((args.rows, features)).astype(np.float32)
    up = (random.random((args.rows, len(LAYOUT.horizons))) > 0.5).astype(np.float32)
    found = {}
    for config in configs:

        def fresh(config: ModelConfig = config) -> CausalModel:
            return build_model(config, features, LAYOUT)

        bf16 = lambda: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
        sides = {
            "dense": dense_step(fresh(), X, up, TrainConfig()),
            "bf16": dense_step(fresh(), X, up, TrainConfig(), bf16),
            "windowed": windowed_step(fresh(), X, up, config.window, args.windows),
        }
        rate = labels_per_second(sides, args.rounds)
        found[f"dense_vs_windowed_{config.kind}"] = round(rate["dense"] / rate["windowed"], 1)
        found[f"bf16_vs_fp32_{config.kind}"] = round(rate["bf16"] / rate["dense"], 2)
        found[f"dense_per_s_{config.kind}"] = round(rate["dense"])
        print(
            f"{config.kind:12s} dense {rate['dense']:10,.0f} labels/s   bf16 {rate['bf16']:10,.0f}   "
            f"windowed {rate['windowed']:8,.0f}   dense/windowed {rate['dense'] / rate['windowed']:6.1f}"
        )
    return found


def ticks(configs: tuple[ModelConfig, ...], features: int) -> dict[str, float]:
    """Latencies and ratios by key, and a line per side."""
    models = {config.kind: lively(build_model(config, features, LAYOUT)) for config in configs}
    found: dict[str, float] = {}
    for life in (False, True):
        suffix = "_life" if life else ""
        times = tick_times(dict(models), life)
        p50 = {}
        for side, spent in times.items():
            p50[side], p99 = quantiles(spent)
            found[f"tick_{side}_us{suffix}"], found[f"tick_{side}_us{suffix}_p99"] = round(p50[side], 1), round(p99, 1)
            print(f"tick {side:9s} {'in life' if life else 'hot':8s} p50 {p50[side]:8.1f} us   p99 {p99:8.1f} us")
        found[f"tick_vs_eager{suffix}"] = round(p50["eager"] / p50["compiled"], 1)
        found[f"tick_vs_eager_onnx{suffix}"] = round(p50["eager"] / p50["onnx"], 1)
    found["update_weights_us"] = round(max(update_us(model) for model in models.values()))
    for kind, model in models.items():
        exact, rounded = int8_report(model).latency_us
        found[f"int8_vs_fp32_{kind}"] = round(exact / rounded, 2)
        print(f"{kind:12s} window in ONNX Runtime: float32 {exact:7.1f} us, int8 {rounded:7.1f} us")
    return found


def main(args: Args) -> int:
    """Print a line per measurement and the RESULT line."""
    result: dict[str, float] = {}
    with torch_threads(args.threads):
        for name, suffix, configs, features in (
            ("defaults", "", DEFAULTS, args.features),
            ("large", "_large", LARGE, 64),
        ):
            print(f"{name}: {features} features")
            found = training(args, configs, features) | ticks(configs, features)
            result |= {f"{key}{suffix}": value for key, value in found.items()}
    print(f"RESULT {json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
