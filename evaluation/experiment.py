"""The main job: bars, quality, features, walk-forward predictions, policies, backtest on unseen days, report.

Whatever takes long is kept in the run's folder as it is done, so that an interrupted run goes on:

    RUN/predictions/SYMBOL/fold_K   each walk-forward fold
    RUN/markets/SYMBOL              bars with scaled observations, what agents and backtests map into memory
    RUN/agent/seed-K                checkpoints, history, TensorBoard events of each policy
    RUN/policy.onnx                 the judged policy
    RUN/summary.json  RUN/report.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from agents.config import AgentConfig, CloningSettings, EarlyStop, agent_preset
from agents.export import export_policy_onnx
from agents.train import TrainResult, train
from data_pipeline.files import write_json
from data_pipeline.quality import quality_report
from data_pipeline.readers import is_synthetic
from envs.config import MarketConfig
from envs.market import Market
from evaluation.agent_training import progress_text
from evaluation.config import ExperimentConfig
from evaluation.dataset import (
    FIRST_TRAIN_FRACTION,
    INTERVAL_MS,
    SymbolRows,
    brackets_of,
    load_bars,
    prepare_symbols,
)
from evaluation.demonstrations import demonstrator
from evaluation.judge import judge_run
from evaluation.observations import build_market, check_capital
from evaluation.progress import Stages
from evaluation.report import write_report
from evaluation.report_data import ReportData
from evaluation.run_folder import RunFolder, jsonable
from evaluation.summary import summary_dict, summary_table
from evaluation.tracking import check_tracking, track_run
from supervised.baselines import baseline_predictions, past_moves
from supervised.config import ModelConfig, TrainConfig, WalkForwardConfig
from supervised.dataset import Dataset
from supervised.devices import resolve_device
from supervised.fold_training import Progress
from supervised.predictions import Predictions
from supervised.walk_forward import walk_forward_predictions

FREE_ON_RESUME = ("out", "resume", "track", "device", "threads")


def run_experiment(config: ExperimentConfig, console: Console | None = None) -> ReportData:
    """Run the whole job and return what the report says. Raises InputError for options or bars that cannot be used.

    Nothing is written before options and bars have been checked.
    """
    config.check()
    if config.track:
        check_tracking()
    console = console or Console()
    device = str(resolve_device(config.device))
    path = config.out or Path("runs") / f"{config.default_name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with Stages(console) as stages:
        with stages.stage("Bars and quality") as stage:
            tables, identity = load_bars(config)
            quality = {symbol: quality_report(table, INTERVAL_MS) for symbol, table in tables.items()}
            stage.at(1, f"{sum(table.num_rows for table in tables.values()):,} bars of {', '.join(tables)}")
        with stages.stage("Features and labels") as stage:
            symbols = prepare_symbols(tables, config)
            stage.at(1, f"{len(symbols[0].feature_names)} features")
        market_config = market_settings(config)
        for symbol in symbols:
            check_capital(symbol, market_config)

        folder = RunFolder.open(path, config, resume=config.resume, free=FREE_ON_RESUME)
        folder.same_data(identity)
        write_json(path / "quality.json", {symbol: report.to_dict() for symbol, report in quality.items()})

        predictions = {
            symbol.symbol: predict_symbol(symbol, config, path / "predictions" / symbol.slug, device, stages)
            for symbol in symbols
        }
        markets = {
            symbol.symbol: build_market(
                symbol,
                predictions[symbol.symbol],
                path / "markets",
                further=config.observe == "everything",
                spread=config.spread_model,
            )
            for symbol in symbols
        }
        simple = {symbol.symbol: predict_baselines(symbol, config, stages) for symbol in symbols}
        trained = [
            train_seed(number, symbols, markets, market_config, config, path, device, stages)
            for number in range(config.agent_seeds)
        ]
        with stages.stage("Backtest and report") as stage:
            data = judge_run(
                config=config,
                market_config=market_config,
                symbols=symbols,
                markets=markets,
                predictions=predictions,
                simple=simple,
                quality={symbol: report.to_dict() for symbol, report in quality.items()},
                trained=trained,
                synthetic=all(is_synthetic(table) for table in tables.values()),
                run=folder,
                identity=identity,
                step=stage.at,
            )
            summary = summary_dict(data)
            write_json(path / "summary.json", summary)
            write_report(data, path / "report.html")
            chosen = next(seed.seed for seed in data.seeds if seed.chosen) - config.seed
            export_policy_onnx(trained[chosen].best_checkpoint, path / "policy.onnx")
        if config.track:
            with stages.stage("MLflow") as stage:
                stage.at(1, track_run(config.track, path, jsonable(config), summary))
    console.print(summary_table(data))
    console.print(f"\n{data.summary.verdict.sentence}\n", style="bold")
    console.print(f"report      {path / 'report.html'}\nTensorBoard tensorboard --logdir {path}", highlight=False)
    return data


def market_settings(config: ExperimentConfig) -> MarketConfig:
    """The market's rules as the options ask for them."""
    return MarketConfig(
        half_spread_bps=config.half_spread_bps,
        initial_capital=config.initial_capital,
        ttl_bars=config.ttl_bars,
        default_tp_bps=config.take_profit_bps,
        default_sl_bps=config.stop_loss_bps,
        action_mode=config.resolved_action_mode,
    )


