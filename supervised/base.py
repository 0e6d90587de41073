"""The one interface of every sequence model: causal, dense, with learning that goes on after training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn

from data_pipeline.errors import InputError
from supervised.config import OnlineConfig
from supervised.replay import ReplayBuffer

Criterion = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def known_direction(y: torch.Tensor) -> torch.Tensor:
    """bool, shape of y: where the label return is known (not NaN) and moved (not zero)."""
    return torch.isfinite(y) & (y != 0)


class CausalModel(nn.Module, ABC):
    """Feature rows in, one logit of P(up) per horizon out, at every row, from that row and earlier ones only.

    A subclass gives `encode` and `receptive_field`. Changing an input row changes no output before it, bit for bit.
    """

    temperature: torch.Tensor
    """float32 (H,): divides the logits; fitted after training so that the probabilities are calibrated."""

    def __init__(self, n_features: int, n_horizons: int, hidden: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.n_horizons = n_horizons
        self.head = nn.Linear(hidden, n_horizons)
        nn.init.zeros_(self.head.weight)  # an untrained model says one half and not something random
        nn.init.zeros_(self.head.bias)
        self.register_buffer("temperature", torch.ones(n_horizons))
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
        """x float32 (B, T, F), scaled features without NaN -> logits of P(up) float32 (B, T, H)."""
        return self.head(self.encode(x)) / self.temperature

    def online_update(
        self, x: torch.Tensor, y: torch.Tensor, optimizer: torch.optim.Optimizer, criterion: Criterion
    ) -> float:
        """One step of learning from the newest rows, mixed with replayed ones; returns the new rows' loss before it.

        x: float32 (T, F) or (B, T, F) scaled features of contiguous rows; let `receptive_field - 1` rows of context
        come first. y: float32 (T, H) or (B, T, H) label *returns* (bps, any positive unit will do: only the sign is
        learned), NaN where the label is not known yet or the row is context. The caller vouches that a label given is
        known by now. criterion: (logits (K,), targets (K,) of 0 and 1) -> scalar, such as `nn.BCEWithLogitsLoss()`.

        Nothing is changed and NaN is returned when no label is known. The step is skipped (the loss is still returned)
        when the loss or its gradient is not finite. Replay and guards are set by `self.online`.
        """
        x, y = self._batched(x, y)
        known = known_direction(y)
        if not known.any():
            return math.nan
        if self.replay is None:
            self.replay = ReplayBuffer(self.online.replay_samples, self.online.recent_fraction, self.online.seed)
        replayed = self.replay.sample(self.online.replay_chunks)

        was_training = self.training
        self.train()
        optimizer.zero_grad(set_to_none=True)
        fresh = loss = self._loss(x, y, criterion)
        if replayed is not None:
            share = self.online.replay_weight
            past_x, past_y = (part.to(x.device) for part in replayed)
            loss = (1 - share) * fresh + share * self._loss(past_x, past_y, criterion)
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

    def _loss(self, x: torch.Tensor, y: torch.Tensor, criterion: Criterion) -> torch.Tensor:
        known = known_direction(y)
        return criterion(self(x)[known], (y[known] > 0).float())

    def _batched(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if x.ndim == 2 and y.ndim == 2:
            x, y = x[None], y[None]
        wanted = (*x.shape[:2], self.n_horizons)
        if x.ndim != 3 or x.shape[2] != self.n_features or y.shape != wanted:
            raise InputError(
                f"x {tuple(x.shape)} and y {tuple(y.shape)} do not fit a model of {self.n_features} features and "
                f"{self.n_horizons} horizons",
                where="online_update",
                remedy="pass x (T, F) with y (T, H), or both with a batch axis in front",
            )
        return x, y
