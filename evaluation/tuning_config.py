"""Settings of a search for settings. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_pipeline.errors import InputError


@dataclass(frozen=True)
class MarketChoice:
    """Markets that policies are trained and chosen on. The days after the validation days are never looked at."""

    market: tuple[Path, ...] = ()
    """Saved markets (RUN/markets/SYMBOL), or run folders of run_scalping_experiment for all of theirs."""
    synthetic: Literal["no_edge", "planted_edge"] | None = None
    """A synthetic market instead."""
    days: int = 60
    """Days of the synthetic market."""
    market_seed: int = 0
    """Seed of the synthetic market."""
    train_fraction: float = 0.70
    """Share of the time, from its start, that policies learn from. As in run_scalping_experiment: a run's own test days
    stay unseen when these are its fractions."""
    validation_fraction: float = 0.10
    """Share after that which scores them."""

    def check(self) -> None:
        """Raise InputError for a choice that cannot be made (tyro boxes what a constructor raises)."""
        if bool(self.market) == (self.synthetic is not None):
            raise InputError(
                "give either saved markets or a synthetic one",
                where="--market",
                remedy="such as --synthetic planted_edge",
            )


@dataclass(frozen=True)
class TuneConfig:
    """How to search."""

    search: Literal["random", "grid", "optuna", "pbt"] = "random"
    """random draws; a full grid; Optuna's TPE (extra `tune`); population-based training, which changes settings while
    policies train and copies the better ones."""
    scheduler: Literal["asha", "none"] = "asha"
    """asha stops what does worse than others did after as many iterations; none trains everything to its end. Not for
    pbt."""
    trials: int = 20
    """Settings to try; members of the population for pbt; a grid has as many as it has."""
    grid_points: int = 3
    """Points of a grid along each range."""
    validate_every: int = 10
    """Iterations between scores."""
    grace: int = 20
    """Iterations that asha leaves to everyone."""
    reduction: int = 3
    """asha lets one in so many go on, each time to so many times the iterations."""
    perturb_every: int = 20
    """Iterations between changes of pbt."""
    seed: int = 0
    """Of what is drawn."""

    def check(self) -> None:
        """Raise InputError for the first option that cannot be used (tyro boxes what a constructor raises)."""
        for name in ("trials", "validate_every", "grace", "perturb_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is under 1", where="search", remedy="choose at least 1")
        for name in ("grid_points", "reduction"):
            if getattr(self, name) < 2:
                raise InputError(f"{name} {getattr(self, name)} is under 2", where="search", remedy="choose at least 2")
        if self.search == "pbt" and self.trials < 2:
            raise InputError("one member is no population", where="search", remedy="choose --trials 4 or more")
        if self.search == "pbt" and self.perturb_every % self.validate_every:
            raise InputError(
                f"perturb_every {self.perturb_every} is no multiple of validate_every {self.validate_every}",
                where="search",
                remedy="members are compared when they have been scored",
            )
