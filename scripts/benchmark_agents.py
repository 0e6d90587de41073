"""PPO and DDPG walked forward over bars, net of everything, beside what needs no learning: is there an edge?

    python -m scripts.benchmark_agents --synthetic planted_edge --days 40 --iterations 20 --seeds 2 --windows 2
    python -m scripts.benchmark_agents --bars BTCUSDT-1m-2026.parquet --out runs/agents/btc
    python -m scripts.benchmark_agents --bars FILUSDT.parquet --test-days 30 --validation-days 30 --out runs/agents/fil

Each window trains on the days up to its validation days, which choose the checkpoint, and judges on the test days after
them; the test days of the windows follow one another at the end of the bars. Stopped with Ctrl-C (or killed) and
started again with --resume, it goes on where it was. Writes summary.json and summary.md to --out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_pipeline.errors import InputError
from evaluation.agent_study_config import StudyConfig
from scripts.cli import run


@dataclass(frozen=True)
class Args:
    """Which bars, and how they are studied."""

    bars: Path | None = None
    """Bars of one symbol: Parquet, CSV, or an exchange's zip."""
    synthetic: Literal["planted_edge", "no_edge"] | None = None
    """A synthetic market instead of bars."""
    days: int = 60
    """Days of the synthetic market."""
    study: Annotated[StudyConfig, tyro.conf.arg(name="")] = field(default_factory=StudyConfig)
    """The study."""
    out: Path = Path("runs/agents/study")
    """Folder of the study."""
    resume: bool = False
    """Go on with the study in --out."""


def main(args: Args) -> int:
    """Run the study and print its tables."""
    from rich.console import Console

    from evaluation.agent_study_report import markdown
    from evaluation.agent_study_run import run_study
    from evaluation.config import ExperimentConfig

    if (args.bars is None) == (args.synthetic is None):
        raise InputError("there must be one source of bars", where="options", remedy="give --bars or --synthetic")
    study = args.study
    source = ExperimentConfig(
        bars=() if args.bars is None else (args.bars,),
        market=args.synthetic or "planted_edge",
        days=args.days,
        iterations=study.iterations,
        models=study.models,
        horizons=study.horizons,
        folds=study.model_folds,
        contract=study.contract,
        spread_model=study.spread_model,
        seed=study.seed,
        device=study.device,
        threads=study.threads,
    )
    summary = run_study(source, study, args.out, Console(), resume=args.resume)
    print(markdown(summary))
    print(f"written: {args.out / 'summary.md'}")
    return 0


def main_cli() -> int:
    """Entry point of `python -m scripts.benchmark_agents`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
