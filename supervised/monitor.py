"""What a fit tells TensorBoard: losses by task, learning rate, accuracy, calibration, speed."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from supervised.fit_state import FitState
from supervised.outputs import OutputLayout
from supervised.scores import Score

LOG_EVERY = 50  # steps: a loss that is looked at waits for the device


class TensorBoard:
    """Events of one fit, below `folder`. A fit that goes on makes TensorBoard forget what lay beyond its state."""

    def __init__(self, folder: Path, layout: OutputLayout) -> None:
        self.folder, self.layout = folder, layout

    def begin(self, state: FitState, steps: int, labels: float) -> None:
        """Open the file; the fit takes at most `steps` steps, of about `labels` directions each."""
        self._writer = SummaryWriter(str(self.folder), purge_step=state.step + 1)
        self._writer.add_scalar("fit/steps_at_most", steps, state.step)
        self._labels = labels
        self._since, self._seen = time.monotonic(), state.step

    def step(self, state: FitState, loss: torch.Tensor) -> None:
        """Loss and learning rate of every `LOG_EVERY`-th step."""
        if state.step % LOG_EVERY == 0:
            self._writer.add_scalar("step/loss", float(loss), state.step)
            self._writer.add_scalar("step/learning_rate", state.schedule.get_last_lr()[0], state.step)

    def epoch(self, state: FitState, score: Score) -> None:
        """All that is known after a pass."""
        epoch = state.history[-1]
        figures = {
            "loss/train": epoch.train_loss,
            "loss/validation_direction": epoch.validation_loss,
            "loss/validation_move": epoch.validation_move,
            "loss/validation_barrier": epoch.validation_barrier,
            "fit/skipped_steps": state.skipped,
            "fit/learning_rate": state.schedule.get_last_lr()[0],
            "fit/labels_per_second": (state.step - self._seen) * self._labels / (time.monotonic() - self._since),
        }
        for number, horizon in enumerate(self.layout.horizons):
            figures[f"accuracy/h{horizon}"] = float(score.accuracy[number])
            figures[f"calibration_error/h{horizon}"] = float(score.calibration_error[number])
        for name, value in figures.items():
            self._writer.add_scalar(name, value, state.step)
        self._writer.flush()
        self._since, self._seen = time.monotonic(), state.step
        if state.done:
            self._writer.close()
