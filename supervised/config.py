"""Settings of the supervised models. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from data_pipeline.errors import InputError
from supervised.outputs import Bracket, OutputLayout

Precision = Literal["float32", "bfloat16", "float16", "auto"]
ModelKind = Literal["tcn", "transformer", "lstm", "mixer"]
MODEL_KINDS: tuple[ModelKind, ...] = ("tcn", "transformer", "lstm", "mixer")
ENSEMBLE_KINDS: tuple[ModelKind, ...] = ("tcn", "transformer", "lstm")
"""Members of a walk-forward run that names none."""
DEFAULT_WIDTH: dict[str, int] = {"tcn": 32, "transformer": 32, "lstm": 64, "mixer": 32}


def _require(holds: bool, where: str, what: str, remedy: str) -> None:
    if not holds:
        raise InputError(what, where=where, remedy=remedy)


@dataclass(frozen=True)
class ModelConfig:
    """Shape of one causal model."""

    kind: ModelKind = "tcn"
    """Architecture."""
    hidden: int = 0
    """Channels of the TCN and the mixer, width of the Transformer, cells of the LSTM; 0: 32, and 64 for the LSTM."""
    layers: int = 0
    """Depth; 0: a TCN deep enough to see `window` rows, 2 blocks of a Transformer or mixer, 1 layer of an LSTM."""
    window: int = 100
    """Rows of history: band of the Transformer's attention, least receptive field of TCN and mixer, LSTM warm-up."""
    heads: int = 2
    """Attention heads (Transformer only); must divide the width."""
    dropout: float = 0.1
    """Share of hidden units dropped while training."""
    min_context: int = 30
    """Earlier complete rows a position needs inside its contiguous stretch before it is trained on or predicted."""

    def __post_init__(self) -> None:
        where = "ModelConfig"
        _require(self.kind in MODEL_KINDS, where, f"kind {self.kind!r} is unknown", f"use one of {MODEL_KINDS}")
        _require(self.hidden >= 0, where, f"hidden {self.hidden} is negative", "use 0 for the default")
        _require(self.layers >= 0, where, f"layers {self.layers} is negative", "use 0 for the default")
        _require(self.window >= 2, where, f"window {self.window} is below 2", "use 2 or above")
        _require(
            self.kind != "transformer" or (self.heads >= 1 and self.width % self.heads == 0),
            where,
            f"heads {self.heads} does not divide the width {self.width}",
            "choose a divisor",
        )
        _require(0.0 <= self.dropout < 1.0, where, f"dropout {self.dropout} is outside [0, 1)", "use 0 to below 1")
        _require(self.min_context >= 0, where, f"min_context {self.min_context} is negative", "use 0 or above")

    @property
    def width(self) -> int:
        """`hidden`, or the kind's default."""
        return self.hidden or DEFAULT_WIDTH[self.kind]


@dataclass(frozen=True)
class TaskConfig:
    """What each task weighs in the loss, and its labels among themselves (see `supervised.losses`)."""

    direction: float = 1.0
    """Weight of the direction's cross-entropy."""
    move: float = 0.2
    """Weight of the size of the move; 0 leaves it unlearned."""
    barrier: float = 0.5
    """Weight of the brackets' outcomes; 0 leaves them unlearned."""
    balance: bool = False
    """Weight classes inversely to their frequency while training; what that does to the logits is taken off again."""
    weight_by_move: bool = False
    """Weight each direction by its absolute move (relative to the horizon's mean) instead of equally."""

    def __post_init__(self) -> None:
        for name in ("direction", "move", "barrier"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, "TaskConfig", f"{name} {value} is negative", "use 0 or above")


@dataclass(frozen=True)
class TrainConfig:
    """How one model is trained on one fold."""

    epochs: int = 8
    """Most passes over the training rows; the learning rate is annealed to zero over them."""
    patience: int = 3
    """Passes without a better validation loss after which training stops."""
    learning_rate: float = 3e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.05
    """Decoupled weight decay of AdamW."""
    chunk: int = 384
    """Labelled rows per chunk; the rows of context the model needs come on top."""
    batch: int = 8
    """Chunks per optimiser step."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    average_decay: float = 0.98
    """Decay per step of the running average of the weights; the average is what is validated and kept."""
    tasks: TaskConfig = field(default_factory=TaskConfig)
    """What direction, move and brackets weigh."""
    validation_fraction: float = 0.15
    """Last part of the training span kept for early stopping and for the temperature."""
    forget_symbol: float = 0.1
    """Share of chunks whose symbol is hidden where several are trained on: there the model learns to meet a new one."""
    precision: Precision = "float32"
    """Of the matrix products (autocast); auto is bfloat16 where the device is made for it. Attention stays float32."""
    threads: int = 1
    """Torch threads; 0 leaves torch's setting. Models this small gain little from a second and wait on a busy core."""

    def __post_init__(self) -> None:
        where = "TrainConfig"
        for name in ("epochs", "patience", "chunk", "batch"):
            value = getattr(self, name)
            _require(value >= 1, where, f"{name} {value} is below 1", "use 1 or above")
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            _require(
                math.isfinite(value) and value > 0, where, f"{name} {value} is not positive", "use a value above 0"
            )
        _require(self.weight_decay >= 0, where, f"weight_decay {self.weight_decay} is negative", "use 0 or above")
        _require(
            0 <= self.average_decay < 1, where, f"average_decay {self.average_decay} is outside [0, 1)", "use 0.98"
        )
        _require(
            0 < self.validation_fraction < 1,
            where,
            f"validation_fraction {self.validation_fraction} is outside (0, 1)",
            "use 0.15",
        )
        _require(0 <= self.forget_symbol < 1, where, f"forget_symbol {self.forget_symbol} is outside [0, 1)", "use 0.1")
        _require(self.threads >= 0, where, f"threads {self.threads} is negative", "use 0 for torch's own setting")


