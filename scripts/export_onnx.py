"""Write a run's models as ONNX: whole stretches, row by row with explicit state, and in eight bits if that is worth it.

    python -m scripts.export_onnx runs/first --out onnx
    python -m scripts.export_onnx runs/btc --out onnx --bars BTCUSDT-1m-2026-04.zip

RUN is a folder of run_scalping_experiment or train_supervised, or one that holds fold_N folders; its last fold's models
are written. Each graph is compared with its model before it may appear. With --bars, which the models should not have
been trained on, int8 graphs are calibrated on the first half of them and judged on the second. Exit code 1 when a graph
was refused; the others are there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from data_pipeline.errors import InputError
from scripts.cli import run

FOLDERS = ("models", "predictions")
"""Where runs keep the folders of their symbols' folds."""


@dataclass(frozen=True)
class Args:
    """Which models, and where to."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path
    """Folder for the graphs and about.json."""
    symbol: str | None = None
    """Which of the run's symbols (needed when it has several)."""
    bars: tuple[Path, ...] = ()
    """Bars for int8 graphs: Parquet, CSV or the exchange's zipped CSV files of one symbol."""
    interval: str = "1m"
    """Bar length of --bars."""
    max_log_loss: float = 2e-4
    """Most that an int8 graph's log-loss may rise on the bars, in nats."""
    max_accuracy_loss: float = 0.005
    """Most that its share of right directions may fall."""
    max_latency_ratio: float = 0.9
    """Most time that a window may take it, as a share of float32's."""


def main(args: Args) -> int:
    """Write the graphs and print what was found of each; 1 when one was refused."""
    from rich.console import Console
    from rich.table import Table

    from data_pipeline.readers import read_bars
    from data_pipeline.schema import INTERVAL_MS, bar_arrays
    from supervised.fold_store import last_fold
    from supervised.inference.export import export_fold, labelled_rows
    from supervised.inference.int8 import Int8Limits

    if args.interval not in INTERVAL_MS:
        raise InputError(f"interval {args.interval!r} is unknown", where="--interval", remedy="use 1m, 5m, 1h …")
    fold = last_fold(models_folder(args.run, args.symbol))
    rows = None
    if args.bars:
        bars = bar_arrays(read_bars(*args.bars, interval=args.interval))
        rows = labelled_rows(fold, bars, INTERVAL_MS[args.interval])
    limits = Int8Limits(args.max_log_loss, args.max_accuracy_loss, args.max_latency_ratio)
    table = Table("model", "graph", "file", "against the model")
    refused = 0
    for graph in export_fold(fold, args.out, rows, limits):
        refused += not graph.written
        table.add_row(graph.model, graph.form, graph.path.name if graph.written else "refused", graph.finding)
    console = Console()
    console.print(table)
    console.print(f"written: {args.out}", highlight=False, soft_wrap=True)
    return 1 if refused else 0


def models_folder(path: Path, symbol: str | None) -> Path:
    """The folder with the fold_N folders wanted. Raises InputError when there is none, or more than one."""
    if any(path.glob("fold_*")):
        return path
    found = {fold.parent.name: fold.parent for name in FOLDERS for fold in sorted((path / name).glob("*/fold_0"))}
    if not found:
        raise InputError("there are no trained models", where=str(path), remedy="give the folder of a finished run")
    if symbol is None and len(found) == 1:
        return next(iter(found.values()))
    if symbol is None or symbol.replace("/", "-") not in found:
        what = "the run has several symbols" if symbol is None else f"symbol {symbol!r} is not in the run"
        raise InputError(what, where=str(path), remedy=f"pass --symbol, one of {' '.join(found)}")
    return found[symbol.replace("/", "-")]


def main_cli() -> int:
    """Console entry point."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
