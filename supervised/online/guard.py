"""Is a model that learns still at least as good as the weights it was last proven good with?"""

from __future__ import annotations

from typing import Literal

import numpy as np

from supervised.diebold_mariano import diebold_mariano
from supervised.online.config import LearningConfig

Verdict = Literal["go on", "roll back", "promote"]
LEAST_BLOCKS = 50
"""Blocks of rows (one block: the longest horizon) below which nothing is decided."""


class Guard:
    """Prequential losses of the learning model less those of the reference, over the latest rows."""

    def __init__(self, config: LearningConfig, overlap: int) -> None:
        """`overlap`: the longest horizon in bars: that many neighbouring labels share their outcome."""
        self._config = config
        self._overlap = overlap
        self._difference = np.empty(0)

    def note(self, difference: float) -> None:
        """Enter a row's loss of the learning model less that of the reference, nats."""
        self._difference = np.append(self._difference[-self._config.guard_rows + 1 :], difference)

    def verdict(self) -> Verdict:
        """By the Diebold-Mariano test; the rows are forgotten when something is decided."""
        found = diebold_mariano(self._difference, np.zeros_like(self._difference), overlap=self._overlap)
        if found.n < LEAST_BLOCKS or not np.isfinite(found.statistic):
            return "go on"
        if found.statistic > 0 and found.p_value < self._config.guard_p:
            self._difference = np.empty(0)
            return "roll back"
        if found.statistic < 0 and found.p_value < self._config.promote_p:
            self._difference = np.empty(0)
            return "promote"
        return "go on"

    def state(self) -> np.ndarray:
        """float64 (N,)."""
        return self._difference

    def restore(self, difference: np.ndarray) -> None:
        """Go on from `state`."""
        self._difference = difference