@dataclass(frozen=True)
class EnsembleConfig:
    """Exponentially weighted experts over the members' log-loss."""

    learning_rate: float = 1.0
    """eta of a label that is known at once, at most 1; a horizon of h bars uses eta / (h + 1) (see `ensemble`)."""
    half_life: float = 5000.0
    """Rows after which a past loss counts half."""
    share: float = 1e-4
    """Part of all weight that is dealt out evenly at every row, so that a member written off can come back; 0: none."""
    gate_rate: float = 0.05
    """Step of the gate that weighs the members by the regime (see `gate`); 0 leaves the gate out."""

    def __post_init__(self) -> None:
        where = "EnsembleConfig"
        _require(
            0 < self.learning_rate <= 1,
            where,
            f"learning_rate {self.learning_rate} is outside (0, 1]",
            "above 1 the regret bound of log-loss does not hold",
        )
        _require(self.half_life > 0, where, f"half_life {self.half_life} is not positive", "use a value above 0")
        _require(0 <= self.share < 1, where, f"share {self.share} is outside [0, 1)", "use 1e-4")
        _require(0 <= self.gate_rate <= 1, where, f"gate_rate {self.gate_rate} is outside [0, 1]", "use 0.05")

    @property
    def discount(self) -> float:
        """Factor by which a past loss shrinks per row."""
        return 0.5 ** (1.0 / self.half_life)


@dataclass(frozen=True)
class OnlineConfig:
    """Replay and guards of `online_update`."""

    replay_samples: int = 10_000
    """Labelled rows kept for replay."""
    recent_fraction: float = 0.5
    """Share of them that are simply the latest; the rest is a uniform sample (reservoir) of everything older."""
    replay_chunks: int = 4
    """Stored chunks replayed beside each new one; 0 turns replay off."""
    replay_weight: float = 0.5
    """Weight of the replayed chunks' loss; the new chunk has the rest."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    tasks: TaskConfig = field(default_factory=TaskConfig)
    """What the tasks weigh; labels count alike, and the direction's criterion is the caller's."""
    seed: int = 0
    """Of the reservoir and of the draws from it."""

    def __post_init__(self) -> None:
        where = "OnlineConfig"
        for name in ("replay_samples", "replay_chunks"):
            value = getattr(self, name)
            _require(value >= 0, where, f"{name} {value} is negative", "use 0 or above")
        for name in ("recent_fraction", "replay_weight"):
            value = getattr(self, name)
            _require(0 <= value <= 1, where, f"{name} {value} is outside [0, 1]", "use 0.5")
        _require(self.max_grad_norm > 0, where, f"max_grad_norm {self.max_grad_norm} is not positive", "use 1.0")


@dataclass(frozen=True)
class WalkForwardConfig:
    """Folds over time, and what is trained on each."""

    horizons: tuple[int, ...] = (1, 5)
    """Label horizons in bars, in the order of the label columns; they name the prediction columns."""
    brackets: tuple[Bracket, ...] = ()
    """Brackets whose outcomes are learned too; their columns follow the horizons' in the labels."""
    models: tuple[ModelConfig, ...] = field(
        default_factory=lambda: tuple(ModelConfig(kind=kind) for kind in ENSEMBLE_KINDS)
    )
    """Members of the ensemble, one of a kind."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How each member is trained."""
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    """How the members are weighed."""
    folds: int = 4
    """Stretches predicted one after the other, each by models trained on what came before it."""
    first_train_fraction: float = 0.4
    """Share of the rows before the first fold: they are only ever trained on."""
    rolling_rows: int = 0
    """Train on at most this many of the latest rows; 0 trains on all that came before (expanding)."""
    embargo_rows: int = 60
    """Rows before a fold that no training label may reach into."""
    seed: int = 0
    """Of the models' first weights, dropout and the order of the chunks."""

    def __post_init__(self) -> None:
        where = "WalkForwardConfig"
        _require(
            len(self.horizons) >= 1
            and all(h >= 1 for h in self.horizons)
            and len(set(self.horizons)) == len(self.horizons),
            where,
            f"horizons {self.horizons} are not distinct numbers of bars",
            "use for example (1, 5)",
        )
        kinds = [model.kind for model in self.models]
        _require(
            len(kinds) >= 1 and len(set(kinds)) == len(kinds),
            where,
            f"models {kinds} are not distinct",
            "use each kind once",
        )
        _require(self.folds >= 1, where, f"folds {self.folds} is below 1", "use 1 or above")
        _require(
            0 < self.first_train_fraction < 1,
            where,
            f"first_train_fraction {self.first_train_fraction} is outside (0, 1)",
            "use 0.4",
        )
        _require(self.rolling_rows >= 0, where, f"rolling_rows {self.rolling_rows} is negative", "use 0 for expanding")
        _require(self.embargo_rows >= 0, where, f"embargo_rows {self.embargo_rows} is negative", "use 0 or above")
        _require(self.seed >= 0, where, f"seed {self.seed} is negative", "use 0 or above")

    @property
    def layout(self) -> OutputLayout:
        """Of every member's outputs."""
        return OutputLayout(self.horizons, self.brackets)
