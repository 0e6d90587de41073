"""A search for settings with Ray Tune: what is tried, what is stopped, what is counted, and what was best.

OUT/config.json, environment.json, data.json   see `run_folder`
OUT/markets/                                   training and validation days, what every run maps into memory
OUT/runs/                                      see `tuning_runs`
OUT/best.json  OUT/results.json  OUT/results.html
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, PopulationBasedTraining
from ray.tune.search.basic_variant import BasicVariantGenerator

from agents.config import AgentConfig
from agents.run_identity import market_digest
from agents.runtime import start_ray
from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.market import Market
from evaluation.run_folder import RunFolder
from evaluation.tuning_config import TuneConfig
from evaluation.tuning_runs import TuneRun, end_run, held, newest_of, read_runs, run_name
from evaluation.tuning_space import Dimension, Settings, grid, random_settings
from evaluation.tuning_trial import INDEX, Plan, encoded, run_of, run_trial

MARKETS, TUNE = "markets", "tune"
Show = Callable[[Sequence[TuneRun]], None]


@dataclass(frozen=True)
class Search:
    """A search that is set up; `search` carries it out."""

    config: TuneConfig
    plan: Plan
    agent: AgentConfig
    """What is not varied, as it was asked for; the plan's scores as often as the search needs."""
    parallel: int
    """Runs at a time."""


def set_up(
    out: Path,
    config: TuneConfig,
    space: tuple[Dimension, ...],
    agent: AgentConfig,
    market: MarketConfig,
    markets: tuple[Sequence[Market], Sequence[Market]],
    *,
    parallel: int = 0,
    resume: bool = False,
) -> Search:
    """Open the folder and put the (training, validation) markets where every run finds them.

    parallel: runs at a time; 0 as many as the CPUs carry. Raises InputError as `RunFolder` does for a folder that holds
    another search, and for a grid that --trials does not cover.
    """
    how = {name: value for name, value in asdict(config).items() if name != "trials"}
    fields = {"trials": config.trials, "search": how, "space": [asdict(each) for each in space], "agent": asdict(agent)}
    folder = RunFolder.open(out, fields | {"market": asdict(market)}, resume=resume, free=("trials",))
    digests = [[market_digest(each) for each in part] for part in markets]
    folder.same_data({"training": digests[0], "validation": digests[1]})
    places = []
    for part, name in zip(markets, ("training", "validation"), strict=True):
        places.append(tuple(str((out / MARKETS / f"{name}-{k:03d}").resolve()) for k in range(len(part))))
        for place, each in zip(places[-1], part, strict=True):
            if not Path(place).exists():
                each.save(place)
    trained = replace(
        agent,
        validate_every=config.validate_every,
        checkpoint_every=config.validate_every,
        checkpoints_kept=1,
        monitor=replace(agent.monitor, picture_every=0, histogram_every=0),
    )
    listed: list[Settings] = []
    if config.search == "grid":
        listed = grid(space, config.grid_points)
    elif config.search in ("random", "pbt"):
        listed = random_settings(space, config.trials, config.seed)
    population = config.search == "pbt"
    plan = Plan(out.resolve(), trained, market, places[0], places[1], space, tuple(listed), population)
    return Search(config, plan, agent, parallel or max(1, (os.cpu_count() or 1) // _cpus(agent)))


def _nothing(_runs: Sequence[TuneRun]) -> None:
    """Shows nothing."""


def search(task: Search, show: Show = _nothing) -> list[TuneRun]:
    """Try what there is to try; returns every run, in the order in which they were begun.

    Goes on from what the folder holds. show: called with all runs whenever one has a new score or has ended. Ctrl-C
    leaves everything on disk and raises KeyboardInterrupt. Raises InputError when another search works in the folder.
    """
    out, config = task.plan.out, task.config
    with held(out / "lock", wait=False):
        waiting = _waiting(task, read_runs(out))
        if waiting:
            shutil.rmtree(out / TUNE, ignore_errors=True)  # Tune's own notes; ours say all that is needed
            os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
            os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
            os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
            own = not ray.is_initialized()
            start_ray(max(os.cpu_count() or 1, task.parallel * _cpus(task.plan.agent)))
            try:
                _tuner(task, waiting, show).fit()  # Ctrl-C makes it return
            finally:
                if own:
                    ray.shutdown()
        if config.search == "pbt":
            for run in read_runs(out):
                if run.iteration >= task.plan.agent.iterations:
                    end_run(run.path, "iterations")
        runs = read_runs(out)
        if _waiting(task, runs):
            raise KeyboardInterrupt
        return runs


def _waiting(task: Search, known: Sequence[TuneRun]) -> list[dict[str, Any]]:
    """What Tune is told to try, first what the folder holds already: ended runs only tell their scores again, for the
    scheduler and the searcher to know them."""
    config, plan = task.config, task.plan
    if plan.population:
        members = [newest_of(known, k) for k in range(config.trials)]
        if all(run is not None and run.ended for run in members):
            return []
        return [_shown(plan, run.settings if run else plan.listed[k]) for k, run in enumerate(members)]
    if config.search == "optuna":
        missing = config.trials - len(known)
        if missing <= 0 and all(run.ended for run in known):
            return []
        return [_shown(plan, run.settings) for run in known] + [{}] * max(missing, 0)
    ended = {run.name: bool(run.ended) for run in known}
    names = [run_name(settings) for settings in plan.listed]
    first = [names.index(name) for name in dict.fromkeys(names)]  # the same draw twice is one run
    if all(ended.get(names[k], False) for k in first):
        return []
    told = [k for k in first if ended.get(names[k])] if config.scheduler == "asha" else []
    begun = [k for k in first if ended.get(names[k]) is False]
    return [{INDEX: k} for k in (*told, *begun, *(k for k in first if names[k] not in ended))]


def _shown(plan: Plan, settings: Settings) -> dict[str, Any]:
    return {each.name: encoded(each, settings[each.name]) for each in plan.space}


def _tuner(task: Search, waiting: list[dict[str, Any]], show: Show) -> tune.Tuner:
    config, plan = task.config, task.plan
    domains = {each.name: _domain(each) for each in plan.space}
    known = [each for each in waiting if each]
    scheduler: Any = None
    searcher: Any = BasicVariantGenerator(points_to_evaluate=known, random_state=config.seed)
    space: dict[str, Any] = {INDEX: tune.choice(range(len(plan.listed)))}
    if plan.population:
        space = domains
        scheduler = PopulationBasedTraining(
            time_attr="iteration",
            metric="score",
            mode="max",
            perturbation_interval=config.perturb_every,
            synch=True,  # compared at the same iteration; else who starts first is done before the others have a score
            hyperparam_mutations={
                each.name: list(range(len(each.choices))) if each.choices else domains[each.name] for each in plan.space
            },
            custom_explore_fn=_Held(plan.space),
        )
    elif config.search == "optuna":
        space, searcher = domains, _optuna(config, known)
    if config.scheduler == "asha" and not plan.population:
        scheduler = AsyncHyperBandScheduler(
            time_attr="iteration",
            metric="score",
            mode="max",
            max_t=plan.agent.iterations,
            grace_period=min(config.grace, plan.agent.iterations),
            reduction_factor=config.reduction,
        )
    decided = {} if scheduler is not None else {"metric": "score", "mode": "max"}
    bundles = [{"CPU": 1.0}] + [{"CPU": 1.0}] * (_cpus(plan.agent) - 1)
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, plan=plan), tune.PlacementGroupFactory(bundles)),
        param_space=space,
        tune_config=tune.TuneConfig(
            num_samples=len(waiting),
            scheduler=scheduler,
            search_alg=searcher,
            max_concurrent_trials=task.parallel,
            reuse_actors=True,
            **decided,
        ),
        run_config=tune.RunConfig(
            name="session",
            storage_path=str(plan.out / TUNE),
            callbacks=[_Watcher(plan, show)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=4 if plan.population else None),
        ),
    )


