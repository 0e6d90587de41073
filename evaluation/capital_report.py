"""The page of a capital curve: net edge, costs and return by the size of the account."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.axes import nice_ticks, padded
from evaluation import formats
from evaluation.capital import CapitalPoint
from evaluation.page import render_page, safe, write_page
from evaluation.svg import Figure, Floats, Plot


@dataclass(frozen=True, eq=False)
class CapitalReport:
    """Everything on the page."""

    symbol: str
    trader: str
    """What trades: the rule and how it was found, or the policy's file."""
    span_ms: tuple[int, int]
    bars: int
    points: tuple[CapitalPoint, ...]
    """In the order of their capitals, rising."""
    provenance: Mapping[str, Any]
    synthetic: str | None = None
    """Which synthetic market the bars are of, None for real ones."""

    @property
    def best(self) -> CapitalPoint | None:
        """The size with the highest net edge per trade; None when nothing was traded."""
        known = [point for point in self.points if math.isfinite(point.net_bps.value)]
        return max(known, key=lambda point: point.net_bps.value) if known else None

    @property
    def sentence(self) -> str:
        """What size does to the edge, plainly."""
        best, small, large = self.best, self.points[0], self.points[-1]
        if best is None:
            return f"No account from {money(small.capital)} to {money(large.capital)} made a trade."
        ends = [f"{edge(point)} at {money(point.capital)}" for point in (small, large) if point is not best]
        earns = "earns" if best.net_bps.low > 0 else "loses" if best.net_bps.high < 0 else "cannot be told from nothing"
        return (
            f"A trade is worth {edge(best)} net at {money(best.capital)}, where the edge is best and {earns}; "
            f"{' and '.join(ends) or 'no other size was tried'}."
        )


def edge(point: CapitalPoint) -> str:
    """The net edge of a size in words."""
    return formats.bps(point.net_bps.value) if point.trades else "nothing (no trade is possible)"


def money(capital: float) -> str:
    """ "$300", "$10K"."""
    return f"${capital / 1_000:g}K" if capital >= 1_000 else f"${capital:g}"


def render_capital_report(report: CapitalReport) -> str:
    """The page as HTML, self-contained."""
    figures = {"edge": _edges(report.points), "return": _returns(report.points), "size": _sizes(report.points)}
    filters: dict[str, Callable[..., Any]] = {"money": money}
    pictures = {name: safe(figure) for name, figure in figures.items()}
    return render_page("capital.html", filters, report=report, figures=pictures)


def write_capital_report(report: CapitalReport, path: Path) -> Path:
    """Write the page to `path`, whole or not at all."""
    return write_page(render_capital_report(report), path)


def _plot(points: tuple[CapitalPoint, ...], y: tuple[float, float], label: str, unit: Callable[[float], str]) -> Plot:
    """A plot over the decades of capital, with a tick for every account."""
    x = _x(points)
    plot = Plot((x[0] - 0.1, x[-1] + 0.1), y, 240, label)
    plot.x_ticks = [(float(at), money(point.capital)) for at, point in zip(x, points, strict=True)]
    plot.y_ticks = [(at, unit(at)) for at in nice_ticks(*y)]
    if y[0] < 0.0 < y[1]:
        plot.line(np.array(plot.x), np.zeros(2), "flat")
    return plot


def _mark(plot: Plot, x: Floats, values: Floats, css: str) -> None:
    """A line with a dot for every account that has a value."""
    known = np.isfinite(values)
    plot.line(x, values, css)
    plot.dots(x[known], values[known], css)


def _x(points: tuple[CapitalPoint, ...]) -> Floats:
    return np.log10([point.capital for point in points])


def _edges(points: tuple[CapitalPoint, ...]) -> Figure:
    x, gross = _x(points), np.array([point.gross_bps for point in points])
    net = np.array([(point.net_bps.value, point.net_bps.low, point.net_bps.high) for point in points])
    paid = gross - np.array([point.fees_bps for point in points])
    ends = f"{net[0, 0]:.1f} bps at {money(points[0].capital)} to {net[-1, 0]:.1f} at {money(points[-1].capital)}"
    plot = _plot(
        points,
        padded([gross, net, paid], include=0.0),
        f"Net edge per trade, {ends}",
        lambda at: f"{formats.plain(at, 1).removesuffix('.0')} bps",
    )
    known = np.isfinite(net).all(axis=1)
    plot.band(x[known], net[known, 1], net[known, 2], "policy")
    for values, css in ((gross, "random"), (paid, "rule"), (net[:, 0], "policy")):
        _mark(plot, x, values, css)
    legend = (
        ("policy", "Net, with its 95 % interval"),
        ("rule", "After fees, before spread and impact"),
        ("random", "Before costs"),
    )
    return Figure(plot.render(), legend)


def _returns(points: tuple[CapitalPoint, ...]) -> Figure:
    values = np.array([100.0 * point.net_return for point in points])
    label = f"Net return by capital, from {values[0]:.1f} to {values[-1]:.1f} per cent"
    plot = _plot(
        points, padded([values], include=0.0), label, lambda at: f"{formats.plain(at, 1).removesuffix('.0')} %"
    )
    _mark(plot, _x(points), values, "policy")
    return Figure(plot.render(), (("policy", "Net return over the span"),))


def _sizes(points: tuple[CapitalPoint, ...]) -> Figure:
    used = np.array([100.0 * point.deployed for point in points])
    asked = np.array([max(point.trades + point.refused, 1) for point in points])
    refused = 100.0 * np.array([point.refused for point in points]) / asked
    label = f"Share of the equity in a trade, from {used[0]:.0f} to {used[-1]:.0f} per cent, and of entries refused"
    plot = _plot(points, padded([used, refused], include=0.0), label, lambda at: f"{at:g} %")
    for values, css in ((used, "policy"), (refused, "loss")):
        _mark(plot, _x(points), values, css)
    return Figure(plot.render(), (("policy", "Equity that a trade puts to work"), ("loss", "Entries refused")))
