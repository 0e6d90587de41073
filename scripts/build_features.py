"""Features of years of bars into a Parquet store: parallel, resumable, nothing computed twice. Or list the catalogue.

    python -m scripts.build_features --list --select flow 'return_*'
    python -m scripts.build_features --store data/store --symbols BTC/USDT ETH/USDT --workers 4
    python -m scripts.build_features --files BTCUSDT-1m-2026-03.zip --select core --windows.long 240

Run it again to go on where it stopped, or after new bars came: only what is not as it should be is computed. On a Ray
cluster whose machines all see the folders and this code, give --address (auto, or that of the head node).
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from data_pipeline.errors import InputError
from features.config import BarParameters
from features.store.config import BarsConfig
from scripts.cli import run

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from data_pipeline.store.layout import Series
    from features.spec import FeatureSpec
    from features.store.build import SeriesReport


@dataclass(frozen=True)
class Args:
    """What to build, from which bars, or what to list."""

    bars: Annotated[BarsConfig, tyro.conf.arg(name="")] = field(default_factory=BarsConfig)
    """The bars to take."""
    select: tuple[str, ...] = ()
    """Features, families, presets, or patterns such as 'return_*'; all that the bars can give, when left out."""
    windows: BarParameters = field(default_factory=BarParameters)
    """Windows of the bar features; the interval is set to that of the bars."""
    precision: Literal["float64", "float32"] = "float64"
    """float64 keeps every bit; float32 rounds each value to seven digits and needs half the space."""
    out: Path = Path("data/features")
    """Folder of the feature store; made if need be."""
    workers: int = 1
    """Processes, one series each."""
    threads: int = 2
    """Threads that write the months of a series."""
    address: str | None = None
    """Address of a Ray cluster to run on, instead of processes of this machine."""
    list: bool = False
    """Print the catalogue, as --select, --kind and --windows have it, instead of building."""
    kind: tuple[str, ...] = ()
    """Kinds of input to list; all, when left out."""


def main(args: Args) -> int:
    """Build, or list; 0 when done."""
    return print_catalogue(args) if args.list else build_store(args)


def print_catalogue(args: Args) -> int:
    """The chosen part of the catalogue as a table for each kind."""
    from rich.console import Console
    from rich.table import Table

    from features.catalogue import KINDS

    console = Console()
    if not console.is_terminal:
        console = Console(width=240)  # a pipe has no width: cut nothing off
    for kind in args.kind:
        if kind not in KINDS:
            raise InputError(f"kind {kind!r} is unknown", where="--kind", remedy=f"there are {' '.join(KINDS)}")
    tables = {kind: listed(kind, args) for kind in args.kind or KINDS}
    if not any(tables.values()):
        raise InputError(
            f"nothing is called {' '.join(args.select)}", where="--select", remedy="leave it out to see all"
        )
    for kind, specs in tables.items():
        if not specs:
            continue
        table = Table(title=f"{kind}: {len(specs)} features", title_justify="left", expand=False)
        for column in ("name", "family", "inputs", "window", "warm-up", "formula"):
            table.add_column(column, justify="right" if column in ("window", "warm-up") else "left")
        for spec in specs:
            window, warmup = str(spec.window), str(spec.warmup)
            table.add_row(spec.name, spec.family, ", ".join(spec.inputs), window, warmup, spec.formula)
        console.print(table, highlight=False, markup=False)
    return 0


def listed(kind: str, args: Args) -> list[FeatureSpec]:
    """Features of a kind that `--select` names; what it does not know may be of another kind."""
    from features.catalogue import catalogue, select_features

    parameters = args.windows if kind == "bars" else None
    if not args.select:
        return [*catalogue(kind, parameters)]
    found: dict[str, FeatureSpec] = {}
    for name in expand(args.select, kind, parameters):
        try:
            found |= {spec.name: spec for spec in select_features([name], parameters, kind)}
        except InputError:
            continue
    return [*found.values()]


def expand(select: tuple[str, ...], kind: str, parameters: Any) -> tuple[str, ...]:
    """`select` with each pattern replaced by the names that match it, nothing twice."""
    from features.catalogue import feature_names

    known = feature_names(None, parameters, kind)
    names: dict[str, None] = {}
    for item in select:
        pattern = any(letter in item for letter in "*?[")
        names |= dict.fromkeys([name for name in known if fnmatchcase(name, item)] if pattern else [item])
    return tuple(names)


def build_store(args: Args) -> int:
    """Bring the store up to date and say what was done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from data_pipeline.schema import INTERVAL_MS
    from features.store.build import Request, build
    from features.store.sources import bar_sources

    for name in ("workers", "threads"):
        if getattr(args, name) < 1:
            raise InputError(f"{name} {getattr(args, name)} is below 1", where=f"--{name}", remedy="use 1 or more")
    sources = bar_sources(args.bars)
    windows = replace(args.windows, interval_ms=INTERVAL_MS[args.bars.interval])
    names = expand(args.select, "bars", windows)
    if args.select and not names:
        raise InputError(f"no feature matches {' '.join(args.select)}", where="--select", remedy="see --list")
    request = Request(names or None, windows, args.precision)

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("months"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as display:
        lines = {source.series: display.add_task(str(source.series), total=None) for source in sources}

        def progress(series: Series, done: int, months: int) -> None:
            display.update(lines[series], completed=done, total=months)

        with executor_of(args, len(sources)) as executor:
            reports = build(args.out, sources, request, executor=executor, threads=args.threads, progress=progress)
    for report in reports:
        console.print(summary(report), highlight=False, soft_wrap=True)
    return 0


def executor_of(args: Args, series: int) -> AbstractContextManager[Executor | None]:
    """Where to compute: a cluster, processes, or (for one of anything) here."""
    if args.address is not None:
        from agents.ray_executor import RayExecutor

        return RayExecutor(args.address)
    if min(args.workers, series) == 1:
        return nullcontext()
    from features.store.processes import processes

    return processes(min(args.workers, series))


def summary(report: SeriesReport) -> str:
    """What was done for one series, with the reason for everything that was built though it had been there."""
    features = report.features
    lines = [
        f"{report.series}: {report.rows:,} rows of {len(features.names)} features, set {features.key} "
        f"({features.precision}); {len(report.built)} months built, {report.kept} kept"
    ]
    lines += [f"  {month}: {reason}" for month, reason in report.built.items() if reason != "new"]
    lines += [f"  {month}: removed, the bars behind it changed" for month in report.removed]
    return "\n".join(lines)


def main_cli() -> int:
    """Entry point of `python -m scripts.build_features`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