def _optuna(config: TuneConfig, known: list[dict[str, Any]]) -> Any:
    try:
        import optuna
        from ray.tune.search.optuna import OptunaSearch
    except ImportError as error:
        raise InputError(
            "Optuna is not installed", where="--search optuna", remedy="pip install 'crypto-scalping-suite[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Another seed for each beginning: the same one would draw again what has been tried.
    return OptunaSearch(metric="score", mode="max", points_to_evaluate=known, seed=config.seed + len(known))


def _domain(dimension: Dimension) -> Any:
    """The dimension as Ray Tune draws it."""
    if dimension.choices:
        return tune.choice(range(len(dimension.choices)))
    if dimension.whole:
        whole = (int(dimension.low), int(dimension.high) + 1)
        return tune.lograndint(*whole) if dimension.log else tune.randint(*whole)
    return (tune.loguniform if dimension.log else tune.uniform)(dimension.low, dimension.high)


def _cpus(agent: AgentConfig) -> int:
    """CPUs of one run: its own process, and its actors'."""
    return 1 + agent.num_env_runners + agent.scale.learners


@dataclass(frozen=True)
class _Held:
    """Keeps what PBT makes of numbers (times 0.8, times 1.2) within their ranges."""

    space: tuple[Dimension, ...]

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        ranges = {each.name: each.held(config[each.name]) for each in self.space if not each.choices}
        return config | ranges


class _Watcher(tune.Callback):
    """Writes down by what runs ended, and shows where the search stands."""

    def __init__(self, plan: Plan, show: Show) -> None:
        self._plan, self._show = plan, show

    def __getstate__(self) -> dict[str, Any]:
        return {"_plan": self._plan, "_show": _nothing}  # Tune writes its callbacks down, and a terminal cannot be

    def on_trial_result(self, **_: Any) -> None:
        self._show(read_runs(self._plan.out))

    def on_trial_complete(self, *, trial: RayTrial, **_: Any) -> None:
        run = run_of(trial.config, self._plan, trial.trial_id)
        self._end(run, "iterations" if run.iteration >= self._plan.agent.iterations else "scheduler")

    def on_trial_error(self, *, trial: RayTrial, **_: Any) -> None:
        said = str(trial.get_error() or "it failed").strip().splitlines()
        self._end(run_of(trial.config, self._plan, trial.trial_id), f"error: {said[-1]}")

    def _end(self, run: TuneRun, by: str) -> None:
        end_run(run.path, by)
        self._show(read_runs(self._plan.out))
