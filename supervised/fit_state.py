"""All that a fit changes as it goes on, and how it outlives the process.

What is random in a step (dropout, forgotten symbols) depends on the seed, the step and the process alone, and the
order of a pass on the seed and the pass: so there is no random state to keep, and a fit that goes on at step n takes
the very steps that it would have taken.
"""

from __future__ import annotations

import math
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path
from supervised.config import TrainConfig

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


@dataclass
class FitState:
    """Where a fit stands after `step` optimiser steps."""

    model: nn.Module
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    grad_scaler: torch.amp.GradScaler
    sums: torch.Tensor
    """float32 (2, 3), on the model's device: sums of the running pass's losses and of their weights, by task."""
    best_state: dict[str, torch.Tensor]
    best: Epoch = field(default_factory=lambda: Epoch(0, math.nan, math.inf))
    step: int = 0
    skipped: int = 0
    """Steps not taken because a gradient was not finite."""
    history: list[Epoch] = field(default_factory=list)
    done: bool = False

    @classmethod
    def start(
        cls, model: nn.Module, config: TrainConfig, steps: int, grad_scaler: torch.amp.GradScaler, device: torch.device
    ) -> FitState:
        """Of a fit of at most `steps` steps, before the first."""
        warmup = WARMUP_FRACTION
        if math.isclose(steps * warmup, 1.0):
            warmup += 0.01  # a rise that ends at the very first step is a division by zero in torch
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=steps, pct_start=warmup
        )
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.average_decay))
        sums = torch.zeros(2, 3, device=device)
        return cls(model, averaged, optimizer, schedule, grad_scaler, sums, copy_state(model))

    def stateful(self) -> dict[str, Any]:
        """The members that keep their state themselves."""
        return {name: getattr(self, name) for name in ("model", "averaged", "optimizer", "schedule", "grad_scaler")}

    def dump(self) -> dict[str, Any]:
        """Everything as tensors and plain values, for `torch.save`."""
        return {
            **{name: member.state_dict() for name, member in self.stateful().items()},
            "sums": self.sums,
            "best_state": self.best_state,
            "best": asdict(self.best),
            "step": self.step,
            "skipped": self.skipped,
            "history": [asdict(epoch) for epoch in self.history],
            "done": self.done,
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Go back to what `dump` gave; tensors move to the model's device."""
        for name, member in self.stateful().items():
            member.load_state_dict(dumped[name])
        self.sums = dumped["sums"].to(self.sums.device)
        self.best_state = dumped["best_state"]
        self.best = Epoch(**dumped["best"])
        self.step, self.skipped, self.done = dumped["step"], dumped["skipped"], dumped["done"]
        self.history = [Epoch(**epoch) for epoch in dumped["history"]]


class Checkpoint(Protocol):
    """Where a fit's state is kept while it lasts."""

    @property
    def every(self) -> int:
        """Steps between two savings; 0 saves after each pass only."""

    def save(self, dumped: dict[str, Any]) -> None:
        """Keep a state in place of the one before; all of it or nothing."""

    def load(self) -> dict[str, Any] | None:
        """The state kept last, tensors on the host; None when there is none."""


@dataclass(frozen=True)
class FileCheckpoint:
    """A state in a file, replaced as a whole."""

    path: Path
    identity: str
    """Of settings and data: a state of others is refused."""
    every: int = 0
    read_only: bool = False
    """Somebody else saves."""

    def save(self, dumped: dict[str, Any]) -> None:
        """Written aside, synced, renamed."""
        if self.read_only:
            return
        with atomic_path(self.path) as temporary:
            torch.save({"identity": self.identity, "state": dumped}, temporary)

    def load(self) -> dict[str, Any] | None:
        """Raises InputError for a file that is damaged, or of other settings or data."""
        if not self.path.exists():
            return None
        try:
            kept = torch.load(self.path, weights_only=True, map_location="cpu")
            identity, state = kept["identity"], kept["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise InputError(
                f"not the state of a fit ({type(error).__name__})", where=str(self.path), remedy="delete it"
            ) from error
        if identity != self.identity:
            raise InputError(
                "it is of a fit with other settings or data",
                where=str(self.path),
                remedy="delete it, or go back to them",
            )
        return dict(state)


def copy_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the weights that further training does not touch."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def order_of_pass(seed: int, number: int, chunks: int, batches: int) -> list[np.ndarray]:
    """The chunks of each batch of a pass: every chunk once, in an order of its own."""
    return np.array_split(np.random.default_rng((seed, number)).permutation(chunks), batches)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set torch's random state for one step of one process."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1)))
