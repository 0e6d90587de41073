"""The report page: one self-contained HTML file, readable without a network, without scripts, on a phone and on
paper."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from envs.performance import Drawdown
from envs.sharpe import SharpeEstimate
from evaluation import figures, formats
from evaluation.intervals import Interval
from evaluation.page import render_page, safe, write_page
from evaluation.report_data import ReportData, SectionSummary, SymbolData
from evaluation.signal_quality import FeatureQuality, PredictionQuality
from evaluation.svg import interval_cell
from evaluation.trade_figure import trade_figure


def write_report(data: ReportData, path: Path) -> Path:
    """Write the page of `data` to `path`, whole or not at all, and return `path`."""
    return write_page(render_report(data), path)


def render_report(data: ReportData) -> str:
    """The page as text."""
    summary = data.summary
    drawn = {summary.overall.title: _section_figures(summary.overall)}
    for symbol, section in zip(data.symbols, summary.sections, strict=True):
        drawn[section.title] = _section_figures(section) | _symbol_figures(symbol, section)
    return render_page("report.html", FILTERS, data=data, summary=summary, figures=drawn)


def _section_figures(section: SectionSummary) -> dict[str, Any]:
    policy = section.policy
    account = section.accounts[policy.name]
    drawn: dict[str, Any] = dict.fromkeys(("random", "waterfall", "outcomes", "exits", "detail", "overview"))
    drawn["equity"] = safe(figures.equity_figure(section))
    drawn["drawdown"] = safe(figures.drawdown_figure(section))
    if policy.trades:
        drawn["random"] = safe(figures.random_figure(section.random, policy.net_return.value))
        drawn["waterfall"] = safe(figures.waterfall_figure(policy.costs, account.initial_capital))
        drawn["outcomes"] = safe(figures.outcome_figure(account.trade_bps, policy.trade_bps.value))
        drawn["exits"] = figures.exit_reasons(account)
    return drawn


def _symbol_figures(symbol: SymbolData, section: SectionSummary) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if section.policy.trades:
        detail, overview = trade_figure(section.accounts[section.policy.name], symbol.market)
        drawn |= {"detail": safe(detail), "overview": safe(overview)}
    by_horizon: dict[int, list[PredictionQuality]] = defaultdict(list)
    for quality in symbol.predictions:
        by_horizon[quality.horizon].append(quality)
    drawn["calibration"] = [
        {
            "horizon": horizon,
            "name": group[-1].name,
            "picture": safe(
                figures.calibration_figure(
                    [(quality.name, quality.calibration) for quality in group], f"{horizon} bars"
                )
            ),
        }
        for horizon, group in by_horizon.items()
    ]
    drawn["weights"] = [
        {"horizon": weights.horizon, "picture": safe(figures.weights_figure(weights))} for weights in symbol.weights
    ]
    return drawn


SPANS: Mapping[str, tuple[Callable[[float], str], str]] = {
    "pct": (formats.percent, ""),
    "share": (lambda v: formats.plain(v * 100, 1), " %"),
    "bps": (lambda v: formats.signed(v, 1), " bps"),
    "plain": (lambda v: formats.plain(v, 2), ""),
    "plain3": (lambda v: formats.plain(v, 3), ""),
    "plain4": (lambda v: formats.plain(v, 4), ""),
    "signed2": (lambda v: formats.signed(v, 2), ""),
    "signed3": (lambda v: formats.signed(v, 3), ""),
}
"""How the ends of an interval are written: a form for each, and the unit that follows."""


def _span(interval: Interval, style: str) -> str:
    """The ends of an interval, "a to b"."""
    form, unit = SPANS[style]
    return "interval unknown" if math.isnan(interval.low) else f"{form(interval.low)} to {form(interval.high)}{unit}"


def _sharpe_span(estimate: SharpeEstimate) -> str:
    if math.isnan(estimate.standard_error):
        return "no interval"
    low, high = estimate.annual_interval()
    return f"{formats.signed(low, 1)} to {formats.signed(high, 1)}"


def _fall(drawdown: Drawdown, section: SectionSummary) -> str:
    """When the deepest fall was, and whether it healed."""
    if drawdown.trough < 0:
        return "equity never fell"
    times = section.accounts[section.policy.name].open_time_ms
    healed = "made good" if drawdown.recovered >= 0 else "not made good"
    lowest = formats.date(int(times[drawdown.trough]), year=False)
    return f"lowest on {lowest}, {healed} · {section.policy.bars:,} bars"


def _accuracy_cell(quality: PredictionQuality, among: tuple[PredictionQuality, ...]) -> Markup:
    reach = max(0.02, *(abs(end - 0.5) for q in among for end in (q.accuracy.low, q.accuracy.high)))
    weak = quality.accuracy.low <= 0.5 or not quality.timing.p_value < 0.05
    ends = quality.accuracy
    axis = (0.5 - reach, 0.5 + reach)
    return Markup(interval_cell(ends.value, ends.low, ends.high, axis, 0.5, "weak" if weak else ""))


def _ic_cell(features: FeatureQuality, index: int) -> Markup:
    ends = [features.ic[k] for k in features.strongest()]
    reach = max((abs(v) for e in ends for v in (e.low, e.high) if math.isfinite(v)), default=0.1)
    ic = features.ic[index]
    weak = "" if features.q_value[index] <= 0.05 else "weak"
    return Markup(interval_cell(ic.value, ic.low, ic.high, (-reach, reach), 0.0, weak))


def _brush(html: Markup, place: Mapping[str, float]) -> Markup:
    """Put the window's frame into the overview."""
    style = f"left:{place['left'] * 100:.2f}%;width:{place['width'] * 100:.2f}%"
    return Markup(str(html).removesuffix("</div>") + f'<div class="brush" style="{style}"></div></div>')


def _days_needed(days: float) -> str:
    if math.isnan(days):
        return "an unknown number of days"
    return "more days than there are (it is not above 0)" if math.isinf(days) else f"{days:,.0f} days"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "span": _span,
    "sharpe_span": _sharpe_span,
    "tone": lambda v: "gain" if v > 0 else "loss" if v < 0 else "",
    "fall": _fall,
    "accuracy_needed": lambda v: "none would do" if v > 1 else formats.share(v),
    "accuracy_cell": _accuracy_cell,
    "ic_cell": _ic_cell,
    "brush": _brush,
    "days_needed": _days_needed,
}
