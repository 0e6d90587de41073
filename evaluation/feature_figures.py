"""The feature page's pictures: small histograms, the map of correlations, the drift of each feature."""

from __future__ import annotations

import math
from html import escape

import numpy as np
from numpy.typing import NDArray

from evaluation.feature_shape import SHIFTED, Distribution, Drift
from evaluation.feature_study import FeatureStudy
from evaluation.svg import SIZE

STEPS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85)
"""|ρ| from which the next colour begins."""
MODERATE = 0.1
"""Population stability index from which a period is shown as moderately shifted."""


def histogram_cell(shape: Distribution) -> str:
    """A distribution as a small picture for a table cell."""
    if shape.counts.size == 0:
        return ""
    top = float(shape.counts.max())
    width = SIZE / shape.counts.size
    bars = "".join(
        f"M{k * width:.0f} 30V{30.0 - 29.0 * count / top:.1f}h{width:.0f}V30Z"
        for k, count in enumerate(shape.counts.tolist())
        if count
    )
    return _picture("hist", 30, f'<path d="{bars}"/>')


def drift_cell(drift: Drift) -> str:
    """A feature's stability index from period to period: grey while stable, coloured where the distribution moved."""
    count = drift.psi.size
    width = SIZE / max(count, 1)
    shapes = {"calm": "", "moderate": "", "shifted": ""}
    for k, value in enumerate(drift.psi.tolist()):
        if math.isnan(value):
            continue
        level = "shifted" if value > SHIFTED else "moderate" if value > MODERATE else "calm"
        height = 29.0 * min(value / (2.0 * SHIFTED), 1.0)
        shapes[level] += f"M{k * width:.0f} 30v{-max(height, 1.0):.1f}h{0.86 * width:.0f}V30Z"
    return _picture("hist", 30, "".join(f'<path class="{name}" d="{path}"/>' for name, path in shapes.items() if path))


def correlation_map(study: FeatureStudy) -> str:
    """Rank correlations of all features, in the order of the tree, with a frame around each group.

    Cells of one colour that touch in a row are one rectangle, so that a hundred features stay a small page.
    """
    order = np.array(study.groups.order)
    matrix = study.groups.correlation[np.ix_(order, order)]
    level = np.sign(matrix).astype(np.int64) * np.searchsorted(STEPS, np.abs(matrix), side="right")
    paths = "".join(
        f'<path class="{"p" if k > 0 else "n"}{abs(k)}" d="{_runs(level == k)}"/>'
        for k in range(-len(STEPS), len(STEPS) + 1)
        if k and (level == k).any()
    )
    frames, start = "", 0
    for group in study.groups.members:
        if len(group) > 1:
            frames += f"M{start} {start}h{len(group)}v{len(group)}h{-len(group)}Z"
        start += len(group)
    names = [study.specs[k].name for k in order]
    size = len(names)
    labels = "".join(
        f'<span style="top:{(k + 0.5) / size * 100:.2f}%">{escape(name)}</span>' for k, name in enumerate(names)
    )
    about = f"Rank correlations of {size} features; {len(study.groups.members)} groups of features that say the same"
    return (
        f'<div class="map" role="img" aria-label="{escape(about, quote=True)}" style="--n:{size}">'
        f'<div class="names" aria-hidden="true">{labels}</div>'
        f'<svg viewBox="0 0 {size} {size}" preserveAspectRatio="none" aria-hidden="true">{paths}'
        f'<path class="frame" d="{frames}"/></svg></div>'
    )


def correlation_scale() -> str:
    """The colours of the map, from -1 to 1."""
    names = [f"n{k}" for k in range(len(STEPS), 0, -1)] + [""] + [f"p{k}" for k in range(1, len(STEPS) + 1)]
    cells = "".join(f'<path class="{name}" d="M{k} 0h1v1h-1Z"/>' for k, name in enumerate(names) if name)
    return (
        '<div class="scale"><span>−1</span>'
        f'<svg class="map" viewBox="0 0 {len(names)} 1" preserveAspectRatio="none" aria-hidden="true">{cells}</svg>'
        "<span>+1</span></div>"
    )


def _runs(cells: NDArray[np.bool_]) -> str:
    """Rectangles, one cell high, over the True runs of each row."""
    edges = np.diff(np.pad(cells.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    runs = zip(rows.tolist(), starts.tolist(), (stops - starts).tolist(), strict=True)
    return "".join(f"M{x} {y}h{length}v1h{-length}Z" for y, x, length in runs)


def _picture(css: str, height: int, inside: str) -> str:
    box = f'viewBox="0 0 {SIZE:g} {height}" preserveAspectRatio="none"'
    return f'<svg class="{css}" {box} aria-hidden="true">{inside}</svg>'
