"""The loop of a training run: iterate, record, validate, checkpoint, and stop when the validation days say so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ray.rllib.core import DEFAULT_MODULE_ID

from agents import checkpoints
from agents.action_figures import ActionFigures
from agents.algorithm import WatchedAlgorithm
from agents.cloning import Demonstrations, clone
from agents.config import AgentConfig, EarlyStop
from agents.equity_picture import equity_picture
from agents.figure_names import SCORE
from agents.heads import action_head
from agents.monitor import Monitor, Record, finite, iteration_record
from agents.policy import TorchPolicy
from agents.policy_spec import PolicySpec, space_fields
from agents.validation import validate
from data_pipeline.interrupts import interrupt_afterwards
from envs.config import MarketConfig
from envs.market import Market

SIDE_COLUMN = "account_side"
Progress = Callable[[Record], None]
Ending = Literal["iterations", "early_stop"]


@dataclass(frozen=True)
class TrainResult:
    """What a training run left behind."""

    run_dir: Path
    """Folder of the run."""
    best_checkpoint: Path
    """Best by validation net log-return; without validation markets the last one."""
    last_checkpoint: Path
    """After the last iteration."""
    history: list[Record]
    """One record per iteration, as in history.jsonl (see `agents.figure_names`)."""
    skipped_updates: int
    """Updates undone because a gradient was not finite; 0 on a healthy run."""
    ended_by: Ending
    """Whether all iterations were done, or the validation days stopped improving (`EarlyStop`)."""


@dataclass(frozen=True)
class Run:
    """A run in progress."""

    algorithm: WatchedAlgorithm
    columns: tuple[str, ...]
    """Of the observations."""
    env_config: MarketConfig
    config: AgentConfig
    run_dir: Path
    training: Sequence[Market]
    validation: Sequence[Market]

    @property
    def root(self) -> Path:
        """Folder of the checkpoints."""
        return self.run_dir / checkpoints.FOLDER

    def policy(self) -> TorchPolicy:
        """The policy as it is now, on the CPU."""
        space = self.algorithm.spaces[DEFAULT_MODULE_ID][1]
        spec = PolicySpec(
            algorithm=self.config.algorithm,
            network=self.config.network,
            observation_columns=self.columns,
            market=asdict(self.env_config),
            iteration=self.algorithm.iteration,
            shortable=all(market.instrument.shortable for market in self.training),
            seen={"trained": _spans(self.training), "selected": _spans(self.validation)},
            **space_fields(space),
        )
        weights = self.algorithm.learner_group.get_weights([DEFAULT_MODULE_ID])[DEFAULT_MODULE_ID]
        return TorchPolicy(spec, weights)

    def save(self) -> Path:
        """Write a checkpoint, and remove those that need not be kept."""
        path = checkpoints.write_checkpoint(self.root, self.algorithm.iteration, self._fill)
        checkpoints.prune(self.root, self.config.checkpoints_kept)
        return path

    def _fill(self, folder: Path) -> None:
        """A checkpoint's files: RLlib's own, and the policy alone for use without Ray."""
        self.algorithm.save_to_path(str(folder / checkpoints.RLLIB))
        self.policy().save(folder)


def train_on(
    run: Run, monitor: Monitor, progress: Progress | None = None, demonstrations: Demonstrations | None = None
) -> TrainResult:
    """Iterate to the end, from wherever the run stands; a run that begins clones the demonstrations first, if there are
    any. Closes the monitor; interrupted, writes a checkpoint."""
    algorithm, config = run.algorithm, run.config
    whole = True  # the state is that after an iteration, not one within
    try:
        if demonstrations is not None:
            _begin_from(demonstrations, run, monitor)
        _remember_best(run.root, monitor.history)
        last = run.save()
        while algorithm.iteration < config.iterations and not stalled(monitor.history, config.early_stop):
            with interrupt_afterwards():
                whole = False
                record = _iterate(run, monitor)
                last_one = algorithm.iteration == config.iterations
                best = None
                if run.validation and (last_one or _due(config.validate_every, algorithm)):
                    record |= judge(run, monitor)
                    before = checkpoints.best_score(run.root)
                    best = record[SCORE] if before is None or record[SCORE] > before else None
                monitor.add(record)
                whole = True
                done = last_one or stalled(monitor.history, config.early_stop)
                if done or best is not None or _due(config.checkpoint_every, algorithm):
                    last = run.save()
                if best is not None:
                    checkpoints.mark_best(run.root, last, best)
            if progress is not None:
                progress(record)
    except KeyboardInterrupt:
        if whole:
            run.save()
        raise
    finally:
        monitor.close()
    skipped = int(monitor.history[-1].get("learn/skipped_updates", 0.0)) if monitor.history else 0
    ended: Ending = "early_stop" if stalled(monitor.history, config.early_stop) else "iterations"
    best_checkpoint = checkpoints.best_checkpoint(run.root) or last
    return TrainResult(run.run_dir, best_checkpoint, last, monitor.history, skipped, ended)


def stalled(history: Sequence[Record], settings: EarlyStop) -> bool:
    """Whether the last `patience` validations in a history all failed to beat the best before them by
    `min_improvement`. Never with patience 0."""
    best, waited = -math.inf, 0
    for record in history:
        if SCORE in record:
            better = record[SCORE] > best + settings.min_improvement
            best, waited = (record[SCORE], 0) if better else (best, waited + 1)
    return 0 < settings.patience <= waited


def judge(run: Run, monitor: Monitor) -> Record:
    """The figures of the policy on the validation days; every few times with a picture."""
    validation = validate(run.policy(), run.validation, run.env_config)
    every = run.config.monitor.picture_every
    if every and sum(SCORE in record for record in monitor.history) % every == 0:
        monitor.add_picture("validation/equity", equity_picture(validation), run.algorithm.iteration)
    return finite(validation.figures)


def _begin_from(demonstrations: Demonstrations, run: Run, monitor: Monitor) -> None:
    """Clone, and keep what came of it as iteration 0: training has to beat it."""
    record: Record = {"iteration": 0.0, **clone(run.algorithm, demonstrations, run.config.cloning)}
    if run.validation:
        record |= judge(run, monitor)
    monitor.add(record)
    path = run.save()
    if SCORE in record:
        checkpoints.mark_best(run.root, path, record[SCORE])


def _iterate(run: Run, monitor: Monitor) -> Record:
    """One iteration: its figures, and now and then histograms of the actions."""
    algorithm = run.algorithm
    start = time.perf_counter()
    result = algorithm.train()
    seconds = time.perf_counter() - start
    record = iteration_record(algorithm, result, seconds, run.training[0].interval_ms)
    if algorithm.last_rollout is not None:
        head = action_head(algorithm.spaces[DEFAULT_MODULE_ID][1])
        actions = ActionFigures(algorithm.last_rollout, head, run.env_config, run.columns.index(SIDE_COLUMN))
        record |= actions.shares()
        if _due(run.config.monitor.histogram_every, algorithm):
            monitor.add_histograms(actions.histograms(), algorithm.iteration)
    return record


def _remember_best(root: Path, history: Sequence[Record]) -> None:
    """Mark the best checkpoint as the history tells it: a kill may have come between writing and marking it."""
    scored = [(record[SCORE], -int(record["iteration"])) for record in history if SCORE in record]
    if scored:
        score, iteration = max(scored)
        path = checkpoints.path_of(root, -iteration)
        if path.is_dir():
            checkpoints.mark_best(root, path, score)


def _due(every: int, algorithm: WatchedAlgorithm) -> bool:
    return every > 0 and algorithm.iteration % every == 0


def _spans(markets: Sequence[Market]) -> list[Any]:
    """Symbol, first and last open time of each market."""
    return [(market.symbol, int(market.open_time_ms[0]), int(market.open_time_ms[-1])) for market in markets]
