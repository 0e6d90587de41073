"""What a search found: best.json to train with, results.json, and a page; the best score deflated by all that was
tried."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from agents.config_files import settings_json
from agents.figure_names import SCORE
from agents.policy import load_policy
from agents.validation import validate
from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.axes import nice_ticks, padded
from envs.market import Market
from envs.performance import DAY_MS
from envs.sharpe import SharpeEstimate, sharpe_estimate
from evaluation import formats
from evaluation.account import account_of, combine
from evaluation.figures import percent_ticks
from evaluation.page import render_page, safe, write_page
from evaluation.run_folder import environment, jsonable
from evaluation.sharpe import deflated_sharpe, expected_maximum_sharpe
from evaluation.svg import Figure, Plot
from evaluation.trials import TrialCount, TrialLog
from evaluation.tuning import Search
from evaluation.tuning_runs import TuneRun, lineage, log_runs
from evaluation.tuning_space import applied

BEST, RESULTS, PAGE = "best.json", "results.json", "results.html"


@dataclass(frozen=True, eq=False)
class TuneReport:
    """A search and its best run."""

    task: Search
    subject: str
    """What is traded, as logs of trials name it."""
    runs: tuple[TuneRun, ...]
    """The best score first."""
    sharpe: SharpeEstimate
    """Of the best run's daily returns on the validation days."""
    trials: TrialCount
    """All on the subject, these included."""
    span_ms: tuple[int, int]
    """First and last bar of the validation days."""
    complete: bool
    """Whether the search is over."""

    @property
    def best(self) -> TuneRun:
        """The run with the highest score."""
        return self.runs[0]

    @property
    def deflated_sharpe(self) -> float:
        """Chance that the best run's true Sharpe ratio is above 0, after so many trials."""
        s, trials = self.sharpe, self.trials
        return deflated_sharpe(s.per_period, s.n, max(trials.trials, 1), trials.variance, s.skew, s.kurtosis)

    @property
    def expected_maximum(self) -> float:
        """Annual Sharpe ratio that the best of so many trials without skill would show."""
        return expected_maximum_sharpe(max(self.trials.trials, 1), self.trials.variance) * math.sqrt(365.0)

    @property
    def sentence(self) -> str:
        """What was found, plainly."""
        tried, score = formats.counted(len(self.runs), "run"), formats.percent(math.expm1(self.best.score))
        chance = "unknown" if math.isnan(self.deflated_sharpe) else formats.probability(self.deflated_sharpe)
        over = "" if self.complete else "So far: "
        if self.best.best is not None and self.best.best.get("validation/trades") == 0.0:
            return f"{over}no run made money: the best of {tried} never traded on {days_of(self)}."
        days, trials = days_of(self), formats.counted(self.trials.trials, "trial")
        return (
            f"{over}the best of {tried} made {score} on {days}; after {trials} the chance that its true Sharpe ratio "
            f"is above 0 is {chance}."
        )

    @cached_property
    def best_json(self) -> dict[str, Any]:
        """Settings to train with, and where they come from."""
        best, plan = self.best, self.task.plan
        about = {
            "run": best.name,
            "settings": best.settings,
            "lineage": [
                {"run": run.name, "from_iteration": run.begun_at, "settings": run.settings}
                for run in lineage(self.runs, best)
            ],
            "checkpoint": str(best.checkpoint),
            "validation_return_log": best.score,
            "sharpe_annual": self.sharpe.annual,
            "sharpe_standard_error": self.sharpe.annual_standard_error,
            "deflated_sharpe": self.deflated_sharpe,
            "trials": asdict(self.trials),
        }
        agent, market = applied(best.settings, self.task.agent, plan.market)
        return settings_json(agent, market) | jsonable(about)


def days_of(report: TuneReport) -> str:
    """How many days the scores are of, in words."""
    return formats.counted(report.sharpe.n, "validation day")


