"""Rows that wait for their labels. This is the one gate between a label and a learner, and it has the clock."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from supervised.online.arrays import Arrays, json_array, json_value
from supervised.outputs import OutputLayout
from supervised.predictions import LeakError


class KnownLabel(NamedTuple):
    """A target that has just become known."""

    row: int
    """Row that it is the label of."""
    column: int
    """Target column: horizons, then brackets."""
    value: float
    """Return in bps, or outcome -1, 0, +1."""
    end: int
    """Row at which (inside whose bar) it ended."""


class PendingRows:
    """The latest rows with what is known of their targets. The clock is the number of rows pushed, nothing else.

    A label whose end lies after the newest row is refused, and so is one that claims to have ended sooner than its
    horizon can: whatever a caller gets wrong, nothing is learned from a label before its time.
    """

    def __init__(self, n_features: int, layout: OutputLayout, context: int, least: int = 0) -> None:
        """`context`: earlier rows that a chunk carries in front of its first label, where its run has them; `least`:
        how many a row needs to be learned from."""
        self._context = context
        self._least = min(least, context)
        self._soonest = np.array([1 + h for h in layout.horizons] + [1] * len(layout.brackets))
        self._longest = 1 + max([*layout.horizons, *(bracket.ttl_bars for bracket in layout.brackets)])
        self._first, self._taken = 0, 0
        self._x = np.empty((0, n_features), dtype=np.float32)
        self._y = np.empty((0, layout.targets), dtype=np.float32)
        self._run = np.empty(0, dtype=np.int64)

    @property
    def now(self) -> int:
        """Number of the newest row; -1 before the first."""
        return self._first + len(self._x) - 1

    def push(self, x: np.ndarray, *, follows: bool) -> None:
        """Enter the next row: scaled features float32 (F,), NaN where incomplete. `follows`: no gap lies before it."""
        complete = bool(np.isfinite(x).all())
        last = int(self._run[-1]) if len(self._run) else 0
        newest = last if follows and complete and last > 0 else abs(last) + 1
        self._run = np.append(self._run, newest if complete else -newest)
        self._x = np.concatenate([self._x, x[None]])
        self._y = np.concatenate([self._y, np.full((1, self._y.shape[1]), np.nan, dtype=np.float32)])

    def settle(self, label: KnownLabel) -> None:
        """Enter a label. One of a row that has left (it came too late to be learned from) is passed over.

        Raises LeakError for a label that ends after the newest row, or sooner than its horizon.
        """
        where, remedy = f"row {label.row} column {label.column}", "give labels once the row at which they end is there"
        if label.end > self.now:
            raise LeakError(f"the label ends at row {label.end}, the newest is {self.now}", where=where, remedy=remedy)
        if label.end < label.row + self._soonest[label.column]:
            raise LeakError(f"the label cannot end at row {label.end} already", where=where, remedy=remedy)
        if label.row >= self._taken:
            self._y[label.row - self._first, label.column] = label.value

    def take(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Chunks x (T, F), y (T, C) of the rows whose every label has had the time to end; each row comes once.

        A chunk is contiguous and has up to `context` rows in front, whose y is NaN. Chunks without a label are left
        out.
        """
        stop = max(self.now - self._longest + 1, self._taken)
        fresh = self._run[self._taken - self._first : stop - self._first]
        chunks = []
        for run in np.unique(fresh[fresh > 0]):
            rows = np.flatnonzero(self._run == run)
            begin, end = max(int(rows[0]), self._taken - self._first), min(int(rows[-1]) + 1, stop - self._first)
            start = max(int(rows[0]), begin - self._context)
            y = self._y[start:end].copy()
            y[: max(begin, int(rows[0]) + self._least) - start] = np.nan
            if np.isfinite(y).any():
                chunks.append((torch.from_numpy(self._x[start:end].copy()), torch.from_numpy(y)))
        self._taken = stop
        drop = max(stop - self._context - self._first, 0)
        self._first += drop
        self._x, self._y, self._run = self._x[drop:], self._y[drop:], self._run[drop:]
        return chunks

    def state(self) -> Arrays:
        """Everything that changes."""
        return {"x": self._x, "y": self._y, "run": self._run, "about": json_array([self._first, self._taken])}

    def restore(self, state: Arrays) -> None:
        """Go on from `state`."""
        self._x, self._y, self._run = state["x"], state["y"], state["run"]
        self._first, self._taken = json_value(state["about"])