def walk_forward_settings(config: ExperimentConfig) -> WalkForwardConfig:
    """The models and folds as the options ask for them."""
    return WalkForwardConfig(
        horizons=config.horizons,
        brackets=brackets_of(config),
        models=tuple(ModelConfig(kind=kind) for kind in config.models),
        train=TrainConfig(threads=config.threads),
        folds=config.folds,
        first_train_fraction=FIRST_TRAIN_FRACTION,
        embargo_rows=max(60, *config.horizons, *(bracket.ttl_bars for bracket in brackets_of(config))),
        seed=config.seed,
    )


def agent_settings(config: ExperimentConfig, number: int, device: str) -> AgentConfig:
    """Settings of the `number`-th policy."""
    changes: dict[str, Any] = {"seed": config.seed + number, "device": device, "torch_threads": config.threads}
    changes |= {"early_stop": EarlyStop(config.patience), "cloning": CloningSettings(config.clone)}
    if config.iterations is not None:
        changes["iterations"] = config.iterations
    return agent_preset(config.agent, **changes)


def predict_symbol(
    symbol: SymbolRows, config: ExperimentConfig, folder: Path, device: str, stages: Stages
) -> Predictions:
    """Out-of-sample predictions for one symbol; folds that were done before are taken from `folder`."""
    settings = walk_forward_settings(config)
    members: list[str] = [model.kind for model in settings.models]
    with stages.stage(f"Models {symbol.symbol}", settings.folds * len(members)) as stage:

        def show(now: Progress) -> None:
            before = now.fold * len(members) + members.index(now.model)
            detail = f"fold {now.fold + 1}/{now.folds} {now.model}: validation log-loss {now.epoch.validation_loss:.4f}"
            stage.at(before + now.epoch.number / now.epochs, detail)

        return walk_forward_predictions(
            symbol.features,
            symbol.targets,
            symbol.target_ends,
            symbol.segments,
            symbol.bars.open_time_ms,
            settings,
            feature_names=symbol.feature_names,
            out_dir=folder,
            device=device,
            progress=show,
        )


def predict_baselines(symbol: SymbolRows, config: ExperimentConfig, stages: Stages) -> Predictions:
    """What majority, persistence, reversal and logistic regression say of the rows that the models predict."""
    settings = walk_forward_settings(config)
    rows = Dataset(symbol.features, symbol.labels_bps, symbol.label_ends, symbol.segments, symbol.bars.open_time_ms)
    past = past_moves(symbol.bars.close, config.horizons, symbol.segments)
    with stages.stage(f"Baselines {symbol.symbol}", settings.folds) as stage:

        def show(fold: int) -> None:
            stage.at(fold + 1, f"fold {fold + 1}/{settings.folds}")

        return baseline_predictions(rows, past, settings, progress=show)


def train_seed(
    number: int,
    symbols: list[SymbolRows],
    markets: dict[str, Market],
    market_config: MarketConfig,
    config: ExperimentConfig,
    path: Path,
    device: str,
    stages: Stages,
) -> TrainResult:
    """Train the `number`-th policy on the training days of all symbols, or take it from where it was interrupted."""
    settings = agent_settings(config, number, device)
    run_dir = path / "agent" / f"seed-{settings.seed}"
    name = f"{config.agent.upper()} seed {settings.seed}"
    with stages.stage(name, settings.iterations) as stage:

        def show(record: dict[str, float]) -> None:
            stage.at(record["iteration"], progress_text(record))

        return train(
            [markets[symbol.symbol].slice(0, symbol.split.train) for symbol in symbols],
            market_config,
            settings,
            run_dir,
            validation=[
                markets[symbol.symbol].slice(symbol.split.train, symbol.split.validation) for symbol in symbols
            ],
            resume=run_dir.exists(),
            progress=show,
            demonstrations=demonstrator(market_config, settings),
        )
