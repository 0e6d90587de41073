"""A whole study of policies on one symbol's bars: from the file to the tables (see `evaluation.agent_study`)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path, write_json
from envs.sharpe import sharpe_estimate
from evaluation.agent_study import SpanResult, plan_windows, run_window
from evaluation.agent_study_config import StudyConfig
from evaluation.agent_study_report import StudySummary, daily_returns, markdown, seeds_of, summarise, summary_json
from evaluation.config import ExperimentConfig
from evaluation.dataset import load_bars, prepare_symbols
from evaluation.experiment import predict_symbol
from evaluation.intervals import total_return
from evaluation.progress import Stages
from evaluation.run_folder import RunFolder, jsonable
from evaluation.trials import Trial, TrialCount, TrialLog, trial_key
from supervised.devices import resolve_device

FREE_ON_RESUME = ("device", "threads")
TRIALS = "trials.jsonl"


def run_study(
    source: ExperimentConfig, config: StudyConfig, out: Path, console: Console, *, resume: bool = False
) -> StudySummary:
    """Run or go on with the study in `out`; writes summary.json and summary.md there and returns what they say.

    `source` names the bars (or the synthetic market) and holds the settings of market and models. Every policy is a
    trial in the log beside `out`, so that studies side by side deflate each other's Sharpe ratios. Raises InputError
    for bars and options that cannot be used, more than one symbol, and on resume for other bars or options.
    """
    config.check()
    source.check()
    tables, identity = load_bars(source)
    if len(tables) > 1:
        raise InputError(f"there are {len(tables)} symbols", where="--bars", remedy="give the bars of one")
    symbol = prepare_symbols(tables, source)[0]
    folder = RunFolder.open(out, config, resume=resume, free=FREE_ON_RESUME)
    folder.same_data(identity)
    with Stages(console) as stages:
        device = str(resolve_device(config.device))
        predictions = predict_symbol(symbol, source, out / "predictions", device, stages)
        first = int(np.argmax(predictions.fold >= 0))
        windows = plan_windows(symbol.bars.open_time_ms, first, config)
        results = []
        for window in windows:
            with stages.stage(f"{symbol.symbol} window {window.number}") as stage:
                place = out / f"window-{window.number}"
                results.append(run_window(symbol, predictions, window, config, source, place, stage.at))
    subject = f"SYNTHETIC {source.market} {symbol.symbol}" if source.synthetic else symbol.symbol
    trials = log_trials(results, config, subject, identity, out.parent / TRIALS)
    summary = summarise(symbol.symbol, results, config.algorithms, trials, source.synthetic)
    write_json(out / "summary.json", jsonable({"config": asdict(config), **summary_json(summary)}))
    with atomic_path(out / "summary.md") as temporary:
        temporary.write_text(markdown(summary), encoding="utf-8")
    return summary


def log_trials(
    windows: list[list[SpanResult]], config: StudyConfig, subject: str, identity: dict[str, Any], path: Path
) -> TrialCount:
    """Append one trial for each policy's days in all windows, and count all trials ever made on `subject`."""
    log = TrialLog(path)
    what = {name: value for name, value in jsonable(config).items() if name not in (*FREE_ON_RESUME, "seeds")}
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    for algorithm in config.algorithms:
        for number, daily in enumerate(daily_returns(seeds_of(algorithm, windows))):
            seed = config.seed + number
            key = trial_key(what, jsonable(identity), algorithm, seed)
            sharpe = sharpe_estimate(daily).per_period
            details = {"agent": algorithm, "seed": seed, "time": moment}
            log.append(Trial(subject, key, float(sharpe), len(daily), total_return(daily), details))
    return log.count(subject)
