"""Search for settings of agents with Ray Tune, by their score on the validation days; never by the test days.

    python -m scripts.tune --synthetic planted_edge --trials 12 --set iterations=40 --out runs/tuned
    python -m scripts.tune --market runs/btc --search optuna --trials 40 --out runs/btc-tuned
    python -m scripts.tune --market runs/btc --search pbt --trials 8 --algorithm ddpg --out runs/btc-pbt
    python -m scripts.tune --market runs/btc --vary ppo.learning_rate=log:1e-4..3e-3 market.default_tp_bps=20,40,80
    python -m scripts.tune --market runs/btc --search optuna --trials 40 --out runs/btc-tuned --resume

A setting is named as in AgentConfig (gamma, ppo.learning_rate, network.hidden) or, after "market.", as in MarketConfig.
--vary NAME=A,B,C takes one of these (a tuple is joined by x: network.hidden=32x32,64x64), NAME=LOW..HIGH and
NAME=log:LOW..HIGH anything between; --set NAME=VALUE gives a setting one value for all runs.

Every run counts as a trial for the deflated Sharpe ratio: the stopped ones, and in a population each change of
settings. After Ctrl-C or a kill --resume goes on: runs that have ended are not trained again, others go on from their
checkpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from evaluation.tuning_config import MarketChoice, TuneConfig
from scripts.cli import run

if TYPE_CHECKING:
    from agents.config import AgentConfig
    from envs.config import MarketConfig


@dataclass(frozen=True)
class Args:
    """What to search, where, and how."""

    markets: Annotated[MarketChoice, tyro.conf.arg(name="")] = field(default_factory=MarketChoice)
    """Training and validation days."""
    how: Annotated[TuneConfig, tyro.conf.arg(name="")] = field(default_factory=TuneConfig)
    """The search."""
    algorithm: Literal["ppo", "ddpg"] = "ppo"
    """Whose preset is the beginning."""
    config: Path | None = None
    """Begin from the settings in this file (best.json of another search) instead of the preset."""
    vary: tuple[str, ...] = ()
    """Settings to choose, NAME=VALUES; what suits the algorithm, when left out."""
    set: tuple[str, ...] = ()
    """Settings that all runs share, NAME=VALUE."""
    parallel: int = 0
    """Runs at a time; 0: as many as the CPUs carry."""
    trials_log: Path | None = None
    """Log of trials; trials.jsonl beside --out, which experiments there share, when left out."""
    out: Path = Path("runs/tuned")
    """Folder of the search."""
    resume: bool = False
    """Go on with the search in --out."""


def main(args: Args) -> int:
    """Search, print the table, write best.json, results.json and results.html."""
    from rich.console import Console

    from evaluation.judge import TRIALS
    from evaluation.market_choice import chosen_markets
    from evaluation.progress import Stages
    from evaluation.trials import TrialLog
    from evaluation.tuning import search, set_up
    from evaluation.tuning_report import count_runs, report_of, row_of, tune_table, write_tune_report
    from evaluation.tuning_runs import TuneRun, read_runs
    from evaluation.tuning_space import default_space, parse_space

    args.how.check()
    agent, market = _settings(args)
    while_training = args.how.search == "pbt"
    texts = args.vary or default_space(agent, market, while_training=while_training)
    space = parse_space(texts, agent, market, while_training=while_training)
    train, validation, subject = chosen_markets(args.markets)
    task = set_up(
        args.out, args.how, space, agent, market, (train, validation), parallel=args.parallel, resume=args.resume
    )
    log = TrialLog(args.trials_log or args.out.resolve().parent / TRIALS)
    console = Console()
    total = len(task.plan.listed) or args.how.trials
    complete = False
    try:
        with Stages(console) as stages, stages.stage("Runs", total) as stage:

            def show(runs: Sequence[TuneRun]) -> None:
                count_runs(task, [each for each in runs if each.ended], validation, log, subject)
                best = max(runs, key=lambda each: each.score)
                ended = sum(bool(each.ended) for each in runs if each.ended != "settings changed")
                stage.at(min(ended, total), f"{ended}/{total} ended, {len(runs)} begun, best {row_of(best)[1]}")

            search(task, show)
        complete = True
    finally:
        if complete or any(each.history for each in read_runs(task.plan.out)):
            runs = read_runs(task.plan.out)
            report = report_of(task, runs, validation, log, subject, complete=complete)
            page = write_tune_report(report)
            console.print(tune_table(report))
            console.print(report.sentence, style="bold", soft_wrap=True, highlight=False)
            console.print(f"written: {page}, best.json, results.json", soft_wrap=True, highlight=False)
            if not complete:
                console.print("not all is done: go on with --resume", soft_wrap=True, highlight=False)
    return 0


def _settings(args: Args) -> tuple[AgentConfig, MarketConfig]:
    """What all runs share."""
    from agents.config import agent_preset
    from agents.config_files import read_settings
    from envs.config import MarketConfig
    from evaluation.tuning_space import applied, parse_settings

    if args.config is not None:
        agent, market = read_settings(args.config)
    else:
        agent = agent_preset(args.algorithm)
        market = MarketConfig(action_mode="discrete" if args.algorithm == "ppo" else "continuous")
    return applied(parse_settings(args.set, agent, market), agent, market)


def main_cli() -> int:
    """Entry point of `python -m scripts.tune`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
