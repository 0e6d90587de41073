"""What a stream carries from row to row where the state goes into a step and comes out: `steps`, and graphs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Memory(Protocol):
    """State of one stream; `rows` counts the rows before the one that is to be answered."""

    parts: list[np.ndarray]
    """All that changes, zero at the start."""

    def inputs(self, rows: int) -> list[np.ndarray]:
        """The step's state, in the order of its arguments."""

    def store(self, rows: int, outputs: list[np.ndarray]) -> None:
        """Keep what the step of row number `rows` gave, in the order of its results."""


class TCNMemory:
    """A ring of each convolution's inputs, all in one array."""

    def __init__(self, past: tuple[int, ...]) -> None:
        levels, taps, hidden = past
        dilation = 2 ** np.arange(levels)
        self._length = taps * dilation
        self._first = np.cumsum(self._length) - self._length
        self._ago = dilation[:, None] * np.arange(taps, 0, -1)
        self.ring = np.zeros((int(self._length.sum()), hidden), dtype=np.float32)
        self.parts = [self.ring]

    def inputs(self, rows: int) -> list[np.ndarray]:
        """past (levels, 2, hidden); see `steps.TCNStep`."""
        return [self.ring[self._first[:, None] + (rows - self._ago) % self._length[:, None]]]

    def store(self, rows: int, outputs: list[np.ndarray]) -> None:
        """newest (levels, hidden)."""
        self.ring[self._first + rows % self._length] = outputs[0]


class LSTMMemory:
    """h and c."""

    def __init__(self, h: tuple[int, ...]) -> None:
        self.parts = [np.zeros(h, dtype=np.float32), np.zeros(h, dtype=np.float32)]

    def inputs(self, rows: int) -> list[np.ndarray]:  # noqa: ARG002
        """h, c (layers, hidden)."""
        return self.parts

    def store(self, rows: int, outputs: list[np.ndarray]) -> None:  # noqa: ARG002
        """The next h, c."""
        for part, value in zip(self.parts, outputs, strict=True):
            part[...] = value


class TransformerMemory:
    """A ring of keys and one of values per layer."""

    def __init__(self, keys: tuple[int, ...]) -> None:
        self._slots = np.arange(keys[2])
        self.keys, self.values = np.zeros(keys, dtype=np.float32), np.zeros(keys, dtype=np.float32)
        self.parts = [self.keys, self.values]

    def inputs(self, rows: int) -> list[np.ndarray]:
        """keys, values, lag, missing; see `steps.TransformerStep`."""
        lag = (rows - 1 - self._slots) % len(self._slots) + 1
        missing = np.where(lag > rows, np.float32(-np.inf), np.float32(0.0))
        return [self.keys, self.values, lag, missing]

    def store(self, rows: int, outputs: list[np.ndarray]) -> None:
        """key, value (layers, heads, width)."""
        slot = rows % len(self._slots)
        self.keys[:, :, slot], self.values[:, :, slot] = outputs


class MixerMemory:
    """A ring of each filter's inputs."""

    def __init__(self, filtered: tuple[int, ...]) -> None:
        self._ago = np.arange(1, filtered[1] + 1)
        self.ring = np.zeros(filtered, dtype=np.float32)
        self.parts = [self.ring]

    def inputs(self, rows: int) -> list[np.ndarray]:
        """filtered (blocks, taps - 1, hidden), the latest row first."""
        return [self.ring[:, (rows - self._ago) % len(self._ago)]]

    def store(self, rows: int, outputs: list[np.ndarray]) -> None:
        """newest (blocks, hidden)."""
        self.ring[:, rows % len(self._ago)] = outputs[0]


MEMORIES: dict[str, Callable[[tuple[int, ...]], Memory]] = {
    "past": TCNMemory,
    "h": LSTMMemory,
    "keys": TransformerMemory,
    "filtered": MixerMemory,
}
"""By the name of a step's first input beside the row; each is made from that input's shape."""
