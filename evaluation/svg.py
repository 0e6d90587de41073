"""Small inline SVG plots that stretch with the page: shapes scale, strokes and text do not.

A plot is an SVG whose unit square is stretched over its box (`preserveAspectRatio="none"`, strokes keep their width),
with the tick labels beside it as HTML. It needs no script, follows light and dark through CSS classes, and prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.axes import Ticks

Floats = NDArray[np.float64]
SIZE = 1000.0


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
