"""Dense causal training: a loss at every row of contiguous chunks, never one window per row.

A fit may be ended at any moment and gone on with (`fit_state`), may compute in sixteen bits (`precision`), and may
share each batch with other processes (`peers`): the gradient is the one that a single process would have found, because
every task's sum of losses and sum of weights are added up before one is divided by the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch

from data_pipeline.errors import InputError
from data_pipeline.interrupts import interrupt_afterwards
from supervised.base import CausalModel
from supervised.calibration import fit_temperature
from supervised.chunk_set import ChunkSet
from supervised.config import TaskConfig, TrainConfig
from supervised.devices import torch_threads
from supervised.fit_state import Checkpoint, Epoch, FitState, copy_state, order_of_pass, seed_step
from supervised.losses import LossWeights, TaskSums, base_rates, loss_weights, task_sums
from supervised.peers import Alone, Peers, share_gradients
from supervised.precision import MixedPrecision
from supervised.scores import Score
from supervised.symbols import SymbolModel
from supervised.uncertainty import fit_covariance

Trained = CausalModel | SymbolModel


class Watch(Protocol):
    """Somebody who looks on while a fit runs."""

    def begin(self, state: FitState, steps: int, labels: float) -> None:
        """The fit stands at `state`, maybe not at its start; it takes at most `steps` steps of `labels` labels each."""

    def step(self, state: FitState, loss: torch.Tensor) -> None:
        """A step was taken; its loss, over all peers, is a scalar on the model's device."""

    def epoch(self, state: FitState, score: Score) -> None:
        """A pass ended, and `score` is what the averaged weights scored on the validation rows."""


def fit(
    model: Trained,
    training: ChunkSet,
    validation: ChunkSet,
    config: TrainConfig,
    *,
    seed: int,
    progress: Callable[[Epoch], None] | None = None,
    watch: Watch | None = None,
    checkpoint: Checkpoint | None = None,
    peers: Peers | None = None,
) -> list[Epoch]:
    """Train `model` in place; it ends with its best averaged weights, temperature and uncertainty fitted, in eval mode.

    The model's device is computed on; chunks stay on the host but for the batch at hand. With a `checkpoint` the fit
    goes on from the state that it holds, and the outcome is that of a fit never interrupted, on the CPU to the bit.
    Ctrl-C lets the running step end, saves, and raises KeyboardInterrupt. `progress` hears of every pass. With `peers`
    all of them must call this with equal models, chunks and settings; all end with equal weights.

    Raises InputError when a whole pass had no finite gradient.
    """
    work = _Fit(model, training, validation, config, seed, peers or Alone())
    state = work.descend(progress, watch, checkpoint)
    work.finish(state)
    return state.history


def descend(
    model: Trained,
    training: ChunkSet,
    validation: ChunkSet,
    config: TrainConfig,
    *,
    seed: int,
    progress: Callable[[Epoch], None] | None = None,
    watch: Watch | None = None,
    checkpoint: Checkpoint | None = None,
    peers: Peers | None = None,
) -> FitState:
    """The part of `fit` that peers share: every step, until the state is done; the last of them is in `checkpoint`."""
    return _Fit(model, training, validation, config, seed, peers or Alone()).descend(progress, watch, checkpoint)


