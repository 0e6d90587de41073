"""A comparison of models as a page, as printed tables, as JSON and as Markdown; all read the same `Comparison`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluation import formats
from evaluation.comparison import LEVEL, Contest, LabelResult, Score
from evaluation.comparison_runs import SetResult
from evaluation.figures import calibration_figure
from evaluation.intervals import student_interval
from evaluation.model_cost import ModelCost
from evaluation.page import render_page, safe, write_page
from evaluation.run_folder import jsonable
from evaluation.svg import interval_cell

LEARNED = ("logistic", "lightgbm", "imbalance")
"""Baselines that learn from features: the ones that are hard to beat."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """All sets, what the models cost, and where the numbers come from."""

    sets: tuple[SetResult, ...]
    costs: tuple[ModelCost, ...]
    provenance: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """What the tables say, plainly."""
        asked = [(result, label) for result in self.sets for label in result.labels]
        beaten = [(result, label) for result, label in asked if winners(result, label)]
        if not beaten:
            return (
                f"No model beats every baseline: on none of {formats.counted(len(asked), 'label')} is the log-loss of "
                f"one below that of all baselines beyond chance."
            )
        best = max((name for result, label in beaten for name in winners(result, label)), key=self.wins)
        return (
            f"On {len(beaten)} of {formats.counted(len(asked), 'label')} some model beats every baseline in log-loss "
            f"beyond chance; most often {best}, on {self.wins(best)}."
        )

    def wins(self, model: str) -> int:
        """Labels on which `model` beats every baseline."""
        return sum(model in winners(result, label) for result in self.sets for label in result.labels)


def winners(result: SetResult, label: LabelResult) -> list[str]:
    """Models better than every baseline on this label, at the family-wise level."""
    return [
        model
        for model in result.models
        if all(contest.verdict == "better" for contest in label.contests if contest.model == model)
    ]


def render_comparison(comparison: Comparison) -> str:
    """One self-contained HTML page."""
    figures = {
        (result.data.name, label.label): safe(
            calibration_figure(
                [(name, label.score(name).calibration) for name in _drawn(result)],
                f"{result.data.name}, {label.label}",
            )
        )
        for result in comparison.sets
        for label in result.labels
        if label.rows
    }
    return render_page(
        "comparison.html",
        {"accuracy_cell": _accuracy_cell, "lead": _lead, "tone": _tone},
        comparison=comparison,
        figures=figures,
        winners=winners,
        shuffled_sentence=shuffled_sentence,
        level=LEVEL,
    )


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page to `path`, whole or not at all, and return `path`."""
    return write_page(render_comparison(comparison), path)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Every number of the page."""
    return {
        "sentence": comparison.sentence,
        "sets": [
            {
                "name": result.data.name,
                "about": result.data.about,
                "features": list(result.data.feature_names),
                "settings": jsonable(result.data.config),
                "overlap": list(result.data.overlap),
                "models": list(result.models),
                "baselines": list(result.baselines),
                "shuffled": list(result.shuffled),
                "labels": jsonable(result.labels),
            }
            for result in comparison.sets
        ],
        "costs": jsonable(comparison.costs),
        "provenance": jsonable(comparison.provenance),
    }


def score_table(result: SetResult, label: LabelResult) -> Table:
    """One label's scores, and each model's lead over each baseline in thousandths of a nat."""
    table = Table(
        title=f"{result.data.name} · {label.label} · {label.rows:,} rows, {formats.share(label.ups, 1)} up",
        box=SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    for name in ("", "accuracy", "95 %", "PT p", "log-loss", "ECE"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for baseline in result.baselines:
        table.add_column(f"vs {baseline}", justify="right", no_wrap=True)
    for score in label.scores:
        contests = {contest.baseline: contest for contest in label.contests if contest.model == score.name}
        ends = f"{formats.share(score.accuracy.low, 1)} – {formats.share(score.accuracy.high, 1)}"
        table.add_row(
            score.name,
            formats.share(score.accuracy.value, 2),
            ends,
            formats.p_value(score.timing.p_value),
            formats.plain(score.log_loss.value, 5),
            formats.share(score.calibration_error, 1),
            *(_told(contests[name]) if name in contests else "" for name in result.baselines),
        )
    return table


def markdown(comparison: Comparison) -> str:
    """The tables for a document: scores, and the leads over the baselines that learn from features.

    A lead is in thousandths of a nat with its 95 % interval, Diebold-Mariano's p and, in brackets, the adjusted one.
    """
    parts = [comparison.sentence]
    for result in comparison.sets:
        parts.append(f"**{result.data.name}**: {result.data.about}")
        learned = [name for name in result.baselines if name in LEARNED]
        for label in result.labels:
            head = ["", "accuracy [95 %]", "PT p", "log-loss [95 %]", "ECE", *(f"lead over {name}" for name in learned)]
            parts.append(
                f"{label.label}: {label.rows:,} rows, {formats.share(label.ups, 1)} up\n\n"
                + "\n".join(
                    "| " + " | ".join(cells) + " |"
                    for cells in [head, ["---"] * len(head), *(_cells(score, label, learned) for score in label.scores)]
                )
                + f"\n\n{shuffled_sentence(result, label)}"
            )
    return "\n\n".join(parts) + "\n"


def shuffled_sentence(result: SetResult, label: LabelResult) -> str:
    """What training on shuffled labels taught, over all shuffles; empty without any."""
    leads = [contest.lead.value for contest in label.contests if contest.model in result.shuffled]
    if not leads:
        return ""
    mean = student_interval(1e3 * np.array(leads))
    ends = f" [{formats.signed(mean.low, 2)}, {formats.signed(mean.high, 2)}]" if len(leads) > 1 else ""
    told = f"{formats.signed(mean.value, 2)}{ends} over {formats.counted(len(leads), 'shuffle')}"
    return f"Shuffled labels: mean lead over {result.baselines[0]} {told}, thousandths of a nat."


def _cells(score: Score, label: LabelResult, learned: list[str]) -> list[str]:
    leads = {contest.baseline: contest for contest in label.contests if contest.model == score.name}
    at, loss = score.accuracy, score.log_loss
    return [
        score.name,
        f"{formats.share(at.value, 1)} [{formats.share(at.low, 1)}, {formats.share(at.high, 1)}]",
        formats.p_value(score.timing.p_value),
        f"{formats.plain(loss.value, 4)} [{formats.plain(loss.low, 4)}, {formats.plain(loss.high, 4)}]",
        formats.share(score.calibration_error, 1),
        *(_long(leads[name]) if name in leads else "" for name in learned),
    ]


def _long(contest: Contest) -> str:
    value, low, high = (formats.signed(1e3 * v, 1) for v in (contest.lead.value, contest.lead.low, contest.lead.high))
    mark = {"better": "**", "worse": "_", "–": ""}[contest.verdict]
    p = f"{formats.p_equals(contest.p_value)} ({formats.p_value(contest.adjusted)})"
    return f"{mark}{value}{mark} [{low}, {high}], {p}"


def cost_table(costs: tuple[ModelCost, ...]) -> Table:
    """Size, speed and latency of every architecture on every device."""
    table = Table(title="Cost, one thread", box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in ("", "parameters", "device", "labels/s", "window, µs p50", "p99", "stream, µs p50", "p99"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for cost in costs:
        for device in cost.devices:
            table.add_row(
                cost.model,
                f"{cost.parameters:,}",
                device.device,
                f"{device.labels_per_second:,.0f}",
                f"{device.window_us:,.0f}",
                f"{device.window_p99_us:,.0f}",
                f"{device.stream_us:,.0f}",
                f"{device.stream_p99_us:,.0f}",
            )
    return table


def _told(contest: Contest) -> str:
    star = {"better": "*", "worse": "!", "–": ""}[contest.verdict]
    return f"{formats.signed(1e3 * contest.lead.value, 2)}{star} ({formats.p_value(contest.p_value)})"


def _drawn(result: SetResult) -> list[str]:
    """Forecasters on a calibration plot: the strongest baselines, then the models, at most six."""
    baselines = [name for name in ("lightgbm", "logistic") if name in result.baselines]
    return [*baselines, *result.models][-6:]


def _accuracy_cell(score: Score, label: LabelResult) -> Markup:
    ends = [end for other in label.scores for end in (other.accuracy.low, other.accuracy.high) if math.isfinite(end)]
    reach = max([0.02, *(abs(end - 0.5) for end in ends)])
    at = score.accuracy
    weak = "weak" if not at.low > 0.5 else ""
    return Markup(interval_cell(at.value, at.low, at.high, (0.5 - reach, 0.5 + reach), 0.5, weak))


def _lead(contest: Contest) -> str:
    return formats.signed(1e3 * contest.lead.value, 2)


def _tone(contest: Contest) -> str:
    return {"better": "gain", "worse": "loss", "–": "soft"}[contest.verdict]
