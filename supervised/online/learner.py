"""One model that learns on: row by row, in a copy of its own, swapped in whole, watched by a guard.

    serving     answers; its weights never change in place, a swap puts a new model in its stead
    student     learns; nobody asks it anything, `serving` follows it swap by swap
    reference   the weights last proven good, at first those the model came with: what a guard rolls back to

Rows and labels go through `PendingRows`, which refuses a label before its time.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from supervised.base import CausalModel
from supervised.devices import torch_threads
from supervised.ensemble import log_losses
from supervised.online.arrays import Arrays, json_array, json_value, load_weights, part, prefixed, weights_of
from supervised.online.config import LearningConfig
from supervised.online.drift import DriftMonitor
from supervised.online.guard import Guard
from supervised.online.optimizer import build_optimizer, load_optimizer, optimizer_arrays
from supervised.online.pending import KnownLabel, PendingRows
from supervised.replay import ReplayBuffer

log = logging.getLogger(__name__)


@dataclass
class Counts:
    """What has happened so far."""

    updates: int = 0
    """Updates with at least one known label."""
    swaps: int = 0
    roll_backs: int = 0
    """Times the guard put the reference's weights back."""
    promotions: int = 0
    """Times the learning model's weights became the reference."""
    drifts: int = 0


@dataclass
class _Progress:
    """Row numbers of what is under way; -1 for nothing."""

    swap_row: int = -1
    drift_row: int = -1
    losses: list[float] = field(default_factory=list)
    """Of the rows since the last decision, for the drift detector."""
    counts: Counts = field(default_factory=Counts)