def count_runs(
    task: Search, runs: Sequence[TuneRun], validation: Sequence[Market], log: TrialLog, subject: str
) -> None:
    """Bring the log of trials up to date with these runs."""
    plan = task.plan
    days = len(np.unique(np.concatenate([market.open_time_ms for market in validation]) // DAY_MS))
    common = settings_json(plan.agent, plan.market) | json.loads((plan.out / "data.json").read_text())
    log_runs(runs, log, subject, days, common)


def report_of(
    task: Search, runs: Sequence[TuneRun], validation: Sequence[Market], log: TrialLog, subject: str, *, complete: bool
) -> TuneReport:
    """Bring the log of trials up to date and look at the best run. Raises InputError when no run has a score."""
    plan = task.plan
    count_runs(task, runs, validation, log, subject)
    ranked = tuple(sorted(runs, key=lambda run: -run.score))
    if not ranked or ranked[0].checkpoint is None:
        errors = sorted({run.ended for run in runs if run.ended.startswith("error")})
        raise InputError(
            f"no run has a score{': ' + errors[0].removeprefix('error: ') if errors else ''}",
            where=str(plan.out),
            remedy="mend the settings or --vary" if errors else "go on with --resume",
        )
    policy = load_policy(ranked[0].checkpoint)
    market = applied(ranked[0].settings, plan.agent, plan.market)[1]
    results = validate(policy, validation, market).results
    account = combine([account_of(result, "best") for result in results], "best")
    times = account.open_time_ms
    span = int(times[0]), int(times[-1])
    return TuneReport(task, subject, ranked, sharpe_estimate(account.daily[1]), log.count(subject), span, complete)


def write_tune_report(report: TuneReport) -> Path:
    """Write best.json, results.json and results.html into the search's folder; returns the page's path."""
    out = report.task.plan.out
    write_json(out / BEST, report.best_json)
    rows = [
        {
            "run": run.name,
            "settings": run.settings,
            "parent": run.parent,
            "begun_at": run.begun_at,
            "iteration": run.iteration,
            "ended": run.ended or None,
            "validation": dict(run.best) if run.best else None,
            "checkpoint": str(run.checkpoint) if run.checkpoint else None,
        }
        for run in report.runs
    ]
    facts = {name: report.best_json[name] for name in ("deflated_sharpe", "trials", "sharpe_annual")}
    write_json(
        out / RESULTS, jsonable({"sentence": report.sentence, "complete": report.complete, **facts, "runs": rows})
    )
    return write_page(render_tune_report(report), out / PAGE)


def tune_table(report: TuneReport, rows: int = 12) -> Table:
    """The best runs for a terminal."""
    title = f"Validation days of {report.subject}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("score", "Sharpe/yr", "trades", "iterations"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ended by")
    table.add_column("settings")
    for run in report.runs[:rows]:
        chosen = (f"{name.rpartition('.')[2]} {value_text(value)}" for name, value in run.settings.items())
        table.add_row(*row_of(run)[1:], ", ".join(chosen))
    return table


def row_of(run: TuneRun) -> tuple[str, ...]:
    """Name, score, Sharpe ratio, trades, iterations and end of a run, as people read them."""
    best = run.best or {}
    short = run.name if run.member is None else run.name.removesuffix(run.name[-8:])
    return (
        short[:16],
        formats.percent(math.expm1(run.score)) if run.history else "–",
        formats.signed(best.get("validation/sharpe", math.nan), 2),
        f"{best['validation/trades']:,.0f}" if "validation/trades" in best else "–",
        f"{run.begun_at}–{run.iteration}" if run.begun_at else str(run.iteration),
        run.ended or "not ended",
    )


def value_text(value: Any) -> str:
    """A setting's value, short: "64x64", "0.00123"."""
    if isinstance(value, tuple):
        return "x".join(map(value_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def render_tune_report(report: TuneReport) -> str:
    """The page as HTML, self-contained."""
    filters: dict[str, Callable[..., Any]] = {
        "row": row_of,
        "reach": reach_of,
        "value": value_text,
        "score": lambda v: formats.percent(math.expm1(v)),
    }
    plan = report.task.plan
    synthetic = report.subject.startswith("SYNTHETIC")
    provenance = {
        "Search": jsonable(report.task.config),
        "Varied": {each.name: value_range(each) for each in plan.space},
        "Otherwise": settings_json(report.task.agent, plan.market),
        "Software": environment(),
    }
    return render_page(
        "tuning.html",
        filters,
        report=report,
        synthetic=synthetic,
        names=[each.name for each in plan.space],
        curves=safe(_curves(report)),
        provenance=provenance,
    )


def reach_of(sharpe: SharpeEstimate) -> str:
    """The standard error of an annual Sharpe ratio in words."""
    known = not math.isnan(sharpe.standard_error)
    return f"± {formats.plain(sharpe.annual_standard_error, 2)} standard error" if known else "no standard error"


def value_range(dimension: Any) -> str:
    """The values of a dimension in words."""
    if dimension.choices:
        return ", ".join(map(value_text, dimension.choices))
    return f"{dimension.low:g} to {dimension.high:g}{', evenly in the logarithm' if dimension.log else ''}"


def _curves(report: TuneReport) -> Figure:
    """Score over iterations of every run, the best one's on top."""
    scored = [run for run in report.runs if run.history]
    curves = [
        (np.array([r["iteration"] for r in run.history]), np.expm1([r[SCORE] for r in run.history])) for run in scored
    ]
    last = max(float(x[-1]) for x, _ in curves)
    label = f"Validation score of {formats.counted(len(scored), 'run')} over {last:.0f} iterations"
    plot = Plot((0.0, last * 1.02), padded([y for _, y in curves], include=0.0), 260, label)
    plot.x_ticks = [(at, f"{at:g}") for at in nice_ticks(0.0, last, 6)]
    plot.y_ticks = percent_ticks(*plot.y, 5)
    plot.line(np.array(plot.x), np.zeros(2), "flat")
    for k in reversed(range(len(curves))):
        css = "policy" if k == 0 else "random"
        plot.line(*curves[k], css)
        plot.dots(*curves[k], css)
    legend = (("policy", "The best run"), ("random", "Other runs"), ("flat", "Flat"))
    return Figure(plot.render(), legend)
