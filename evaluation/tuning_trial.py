"""One run of a search as Ray Tune carries it out: our own training loop, which reports a score whenever it has one.

Tune decides what is tried and when it stops; what was done is kept by `evaluation.tuning_runs`. So a search goes on
after any kill: Tune begins anew, is told the scores that are on disk, and only what is missing is trained.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from agents import checkpoints
from agents.config import AgentConfig
from agents.figure_names import SCORE
from agents.monitor import Record
from agents.train import train
from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.config import MarketConfig
from envs.market import Market
from evaluation.demonstrations import demonstrator
from evaluation.tuning_runs import TuneRun, begin_run, end_run, held, newest_of, read_run, read_runs
from evaluation.tuning_space import Dimension, Settings, applied

INDEX = "index"
ORIGIN, CHECKPOINT = "origin.json", "checkpoint"


@dataclass(frozen=True)
class Plan:
    """What every run of a search has in common; plain values that travel to its workers."""

    out: Path
    agent: AgentConfig
    market: MarketConfig
    train: tuple[str, ...]
    """Folders of the markets that policies learn from."""
    validation: tuple[str, ...]
    """Folders of those that score them."""
    space: tuple[Dimension, ...]
    listed: tuple[Settings, ...] = ()
    """Settings of each index, for searches that know beforehand what they try."""
    population: bool = False
    """Settings change while policies train, and the better ones are copied."""


def run_trial(config: dict[str, Any], plan: Plan) -> None:
    """Train what `config` asks for from wherever it stands, reporting each score. For `tune.with_parameters`.

    A run that has ended only reports what it scored. One whose settings cannot work ends with an error of its own and
    leaves the search alone.
    """
    run = run_of(config, plan, tune.get_context().get_trial_id(), tune.get_checkpoint())
    with held(run.path / "lock", wait=True):  # a worker of a killed search may not have noticed yet
        run = read_run(run.path)
        for record in run.history[-1:] if plan.population else run.history:
            _report(record, run, plan)
        if run.ended:
            return
        try:
            agent, market = applied(run.settings, plan.agent, plan.market)
            later = [Market.load(folder) for folder in plan.validation]
            result = train(
                list(plan.train),
                market,
                agent,
                run.path,
                validation=later,
                resume=True,
                progress=lambda record: _report(record, run, plan) if SCORE in record else None,
                demonstrations=demonstrator(market, agent),
            )
            end_run(run.path, result.ended_by.replace("_", " "))
        except InputError as error:
            end_run(run.path, f"error: {error}")


def run_of(config: dict[str, Any], plan: Plan, trial_id: str, given: tune.Checkpoint | None = None) -> TuneRun:
    """The run that a trial's `config` stands for; a new one where there is none yet.

    given: checkpoint that Tune hands over. In a population it may be another member's: then a new run begins from it.
    """
    if INDEX in config:
        return begin_run(plan.out, plan.listed[config[INDEX]])
    settings = {each.name: decoded(each, config[each.name]) for each in plan.space}
    if not plan.population:
        return begin_run(plan.out, settings)
    member = int(trial_id.rpartition("_")[2])  # by the order of trials; settings are copied from member to member
    now = newest_of(read_runs(plan.out), member)
    if given is None:
        return now or begin_run(plan.out, settings, member=member)
    with given.as_directory() as folder:
        origin = json.loads((Path(folder) / ORIGIN).read_text())["run"]
        if now and origin == now.name and settings == now.settings:
            return now
        start = next((Path(folder) / CHECKPOINT).glob(f"{checkpoints.PREFIX}*"))
        if now and int(start.name.removeprefix(checkpoints.PREFIX)) >= plan.agent.iterations:
            return now  # nothing is left to train with the new settings
        run = begin_run(plan.out, settings, member=member, parent=origin, start=start)
    if now:
        end_run(now.path, "settings changed")
    return run


def encoded(dimension: Dimension, value: Any) -> Any:
    """A value as searchers are shown it: of a choice its place, for not every choice is a number or a text."""
    return dimension.choices.index(value) if dimension.choices else value


def decoded(dimension: Dimension, value: Any) -> Any:
    """What `encoded` was given."""
    return dimension.choices[value] if dimension.choices else dimension.held(value)


def _report(record: Record, run: TuneRun, plan: Plan) -> None:
    """Tell Tune a score; in a population with the checkpoint that others may be given."""
    iteration = int(record["iteration"])
    metrics = {"score": record[SCORE], "iteration": iteration}
    path = checkpoints.path_of(run.path / checkpoints.FOLDER, iteration)
    if not (plan.population and path.is_dir()):
        tune.report(metrics)
        return
    with tempfile.TemporaryDirectory(dir=plan.out) as folder:
        write_json(Path(folder) / ORIGIN, {"run": run.name})
        shutil.copytree(path, Path(folder) / CHECKPOINT / path.name, copy_function=os.link)
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