class OnlineLearner:
    """Call `begin_row`, ask `serving` (and `reference`), then `end_row`: once per row, in this order."""

    def __init__(self, model: CausalModel, config: LearningConfig, *, min_context: int = 0) -> None:
        """`model` is copied and never changed. `min_context`: earlier rows a row needs to be learned from. Raises
        InputError when a drift detector is asked for without river."""
        self.config = config
        self.layout = model.layout
        self.serving = _still(model)
        self.reference = self.serving
        self.on_swap: Callable[[CausalModel], None] | None = None
        """Called with the new `serving` after each swap, in the thread that calls `begin_row`."""
        self._student = _student(model, config)
        self._optimizer = build_optimizer(self._student, config)
        self._criterion = nn.BCEWithLogitsLoss()
        overlap = max(model.layout.horizons)
        self._pending = PendingRows(model.n_features, model.layout, model.receptive_field - 1, min_context)
        self._said = np.empty((0, len(model.layout.horizons), 2))
        self._guard = Guard(config, overlap)
        self._drift = None if config.drift == "none" else DriftMonitor(config.drift)
        self._progress = _Progress()
        self._thread = _thread() if config.background else None
        self._work: Future[None] | None = None

    @property
    def row(self) -> int:
        """Number of the newest row; -1 before the first."""
        return self._pending.now

    @property
    def version(self) -> int:
        """Rises at every change of `serving`."""
        return self.counts.swaps + self.counts.roll_backs

    @property
    def counts(self) -> Counts:
        """What has happened so far."""
        return self._progress.counts

    def quiet_rows(self) -> int:
        """Rows from the next one on, at least 1, before which neither `serving` nor `reference` changes."""
        next_row, every = self.row + 1, self.config.update_every
        until = every - next_row % every
        return min(until, self._progress.swap_row - next_row) if self._progress.swap_row > next_row else until

    def begin_row(self) -> None:
        """Before the next row's prediction: put in the update that is due at it, waiting for it if need be."""
        if self._progress.swap_row != self.row + 1:
            return
        self._wait()
        self._progress.swap_row = -1
        if not all(bool(torch.isfinite(value).all()) for value in self._student.state_dict().values()):
            self._roll_back("its weights are not finite")
            return
        self.counts.swaps += 1
        self._serve(_moved(self.serving, self._student, self.config.follow))

    def end_row(
        self,
        x: np.ndarray,
        said: np.ndarray,
        said_by_reference: np.ndarray,
        labels: Sequence[KnownLabel],
        *,
        follows: bool,
    ) -> None:
        """Enter the next row and the labels that it has made known; learn when it is time to.

        x: float32 (F,) scaled features, NaN where incomplete. said, said_by_reference: P(up) (H,) that `serving` and
        `reference` gave the row, NaN for none. follows: no gap lies between the last row and this one. Raises
        LeakError for a label that cannot be known yet.
        """
        self._pending.push(x, follows=follows)
        keep = 1 + max(self.layout.horizons)
        self._said = np.concatenate([self._said[-keep:], np.stack([said, said_by_reference], axis=-1)[None]])
        for label in labels:
            self._pending.settle(label)
        self._judge(labels)
        if (self.row + 1) % self.config.update_every == 0:
            self._decide()

    def close(self) -> None:
        """End the thread, if there is one."""
        self._wait()
        if self._thread is not None:
            self._thread.shutdown()

    def _judge(self, labels: Sequence[KnownLabel]) -> None:
        """Enter what the newly known directions say of both models, one figure for the row: the mean over horizons."""
        losses = []
        for label in labels:
            back = self.row - label.row
            if label.column < len(self.layout.horizons) and back < len(self._said):
                said = self._said[-1 - back, label.column]
                losses.append(log_losses(said[None], np.array([label.value]))[0])
        known = [loss for loss in losses if loss.any()]
        if known:
            serving, reference = np.mean(known, axis=0)
            self._guard.note(serving - reference)
            self._progress.losses.append(float(serving))

    def _decide(self) -> None:
        """At the end of every `update_every` rows: drift, guard, and the next update."""
        self._wait()
        if self._drift is not None:
            for rise in [self._drift.update(loss) for loss in self._progress.losses]:
                if rise:
                    self._drifted(rise)
        self._progress.losses = []
        verdict = self._guard.verdict()
        if verdict == "roll back":
            self._roll_back("it lost more than the weights last proven good")
        elif verdict == "promote":
            self.counts.promotions += 1
            self.reference = self.serving
        chunks = self._pending.take()
        if not chunks:
            return
        self.counts.updates += 1
        self._progress.swap_row = self.row + self.config.swap_after
        rate = self.config.learning_rate * self._boost()
        if self._thread is None:
            with torch_threads(1):
                self._update(chunks, rate)
        else:
            self._work = self._thread.submit(self._update, chunks, rate)

    def _update(self, chunks: list[tuple[torch.Tensor, torch.Tensor]], rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        for x, y in chunks:
            self._student.online_update(x, y, self._optimizer, self._criterion)

    def _boost(self) -> float:
        """Factor on the learning rate: `boost` at a drift, falling to 1."""
        if self._progress.drift_row < 0:
            return 1.0
        left = 1.0 - (self.row - self._progress.drift_row) / self.config.boost_rows
        return 1.0 + (self.config.boost - 1.0) * max(left, 0.0)

    def _drifted(self, rise: float) -> None:
        log.info("row %d: the loss has drifted by %+.3f nats", self.row, rise)
        self.counts.drifts += 1
        self._progress.drift_row = self.row
        if rise > 0 and self._student.replay is not None:
            self._student.replay.forget(self.config.drift_keeps)

    def _roll_back(self, why: str) -> None:
        """Learn on from the reference, without the optimizer's momentum."""
        log.warning("row %d: the learning model is rolled back: %s", self.row, why)
        self.counts.roll_backs += 1
        self._progress.swap_row = -1
        self._student.load_state_dict(self.reference.state_dict())
        self._optimizer = build_optimizer(self._student, self.config)
        self._serve(self.reference)

    def _serve(self, model: CausalModel) -> None:
        self.serving = model
        if self.on_swap is not None:
            self.on_swap(model)

    def _wait(self) -> None:
        if self._work is not None:
            self._work.result()
            self._work = None

    def state(self) -> Arrays:
        """Everything that changes; an update under way is waited for, and swapped in at its own row after a restore."""
        self._wait()
        arrays = {"said": self._said, "guard": self._guard.state(), "progress": json_array(asdict(self._progress))}
        for name, model in (("serving", self.serving), ("reference", self.reference), ("student", self._student)):
            arrays |= prefixed(name, weights_of(model))
        arrays |= prefixed("optimizer", optimizer_arrays(self._optimizer))
        arrays |= prefixed("pending", self._pending.state())
        if self._drift is not None:
            arrays["drift"] = self._drift.state()
        if self._student.replay is not None:
            arrays |= prefixed("replay", self._student.replay.state())
        return arrays

    def restore(self, state: Arrays) -> None:
        """Go on from `state` of a learner of the same model and settings, bit for bit."""
        self._wait()
        progress = json_value(state["progress"])
        self._progress = _Progress(**{**progress, "counts": Counts(**progress["counts"])})
        self._said = state["said"]
        self._guard.restore(state["guard"])
        load_weights(self._student, part(state, "student"))
        self._optimizer = build_optimizer(self._student, self.config)
        load_optimizer(self._optimizer, part(state, "optimizer"))
        self.reference = _loaded(self.serving, part(state, "reference"))
        self._serve(_loaded(self.serving, part(state, "serving")))
        self._pending.restore(part(state, "pending"))
        if self._drift is not None:
            self._drift.restore(state["drift"])
        replayed = part(state, "replay")
        if replayed:
            online = self._student.online
            self._student.replay = ReplayBuffer(online.replay_samples, online.recent_fraction, online.seed)
            self._student.replay.restore(replayed)


def _thread() -> ThreadPoolExecutor:
    """One thread whose sums are made on one thread too, so that they are those of the foreground."""
    return ThreadPoolExecutor(1, thread_name_prefix="online", initializer=torch.set_num_threads, initargs=(1,))


def _still(model: CausalModel) -> CausalModel:
    """A copy that answers only."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def _moved(model: CausalModel, goal: CausalModel, share: float) -> CausalModel:
    """A copy whose weights have gone `share` of the way to those of `goal`."""
    fresh = copy.deepcopy(model)
    goals = goal.state_dict()
    fresh.load_state_dict({name: value.lerp(goals[name], share) for name, value in model.state_dict().items()})
    return fresh


def _loaded(like: CausalModel, weights: Arrays) -> CausalModel:
    fresh = copy.deepcopy(like)
    load_weights(fresh, weights)
    return fresh


def _student(model: CausalModel, config: LearningConfig) -> CausalModel:
    """A copy that learns. Dropout is off: each row is fresh but once, and an update then draws no random number."""
    student = copy.deepcopy(model).eval().requires_grad_(not config.head_only)
    student.head.requires_grad_(True)
    student.online, student.replay = config.replay, None
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return student
