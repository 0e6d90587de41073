"""What a model costs: its size, how fast it learns, and how long one more row takes on every device that is here."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.config import ModelConfig, ModelKind, TrainConfig
from supervised.devices import AUTO_ORDER, resolve_device, torch_threads
from supervised.inference.backends import open_stream
from supervised.models import build_model
from supervised.outputs import OutputLayout

STEPS, ROWS = 4, 300
"""Optimiser steps and rows that are timed, after a quarter as many that are not."""


@dataclass(frozen=True, slots=True)
class DeviceCost:
    """One architecture on one device, one torch thread."""

    device: str
    labels_per_second: float
    """Labelled rows learned from: forward, backward and step on dense chunks as training makes them."""
    window_us: float
    window_p99_us: float
    """Median and 99th percentile of one more row when its whole window is computed again by torch."""
    stream_us: float
    stream_p99_us: float
    """Of one more row when the state is carried along: compiled steps on the processor, torch elsewhere."""


@dataclass(frozen=True, slots=True)
class ModelCost:
    """One architecture at its default size, for so many features and horizons."""

    model: str
    parameters: int
    devices: tuple[DeviceCost, ...]


def model_cost(kind: ModelKind, features: int, horizons: tuple[int, ...], *, seed: int = 0) -> ModelCost:
    """Measure `kind` on random rows, on every device that torch finds. Takes seconds a device."""
    config, layout = ModelConfig(kind=kind), OutputLayout(horizons)
    model = build_model(config, features, layout, seed=seed)
    parameters = sum(part.numel() for part in model.parameters())
    with torch_threads(1):
        devices = tuple(_measure(model.to(device), device) for device in devices_here())
    return ModelCost(kind, parameters, devices)


def devices_here() -> list[torch.device]:
    """The processor, and the first of each kind of accelerator."""
    found = [torch.device("cpu")]
    for kind in AUTO_ORDER:
        try:
            found.append(resolve_device(kind))
        except InputError:
            continue
    return found


def _measure(model: CausalModel, device: torch.device) -> DeviceCost:
    settings = TrainConfig()
    context = model.receptive_field - 1
    x = torch.randn(settings.batch, context + settings.chunk, model.n_features, device=device)
    up = (torch.rand(settings.batch, settings.chunk, len(model.layout.horizons), device=device) > 0.5).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        outputs = model(x)[:, context:, model.layout.direction]
        F.binary_cross_entropy_with_logits(outputs, up).backward()
        optimizer.step()

    row_window = torch.randn(1, model.receptive_field, model.n_features)

    def answer() -> None:
        with torch.inference_mode():
            model(row_window.to(device))[:, -1].cpu()

    generator = np.random.default_rng(0)
    rows = iter(generator.standard_normal((2 * ROWS, model.n_features), dtype=np.float32))
    stream = open_stream(copy.deepcopy(model).eval(), device=str(device))

    model.train()
    learning = _seconds(step, STEPS, device)
    model.eval()
    window_us = 1e6 * _seconds(answer, ROWS, device)
    stream_us = 1e6 * _seconds(lambda: stream.advance(next(rows)), ROWS, device)
    quantiles = [float(np.percentile(took, at)) for took in (window_us, stream_us) for at in (50, 99)]
    return DeviceCost(str(device), settings.batch * settings.chunk / float(np.median(learning)), *quantiles)


def _seconds(work: Callable[[], object], times: int, device: torch.device) -> np.ndarray:
    """Wall time of each call, float64 (times,)."""
    for _ in range(max(times // 4, 1)):
        work()
    took = np.empty(times)
    for k in range(times):
        start = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        took[k] = time.perf_counter() - start
    return took
