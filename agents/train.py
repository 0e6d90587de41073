"""Training a policy on markets: iterate, record, validate, checkpoint, and go on after any interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agents import checkpoints
from agents.cloning import Demonstrations
from agents.config import AgentConfig
from agents.market_store import open_markets, ship_markets
from agents.monitor import Monitor
from agents.run_identity import record_identity
from agents.runtime import connect, rllib_config
from agents.training_loop import SIDE_COLUMN, Progress, Run, TrainResult, train_on
from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import ACCOUNT_COLUMNS, observation_columns
from envs.vector_env import ScalpingVectorEnv
from supervised.devices import torch_threads

ENV_NAME = "ScalpingBracket"
MARKETS = "markets"
Markets = Market | str | Path | Sequence[Market | str | Path]


def train(
    market: Markets,
    env_config: MarketConfig,
    config: AgentConfig,
    run_dir: str | Path,
    *,
    validation: Market | Sequence[Market] = (),
    resume: bool = False,
    progress: Progress | None = None,
    demonstrations: Callable[[Sequence[Market]], Demonstrations] | None = None,
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
        demonstrations: called with the markets to train on (never the validation) when a run begins whose
            `config.cloning` asks for demonstrations; `evaluation.demonstrations.demonstrator` makes it.

    Raises:
        InputError: settings that cannot work together, a folder that holds another run, markets without a long enough
            stretch, a device that is not there, too little room for the runners and learners, a full disk.
    """
    run_dir = Path(run_dir).resolve()
    root = run_dir / checkpoints.FOLDER
    if root.is_dir() and not resume:
        raise InputError("the folder holds a run already", where=str(run_dir), remedy="resume it or choose another")
    sources = [market] if isinstance(market, Market | str | Path) else list(market)
    if not sources:
        raise InputError("no market to train on", where="train", remedy="give at least one")
    if config.cloning.source != "none" and demonstrations is None:
        raise InputError("cloning without demonstrations", where="train", remedy="pass a demonstrator")
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
        account_columns=len(ACCOUNT_COLUMNS),
        reset_options={"stagger": True},  # lanes end one by one, so that every iteration has episodes to tell of
    )
    with torch_threads(config.torch_threads):
        algorithm = setting.build_algo()
        try:
            begun = resume and any(root.glob(f"{checkpoints.PREFIX}*"))
            if begun:
                algorithm.restore_from_path(str(checkpoints.newest_whole(root) / checkpoints.RLLIB))
            later = [validation] if isinstance(validation, Market) else list(validation)
            run = Run(algorithm, columns, env_config, config, run_dir, markets, later)
            with checkpoints.stops_when_full(run_dir):
                shown = None if begun or config.cloning.source == "none" else demonstrations
                monitor = Monitor(run_dir, algorithm.iteration if begun else -1)
                return train_on(run, monitor, progress, shown and shown(markets))
        finally:
            algorithm.stop()


def make_market_env(config: dict[str, Any]) -> ScalpingVectorEnv:
    """The vector environment of a worker, on what `ship_markets` sent: memory is shared, nothing is copied."""
    return ScalpingVectorEnv(config["num_envs"], open_markets(config["markets"]), config["config"])
