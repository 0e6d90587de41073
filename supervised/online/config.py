"""Settings of learning that goes on after training. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from data_pipeline.errors import InputError
from supervised.config import ModelConfig, ModelKind, OnlineConfig, TaskConfig, TrainConfig

DriftKind = Literal["none", "adwin", "page_hinkley"]


@dataclass(frozen=True)
class LearningConfig:
    """How the models of a fold learn on, one row after the other."""

    update_every: int = 32
    """Rows between two updates: each is one optimiser step on the rows that have become complete, with replay."""
    swap_after: int = 1
    """Rows an update may take: it is put in before the prediction that many rows later, and waited for if need be."""
    background: bool = False
    """Update in a second thread while rows go on; the weights are the same, to the bit."""
    learning_rate: float = 1e-3
    """Step size between drifts."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or plain gradient steps."""
    follow: float = 0.1
    """How far `serving` goes towards the student's weights at a swap; 1: all the way. Below, it is their average over
    the latest updates (Polyak & Juditsky 1992), which has far less of the single steps' noise and hardly lags."""
    head_only: bool = False
    """Learn the last layer only: about half the time, and slower to follow a change."""
    replay: OnlineConfig = field(default_factory=OnlineConfig)
    """Replay and clipping of `online_update`."""
    drift: DriftKind = "none"
    """Detector on the prequential loss; every kind but none needs the extra `learning` (river)."""
    boost: float = 3.0
    """Factor on the learning rate after a drift, falling back to 1 evenly over `boost_rows`."""
    boost_rows: int = 4_000
    """Rows after a drift until the learning rate is back to normal."""
    drift_keeps: int = 500
    """Labelled rows that replay keeps when the loss has drifted upwards; everything older is let go."""
    guard_rows: int = 3_000
    """Latest rows on which the learning model is compared with the weights that were last proven good."""
    guard_p: float = 1e-3
    """Diebold-Mariano p-value below which a learning model that has lost more is rolled back to those weights."""
    promote_p: float = 0.05
    """The same for one that has lost less: from there on its weights are the ones proven good."""
    linear: bool = True
    """A linear expert beside the models, updated exactly at every row."""
    linear_half_life: float = 3_000.0
    """Rows after which what it saw counts half."""

    def __post_init__(self) -> None:
        least = {"update_every": 1, "swap_after": 1, "boost": 1, "boost_rows": 1, "drift_keeps": 0, "guard_rows": 100}
        for name, low in least.items():
            if not getattr(self, name) >= low:
                _refuse(f"{name} {getattr(self, name)} is below {low}", f"use {low} or above")
        if not 0 < self.follow <= 1:
            _refuse(f"follow {self.follow} is outside (0, 1]", "use 1 to serve what was learned last")
        for name in ("guard_p", "promote_p"):
            if not 0 < getattr(self, name) < 1:
                _refuse(f"{name} {getattr(self, name)} is outside (0, 1)", "use 0.001")
        for name in ("learning_rate", "linear_half_life"):
            if not 0 < getattr(self, name) < math.inf:
                _refuse(f"{name} {getattr(self, name)} is not positive", "use a value above 0")
        if self.swap_after > self.update_every:
            _refuse(f"swap_after {self.swap_after} is above update_every {self.update_every}", "let one end first")
        if self.drift not in ("none", "adwin", "page_hinkley"):
            _refuse(f"drift {self.drift!r} is unknown", "use none, adwin or page_hinkley")
        if self.optimizer not in ("adam", "sgd"):
            _refuse(f"optimizer {self.optimizer!r} is unknown", "use adam or sgd")


@dataclass(frozen=True)
class StudyConfig:
    """A synthetic market that models are trained on and then go on over."""

    setting: Literal["flip", "stationary", "no_edge"] = "flip"
    """flip: what the taker-buy share tells turns round; stationary: it does not; no_edge: it never told anything."""
    edge_strength: float = 0.3
    """Of the planted edge."""
    seed: int = 0
    """Of the market and of the models' first weights."""
    horizons: tuple[int, ...] = (1, 5)
    """Bars ahead."""
    kinds: tuple[ModelKind, ...] = ("tcn",)
    """Architectures."""
    hidden: int = 16
    """Their width."""
    look_back: int = 60
    """Rows that they look back on."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=5))
    """How they are trained at first."""
    train_rows: int = 15_000
    """Bars trained on."""
    before: int = 6_000
    """Bars gone over before the change."""
    after: int = 12_000
    """Bars gone over from the change on."""
    window: int = 1_000
    """Bars over which the gain is averaged to say when it is back."""

    def __post_init__(self) -> None:
        if self.setting not in ("flip", "stationary", "no_edge"):
            raise InputError(f"setting {self.setting!r} is unknown", where="StudyConfig", remedy="use flip")
        if not 0 < self.window <= self.after:
            raise InputError(
                f"window {self.window} is not in (0, {self.after}]", where="StudyConfig", remedy="use 1000"
            )

    @property
    def models(self) -> tuple[ModelConfig, ...]:
        """One of each kind."""
        return tuple(ModelConfig(kind, hidden=self.hidden, window=self.look_back) for kind in self.kinds)


def learning_from_dict(values: dict[str, Any]) -> LearningConfig:
    """Back from `dataclasses.asdict` through JSON."""
    replay = {**values["replay"], "tasks": TaskConfig(**values["replay"]["tasks"])}
    return LearningConfig(**{**values, "replay": OnlineConfig(**replay)})


def _refuse(what: str, remedy: str) -> None:
    raise InputError(what, where="LearningConfig", remedy=remedy)
