"""Small inline SVG plots that stretch with the page: shapes scale, strokes and text do not.

A plot is an SVG whose unit square is stretched over its box (`preserveAspectRatio="none"`, strokes keep their width),
with the tick labels beside it as HTML. It needs no script, follows light and dark through CSS classes, and prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ticks = list[tuple[float, str]]
SIZE = 1000.0

MINUTES = (1, 5, 15, 30, 60, 180, 360, 720)
DAYS = (1, 2, 3, 5, 7, 14, 30, 60, 180, 365)
TIME_STEPS_MS = [60_000 * m for m in MINUTES] + [86_400_000 * d for d in DAYS]


@dataclass(frozen=True)
class Figure:
    """A picture ready for the page."""

    html: str
    legend: tuple[tuple[str, str], ...] = ()
    """(CSS class, label) of what is drawn."""
    hover: dict[str, Any] = field(default_factory=dict)
    """For the page's script: `t` times in ms, `s` [label, values] for each line, `unit`."""


@dataclass
class Plot:
    """A plot being drawn: ranges in data units, shapes added in painting order, `render` at the end."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: int
    """CSS pixels."""
    label: str
    """What the picture shows, in words, for those who do not see it."""
    x_ticks: Ticks = field(default_factory=list)
    y_ticks: Ticks = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)

    def line(self, x: Floats, y: Floats, css: str) -> None:
        """A polyline; NaN breaks it."""
        self.shapes.append(f'<path class="l {css}" d="{polyline(self.at_x(x), self.at_y(y))}"/>')

    def band(self, x: Floats, low: Floats, high: Floats, css: str) -> None:
        """The area between two lines."""
        across, down = np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]])
        self.shapes.append(f'<path class="a {css}" d="{polyline(self.at_x(across), self.at_y(down))}Z"/>')

    def dots(self, x: Floats, y: Floats, css: str) -> None:
        """Round dots of a fixed pixel size: strokes of no length with round ends."""
        points = "".join(f"M{a} {b}h0" for a, b in zip(_text(self.at_x(x)), _text(self.at_y(y)), strict=True))
        self.shapes.append(f'<path class="d {css}" d="{points}"/>')

    def segments(self, x0: Floats, y0: Floats, x1: Floats, y1: Floats, css: str) -> None:
        """Straight lines from (x0, y0) to (x1, y1)."""
        ends = (_text(self.at_x(x0)), _text(self.at_y(y0)), _text(self.at_x(x1)), _text(self.at_y(y1)))
        self.shapes.append(
            f'<path class="l {css}" d="{"".join(f"M{a} {b}L{c} {d}" for a, b, c, d in zip(*ends, strict=True))}"/>'
        )

    def boxes(self, x0: Floats, y0: Floats, x1: Floats, y1: Floats, css: str) -> None:
        """Filled rectangles between two corners."""
        ends = (_text(self.at_x(x0)), _text(self.at_y(y0)), _text(self.at_x(x1)), _text(self.at_y(y1)))
        path = "".join(f"M{a} {b}H{c}V{d}H{a}Z" for a, b, c, d in zip(*ends, strict=True))
        self.shapes.append(f'<path class="a {css}" d="{path}"/>')

    def at_x(self, x: Floats | float) -> Floats:
        """Data x to the SVG's units."""
        return (np.asarray(x, dtype=np.float64) - self.x[0]) / (self.x[1] - self.x[0]) * SIZE

    def at_y(self, y: Floats | float) -> Floats:
        """Data y to the SVG's units, upwards."""
        return (self.y[1] - np.asarray(y, dtype=np.float64)) / (self.y[1] - self.y[0]) * SIZE

    def render(self, css: str = "") -> str:
        """The plot as HTML."""
        grid = "".join(f"M0 {y:.1f}H{SIZE:g}" for y in (float(self.at_y(at)) for at, _ in self.y_ticks))
        labels = "".join(
            f'<span class="y" style="top:{float(self.at_y(at)) / 10:.2f}%">{escape(text)}</span>'
            for at, text in self.y_ticks
        )
        crowded = len(self.x_ticks) > 3
        for k, (at, text) in enumerate(self.x_ticks):
            spare = " spare" if crowded and k % 2 else ""  # left out on a phone
            labels += f'<span class="x{spare}" style="left:{float(self.at_x(at)) / 10:.2f}%">{escape(text)}</span>'
        return (
            f'<div class="plot {css}" role="img" aria-label="{escape(self.label, quote=True)}" '
            f'style="--h:{self.height}px">'
            f'<svg viewBox="0 0 {SIZE:g} {SIZE:g}" preserveAspectRatio="none" aria-hidden="true">'
            f'<path class="grid" d="{grid}"/>{"".join(self.shapes)}</svg>{labels}</div>'
        )


def polyline(x: Floats, y: Floats) -> str:
    """SVG path data through the points; a NaN starts a new stroke."""
    parts, pen = [], "M"
    for a, b, known in zip(_text(x), _text(y), np.isfinite(x) & np.isfinite(y), strict=True):
        if known:
            parts.append(f"{pen}{a} {b}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def _text(values: Floats) -> Iterable[str]:
    return (f"{value:.1f}".removesuffix(".0") for value in np.atleast_1d(values))


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


def broken(x: NDArray, y: Floats, gap: float) -> tuple[Floats, Floats]:
    """The line with a NaN wherever neighbours lie more than `gap` apart, so that nothing is drawn where nothing is
    known."""
    at = np.flatnonzero(np.diff(x) > gap) + 1
    return np.insert(x.astype(np.float64), at, np.nan), np.insert(y, at, np.nan)


def interval_cell(value: float, low: float, high: float, axis: tuple[float, float], mark: float, css: str = "") -> str:
    """A value with its interval on a common axis, for a table cell; `mark` is the reference (chance, zero)."""
    if not all(map(math.isfinite, (value, low, high))):
        return ""

    def at(number: float) -> float:
        return min(max((number - axis[0]) / (axis[1] - axis[0]), 0.0), 1.0) * SIZE

    return (
        f'<svg class="ci {css}" viewBox="0 0 {SIZE:g} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="mark" d="M{at(mark):.0f} 0V10"/><path class="reach" d="M{at(low):.0f} 5H{at(high):.0f}"/>'
        f'<path class="dot" d="M{at(value):.0f} 5h0"/></svg>'
    )
