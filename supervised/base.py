"""The one interface of every sequence model: causal, dense, with learning that goes on after training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from data_pipeline.errors import InputError
from supervised.config import OnlineConfig
from supervised.losses import LossWeights, known_direction, task_losses
from supervised.outputs import OUTCOMES, OutputLayout
from supervised.replay import ReplayBuffer
from supervised.uncertainty import averaged_probability, logit_sd

Criterion = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model says of B x T rows, as probabilities and in units."""

    p_up: torch.Tensor
    """float32 (B, T, H): P(up), calibrated."""
    move_bps: torch.Tensor
    """float32 (B, T, H): expected absolute return."""
    outcomes: torch.Tensor
    """float32 (B, T, K, 3): P(stop), P(time-out), P(take-profit) of each bracket, calibrated."""
    logit_sd: torch.Tensor
    """float32 (B, T, H): standard deviation of the logit of P(up); 0 before training has fitted it."""

    @property
    def averaged_p_up(self) -> torch.Tensor:
        """float32 (B, T, H): P(up) averaged over that uncertainty, hence closer to one half."""
        return averaged_probability(torch.logit(self.p_up), self.logit_sd)


class CausalModel(nn.Module, ABC):
    """Feature rows in, outputs by `layout` out, at every row, from that row and earlier ones only.

    A subclass gives `encode` and `receptive_field`. Changing an input row changes no output before it, bit for bit.
    """

    temperature: torch.Tensor
    """float32 (O,): divides the outputs; fitted after training so that probabilities are calibrated; 1 for moves."""
    covariance: torch.Tensor
    """float32 (H, hidden + 1, hidden + 1): of the head's direction rows, the bias last; see `uncertainty`."""

    def __init__(self, n_features: int, layout: OutputLayout, hidden: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.layout = layout
        self.head = nn.Linear(hidden, layout.size)
        nn.init.zeros_(self.head.weight)  # an untrained model says one half and not something random
        nn.init.zeros_(self.head.bias)
        self.register_buffer("temperature", torch.ones(layout.size))
        self.register_buffer("covariance", torch.zeros(len(layout.horizons), hidden + 1, hidden + 1))
        self.online = OnlineConfig()
        self.replay: ReplayBuffer | None = None

    @property
    @abstractmethod
    def receptive_field(self) -> int:
        """Rows, the current one included, that an output is computed from (for an LSTM: that it is warmed up with)."""

    @abstractmethod
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """x float32 (B, T, F) -> hidden state float32 (B, T, hidden), causal in T."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x float32 (B, T, F), scaled features without NaN -> outputs float32 (B, T, O) in the order of `layout`."""
        return self.head(self.encode(x)) / self.temperature

    def forecast(self, x: torch.Tensor) -> Forecast:
        """The same as probabilities, bps and uncertainty: one pass through the encoder, without gradients."""
        with torch.inference_mode():
            hidden = self.encode(x)
            outputs = self.head(hidden) / self.temperature
            sd = logit_sd(hidden, self.covariance, self.temperature[self.layout.direction])
            logits = outputs[..., self.layout.barrier].unflatten(-1, (len(self.layout.brackets), len(OUTCOMES)))
            return Forecast(
                torch.sigmoid(outputs[..., self.layout.direction]),
                torch.exp(outputs[..., self.layout.move]),
                logits.softmax(dim=-1),
                sd,
            )

    def online_update(
        self, x: torch.Tensor, y: torch.Tensor, optimizer: torch.optim.Optimizer, criterion: Criterion
    ) -> float:
        """One step of learning from the newest rows, mixed with replayed ones; returns the new rows' loss before it.

        x: float32 (T, F) or (B, T, F) scaled features of contiguous rows; let `receptive_field - 1` rows of context
        come first. y: float32 (T, H) or (T, H + K), or with a batch axis in front: label returns in bps and, where
        given, the brackets' outcomes (-1, 0, +1); NaN where a label is not known yet or the row is context. The caller
        vouches that a label given is known by now. criterion: of the direction, (logits (N,), targets (N,) of 0 and
        1) -> scalar, such as `nn.BCEWithLogitsLoss()`; its value is what is returned (NaN without a known direction).
        The move is learned from |y|, and the outcomes where known, at the weights of `self.online.tasks`.

        Nothing is changed when no direction and no outcome is known. The step is skipped (the loss is still returned)
        when the loss or its gradient is not finite. Replay and guards are set by `self.online`.
        """
        x, y = self._batched(x, y)
        horizons = len(self.layout.horizons)
        if not (known_direction(y[..., :horizons]).any() or torch.isfinite(y[..., horizons:]).any()):
            return math.nan
        if self.replay is None:
            self.replay = ReplayBuffer(self.online.replay_samples, self.online.recent_fraction, self.online.seed)
        replayed = self.replay.sample(self.online.replay_chunks)

        was_training = self.training
        self.train()
        optimizer.zero_grad(set_to_none=True)
        fresh, loss = self._losses(x, y, criterion)
        if replayed is not None:
            share = self.online.replay_weight
            past_x, past_y = (part.to(x.device) for part in replayed)
            loss = (1 - share) * loss + share * self._losses(past_x, past_y, criterion)[1]
        if torch.isfinite(loss):
            loss.backward()
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            if torch.isfinite(nn.utils.clip_grad_norm_(parameters, self.online.max_grad_norm)):
                optimizer.step()
                for chunk, labels in zip(x, y, strict=True):
                    self.replay.add(chunk, labels)
        optimizer.zero_grad(set_to_none=True)
        self.train(was_training)
        return float(fresh.detach())

    def _losses(self, x: torch.Tensor, y: torch.Tensor, criterion: Criterion) -> tuple[torch.Tensor, torch.Tensor]:
        """The direction's criterion (NaN where no direction is known), and what to descend."""
        outputs = self(x)
        tasks = self.online.tasks
        losses = task_losses(outputs, y, self.layout, LossWeights.even(self.layout, tasks, x.device))
        loss = tasks.move * losses.move + tasks.barrier * losses.barrier
        known = known_direction(y[..., : len(self.layout.horizons)])
        if not known.any():
            return loss.new_tensor(math.nan), loss
        up = (y[..., : len(self.layout.horizons)][known] > 0).float()
        direction = criterion(outputs[..., self.layout.direction][known], up)
        return direction, tasks.direction * direction + loss

    def _batched(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both with a batch axis, and y with all H + K columns."""
        if x.ndim == 2 and y.ndim == 2:
            x, y = x[None], y[None]
        horizons, brackets = len(self.layout.horizons), len(self.layout.brackets)
        fits = x.ndim == y.ndim == 3 and x.shape[2] == self.n_features and x.shape[:2] == y.shape[:2]
        if not fits or y.shape[2] not in (horizons, horizons + brackets):
            raise InputError(
                f"x {tuple(x.shape)} and y {tuple(y.shape)} do not fit a model of {self.n_features} features, "
                f"{horizons} horizons and {brackets} brackets",
                where="online_update",
                remedy="pass x (T, F) with y (T, H) or (T, H + K), or both with a batch axis in front",
            )
        return x, F.pad(y, (0, horizons + brackets - y.shape[2]), value=math.nan)
