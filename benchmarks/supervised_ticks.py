"""One tick through TCN, LSTM, Transformer and their ensemble: compiled, streaming ONNX, and torch on the whole window.

Part of `python -m benchmarks.supervised`. A tick is an unscaled feature row in and the ensemble's P(up) out. The peer
is what is commonly done: torch eager over the last 100 rows, once per model. Sides take turns in blocks. In a hot loop
one tick follows the other; *in life* there is half a millisecond of idleness and 8 MB of other memory traffic before
each, which is 2 to 4 times slower and nearer to what a feed of market data does to a process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from features.scaling import Scaler
from supervised.base import CausalModel
from supervised.config import EnsembleConfig, ModelConfig
from supervised.gate import REGIME
from supervised.inference.compiled_stream import CompiledStream
from supervised.inference.config import Backend
from supervised.inference.int8 import Int8Limits, Int8Report, export_int8
from supervised.inference.members import StreamingEnsemble, StreamingMembers
from supervised.meta import Ensemble

WINDOW = 100
IDLE_S = 0.0005
TRAFFIC_BYTES = 8_000_000
BLOCKS = 8
TICKS = {"compiled": 250, "onnx": 100, "eager": 12}
"""Of one block. Every tick counts but the first two of a block, which meet the caches as another side left them."""
UPDATES = 30
ANYTHING = Int8Limits(log_loss=np.inf, accuracy=np.inf, latency_ratio=np.inf)

Times = dict[str, list[int]]


class EagerEnsemble:
    """The peer: the models in torch over the last 100 rows, the same ensemble on top."""

    def __init__(self, models: dict[str, CausalModel], scaler: Scaler, ensemble: Ensemble) -> None:
        self._models, self._scaler, self._ensemble = models, scaler, ensemble
        self._window = torch.zeros(1, WINDOW, len(scaler.mean))

    def advance(self, features: np.ndarray) -> np.ndarray:
        """P(up) (H,) of the ensemble."""
        scaled = self._scaler.transform(features[None])
        self._window = torch.cat([self._window[:, 1:], torch.from_numpy(scaled)[None]], dim=1)
        horizons = len(self._ensemble.hedge.horizons)
        with torch.inference_mode():
            said = [torch.sigmoid(model(self._window)[0, -1, :horizons]) for model in self._models.values()]
        p_up = torch.stack(said, dim=-1).numpy()
        return self._ensemble.combine(self._ensemble.experts(p_up, self._ensemble.regime(scaled[0])))


def tick_times(models: dict[str, CausalModel], life: bool) -> Times:
    """Nanoseconds of single ticks by side."""
    features = next(iter(models.values())).n_features
    layout = next(iter(models.values())).layout
    names = (*REGIME, *(f"other_{number}" for number in range(features - len(REGIME))))
    scaler = Scaler(np.zeros(features), np.ones(features))
    ensemble = Ensemble.start(EnsembleConfig(), layout.horizons, tuple(models), names)
    settings = tuple(ModelConfig(kind) for kind in models)  # type: ignore[arg-type]

    def streaming(backend: Backend) -> StreamingEnsemble:
        return StreamingEnsemble(StreamingMembers(models, settings, scaler, backend=backend), ensemble)

    sides = {"compiled": streaming("compiled"), "onnx": streaming("onnx")}
    ticks: dict[str, Callable[[np.ndarray], object]] = {name: side.advance for name, side in sides.items()}
    ticks["eager"] = EagerEnsemble(models, scaler, ensemble).advance
    ahead = {name: side.members.prepare for name, side in sides.items()}
    rows = np.random.default_rng(0).standard_normal((1_000, features))
    other = np.zeros(TRAFFIC_BYTES // 16), np.zeros(TRAFFIC_BYTES // 16)
    times: Times = {name: [] for name in ticks}
    for block in range(BLOCKS):
        for name, tick in ticks.items():
            for number in range(TICKS[name]):
                if life:
                    time.sleep(IDLE_S)
                    other[0][:] = other[1]
                start = time.perf_counter_ns()
                tick(rows[(block * TICKS[name] + number) % len(rows)])
                spent = time.perf_counter_ns() - start
                if number >= 2:
                    times[name].append(spent)
                if name in ahead:
                    ahead[name]()
    return times


def update_us(model: CausalModel) -> float:
    """Median time to take new weights into a compiled stream, in microseconds."""
    stream, spent = CompiledStream(model), []
    for _ in range(UPDATES):
        start = time.perf_counter_ns()
        stream.update_weights(model)
        spent.append((time.perf_counter_ns() - start) / 1e3)
    return statistics.median(spent)


def quantiles(times: list[int]) -> tuple[float, float]:
    """p50 and p99 in microseconds."""
    p50, p99 = np.quantile(times, [0.5, 0.99]) / 1e3
    return float(p50), float(p99)


def int8_report(model: CausalModel) -> Int8Report:
    """A window in eight bits beside float32, on random rows: only its latency means anything."""
    x = np.random.default_rng(0).standard_normal((3_000, model.n_features)).astype(np.float32)
    y = np.where(np.random.default_rng(1).random((3_000, len(model.layout.horizons))) < 0.5, 1.0, -1.0)
    with tempfile.TemporaryDirectory() as folder:
        return export_int8(model, Path(folder) / "int8.onnx", x, y.astype(np.float32), ANYTHING)


def lively(model: CausalModel) -> CausalModel:
    """In eval mode with a head that is not zero: a sum of zeros may be skipped."""
    torch.nn.init.normal_(model.head.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return model.eval()
