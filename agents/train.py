"""Training a policy on markets: iterate, record, validate, checkpoint, and go on after any interruption."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.core import DEFAULT_MODULE_ID

from agents import checkpoints
from agents.algorithm import BatchedAlgorithm
from agents.config import AgentConfig
from agents.market_store import open_markets, ship_markets
from agents.monitor import Monitor, Record, iteration_record
from agents.policy import TorchPolicy
from agents.policy_spec import PolicySpec, space_fields
from agents.run_identity import record_identity
from agents.runtime import connect, rllib_config
from data_pipeline.errors import InputError
from data_pipeline.interrupts import interrupt_afterwards
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.vector_env import ScalpingVectorEnv
from supervised.devices import torch_threads

ENV_NAME = "ScalpingBracket"
SCORE = "validation/return_log"
SIDE_COLUMN = "account_side"
MARKETS = "markets"
Progress = Callable[[Record], None]
Markets = Market | str | Path | Sequence[Market | str | Path]


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
    """One record per iteration, as in history.jsonl (see `agents.monitor.iteration_record`)."""
    skipped_updates: int
    """Updates undone because a gradient was not finite; 0 on a healthy run."""


def train(
    market: Markets,
    env_config: MarketConfig,
    config: AgentConfig,
    run_dir: str | Path,
    *,
    validation: Market | Sequence[Market] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a policy and keep its best checkpoint.

    Writes below `run_dir`: markets/ (what the workers map into memory; not on a cluster), checkpoints/, history.jsonl,
    tensorboard/, identity.json. A first checkpoint is written before the first iteration, so that `resume` always
    finds one; Ctrl-C lets the running iteration end, writes a checkpoint and raises KeyboardInterrupt.

    Args:
        market: what to train on: markets, or folders written by `Market.save`; lanes are shared out among them.
        env_config: rules of the market; also decides the action mode.
        config: settings of the run.
        run_dir: folder of the run.
        validation: markets of later days, never trained on; backtested every `config.validate_every` iterations.
        resume: go on from the newest whole checkpoint in `run_dir` (from the start if there is none).
        progress: called with each iteration's record.

    Raises:
        InputError: settings that cannot work together, a folder that holds another run, markets without a long enough
            stretch, a device that is not there.
    """
    run_dir = Path(run_dir).resolve()
    root = run_dir / checkpoints.FOLDER
    if root.is_dir() and not resume:
        raise InputError("the folder holds a run already", where=str(run_dir), remedy="resume it or choose another")
    sources = [market] if isinstance(market, Market | str | Path) else list(market)
    if not sources:
        raise InputError("no market to train on", where="train", remedy="give at least one")
    markets = [source if isinstance(source, Market) else Market.load(source) for source in sources]
    record_identity(run_dir, env_config, config, markets, resume=resume)
    columns = observation_columns(markets[0])
    connect(config)
    cluster = bool(config.scale.address)
    env = {"markets": ship_markets(sources, run_dir / MARKETS, cluster=cluster), "config": env_config}
    setting = rllib_config(
        config,
        ENV_NAME,
        make_market_env,
        env,
        side_column=columns.index(SIDE_COLUMN),
        reset_options={"stagger": True},  # lanes end one by one, so that every iteration has episodes to tell of
    )
    with torch_threads(config.torch_threads):
        algorithm = setting.build_algo()
        try:
            if resume and any(root.glob(f"{checkpoints.PREFIX}*")):
                algorithm.restore_from_path(str(checkpoints.newest_whole(root) / checkpoints.RLLIB))
            later = [validation] if isinstance(validation, Market) else list(validation)
            return _run(algorithm, columns, env_config, config, run_dir, later, progress)
        finally:
            algorithm.stop()


def make_market_env(config: dict[str, Any]) -> ScalpingVectorEnv:
    """The vector environment of a worker, on what `ship_markets` sent: memory is shared, nothing is copied."""
    return ScalpingVectorEnv(config["num_envs"], open_markets(config["markets"]), config["config"])


