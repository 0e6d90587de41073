"""Has the loss changed for good? Detectors of the river library on the prequential loss, row by row.

Losses of overlapping labels are not independent, which the detectors assume; thresholds are set for that. Measured on
SYNTHETIC markets that do not change (edge 0.3, horizons of 1 and 5 bars, five seeds of 100,000 rows): where the
forecast is the true probability, whose loss comes and goes with the edge, ADWIN gives 1.3 false alarms in 10,000 rows
and Page-Hinkley 1.6; where it is noisy and overconfident by half, 0.9 and 3.5; without an edge neither gives any. They
saw the edge turn round after 29 to 868 and 58 to 355 rows (eight seeds). KSWIN, which compares two samples as if each
row were independent, alarmed about every thousand rows whatever its level; it is not offered.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from supervised.online.config import DriftKind

MOST = 20_000
"""Values after which a detector that found nothing starts afresh, so that its state stays small."""
LATEST = 100
"""Values whose mean tells whether the loss has risen or fallen."""


class DriftMonitor:
    """One detector. Its state is what it has seen since it last started: restored by seeing the same again."""

    def __init__(self, kind: DriftKind) -> None:
        """Raises InputError when river is not installed."""
        self._kind = kind
        self._values: list[float] = []
        self._detector = _detector(kind)

    def update(self, loss: float) -> float:
        """Enter a loss in nats. 0: no drift; else one: by how much the latest losses exceed those before (nats)."""
        self._values.append(loss)
        self._detector.update(loss)
        rise = 0.0
        if self._detector.drift_detected:
            latest = float(np.mean(self._values[-LATEST:]))
            rise = latest - float(np.mean(self._values[:-LATEST] or self._values))
        if rise or len(self._values) >= MOST:
            self.restore(np.empty(0))
        return rise

    def state(self) -> np.ndarray:
        """float64 (N,)."""
        return np.array(self._values, dtype=np.float64)

    def restore(self, values: np.ndarray) -> None:
        """Go on from `state`."""
        self._values = values.tolist()
        self._detector = _detector(self._kind)
        for value in self._values:
            self._detector.update(value)


def _detector(kind: DriftKind) -> Any:
    """Thresholds fit losses near ln 2 whose noise is two tenths a row."""
    try:
        from river import drift
    except ImportError as error:
        raise InputError(
            "river is not installed",
            where=f"drift detector {kind}",
            remedy="pip install 'crypto-scalping-suite[learning]', or use --drift none",
        ) from error
    if kind == "adwin":
        return drift.ADWIN(delta=1e-5, clock=1)
    return drift.PageHinkley(min_instances=100, delta=0.02, threshold=30.0)
