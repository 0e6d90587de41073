"""What a search keeps on disk: a folder for every run, enough to go on after a kill at any moment.

    OUT/runs/NAME/settings.json   what was chosen, and where the run began: from nothing, or from another's checkpoint
    OUT/runs/NAME/...             the run itself, as `agents.train.train` keeps it
    OUT/runs/NAME/ended.json      written last: by what it ended

A run is one choice of settings trained from one beginning. A member of a population whose settings change begins a new
run, so the log of trials has a line for each: every one of them was looked at on the validation days.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import checkpoints
from agents.figure_names import SCORE
from agents.monitor import Record, read_history
from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.sharpe import DAYS_PER_YEAR
from evaluation.trials import Trial, TrialLog, trial_key
from evaluation.tuning_space import Settings

RUNS, SETTINGS, ENDED = "runs", "settings.json", "ended.json"


@dataclass(frozen=True)
class TuneRun:
    """A run as its folder tells it."""

    path: Path
    settings: Settings
    member: int | None
    """Which member of the population it belongs to; None without one."""
    parent: str | None
    """The run whose checkpoint it began from."""
    begun_at: int
    """The iteration of that checkpoint."""
    order: int
    """How many runs there were before it."""
    ended: str
    """By what: "iterations", "early stop", "scheduler", "settings changed", "error: ..."; empty while it has not."""
    history: tuple[Record, ...]
    """Records of the iterations that were scored."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.path.name

    @property
    def iteration(self) -> int:
        """The last that was scored."""
        return int(self.history[-1]["iteration"]) if self.history else self.begun_at

    @property
    def best(self) -> Record | None:
        """The record with the highest score, None before the first."""
        return max(self.history, key=lambda record: record[SCORE], default=None)

    @property
    def score(self) -> float:
        """Highest net log return on the validation days; -inf before the first."""
        return self.best[SCORE] if self.best else -math.inf

    @property
    def sharpe_per_day(self) -> float | None:
        """Of the best record; None when it is not known."""
        best = self.best or {}
        return best["validation/sharpe"] / math.sqrt(DAYS_PER_YEAR) if "validation/sharpe" in best else None

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint of the best record."""
        return checkpoints.best_checkpoint(self.path / checkpoints.FOLDER)


def read_runs(out: Path) -> list[TuneRun]:
    """All runs of a search, in the order in which they were begun."""
    return sorted((read_run(path.parent) for path in (out / RUNS).glob(f"*/{SETTINGS}")), key=lambda run: run.order)


def read_run(path: Path) -> TuneRun:
    """The run in a folder."""
    about = json.loads((path / SETTINGS).read_text())
    ended = json.loads((path / ENDED).read_text())["by"] if (path / ENDED).exists() else ""
    settings = {
        name: tuple(value) if isinstance(value, list) else value for name, value in about.pop("settings").items()
    }
    scored = tuple(record for record in read_history(path) if SCORE in record)
    return TuneRun(path, settings, ended=ended, history=scored, **about)


def begin_run(
    out: Path,
    settings: Mapping[str, Any],
    *,
    member: int | None = None,
    parent: str | None = None,
    start: Path | None = None,
) -> TuneRun:
    """A run with these settings: the one that is there, else a new folder that appears whole.

    start: checkpoint folder of `parent` to begin from.
    """
    begun_at = int(start.name.removeprefix(checkpoints.PREFIX)) if start else 0
    name = run_name(settings, member, parent, begun_at)
    path = out / RUNS / name
    if not (path / SETTINGS).exists():
        partial = path.with_name(f".{name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        if start:
            shutil.copytree(start, partial / checkpoints.FOLDER / start.name)
        order = len(list((out / RUNS).glob(f"*/{SETTINGS}")))
        about = {"settings": dict(settings), "member": member, "parent": parent, "begun_at": begun_at, "order": order}
        write_json(partial / SETTINGS, about)
        partial.rename(path)
    return read_run(path)


def run_name(
    settings: Mapping[str, Any], member: int | None = None, parent: str | None = None, begun_at: int = 0
) -> str:
    """The name of the run that has these settings and this beginning."""
    digest = trial_key(dict(settings), member, parent, begun_at)
    return digest if member is None else f"member-{member:02d}-{digest}"


def end_run(path: Path, by: str) -> None:
    """Write down by what a run ended; the first reason stands."""
    if not (path / ENDED).exists():
        write_json(path / ENDED, {"by": by})


def newest_of(runs: Sequence[TuneRun], member: int) -> TuneRun | None:
    """The run that a member of the population trains now."""
    return max((run for run in runs if run.member == member), key=lambda run: run.order, default=None)


def lineage(runs: Sequence[TuneRun], run: TuneRun) -> list[TuneRun]:
    """The runs that led to `run`, the first one first, itself last."""
    by_name = {each.name: each for each in runs}
    found = [run]
    while found[0].parent in by_name:
        found.insert(0, by_name[found[0].parent])
    return found


def log_runs(runs: Sequence[TuneRun], log: TrialLog, subject: str, days: int, common: Mapping[str, Any]) -> None:
    """Bring the log up to date: a line for each run, again when its best score has changed (the last one counts).

    A run that was never scored counts without a Sharpe ratio. days: of validation. common: what makes this search's
    runs other than those of another (settings that were not varied, data).
    """
    logged = {trial.key: trial for trial in log.read()[0] if trial.subject == subject}
    for run in runs:
        key = trial_key(dict(common), run.name)
        net = math.expm1(run.score) if run.history else 0.0
        about = {"days": "validation", "settings": run.settings, "parent": run.parent}
        trial = Trial(subject, key, run.sharpe_per_day, days, net, about)
        before = logged.get(key)
        if before is None or (before.sharpe, before.net_return) != (trial.sharpe, trial.net_return):
            log.append(trial)


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a file that no other process can hold meanwhile; the kernel lets go of it when the process dies.

    Raises InputError when another holds it and `wait` is off.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(
                "another search is working there", where=str(path.parent), remedy="let it end, or give another --out"
            ) from None
        yield