class _Fit:
    """One call of `fit`."""

    def __init__(
        self,
        model: Trained,
        training: ChunkSet,
        validation: ChunkSet,
        config: TrainConfig,
        seed: int,
        peers: Peers,
    ) -> None:
        self.model, self.training, self.validation = model, training, validation
        self.config, self.seed, self.peers = config, seed, peers
        self.inner = model.model if isinstance(model, SymbolModel) else model
        self.layout = self.inner.layout
        self.device = self.inner.head.weight.device
        self.weights = loss_weights(training.tally, config.tasks, self.device)
        self.precision = MixedPrecision.choose(config.precision, self.device)
        self.batches = math.ceil(len(training) / config.batch)
        self.order: list[np.ndarray] = []

    def descend(
        self, progress: Callable[[Epoch], None] | None, watch: Watch | None, checkpoint: Checkpoint | None
    ) -> FitState:
        if not self.inner.head.weight.any():  # fresh, and not trained before
            with torch.no_grad():
                rates = base_rates(self.training.tally, self.layout).to(self.device)
                self.inner.head.bias.copy_(rates + self.weights.shift())
        steps = self.config.epochs * self.batches
        state = FitState.start(self.model, self.config, steps, self.precision.grad_scaler(), self.device)
        dumped = checkpoint.load() if checkpoint is not None else None
        if dumped is not None:
            state.load(dumped)
        if watch is not None:
            watch.begin(state, steps, float(self.training.tally.direction.sum()) / self.batches)
        with torch.random.fork_rng(devices=[]), torch_threads(self.config.threads):
            whole = True  # the state is that after a step, not one within
            try:
                while not state.done:
                    with interrupt_afterwards():
                        whole = False
                        epoch = self._advance(state, watch)
                        whole = True
                        if checkpoint is not None and _due(checkpoint, state, epoch):
                            checkpoint.save(state.dump())
                    if epoch is not None and progress is not None:
                        progress(epoch)
            except KeyboardInterrupt:
                if whole and checkpoint is not None:
                    checkpoint.save(state.dump())
                raise
        return state

    def _advance(self, state: FitState, watch: Watch | None) -> Epoch | None:
        """Take one step, and judge the pass if it was its last."""
        number, place = divmod(state.step, self.batches)
        if place == 0 or not self.order:
            self.order = order_of_pass(self.seed, number, len(self.training), self.batches)
        loss = self._step(state, self.order[place][self.peers.rank :: self.peers.size])
        state.step += 1
        if watch is not None:
            watch.step(state, loss)
        if place + 1 < self.batches:
            return None
        score = self._judge(state.averaged.module)
        trained = TaskSums(*state.sums.cpu()).means().total(self.config.tasks)
        epoch = Epoch(number + 1, float(trained), *map(float, score.losses))
        if not math.isfinite(epoch.validation_loss) or state.skipped >= state.step:
            raise InputError(
                f"no finite gradient or loss in pass {epoch.number}",
                where="fit",
                remedy="look for extreme features, or lower learning_rate",
            )
        state.sums.zero_()
        state.history.append(epoch)
        if watch is not None:
            watch.epoch(state, score)
        if epoch.validation_loss < state.best.validation_loss:
            state.best, state.best_state = epoch, copy_state(state.averaged.module)
        state.done = epoch.number == self.config.epochs or epoch.number - state.best.number >= self.config.patience
        return epoch

    def _step(self, state: FitState, chosen: np.ndarray) -> torch.Tensor:
        """One optimiser step on this process's share of a batch; the loss of the whole batch."""
        seed_step(self.seed, state.step, self.peers.rank)
        state.model.train()
        state.optimizer.zero_grad(set_to_none=True)
        mine = TaskSums(*torch.zeros(2, 3, device=self.device))
        if len(chosen):  # a small batch may leave nothing for some
            outputs, targets = self._outputs(state.model, self.training, chosen)
            mine = task_sums(outputs, targets, self.layout, self.weights)
        total = TaskSums(*self.peers.total(torch.stack([mine.losses.detach(), mine.weights])))
        if len(chosen):
            state.grad_scaler.scale(TaskSums(mine.losses, total.weights).means().total(self.config.tasks)).backward()
        share_gradients(state.model, self.peers)
        state.grad_scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), self.config.max_grad_norm)
        if torch.isfinite(norm):  # the one moment at which the host waits for the device
            state.grad_scaler.step(state.optimizer)
            state.averaged.update_parameters(state.model)
            state.sums += torch.stack([total.losses, total.weights])
        else:
            state.skipped += 1
        state.grad_scaler.update()
        state.schedule.step()
        return total.means().total(self.config.tasks)

    def _outputs(
        self, model: torch.nn.Module, chunks: ChunkSet, chosen: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs float32 (N, rows, O) and targets (N, rows, H + K) of some chunks, on the device."""
        x, targets, symbol = (part.to(self.device) for part in chunks.batch(chosen))
        with self.precision.region():
            outputs = model(x, symbol) if isinstance(model, SymbolModel) else model(x)
        return outputs.float(), targets

    def _labelled(self, model: torch.nn.Module, rank: int, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Outputs (N, O) without what class weights add, and targets (N, H + K), of the validation rows that have a
        label: of every `size`-th batch from number `rank` on."""
        model.eval()
        batch, shift = self.config.batch, self.weights.shift()
        for at in range(rank * batch, len(self.validation), size * batch):
            chosen = np.arange(at, min(at + batch, len(self.validation)))
            with torch.no_grad():  # not around the yield: what is done with the outputs is none of its business
                outputs, targets = self._outputs(model, self.validation, chosen)
                rows = torch.isfinite(targets).any(dim=-1)
                said, known = outputs[rows] - shift, targets[rows]
            yield said, known

    def _judge(self, model: torch.nn.Module) -> Score:
        """The score on the validation rows, every label counting alike."""
        even = LossWeights.even(self.layout, TaskConfig(), self.device)
        score = Score.zero(self.layout)
        for outputs, targets in self._labelled(model, self.peers.rank, self.peers.size):
            score += Score.of(outputs, targets, self.layout, even)
        return score.shared(self.peers)

    def finish(self, state: FitState) -> None:
        """Take the best weights, and fit on them what is not learned by gradients."""
        self.model.load_state_dict(state.best_state)
        with torch_threads(self.config.threads):
            self._calibrate()
        self.model.eval()

    def _calibrate(self) -> None:
        said = [(outputs.cpu(), targets.cpu()) for outputs, targets in self._labelled(self.model, 0, 1)]
        outputs, targets = (torch.cat(part) for part in zip(*said, strict=True))
        with torch.no_grad():
            self.inner.head.bias.sub_(self.weights.shift())
            self.inner.temperature.copy_(fit_temperature(outputs, targets, self.layout))
            self.inner.covariance.copy_(fit_covariance(self.inner, self._trained_on()))

    def _trained_on(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs (B, rows, F) of the model without symbols and targets (B, rows, H + K), of all training chunks."""
        for at in range(0, len(self.training), self.config.batch):
            chosen = np.arange(at, min(at + self.config.batch, len(self.training)))
            x, targets, symbol = (part.to(self.device) for part in self.training.batch(chosen))
            yield (self.model.shifted(x, symbol) if isinstance(self.model, SymbolModel) else x), targets


def _due(checkpoint: Checkpoint, state: FitState, epoch: Epoch | None) -> bool:
    return epoch is not None or (checkpoint.every > 0 and state.step % checkpoint.every == 0)
