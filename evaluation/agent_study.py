"""Policies walked forward over bars: in each window of days train, choose the checkpoint on later days, judge on still
later ones.

The test days of the windows follow one another and never overlap. A policy sees features and predictions that were made
out of sample, scaled by its own window's training rows. Of everything that is trained all is reported: several seeds
measure the luck of training, and nobody picks the best of them.

    OUT/predictions/fold_K               models of each walk-forward fold, and what they said
    OUT/window-K/baselines.json          what needs no training, on the window's test days
    OUT/window-K/ppo-seed-0/             history and TensorBoard events of a policy
    OUT/window-K/ppo-seed-0/policy/      its checkpoint of the best validation, for `load_policy`
    OUT/window-K/ppo-seed-0/result.json  what it did on the test days; there when it is done

Whatever is there is not made again, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.checkpoints import FOLDER
from agents.figure_names import SCORE
from agents.policy import load_policy
from agents.train import train
from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.costs import DAY_MS
from envs.market import Market
from envs.rules import BuyAndHoldRule
from evaluation.account import Account, account_of
from evaluation.agent_study_config import StudyConfig
from evaluation.baselines import recorded_backtest
from evaluation.config import ExperimentConfig
from evaluation.dataset import Split, SymbolRows
from evaluation.experiment import agent_settings, market_settings
from evaluation.foresight import perfect_foresight
from evaluation.observations import build_market
from evaluation.random_entries import random_entries
from evaluation.run_folder import jsonable
from evaluation.threshold_search import best_threshold_rule
from supervised.predictions import Predictions

RESULT, BASELINES, POLICY = "result.json", "baselines.json", "policy"
HOLDING, RULE, FORESIGHT = "buy and hold", "best simple rule", "perfect foresight"
Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Window:
    """Rows of one round: [start, validation) is learned from, [validation, test) chooses checkpoints, [test, stop)
    judges."""

    number: int
    start: int
    validation: int
    test: int
    stop: int


@dataclass(frozen=True)
class SpanResult:
    """One account on the test days of one window."""

    name: str
    days_ms: list[int]
    """First millisecond of each day."""
    daily: list[float]
    """Net return of each day."""
    trades: int
    paid: float
    """Fees, spread, impact and funding as a share of the initial capital."""
    in_market: float
    """Share of the bars spent with a position."""
    note: str = ""
    random: tuple[float, ...] = ()
    """Net returns of accounts that made the same trades at random times; for policies."""
    validation: float = float("nan")
    """Net log return on the validation days; for policies."""
    iteration: int = 0
    """Of the checkpoint; for policies."""


def plan_windows(open_time_ms: NDArray[np.int64], first_row: int, config: StudyConfig) -> tuple[Window, ...]:
    """The windows over bars that have predictions from `first_row` on; days without bars do not count.

    Raises InputError when the first window would have less to train on than to validate on.
    """
    day = open_time_ms // DAY_MS
    begins = np.append(np.flatnonzero(np.append(True, np.diff(day) != 0)), len(day))  # row of each day, then the end
    days = len(begins) - 1
    windows = []
    for number in range(config.windows):
        test = days - (config.windows - number) * config.test_days
        validation = test - config.validation_days
        if validation < 0 or begins[validation] - first_row < begins[test] - begins[validation]:
            raise InputError(
                f"{days} days, predictions from row {first_row:,} of {len(day):,}, leave too little to train on",
                where=f"window {number}",
                remedy="give more bars, or fewer --windows, --test-days or --validation-days",
            )
        rows = begins[[validation, test, test + config.test_days]].tolist()
        windows.append(Window(number, first_row, *rows))
    return tuple(windows)


def window_market(
    symbol: SymbolRows, predictions: Predictions, window: Window, config: StudyConfig, at: Path
) -> Market:
    """The market up to the end of the window's test, its observations scaled by the window's training rows."""
    split = Split(window.validation, window.test, window.stop)
    market = build_market(replace(symbol, split=split), predictions, at, spread=config.spread_model)
    return market.slice(0, window.stop)


def run_window(
    symbol: SymbolRows,
    predictions: Predictions,
    window: Window,
    config: StudyConfig,
    experiment: ExperimentConfig,
    folder: Path,
    tell: Tell,
) -> list[SpanResult]:
    """Every result of one window, baselines first; those that lie in `folder` are read, the others made."""
    wanted = [(algorithm, number) for number in range(config.seeds) for algorithm in config.algorithms]
    places = {(name, number): folder / f"{name}-seed-{config.seed + number}" for name, number in wanted}
    if all((place / RESULT).exists() for place in places.values()) and (folder / BASELINES).exists():
        return [*read_results(folder / BASELINES), *(read_results(p / RESULT)[0] for p in places.values())]
    market = window_market(symbol, predictions, window, config, folder / "market")
    training = folder / "training"
    if not training.exists():
        partial = folder / "training.partial"
        market.slice(window.start, window.validation).save(partial)
        partial.rename(training)
    before, test = market.slice(window.start, window.test), market.slice(window.test, window.stop)
    if not (folder / BASELINES).exists():
        rules = market_settings(replace(experiment, agent="ppo"))
        write_results(folder / BASELINES, baseline_results(before, test, rules))
    results = read_results(folder / BASELINES)
    for done, (algorithm, number) in enumerate(wanted):
        place = places[algorithm, number]
        if not (place / RESULT).exists():
            settings = replace(experiment, agent=algorithm)

            iterations = agent_settings(settings, number, config.device).iterations

            def show(record: dict[str, float], first: int = done, n: int = iterations, name: str = place.name) -> None:
                score = f", validation {np.expm1(record[SCORE]):+.2%}" if SCORE in record else ""
                tell((first + record["iteration"] / n) / len(wanted), f"{name}{score}")

            validation = market.slice(window.validation, window.test)
            result = train_and_judge(training, validation, test, settings, number, config, place, show)
            write_results(place / RESULT, [result])
            shutil.rmtree(place / FOLDER)  # replay rings of DDPG: a hundred megabytes each
        results += read_results(place / RESULT)
        tell((done + 1) / len(wanted), place.name)
    for scaffold in (folder / "market", training):
        shutil.rmtree(scaffold, ignore_errors=True)
    return results


def train_and_judge(
    training: Path,
    validation: Market,
    test: Market,
    experiment: ExperimentConfig,
    number: int,
    config: StudyConfig,
    place: Path,
    show: Callable[[dict[str, float]], None],
) -> SpanResult:
    """Train one policy (or go on with it), keep its best checkpoint as `place`/policy, and trade the test days."""
    rules = market_settings(experiment)
    settings = replace(agent_settings(experiment, number, config.device), validate_every=config.validate_every)
    settings = replace(settings, checkpoints_kept=1, checkpoint_every=50)
    trained = train(training, rules, settings, place, validation=validation, resume=place.exists(), progress=show)
    policy = load_policy(trained.best_checkpoint)
    scores = [(record[SCORE], -int(record["iteration"])) for record in trained.history if SCORE in record]
    score, iteration = max(scores)
    outcome, orders = recorded_backtest(test, rules, policy)
    luck = random_entries(test, rules, outcome, orders, accounts=config.random_accounts, seed=settings.seed)
    result = span_result(account_of(outcome, experiment.agent))
    keep_policy(trained.best_checkpoint, place / POLICY)
    return replace(result, random=tuple(luck.net_return.tolist()), validation=float(score), iteration=-iteration)


def keep_policy(checkpoint: Path, target: Path) -> None:
    """Copy what `load_policy` needs of a checkpoint."""
    target.mkdir(parents=True, exist_ok=True)
    for file in checkpoint.iterdir():
        if file.is_file():
            shutil.copy2(file, target / file.name)


def baseline_results(before: Market, test: Market, rules: MarketConfig) -> list[SpanResult]:
    """What needs no training: holding, the rule that was best on `before`, and knowing the future of `test`."""
    capital = (float(rules.capital_range[0]),)
    holding = Backtest(test, rules.without_barriers(), capital).run(BuyAndHoldRule(rules))
    rule = best_threshold_rule(before, test, rules, before.columns, capital=capital[0])
    foreseen = Backtest(test, rules, capital).replay(perfect_foresight(test, rules).orders(len(test)))
    return [
        span_result(account_of(holding, HOLDING)),
        span_result(account_of(rule.result, RULE), rule.describe()),
        span_result(account_of(foreseen, FORESIGHT)),
    ]


def span_result(account: Account, note: str = "") -> SpanResult:
    """An account's days, trades and costs."""
    days, daily = account.daily
    paid = sum(float(account.trade_column(name).sum()) for name in ("fees", "spread_cost", "impact_cost", "funding"))
    return SpanResult(
        account.name,
        days.tolist(),
        daily.tolist(),
        account.trades.num_rows,
        paid / account.initial_capital,
        float(account.in_market.mean()),
        note,
    )


def write_results(path: Path, results: Sequence[SpanResult]) -> None:
    """Write results as JSON, whole or not at all."""
    write_json(path, jsonable([asdict(result) for result in results]))


def read_results(path: Path) -> list[SpanResult]:
    """What `write_results` wrote."""

    def value(item: dict[str, Any]) -> SpanResult:
        score = item["validation"]
        fields = {**item, "random": tuple(item["random"]), "validation": float("nan") if score is None else score}
        return SpanResult(**fields)

    return [value(item) for item in json.loads(path.read_text())]
