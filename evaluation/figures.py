"""The report's pictures, drawn from its numbers. Each function returns a `Figure`: HTML, what a pointer reads off, a
legend."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.axes import Ticks, nice_ticks, padded, thin, time_ticks
from envs.performance import drawdown
from evaluation.account import Account, Costs, carried
from evaluation.forecasts import CalibrationCurve
from evaluation.formats import percent, share, signed
from evaluation.report_data import BUY_AND_HOLD, POLICY, THRESHOLD, RandomSummary, SectionSummary
from evaluation.signal_quality import EnsembleWeights
from evaluation.svg import Figure, Plot, broken

Floats = NDArray[np.float64]
CURVE_POINTS = 1500
HOVER_POINTS = 500
LINES = {POLICY: "policy", BUY_AND_HOLD: "hold", THRESHOLD: "rule"}


def equity_figure(section: SectionSummary) -> Figure:
    """Net return over time of the policy and its baselines, with the band that holds 90 % of the random accounts."""
    random = section.random
    names = [name for name in LINES if name in section.accounts]
    curves = {name: _return_curve(section.accounts[name]) for name in names}
    shown = [y for _, y in curves.values()]
    plot = _time_plot(
        section.accounts[POLICY],
        padded([*shown, random.quantiles[:, 0], random.quantiles[:, 2]], include=0.0),
        300,
        f"Net return over the test days of {section.title}: policy {section.policy.net_return.value:+.2%}, random "
        f"entries {random.median:+.2%} in the median, 90 % of them between {random.low:+.2%} and {random.high:+.2%}",
    )
    x = random.open_time_ms.astype(np.float64)
    plot.band(x, random.quantiles[:, 0], random.quantiles[:, 2], "random")
    plot.line(x, random.quantiles[:, 1], "random")
    plot.line(np.array(plot.x), np.zeros(2), "flat")
    for name in reversed(names):
        plot.line(*curves[name], LINES[name])
    times = np.linspace(*plot.x, HOVER_POINTS).astype(np.int64)
    lines = [[name, _rounded(_at(section.accounts[name], times) * 100)] for name in names]
    quantiles = [carried(random.open_time_ms, random.quantiles[:, k], 0.0, times) * 100 for k in (0, 2)]
    lines += [[f"random {label}", _rounded(q)] for label, q in zip(("5 %", "95 %"), quantiles, strict=True)]
    legend = [(LINES[name], name) for name in names]
    legend += [("flat", "Flat"), ("random", "Random entries, same exits: median and 5–95 %")]
    return Figure(plot.render("hoverable"), tuple(legend), {"t": times.tolist(), "s": lines, "unit": " %"})


def drawdown_figure(section: SectionSummary) -> Figure:
    """How far the account stood below its highest equity so far."""
    account = section.accounts[POLICY]
    falls = -drawdown(account.equity, account.initial_capital)
    deepest = section.policy.drawdown.depth
    plot = _time_plot(
        account, (min(-deepest * 1.08, -0.001), 0.0), 120, f"Drawdown of {section.title}, at most {deepest:.2%}", 3
    )
    x, y = thin(account.open_time_ms.astype(np.float64), falls, CURVE_POINTS)
    plot.band(x, y, np.zeros_like(y), "fall")
    plot.line(*broken(x, y, hole(x)), "fall")
    times = np.linspace(*plot.x, HOVER_POINTS).astype(np.int64)
    values = carried(account.open_time_ms, falls, 0.0, times) * 100
    return Figure(
        plot.render("hoverable"), hover={"t": times.tolist(), "s": [["drawdown", _rounded(values)]], "unit": " %"}
    )


def random_figure(random: RandomSummary, policy: float) -> Figure:
    """Where the policy stands among the random accounts."""
    returns = random.returns
    low, high = padded([returns, np.array([policy])])
    counts, edges = np.histogram(returns, bins=min(40, max(10, random.lanes // 8)), range=(low, high))
    label = (
        f"Total net return of {random.lanes} random accounts between {returns.min():+.2%} and {returns.max():+.2%}; "
        f"the policy made {policy:+.2%}"
    )
    plot = Plot((low, high), (0.0, counts.max() * 1.15), 150, label)
    plot.x_ticks = percent_ticks(low, high, 4)
    bottom = np.zeros(counts.size)
    plot.boxes(edges[:-1], bottom, edges[1:], counts.astype(np.float64), "random solid")
    plot.segments(np.array([policy]), np.array([0.0]), np.array([policy]), np.array([plot.y[1]]), "policy")
    return Figure(plot.render(), (("random", "Random accounts"), ("policy", "Policy")))


def outcome_figure(bps: Floats, mean: float) -> Figure:
    """Net profit of the single trades; what lies beyond the 1st and 99th percentile is in the outermost bars."""
    low, high = np.quantile(bps, [0.01, 0.99])
    low, high = padded([np.array([low, high])], include=0.0)
    edges = np.linspace(low, high, 42)
    counts, _ = np.histogram(np.clip(bps, low, high), bins=edges)
    ends = f"98 % of them between {low:+.0f} and {high:+.0f} bps"
    plot = Plot(
        (low, high), (0.0, counts.max() * 1.1), 180, f"Net profit of {bps.size} trades: mean {mean:+.1f} bps, {ends}"
    )
    plot.x_ticks = [(at, f"{signed(at, 0)} bps") for at in nice_ticks(low, high, 4)]
    plot.y_ticks = [(at, f"{at:,.0f}") for at in nice_ticks(0.0, counts.max(), 3)]
    height = counts.astype(np.float64)
    for css, chosen in (("loss solid", edges[1:] <= 0.0), ("gain solid", edges[1:] > 0.0)):
        plot.boxes(edges[:-1][chosen], np.zeros(chosen.sum()), edges[1:][chosen], height[chosen], css)
    plot.segments(np.array([mean]), np.array([0.0]), np.array([mean]), np.array([plot.y[1]]), "mark")
    return Figure(plot.render(), (("loss", "Loss"), ("gain", "Gain"), ("mark", f"Mean {signed(mean, 1)} bps")))


def waterfall_figure(costs: Costs, capital: float) -> Figure:
    """From gross profit over every cost to what was left, in per cent of the initial capital."""
    steps = [("Gross", costs.gross), ("Fees", -costs.fees), ("Spread", -costs.spread), ("Impact", -costs.impact)]
    if costs.funding != 0.0:
        steps.append(("Funding", -costs.funding))
    steps.append(("Net", costs.net))
    tops, bottoms, level = [], [], 0.0
    for name, amount in steps:
        start = 0.0 if name in ("Gross", "Net") else level
        level = start + amount
        bottoms.append(min(start, level) / capital)
        tops.append(max(start, level) / capital)
    low, high = padded([np.array(bottoms), np.array(tops)], 0.12, include=0.0)
    words = ", ".join(f"{name.lower()} {amount / capital:+.2%}" for name, amount in steps)
    plot = Plot((0.0, float(len(steps))), (low, high), 200, f"In per cent of the initial capital: {words}")
    plot.y_ticks = percent_ticks(low, high, 4)
    plot.x_ticks = [(k + 0.5, f"{name}\n{percent(amount / capital)}") for k, (name, amount) in enumerate(steps)]
    for k, (name, amount) in enumerate(steps):
        css = ("gain" if amount >= 0 else "loss") if name in ("Gross", "Net") else "cost"
        left, right = np.array([k + 0.18]), np.array([k + 0.82])
        plot.boxes(left, np.array([bottoms[k]]), right, np.array([tops[k]]), f"{css} solid")
    plot.line(np.array([0.0, float(len(steps))]), np.zeros(2), "flat")
    return Figure(plot.render("labelled"))


def calibration_figure(curves: Sequence[tuple[str, CalibrationCurve]], about: str) -> Figure:
    """What was forecast against what happened, for every (name, curve); the last one with intervals."""
    forecasts = [curve.forecast for _, curve in curves]
    low, high = padded(forecasts, 0.08, include=0.5)
    best = curves[-1][1]
    bounds = np.array([(b.low, b.high) for b in best.observed])
    observed = [np.array([b.value for b in curve.observed]) for _, curve in curves]
    bottom, top = padded([bounds.ravel(), *observed], 0.05, include=0.5)
    told = f"Calibration, {about}: share of rises against forecast P(up), n = {sum(b.n for b in best.observed)}"
    plot = Plot((low, high), (bottom, top), 240, told)
    plot.x_ticks = [(at, share(at, 0 if high - low > 0.06 else 1)) for at in nice_ticks(low, high, 4)]
    plot.y_ticks = [(at, share(at)) for at in nice_ticks(bottom, top, 4)]
    ends = np.array([max(low, bottom), min(high, top)])
    plot.line(ends, ends, "flat")
    plot.segments(best.forecast, bounds[:, 0], best.forecast, bounds[:, 1], f"m{len(curves) - 1} thin")
    for k, (_, curve) in enumerate(curves):
        plot.line(curve.forecast, observed[k], f"m{k} thin")
        plot.dots(curve.forecast, observed[k], f"m{k}")
    legend = tuple((f"m{k}", name) for k, (name, _) in enumerate(curves))
    return Figure(plot.render("square"), (*legend, ("flat", "Perfect calibration")))


def weights_figure(weights: EnsembleWeights) -> Figure:
    """How the ensemble's weights moved."""
    x = weights.open_time_ms.astype(np.float64)
    high = min(1.0, float(weights.weights.max()) * 1.1)
    last = ", ".join(f"{name} {w:.0%}" for name, w in zip(weights.names, weights.weights[-1], strict=True))
    plot = Plot((x[0], x[-1]), (0.0, high), 160, f"Ensemble weights over {weights.horizon} bars, at the end {last}")
    plot.x_ticks = time_ticks(*plot.x, 5)
    plot.y_ticks = [(at, share(at)) for at in nice_ticks(0.0, high, 3)]
    for k in range(len(weights.names)):
        plot.line(*thin(x, weights.weights[:, k], CURVE_POINTS // 2), f"m{k}")
    rows = np.unique(np.linspace(0, x.size - 1, HOVER_POINTS).astype(np.int64))
    lines = [[name, _rounded(weights.weights[rows, k] * 100)] for k, name in enumerate(weights.names)]
    legend = tuple((f"m{k}", name) for k, name in enumerate(weights.names))
    return Figure(
        plot.render("hoverable"), legend, {"t": weights.open_time_ms[rows].tolist(), "s": lines, "unit": " %"}
    )


def exit_reasons(account: Account) -> list[tuple[str, int, float, float]]:
    """(reason, trades, share, mean net bps) for each way trades ended, most frequent first."""
    reasons = account.trades.column("exit_reason").to_pylist()
    bps = account.trade_bps
    mask = np.array(reasons)
    return [
        (reason.replace("_", " "), count, count / len(reasons), float(bps[mask == reason].mean()))
        for reason, count in Counter(reasons).most_common()
    ]


def percent_ticks(low: float, high: float, count: int) -> Ticks:
    """Round shares, written with as many digits as their distance needs."""
    ticks = nice_ticks(low, high, count)
    apart = (ticks[1] - ticks[0]) * 100 if len(ticks) > 1 else 1.0
    return [(at, percent(at, max(0, -math.floor(math.log10(apart) + 1e-9)))) for at in ticks]


def _time_plot(account: Account, y: tuple[float, float], height: int, label: str, y_count: int = 5) -> Plot:
    start, end = float(account.open_time_ms[0]), float(account.open_time_ms[-1])
    plot = Plot((start, max(end, start + 1.0)), y, height, label)
    plot.x_ticks = time_ticks(start, end)
    plot.y_ticks = percent_ticks(*y, y_count)
    return plot


def _return_curve(account: Account) -> tuple[Floats, Floats]:
    x, y = thin(account.open_time_ms.astype(np.float64), account.equity / account.initial_capital - 1.0, CURVE_POINTS)
    return broken(x, y, hole(x))


def hole(x: Floats) -> float:
    """How far apart points of a thinned line must lie for a gap in the data: a day, or what thinning cannot explain."""
    return max(86_400_000.0, 8.0 * float(x[-1] - x[0]) / max(x.size, 1))


def _at(account: Account, times: NDArray[np.int64]) -> Floats:
    return carried(account.open_time_ms, account.equity / account.initial_capital - 1.0, 0.0, times)


def _rounded(values: Floats) -> list[float]:
    return np.round(values, 3).tolist()
