"""One policy trained on its own, outside the main job: what `python -m scripts.train_agent` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.config import AgentConfig
from agents.config_files import settings_json
from agents.figure_names import SCORE
from agents.train import TrainResult, train
from data_pipeline.files import write_json
from envs.config import MarketConfig
from evaluation.demonstrations import demonstrator
from evaluation.market_choice import chosen_markets
from evaluation.progress import Stages
from evaluation.run_folder import environment, jsonable
from evaluation.tuning_config import MarketChoice

SUMMARY = "summary.json"
SETTINGS = "settings.json"
UNHEALTHY = 0.5  # share of the iterations whose update was undone, above which training has not worked


def train_policy(
    choice: MarketChoice, rules: MarketConfig, agent: AgentConfig, out: Path, *, resume: bool, console: Console
) -> dict[str, Any]:
    """Train, and write settings.json and summary.json beside what `agents.train.train` leaves in `out`.

    The summary says why training ended and what the policy did on the validation days. It holds no figure of the test
    days: those are looked at once, by `python -m scripts.evaluate_policy`.

    Returns the summary. Raises InputError as `train` and `chosen_markets` do.
    """
    training, validation, subject = chosen_markets(choice)
    with Stages(console) as stages, stages.stage(f"{agent.algorithm.upper()} seed {agent.seed}", agent.iterations) as s:

        def show(record: dict[str, float]) -> None:
            s.at(record["iteration"], progress_text(record))

        result = train(
            training,
            rules,
            agent,
            out,
            validation=validation,
            resume=resume,
            progress=show,
            demonstrations=demonstrator(rules, agent),
        )
    write_json(out / SETTINGS, settings_json(agent, rules))
    summary = summary_of(result, agent, subject, {"training": training, "validation": validation})
    write_json(out / SUMMARY, summary)
    return summary


def progress_text(record: dict[str, float]) -> str:
    """The latest figures of a training run, for its line of progress."""
    figures = [f"{record['speed/rows_per_second']:,.0f} steps/s"]
    if "episode/return_log" in record:
        figures.append(f"episode {np.expm1(record['episode/return_log']):+.2%}")
    if SCORE in record:
        figures.append(f"validation {np.expm1(record[SCORE]):+.2%}")
    return ", ".join(figures)


def summary_of(result: TrainResult, agent: AgentConfig, subject: str, parts: dict[str, Any]) -> dict[str, Any]:
    """What a training run came to, as JSON types."""
    judged = [record for record in result.history if SCORE in record]
    done = int(result.history[-1]["iteration"]) if result.history else 0
    best = next((r for r in judged if int(r["iteration"]) == _iteration(result.best_checkpoint)), None)

    def validation(record: dict[str, float] | None) -> dict[str, float]:
        return {} if record is None else {k: v for k, v in record.items() if k.startswith("validation/")}

    spans = {
        name: [(m.symbol, int(m.open_time_ms[0]), int(m.open_time_ms[-1])) for m in markets]
        for name, markets in parts.items()
    }
    return jsonable(
        {
            "subject": subject,
            "spans_ms": spans,
            "iterations": done,
            "ended_by": result.ended_by,
            "why": why_ended(result, agent),
            "validations": len(judged),
            "best": {"checkpoint": str(result.best_checkpoint), **validation(best)},
            "cloned": validation(judged[0]) if judged and judged[0]["iteration"] == 0.0 else None,
            "last": {"checkpoint": str(result.last_checkpoint), **validation(judged[-1] if judged else None)},
            "skipped_updates": result.skipped_updates,
            "healthy": result.skipped_updates <= UNHEALTHY * done,
            "software": environment(),
        }
    )


def why_ended(result: TrainResult, agent: AgentConfig) -> str:
    """One sentence."""
    done = int(result.history[-1]["iteration"]) if result.history else 0
    if result.ended_by == "early_stop":
        stop = agent.early_stop
        return (
            f"stopped after {done} of {agent.iterations} iterations: {stop.patience} validations in a row did not beat "
            f"the best before them by {stop.min_improvement:g} in log return"
        )
    return f"all {agent.iterations} iterations are done"


def _iteration(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
