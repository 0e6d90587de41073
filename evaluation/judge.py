"""The judgement of a run: every policy on the test days of every symbol, the chosen one beside its baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agents.policy import load_policy
from agents.train import TrainResult
from envs.backtest import BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from envs.sharpe import sharpe_estimate
from envs.spread import half_spreads
from evaluation.account import Account, account_of, combine
from evaluation.ambiguity import other_bound
from evaluation.baselines import recorded_backtest, run_baselines
from evaluation.config import ExperimentConfig
from evaluation.dataset import INTERVAL_MS, SymbolRows
from evaluation.report_data import ReportData, SeedData, SymbolData
from evaluation.run_folder import RunFolder, environment, jsonable
from evaluation.signal_quality import EnsembleWeights, PredictionQuality, feature_quality, prediction_quality
from evaluation.trials import Trial, TrialCount, TrialLog, trial_key
from supervised.baselines import CHEAP
from supervised.predictions import Predictions

TRIALS = "trials.jsonl"
WEIGHT_POINTS = 300  # of the ensemble's weights over the test days, enough for a picture
NOT_A_TRIAL = ("out", "resume", "track", "device", "threads")


def judge_run(
    *,
    config: ExperimentConfig,
    market_config: MarketConfig,
    symbols: Sequence[SymbolRows],
    markets: dict[str, Market],
    predictions: dict[str, Predictions],
    simple: dict[str, Predictions],
    quality: dict[str, dict[str, Any]],
    trained: Sequence[TrainResult],
    synthetic: bool,
    run: RunFolder,
    identity: dict[str, Any],
    step: Callable[[float, str], None] = lambda _done, _detail: None,
) -> ReportData:
    """Backtest on the test days, log the trials, and put the report's data together.

    The policy with the best validation is the one that is judged; the test days choose nothing. Trials are logged in
    the folder that holds the run's folder, so that experiments side by side count together. `simple`: what the
    baselines of `supervised.baselines` said of each symbol.
    """
    tests = [markets[symbol.symbol].slice(symbol.split.validation, symbol.split.rows) for symbol in symbols]
    chosen = int(np.argmax([validation_score(result) for result in trained]))
    outcomes = []
    for number, result in enumerate(trained):
        step(0.5 * number / len(trained), f"backtest {number + 1}/{len(trained)}")
        policy = load_policy(result.best_checkpoint)
        outcomes.append([recorded_backtest(test, market_config, policy) for test in tests])
    judged, parts = load_policy(trained[chosen].best_checkpoint), []
    for number, (symbol, test) in enumerate(zip(symbols, tests, strict=True)):
        step(0.5 + 0.4 * number / len(symbols), f"baselines of {symbol.symbol}")
        outcome, orders = outcomes[chosen][number]
        parts.append(
            symbol_data(
                symbol,
                test,
                markets[symbol.symbol],
                predictions[symbol.symbol],
                simple[symbol.symbol],
                outcome,
                other_bound(test, market_config, judged, outcome),
                orders,
                config,
                market_config,
                quality[symbol.symbol],
            )
        )
    kind = config.market if config.synthetic else ("from file" if synthetic else "")
    names = [symbol.symbol for symbol in symbols]
    subject = " ".join([*(["SYNTHETIC", kind] if kind else []), *names])
    results = [[backtest for backtest, _ in of_seed] for of_seed in outcomes]
    trials = log_trials(config, results, subject, run.path.parent / TRIALS, identity)
    seeds = tuple(
        SeedData(config.seed + number, number == chosen, tuple(result)) for number, result in enumerate(results)
    )
    step(0.95, "report")
    return ReportData(
        title=f"{', '.join(names)} · {config.agent.upper()} · seed {config.seed}",
        policy=f"{config.agent.upper()}, {config.resolved_action_mode.replace('_', '-')} actions",
        symbols=tuple(parts),
        trials=trials,
        synthetic=kind,
        seeds=seeds,
        provenance=provenance(config, symbols, identity),
        seed=config.seed,
    )


def validation_score(result: TrainResult) -> float:
    """Best net log return on the validation days."""
    return max((record.get("validation/return_log", -np.inf) for record in result.history), default=-np.inf)


def symbol_data(
    symbol: SymbolRows,
    test: Market,
    whole: Market,
    predictions: Predictions,
    simple: Predictions,
    result: BacktestResult,
    other: BacktestResult,
    orders: np.ndarray,
    config: ExperimentConfig,
    market_config: MarketConfig,
    quality: dict[str, Any],
) -> SymbolData:
    """One symbol's part of the report. The threshold rule is chosen on all days before the test."""
    start, stop = symbol.split.validation, symbol.split.rows
    labels, ends = symbol.labels_bps[start:stop].astype(np.float64), symbol.label_ends[start:stop] - start
    market_orders = 2.0 * (symbol.instrument.taker_fee_bps + 1e4 * float(half_spreads(test, market_config).mean()))

    def judged(source: Predictions, names: Sequence[str]) -> tuple[PredictionQuality, ...]:
        found = [
            prediction_quality(
                name,
                source.values[start:stop, source.columns.index(f"p_up_{name}_h{horizon}")].astype(np.float64),
                labels[:, column],
                ends[:, column],
                horizon=horizon,
                round_trip_bps=market_orders,
                interval_ms=INTERVAL_MS,
            )
            for column, horizon in enumerate(config.horizons)
            for name in names
        ]
        return tuple(quality for quality in found if quality is not None)

    weights = []
    for horizon in config.horizons:
        if len(config.models) > 1:
            columns = [predictions.weight_columns.index(f"weight_{name}_h{horizon}") for name in config.models]
            rows = np.unique(np.linspace(start, stop - 1, WEIGHT_POINTS).astype(np.int64))
            shares = predictions.weights[rows][:, columns].astype(np.float64)
            weights.append(EnsembleWeights(horizon, symbol.bars.open_time_ms[rows], config.models, shares))
    return SymbolData(
        market=test,
        result=result,
        other=other,
        baselines=run_baselines(
            test,
            market_config,
            result,
            orders,
            selection=whole.slice(0, start),
            columns=[f"p_up_ensemble_h{horizon}" for horizon in config.horizons],
            seed=config.seed,
        ),
        predictions=judged(predictions, (*config.models, "ensemble")),
        simple=judged(simple, [baseline.name for baseline in CHEAP]),
        weights=tuple(weights),
        features=feature_quality(
            symbol.features[start:stop], labels[:, 0], ends[:, 0], symbol.feature_names, horizon=config.horizons[0]
        ),
        data_quality=quality,
    )


