"""Train the supervised models on bars, walk-forward: out-of-sample predictions and models of every fold in a folder.

    python -m scripts.train_supervised --synthetic planted_edge --days 6 --models tcn --train.epochs 3 --out runs/first
    python -m scripts.train_supervised --store data/store --symbols BTC/USDT ETH/USDT --brackets 20/15/60 --workers 2
    python -m scripts.train_supervised --files BTCUSDT-1m-2026-03.zip --horizons 5 15 --train.precision auto

Several symbols share their models, each with a learned vector of its own. Features and labels are mapped from disk, so
years of bars need little memory. Interrupted (Ctrl-C, a crash, a kill)? The same command with --resume goes on from the
last state kept and ends with the same models. Watch it with `tensorboard --logdir runs`. Predictions of later bars:
scripts.predict.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from data_pipeline.errors import InputError
from features.config import BarParameters
from features.store.config import BarsConfig
from scripts.cli import run
from supervised.config import ENSEMBLE_KINDS, EnsembleConfig, ModelConfig, ModelKind, TrainConfig, WalkForwardConfig
from supervised.outputs import Bracket

if TYPE_CHECKING:
    from rich.console import Console

    from supervised.fold_training import Fitter

FREE = ("out", "resume", "device", "workers", "restarts", "address", "checkpoint_every", "cache")
"""Options that may differ on resume: they change where and how it is computed, not what."""
SIDES = {"long": 1, "short": -1}


@dataclass(frozen=True)
class Args:
    """What to train, on which bars, and where."""

    bars: Annotated[BarsConfig, tyro.conf.arg(name="")] = field(default_factory=BarsConfig)
    """The bars, of one symbol or several."""
    synthetic: Literal["no_edge", "planted_edge"] | None = None
    """A synthetic market instead of bars."""
    days: int = 30
    """Days of the synthetic market."""
    select: tuple[str, ...] = ("core",)
    """Features, families or presets, as far as the bars can give them."""
    windows: BarParameters = field(default_factory=BarParameters)
    """Windows of the features; the interval is set to that of the bars."""
    models: tuple[ModelKind, ...] = ENSEMBLE_KINDS
    """Members of the ensemble."""
    hidden: int = 0
    """Width of every model; 0 takes each one's default."""
    window: int = 100
    """Rows of history that every model sees."""
    horizons: tuple[int, ...] = (5, 15)
    """Bars ahead whose direction and size of the move are learned."""
    brackets: tuple[str, ...] = ()
    """Brackets whose outcome is learned too: take-profit/stop-loss/bars in bps, such as 20/15/60 or 20/15/60/short."""
    folds: int = 4
    """Stretches predicted one after the other, each by models trained on what came before it."""
    first_train_fraction: float = 0.4
    """Share of the time before the first fold."""
    rolling_rows: int = 0
    """Train on at most this many of the latest bars; 0 on all that came before."""
    embargo_rows: int = 60
    """Bars before a fold that no training label may reach into."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How each model is trained."""
    seed: int = 0
    """Of everything random."""
    device: str = "auto"
    """auto, cpu, cuda[:i] or xpu[:i]."""
    workers: int = 0
    """Processes that share each batch through Ray Train; 0 trains in this one."""
    restarts: int = 3
    """How often the workers are started again after one died."""
    address: str | None = None
    """Address of a Ray cluster for the workers (auto, or that of the head node); a local one, when left out."""
    checkpoint_every: int = 200
    """Steps after which the state is kept, besides the end of each pass."""
    cache: Path | None = None
    """Folder for features and matrices, shared by runs on the same bars; inside --out, when left out."""
    out: Path | None = None
    """Folder of the run; a new one under runs/, when left out."""
    resume: bool = False
    """Go on with the run in --out."""


