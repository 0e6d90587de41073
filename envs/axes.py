"""Axes of a picture: ranges, round numbers and times to mark, and lines with no more points than can be seen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ticks = list[tuple[float, str]]
MINUTES = (1, 5, 15, 30, 60, 180, 360, 720)
DAYS = (1, 2, 3, 5, 7, 14, 30, 60, 180, 365)
TIME_STEPS_MS = [60_000 * m for m in MINUTES] + [86_400_000 * d for d in DAYS]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`, both ends inclusive when they are round."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / max(count, 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def padded(values: Iterable[Floats], share: float = 0.06, include: float | None = None) -> tuple[float, float]:
    """Range of all finite values, widened by `share` on both sides, never empty."""
    flat = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
    flat = flat[np.isfinite(flat)]
    if include is not None:
        flat = np.append(flat, include)
    if flat.size == 0:
        return 0.0, 1.0
    low, high = float(flat.min()), float(flat.max())
    pad = (high - low) * share or max(abs(high), 1e-9) * 0.05
    return low - pad, high + pad


def time_ticks(start_ms: float, end_ms: float, count: int = 6) -> Ticks:
    """Ticks on round UTC times, labelled with what changes: days, or hours and minutes within a day."""
    span = end_ms - start_ms
    if span <= 0:
        return []
    step = next((s for s in TIME_STEPS_MS if span / s <= count), TIME_STEPS_MS[-1])
    ticks = []
    for at in range(math.ceil(start_ms / step) * step, int(end_ms) + 1, step):
        moment = datetime.fromtimestamp(at / 1000, UTC)
        midnight = at % 86_400_000 == 0
        ticks.append((float(at), f"{moment.day} {moment:%b}" if step >= 86_400_000 or midnight else f"{moment:%H:%M}"))
    return ticks


def thin(x: NDArray, y: Floats, count: int) -> tuple[NDArray, Floats]:
    """At most about `count` points of a line that look the same: the lowest and the highest of each bucket are kept."""
    n = len(y)
    if n <= count:
        return x, y
    edges = np.linspace(0, n, max(count // 2, 1) + 1).astype(np.int64)
    kept = {0, n - 1}
    for start, stop in pairwise(edges):
        if stop > start:
            kept |= {start + int(np.argmin(y[start:stop])), start + int(np.argmax(y[start:stop]))}
    rows = np.array(sorted(kept))
    return x[rows], y[rows]