def log_trials(
    config: ExperimentConfig,
    results: Sequence[Sequence[BacktestResult]],
    subject: str,
    path: Path,
    identity: dict[str, Any],
) -> TrialCount:
    """Append one trial for each policy to the log at `path`, and count all trials ever made on `subject`."""
    log = TrialLog(path)
    for number, result in enumerate(results):
        account = combine([account_of(part, "policy") for part in result], "policy")
        what = jsonable(replace(config, seed=config.seed + number))
        key = trial_key({name: value for name, value in what.items() if name not in NOT_A_TRIAL}, jsonable(identity))
        log.append(trial_of(subject, key, account, {"agent": config.agent, "seed": config.seed + number}))
    return log.count(subject)


def trial_of(subject: str, key: str, account: Account, details: dict[str, Any]) -> Trial:
    """The line of a log that says what an account made of its days."""
    daily = account.daily[1]
    now = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    sharpe = float(sharpe_estimate(daily).per_period)
    return Trial(subject, key, sharpe, len(daily), account.net_return, details | now)


def provenance(config: ExperimentConfig, symbols: Sequence[SymbolRows], identity: dict[str, Any]) -> dict[str, Any]:
    """Where the numbers come from: spans, configuration, data, software."""

    def day(symbol: SymbolRows, row: int) -> str:
        return f"{datetime.fromtimestamp(symbol.bars.open_time_ms[row] / 1000, UTC):%Y-%m-%d %H:%M}"

    spans = {
        symbol.symbol: f"training from {day(symbol, 0)}, validation from {day(symbol, symbol.split.train)}, "
        f"test from {day(symbol, symbol.split.validation)} to {day(symbol, symbol.split.rows - 1)} UTC"
        for symbol in symbols
    }
    instruments = {symbol.symbol: jsonable(symbol.instrument) for symbol in symbols}
    return {
        "Spans": spans,
        "Instruments": instruments,
        "Configuration": jsonable(config),
        "Data": jsonable(identity),
        "Software": environment(),
    }
