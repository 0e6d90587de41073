"""Options of `python -m scripts.benchmark_agents`, apart from where the bars come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_pipeline.errors import InputError
from evaluation.config import ModelKind, SpreadKind


@dataclass(frozen=True)
class StudyConfig:
    """What is trained, on how much, and judged on which days."""

    algorithms: tuple[Literal["ppo", "ddpg"], ...] = ("ppo", "ddpg")
    """ppo chooses flat, long or short; ddpg side and size, take-profit and stop-loss as numbers."""
    seeds: int = 5
    """Policies of each algorithm in each window. All are shown; none is chosen."""
    windows: int = 4
    """Stretches of test days, one after the other, at the end of the bars."""
    test_days: int = 5
    """Days of one window's test."""
    validation_days: int = 5
    """Days before each test that choose each policy's checkpoint, and nothing else. Everything earlier that has
    predictions is trained on."""
    iterations: int | None = None
    """Training iterations (default: those of the algorithm's preset)."""
    validate_every: int = 10
    """Iterations between two looks at the validation days."""
    models: tuple[ModelKind, ...] = ("tcn",)
    """Supervised models whose walk-forward predictions stand in the observation beside the features."""
    horizons: tuple[int, ...] = (5, 15)
    """Bars ahead that the models predict."""
    model_folds: int = 4
    """Walk-forward folds of the models."""
    contract: Literal["spot", "linear"] = "linear"
    """Rules of the instrument: spot (no short selling, 10/10 bps) or linear perpetual (2 bps maker, 5 bps taker)."""
    spread_model: SpreadKind = "bars"
    """Half-spread: estimated row by row from past bars and at least half a tick, or constant at 0.5 bps."""
    random_accounts: int = 300
    """Accounts that make each policy's trades at random times."""
    seed: int = 0
    """Of models and of the first policy; the others count on from it."""
    device: str = "cpu"
    """Where models and policies learn: auto, cpu, cuda[:i], xpu[:i]."""
    threads: int = 1
    """Torch threads."""

    def check(self) -> None:
        """Raise InputError for the first option that cannot be used."""
        for name in ("seeds", "windows", "test_days", "validation_days", "model_folds", "random_accounts", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{getattr(self, name)} is below 1", where=f"--{name.replace('_', '-')}")
        if not self.algorithms or len(set(self.algorithms)) < len(self.algorithms):
            raise InputError(f"{self.algorithms}", where="--algorithms", remedy="name ppo, ddpg or both, each once")