def _run(
    algorithm: BatchedAlgorithm,
    columns: tuple[str, ...],
    env_config: MarketConfig,
    config: AgentConfig,
    run_dir: Path,
    validation: Sequence[Market],
    progress: Progress | None,
) -> TrainResult:
    root = run_dir / checkpoints.FOLDER
    monitor = Monitor(run_dir, algorithm.iteration)

    def policy() -> TorchPolicy:
        return current_policy(algorithm, config, env_config, columns)

    def save() -> Path:
        path = checkpoints.write_checkpoint(
            root, algorithm.iteration, lambda folder: _fill(folder, algorithm, policy())
        )
        checkpoints.prune(root, config.checkpoints_kept)
        return path

    whole = True  # the state is that after an iteration, not one within
    try:
        _remember_best(root, monitor.history)
        last = save()
        while algorithm.iteration < config.iterations:
            with interrupt_afterwards():
                whole = False
                record = iteration_record(algorithm, algorithm.train())
                done = algorithm.iteration == config.iterations
                best = None
                if validation and (done or _due(config.validate_every, algorithm)):
                    record |= validate(policy(), validation, env_config)
                    score, before = record[SCORE], checkpoints.best_score(root)
                    best = score if before is None or score > before else None
                monitor.add(record)
                whole = True
                if done or best is not None or _due(config.checkpoint_every, algorithm):
                    last = save()
                if best is not None:
                    checkpoints.mark_best(root, last, best)
            if progress is not None:
                progress(record)
    except KeyboardInterrupt:
        if whole:
            save()
        raise
    finally:
        monitor.close()
    skipped = int(monitor.history[-1].get("learn/skipped_updates", 0.0)) if monitor.history else 0
    return TrainResult(run_dir, checkpoints.best_checkpoint(root) or last, last, monitor.history, skipped)


def _remember_best(root: Path, history: Sequence[Record]) -> None:
    """Mark the best checkpoint as the history tells it: a kill may have come between writing and marking it."""
    scored = [(record[SCORE], -int(record["iteration"])) for record in history if SCORE in record]
    if scored:
        score, iteration = max(scored)
        path = checkpoints.path_of(root, -iteration)
        if path.is_dir():
            checkpoints.mark_best(root, path, score)


def _due(every: int, algorithm: BatchedAlgorithm) -> bool:
    return every > 0 and algorithm.iteration % every == 0


def current_policy(
    algorithm: BatchedAlgorithm, config: AgentConfig, env_config: MarketConfig, columns: tuple[str, ...]
) -> TorchPolicy:
    """The policy as it is now, on the CPU."""
    space = algorithm.spaces[DEFAULT_MODULE_ID][1]
    spec = PolicySpec(
        algorithm=config.algorithm,
        network=config.network,
        observation_columns=columns,
        market=asdict(env_config),
        iteration=algorithm.iteration,
        **space_fields(space),
    )
    weights = algorithm.learner_group.get_weights([DEFAULT_MODULE_ID])[DEFAULT_MODULE_ID]
    return TorchPolicy(spec, {name: value for name, value in weights.items() if name.startswith("pi.")})


def validate(policy: TorchPolicy, markets: Sequence[Market], env_config: MarketConfig) -> Record:
    """Backtest the greedy policy with one account on each market. `validation/*`: mean net log return, trades of all,
    deepest drawdown.

    A range of initial capitals is represented by its geometric mean.
    """
    capital = math.sqrt(math.prod(env_config.capital_range))
    results = [Backtest(market, env_config, capitals=(capital,)).run(policy) for market in markets]
    curves = [result.equity[:, 0] for result in results]
    return {
        SCORE: float(np.mean([np.log(equity[-1] / capital) for equity in curves])),
        "validation/trades": float(sum(result.trades.num_rows for result in results)),
        "validation/max_drawdown": float(max((1.0 - e / np.maximum.accumulate(e)).max() for e in curves)),
    }


def _fill(folder: Path, algorithm: BatchedAlgorithm, policy: TorchPolicy) -> None:
    """Write a checkpoint's files: RLlib's own, and the policy alone for use without Ray."""
    algorithm.save_to_path(str(folder / checkpoints.RLLIB))
    policy.save(folder)
