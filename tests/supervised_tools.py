"""Rows with a rule over several of them, as chunks, for tests of training."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from supervised.base import CausalModel
from supervised.chunk_set import ChunkSet, LabelledRows, labelled_chunks
from supervised.config import ModelConfig, TrainConfig
from supervised.fit_state import FitState
from supervised.models import build_model
from supervised.outputs import Bracket, OutputLayout
from supervised.scores import Score

ROWS, FEATURES, CONTEXT = 1500, 4, 5
LAYOUT = OutputLayout((1,), (Bracket(10.0, 10.0, 5),))
TRAIN = TrainConfig(epochs=3, patience=3, chunk=64, batch=5, learning_rate=1e-2, average_decay=0.8)
RUNS = np.array([[0, 700], [720, ROWS]])


def small_model(kind: str = "tcn", dropout: float = 0.1) -> CausalModel:
    """Eight channels and a window of eight rows."""
    return build_model(ModelConfig(kind=kind, hidden=8, window=8, dropout=dropout), FEATURES, LAYOUT, seed=1)


def rows(seed: int = 0, count: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, targets and their ends: returns are the sum of feature 0 over three rows, and noise; outcomes their signs."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((count, FEATURES)).astype(np.float32)
    move = np.convolve(X[:, 0], np.ones(3))[:count] + random.standard_normal(count)
    y = np.stack([move, np.sign(np.round(move))], axis=1).astype(np.float32)
    return X, y, np.arange(count)[:, None] + np.array([2, 5])


def chunk_sets(
    model: CausalModel, folder: Path | None = None, seeds: tuple[int, ...] = (0,)
) -> tuple[ChunkSet, ChunkSet]:
    """Training chunks of the first 1,000 rows and validation chunks of the rest, one symbol per seed.

    With a folder the arrays are mapped from files there.
    """
    arrays = []
    for seed in seeds:
        made = rows(seed)
        if folder is not None:
            for name, array in zip("Xyt", made, strict=True):
                np.save(folder / f"{name}{seed}.npy", array)
            made = tuple(np.load(folder / f"{name}{seed}.npy", mmap_mode="r") for name in "Xyt")
        arrays.append(made)

    def chunks(name: str, start: int, cut: int) -> ChunkSet:
        parts = [LabelledRows(*each, RUNS, start, cut, number) for number, each in enumerate(arrays, start=1)]
        return labelled_chunks(
            name, parts, LAYOUT, context=model.receptive_field - 1, length=TRAIN.chunk, min_context=CONTEXT
        )

    return chunks("training", 0, 1000), chunks("validation", 1000, ROWS)


class Signal:
    """Looks on at a fit, and sends its process a signal at one step; with a marker file, only the first time."""

    def __init__(self, number: int, step: int, marker: Path | None = None) -> None:
        self.number, self.at, self.marker = number, step, marker

    def begin(self, state: FitState, steps: int, labels: float) -> None: ...

    def step(self, state: FitState, loss: torch.Tensor) -> None:
        if state.step == self.at and (self.marker is None or not self.marker.exists()):
            if self.marker is not None:
                self.marker.touch()
            os.kill(os.getpid(), self.number)

    def epoch(self, state: FitState, score: Score) -> None: ...