def main(args: Args) -> int:
    """Train, and print what the predictions are worth."""
    from rich.console import Console

    from data_pipeline.schema import INTERVAL_MS
    from evaluation.run_folder import RunFolder
    from evaluation.supervised_run import MODELS, Features, train_on_bars
    from features.store.sources import bar_sources, one_source

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a pipe has no width: cut nothing off
    if args.resume and args.out is None:
        raise InputError("--resume needs --out", where="options", remedy="name the folder of the interrupted run")
    config = settings(args)
    sources = (
        bar_sources(args.bars)
        if args.synthetic is None
        else [one_source(args.bars, args.synthetic, args.days, args.seed)]
    )
    interval = INTERVAL_MS[sources[0].series.interval]
    out = args.out or Path("runs") / f"supervised-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = RunFolder.open(out, args, resume=args.resume, free=FREE)
    console.print(f"run folder: {out}", highlight=False, soft_wrap=True)
    summary = train_on_bars(
        sources,
        Features(args.select, replace(args.windows, interval_ms=interval)),
        config,
        folder,
        data_dir=args.cache,
        device=args.device,
        checkpoint_every=args.checkpoint_every,
        fitter=fitter_of(args),
        console=console,
    )
    show(summary, console)
    console.print(f"written: {out / MODELS}", highlight=False, soft_wrap=True)
    return 0


def settings(args: Args) -> WalkForwardConfig:
    """The options as the models' settings. Raises InputError for what cannot be."""
    return WalkForwardConfig(
        horizons=args.horizons,
        brackets=tuple(map(bracket, args.brackets)),
        models=tuple(ModelConfig(kind=kind, hidden=args.hidden, window=args.window) for kind in args.models),
        train=args.train,
        ensemble=EnsembleConfig(),
        folds=args.folds,
        first_train_fraction=args.first_train_fraction,
        rolling_rows=args.rolling_rows,
        embargo_rows=args.embargo_rows,
        seed=args.seed,
    )


def bracket(text: str) -> Bracket:
    """20/15/60 or 20/15/60/short. Raises InputError for anything else."""
    parts = text.split("/")
    try:
        side = SIDES[parts[3]] if len(parts) == 4 else 1
        take_profit, stop_loss, bars = parts[:3]
        return Bracket(float(take_profit), float(stop_loss), int(bars), side)
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{text!r} is no bracket",
            where="--brackets",
            remedy="give bps/bps/bars, such as 20/15/60 or 20/15/60/short",
        ) from error


def fitter_of(args: Args) -> Fitter:
    """Where fits are computed: here, or by workers."""
    if args.workers == 0:
        from supervised.training import fit

        return fit
    import ray

    from agents.runtime import start_ray
    from supervised.distributed import Cluster, distributed_fit

    if args.address is None:
        start_ray(max(args.workers, os.cpu_count() or 1))
    elif not ray.is_initialized():
        ray.init(address=args.address, log_to_driver=False)
    return partial(distributed_fit, cluster=Cluster(args.workers, args.restarts, args.device))


def show(summary: dict[str, Any], console: Console) -> None:
    """Accuracy and log-loss of every model and horizon, with intervals."""
    from rich.table import Table

    for symbol, about in summary["symbols"].items():
        title = f"{symbol}: {about['predicted_rows']:,} of {about['rows']:,} rows predicted out of sample"
        table = Table(title=title, title_justify="left")
        for column in ("prediction", "n", "accuracy", "majority", "log-loss", "p against a coin"):
            table.add_column(column, justify="left" if column == "prediction" else "right")
        for name, figures in about["directions"].items():
            right, loss = figures["accuracy"], figures["log_loss"]
            table.add_row(
                name,
                f"{figures['labels_without_overlap']:,}",
                f"{right.value:.1%} ({right.low:.1%} to {right.high:.1%})",
                f"{figures['majority']:.1%}",
                f"{loss.value:.4f} ({loss.low:.4f} to {loss.high:.4f})",
                f"{figures['p_value_against_coin']:.2g}",
            )
        console.print(table, highlight=False)


def main_cli() -> int:
    """Entry point of `python -m scripts.train_supervised`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
