"""Out-of-sample predictions of a finished training run as Parquet: its own walk-forward ones, or those of later bars.

    python -m scripts.predict --run runs/first --out predictions.parquet
    python -m scripts.predict --run runs/btc --files BTCUSDT-1m-2026-04.zip --out april.parquet
    python -m scripts.predict --run runs/two --symbol new-symbol --store data/store --symbols SOL/USDT --out sol.parquet

With bars (--files or --store) the last fold's models predict every bar that the run has not seen; let the bars begin
early enough for the features' warm-up and the models' context. A --from before the end of the run is refused: the
models, or their ensemble, would know the answer. --symbol new-symbol takes the models for a symbol not trained on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from data_pipeline.errors import InputError
from features.store.config import BarsConfig
from scripts.cli import run


@dataclass(frozen=True)
class Args:
    """Which run, which bars, and where to."""

    run: Path
    """Folder of a finished scripts.train_supervised."""
    out: Path
    """Parquet file to write: open_time, fold, p_up_{model}_h{horizon}, ensemble weights, moves, outcomes."""
    bars: Annotated[BarsConfig, tyro.conf.arg(name="")] = field(default_factory=BarsConfig)
    """Later bars of one symbol; without them the run's own predictions are written."""
    symbol: str | None = None
    """Symbol of the run whose models predict; may be left out when it has one, or the bars are of one of them."""
    since: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """First moment to predict, ISO, UTC; the first bar after the run's, when left out."""
    cache: Path | None = None
    """Folder for features and matrices; inside the run, when left out."""


def main(args: Args) -> int:
    """Write the predictions, and say of how many rows they are."""
    from rich.console import Console

    from data_pipeline.schema import iso_time
    from data_pipeline.store.layout import to_ms
    from evaluation.supervised_run import MODELS, finished_symbols, predict_later
    from features.store.sources import bar_sources
    from supervised.fold_training import NEW_SYMBOL
    from supervised.predictions import Predictions
    from supervised.walk_forward import PREDICTIONS

    known = finished_symbols(args.run)
    with_bars = args.bars.store is not None or bool(args.bars.files)
    sources = bar_sources(args.bars) if with_bars else []
    if len(sources) > 1:
        there = ", ".join(str(source.series) for source in sources)
        raise InputError(f"there are several series: {there}", where="--symbols", remedy="name one")
    symbol = args.symbol or next((s.series.symbol for s in sources), None) or (known[0] if len(known) == 1 else None)
    if symbol not in (*known, *[NEW_SYMBOL] * (len(known) > 1 and with_bars)):
        raise InputError(
            f"symbol {symbol!r} is not in the run", where="--symbol", remedy=f"there are {' '.join(known)}"
        )
    if sources:
        found = predict_later(args.run, symbol, sources[0], to_ms(args.since, "from"), args.cache)
    elif args.since is not None:
        raise InputError("--from needs bars", where="options", remedy="give --files or --store")
    else:
        found = Predictions.load(args.run / MODELS / symbol / PREDICTIONS)
    found.save(args.out)
    rows = found.open_time_ms[found.fold >= 0]
    Console().print(
        f"{len(rows):,} bars of {symbol} predicted, {iso_time(int(rows[0]))} to {iso_time(int(rows[-1]))}\n"
        f"written: {args.out}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def main_cli() -> int:
    """Entry point of `python -m scripts.predict`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
