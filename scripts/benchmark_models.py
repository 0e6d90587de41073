"""Every architecture beside every baseline, walked forward over the same folds: who knows more, and is it chance?

    python -m scripts.benchmark_models --synthetic planted_edge --days 6 --epochs 3 --folds 2
    python -m scripts.benchmark_models --lobster lobster_GOOG_2012-06-21_L10.parquet
    python -m scripts.benchmark_models --books binance_um_BTCUSDT.l10.parquet --bars BTCUSDT-1m-2026-03.zip

Prints a table for every set and horizon, and writes comparison.json, .html and .md to --out. Folds are stored as
they are done: stopped with Ctrl-C and started again, it goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data_pipeline.errors import InputError
from scripts.cli import run
from supervised.config import MODEL_KINDS, ModelKind

if TYPE_CHECKING:
    from rich.console import Console

    from evaluation.comparison_runs import SetResult
    from evaluation.comparison_sets import ComparisonSet, Effort


@dataclass(frozen=True)
class Args:
    """What is compared, on what, and how hard it is tried."""

    synthetic: tuple[Literal["planted_edge", "no_edge"], ...] = ()
    """Synthetic markets of minute bars; planted_edge, when nothing else is named."""
    days: int = 30
    """Days of a synthetic market."""
    bars: tuple[Path, ...] = ()
    """Files of bars, a set each: Parquet, CSV, or an exchange's zip."""
    lobster: tuple[Path, ...] = ()
    """LOBSTER days as Parquet: time_ns and ten levels after each event, a set each."""
    books: tuple[Path, ...] = ()
    """Recorded ten-level books, *.l10.parquet with *.bbo.parquet beside it, a set each."""
    select: tuple[str, ...] = ("core",)
    """Features of bars: names, families or presets, as far as the bars can give them."""
    models: tuple[ModelKind, ...] = MODEL_KINDS
    """Architectures; their ensemble joins them when there are several."""
    shuffled: tuple[ModelKind, ...] = ("lstm",)
    """Architectures that are trained on shuffled labels too, and must learn nothing."""
    shuffles: int = 1
    """Times that labels are shuffled. One may lean either way by luck; the mean over several must not."""
    epochs: int = 8
    """Most passes over a fold's training rows (more on small sets, see --steps)."""
    folds: int = 4
    """Stretches predicted one after the other."""
    steps: int = 120
    """Least optimiser steps that the passes over a fold must come to."""
    threads: int = 1
    """Torch threads."""
    device: str = "cpu"
    """Where models are trained; the latencies are measured on every device that is here."""
    seed: int = 0
    """Of models, trees, shuffles and the synthetic market."""
    flips: int = 9999
    """Sign flips behind the adjusted p-values."""
    out: Path = Path("runs/comparison")
    """Folder of the stored folds, the page and the JSON."""


def main(args: Args) -> int:
    """Compare, print, write."""
    from rich.console import Console

    from data_pipeline.files import write_json
    from evaluation import comparison_report as reports
    from evaluation.comparison_sets import Effort
    from evaluation.model_cost import model_cost
    from evaluation.page import write_page
    from evaluation.run_folder import environment
    from supervised.devices import resolve_device

    for name in ("days", "epochs", "folds", "steps", "flips", "shuffles"):
        if getattr(args, name) < 1:
            raise InputError(f"{name} {getattr(args, name)} is below 1", where=f"--{name}", remedy="use 1 or more")
    resolve_device(args.device)
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a pipe has no width: cut nothing off
    effort = Effort(args.epochs, args.folds, args.steps, args.threads, args.seed)
    results = [compared(load(), args, console) for load in sets_of(args, effort)]
    for result in results:
        for label in result.labels:
            console.print(reports.score_table(result, label), highlight=False)
            console.print(reports.shuffled_sentence(result, label), highlight=False, soft_wrap=True)
    costs = tuple(model_cost(kind, len(results[0].data.feature_names), (1, 5), seed=args.seed) for kind in args.models)
    console.print(reports.cost_table(costs), highlight=False)
    console.print(
        "Accuracy and log-loss with overlap in their intervals. vs: the baseline's log-loss less the model's, in "
        "thousandths of a nat, with\nDiebold-Mariano's p; * better, ! worse at 5 % with all comparisons of the set "
        "counted. Shuffled: trained on labels dealt out anew.",
        highlight=False,
        soft_wrap=True,
    )
    comparison = reports.Comparison(tuple(results), costs, {**asdict(args), **environment()})
    console.print(comparison.sentence, soft_wrap=True, highlight=False)
    write_json(args.out / "comparison.json", reports.comparison_json(comparison))
    write_page(reports.markdown(comparison), args.out / "comparison.md")
    page = reports.write_comparison(comparison, args.out / "comparison.html")
    console.print(f"written: {page}", soft_wrap=True, highlight=False)
    return 0


def sets_of(args: Args, effort: Effort) -> list[Callable[[], ComparisonSet]]:
    """The sets asked for, each loaded when it is its turn."""
    from evaluation import comparison_sets as sets

    settings = args.synthetic or (() if args.bars or args.lobster or args.books else ("planted_edge",))
    return [
        *(partial(sets.synthetic_set, setting, args.days, effort) for setting in settings),
        *(partial(sets.bar_file_set, path, effort, args.select) for path in args.bars),
        *(partial(sets.lobster_set, path, effort) for path in args.lobster),
        *(partial(sets.recorded_set, path, effort) for path in args.books),
    ]


def compared(data: ComparisonSet, args: Args, console: Console) -> SetResult:
    """Run one set, a line of progress for each forecaster."""
    from evaluation.comparison_runs import run_set
    from evaluation.progress import Stages

    console.print(f"{data.name}: {data.about}", highlight=False, soft_wrap=True)
    with Stages(console) as stages:

        @contextmanager
        def stage(name: str) -> Iterator[Callable[[float, str], None]]:
            with stages.stage(name) as line:
                yield line.at

        return run_set(
            data,
            args.models,
            args.out,
            shuffled=[kind for kind in args.shuffled if kind in args.models],
            shuffles=args.shuffles,
            device=args.device,
            flips=args.flips,
            stage=stage,
        )


def main_cli() -> int:
    """Entry point of `python -m scripts.benchmark_models`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
