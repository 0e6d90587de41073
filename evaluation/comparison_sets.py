"""What models are compared on: synthetic and real bars, a LOBSTER day, recorded books, each as one `ComparisonSet`.

Bars are labelled as everywhere: from the next open on. Books are labelled with the *mid* of the row itself, anchored
and never smoothed: what is asked there is whether the move is known before it happens, not whether it pays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.readers import read_bars
from data_pipeline.schema import BarArrays, bar_arrays, segments
from data_pipeline.synthetic import synthetic_market
from features.batch import available_features, compute_features
from features.catalogue import KINDS, feature_names
from features.events import Events, read_events
from features.labels import fixed_horizon
from features.sampling import known_rows, sample_asof
from supervised.baselines import Baseline, past_moves
from supervised.config import TrainConfig, WalkForwardConfig
from supervised.dataset import Dataset

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

ALL_BASELINES = tuple(Baseline(kind, kind) for kind in ("majority", "persistence", "reversal", "logistic", "lightgbm"))
QUEUE_BASELINE = "imbalance"
"""Name of the logistic regression that sees nothing but the queue imbalance at the best prices."""
TICKS_PER_DOLLAR = 10_000
"""LOBSTER writes prices as whole ten-thousandths."""


@dataclass(frozen=True, eq=False)
class ComparisonSet:
    """Rows that every model and baseline is trained on and judged by, in the same way."""

    name: str
    data: Dataset
    feature_names: tuple[str, ...]
    labels: tuple[str, ...]
    """What each label column asks, in words, H of them."""
    past: Floats
    """(T, H) moves known at each row (`past_moves`)."""
    until: Longs
    """(T, H): labels of rows r < s do not overlap when s + 1 >= until[r] (what `non_overlapping` takes)."""
    overlap: tuple[int, ...]
    """Rows over which neighbouring labels share their outcome, for each label column."""
    config: WalkForwardConfig
    """Folds, purge, embargo and training; its `models` are replaced by those compared."""
    baselines: tuple[Baseline, ...] = ALL_BASELINES
    about: str = ""
    """Where the rows come from, in a sentence."""

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Effort:
    """How much is spent on one set."""

    epochs: int = 8
    """Most passes over a fold's training rows."""
    folds: int = 4
    """Stretches predicted one after the other."""
    steps: int = 120
    """Least optimiser steps that the passes must come to: small sets get smaller chunks, and more passes."""
    threads: int = 1
    """Torch threads."""
    seed: int = 0
    """Of the models, the trees and the synthetic market."""


def synthetic_set(setting: Literal["planted_edge", "no_edge"], days: int, effort: Effort) -> ComparisonSet:
    """`days` of the synthetic market, minute bars, labels one and five bars ahead."""
    market = synthetic_market(SyntheticConfig(setting=setting, bars=days * 1440, seed=effort.seed))
    about = f"Synthetic market {setting!r}, {days} days of minute bars, seed {effort.seed}."
    return bar_set(f"synthetic {setting}", bar_arrays(market.bars), effort=effort, about=about)


def bar_set(
    name: str,
    bars: BarArrays,
    *,
    effort: Effort,
    select: Sequence[str] = ("core",),
    horizons: tuple[int, ...] = (1, 5),
    interval_ms: int = 60_000,
    about: str = "",
) -> ComparisonSet:
    """Bars with the features that they can give, labelled from the next open to the open h bars later."""
    names = available_features(bars, select)
    found = [fixed_horizon(bars, horizon, interval_ms) for horizon in horizons]
    parts = segments(bars.open_time_ms, interval_ms)
    ends = np.stack([label.t1 for label in found], axis=1)
    y = np.stack([label.values for label in found], axis=1).astype(np.float32)
    data = Dataset(compute_features(bars, names), y, ends, parts, bars.open_time_ms)
    return ComparisonSet(
        name=name,
        data=data,
        feature_names=names,
        labels=tuple(f"{horizon} bar{'s' if horizon > 1 else ''} ahead" for horizon in horizons),
        past=past_moves(bars.close, horizons, parts),
        until=ends,
        overlap=horizons,
        config=settings(len(bars), horizons, horizons, effort),
        about=about or f"{len(bars):,} bars.",
    )


def bar_file_set(path: Path, effort: Effort, select: Sequence[str] = ("core",)) -> ComparisonSet:
    """A file of minute bars, as `bar_set`."""
    bars = bar_arrays(read_bars(path))
    return bar_set(path.name.split(".")[0], bars, effort=effort, select=select)


def lobster_set(path: Path, effort: Effort, horizons: tuple[int, ...] = (10, 50)) -> ComparisonSet:
    """A LOBSTER day: one row for each millisecond that held events, the book as the last of them left it.

    `path`: Parquet with `time_ns` since midnight and `ask1_px`, `ask1_sz`, `bid1_px`, … `bid10_sz`, prices × 10,000,
    one row per event. Features of levels 1 to 10 run over every event; labels are the next move of the mid (whenever it
    comes), and its move over `horizons` rows. Raises InputError when columns are missing.
    """
    book = read_lobster(path)
    touch = np.stack([book.columns[name] for name in ("bid1_px", "bid1_sz", "ask1_px", "ask1_sz")])
    moved = np.append(True, (np.diff(touch) != 0.0).any(axis=0))
    fields = dict(zip(KINDS["quotes"].fields, touch[:, moved], strict=True))
    quotes = Events(book.time_ns[moved], book.local_time_ns[moved], fields)
    time_ms = book.time_ns // 1_000_000
    rows = np.flatnonzero(np.append(np.diff(time_ms) > 0, True))
    mid = 0.5 * (touch[0] + touch[2])[rows]
    y, ends = moves_ahead(mid, horizons)
    next_y, next_end = next_move(mid)
    return _book_set(
        f"LOBSTER {path.name.split('_')[1] if '_' in path.name else path.stem}",
        time_ms[rows],
        book_features(quotes, book, book.time_ns[rows]),
        np.column_stack([next_y, y]),
        np.column_stack([next_end, ends]),
        mid,
        ("next mid move", *(f"{horizon} rows ahead" for horizon in horizons)),
        (1, *horizons),
        effort,
        f"{len(book):,} order events, {len(rows):,} rows of one millisecond each, {int((np.diff(mid) != 0).sum()):,} "
        "of them a move of the mid.",
    )


def recorded_set(
    path: Path, effort: Effort, seconds: tuple[int, ...] = (1, 2, 5, 10), step_ms: int = 100
) -> ComparisonSet:
    """A recorded ten-level book and the best quotes beside it, one row every `step_ms` of the local clock.

    `path`: a table of books named `….l10.parquet`; the quotes are in `….bbo.parquet` next to it. A row knows what had
    been received by its time. Labels: the mid's move over `seconds`. Raises InputError when a table is missing or is
    none.
    """
    if not path.name.endswith(".l10.parquet"):
        raise InputError("not a table of books", where=str(path), remedy="name a file that ends in .l10.parquet")
    beside = path.with_name(path.name.replace(".l10.", ".bbo."))
    book, quotes = (read_events(_table(file), kind) for file, kind in ((path, "book"), (beside, "quotes")))
    first, last = (max(book.time_ns[0], quotes.time_ns[0]), min(book.time_ns[-1], quotes.time_ns[-1]))
    step = step_ms * 1_000_000
    times = np.arange(first // step + 1, last // step + 1) * step
    known = known_rows(times, quotes.local_time_ns)
    mid = 0.5 * (quotes.bid_px + quotes.ask_px)[known]
    horizons = tuple(1000 * second // step_ms for second in seconds)
    y, ends = moves_ahead(mid, horizons)
    minutes = (times[-1] - times[0]) / 6e10
    return _book_set(
        path.name.removesuffix(".l10.parquet"),
        times // 1_000_000,
        book_features(quotes, book, times),
        y,
        ends,
        mid,
        tuple(f"{second} s ahead" for second in seconds),
        horizons,
        effort,
        f"{minutes:.1f} minutes, {len(times):,} rows {step_ms} ms apart.",
    )


def _book_set(
    name: str,
    times_ms: Longs,
    X: Floats,
    y: Floats,
    ends: Longs,
    mid: Floats,
    labels: tuple[str, ...],
    horizons: tuple[int, ...],
    effort: Effort,
    about: str,
) -> ComparisonSet:
    names = book_feature_names()
    whole = np.array([[0, len(mid)]])
    span = np.where(np.isfinite(y), ends - np.arange(len(mid))[:, None], 1)
    overlap = tuple(int(at) for at in np.ceil(np.percentile(span, 95, axis=0)))
    imbalance = Baseline(QUEUE_BASELINE, "logistic", (names.index("queue_imbalance"),))
    return ComparisonSet(
        name=name,
        data=Dataset(X, y.astype(np.float32), ends, whole, times_ms),
        feature_names=names,
        labels=labels,
        past=past_moves(mid, horizons, whole),
        until=ends + 1,
        overlap=overlap,
        config=settings(len(mid), horizons, overlap, effort),
        baselines=(*ALL_BASELINES, imbalance),
        about=about,
    )


def settings(rows: int, horizons: tuple[int, ...], overlap: tuple[int, ...], effort: Effort) -> WalkForwardConfig:
    """Folds and training for a set of so many rows: the embargo as long as labels overlap, and enough steps."""
    train = TrainConfig(epochs=effort.epochs, threads=effort.threads)
    first = 0.4
    learned = int(rows * first * (1 - train.validation_fraction))
    chunk = int(np.clip(learned // (train.batch * 4), 64, train.chunk))
    passes = -(-effort.steps // max(learned // (chunk * train.batch), 1))
    return WalkForwardConfig(
        horizons=horizons,
        train=replace(train, chunk=chunk, epochs=max(effort.epochs, passes)),
        folds=effort.folds,
        first_train_fraction=first,
        embargo_rows=max(60, *overlap),
        seed=effort.seed,
    )


def read_lobster(path: Path) -> Events:
    """The ten-level book after every event, prices in dollars."""
    table = _table(path)
    fields = KINDS["book"].fields
    missing = [name for name in ("time_ns", *fields) if name not in table.column_names]
    if missing:
        raise InputError(f"column {missing[0]!r} is missing", where=str(path), remedy="give ten levels and time_ns")
    time = np.ascontiguousarray(table["time_ns"].to_numpy(), dtype=np.int64)
    scale = {name: TICKS_PER_DOLLAR if name.endswith("px") else 1 for name in fields}
    return Events(time, time, {name: table[name].to_numpy() / scale[name] for name in fields})


def book_feature_names() -> tuple[str, ...]:
    """Columns of `book_features`: all of kind "quotes", then all of kind "book"."""
    return (*feature_names(None, None, "quotes"), *feature_names(None, None, "book"))


def book_features(quotes: Events, book: Events, times_ns: Longs) -> Floats:
    """Features of levels 1 to 10 as known at `times_ns` by the local clock, (T, F), NaN in warm-up."""
    parts = [
        sample_asof(times_ns, events.local_time_ns, compute_features(events, kind=kind))
        for events, kind in ((quotes, "quotes"), (book, "book"))
    ]
    return np.concatenate(parts, axis=1)


def moves_ahead(mid: Floats, horizons: Sequence[int]) -> tuple[Floats, Longs]:
    """1e4 ln(mid[t + h] / mid[t]), (T, H), NaN near the end, and the rows t + h (T, H) at which it is known."""
    rows = len(mid)
    y, log_mid = np.full((rows, len(horizons)), np.nan), np.log(mid)
    for column, horizon in enumerate(horizons):
        y[: rows - horizon, column] = 1e4 * (log_mid[horizon:] - log_mid[: rows - horizon])
    return y, np.arange(rows)[:, None] + np.array(horizons, dtype=np.int64)


def next_move(mid: Floats) -> tuple[Floats, Longs]:
    """1e4 ln of the first mid that differs over the mid of each row, (T,), and the row (T,) of that first move.

    NaN, and the number of rows, after the last move.
    """
    rows = len(mid)
    moves = np.flatnonzero(np.diff(mid) != 0.0) + 1
    which = np.searchsorted(moves, np.arange(rows), side="right")
    ends = np.append(moves, rows)[which]
    known = ends < rows
    y = np.full(rows, np.nan)
    y[known] = 1e4 * np.log(mid[ends[known]] / mid[known])
    return y, ends


def _table(path: Path) -> Any:
    try:
        return pq.read_table(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"it cannot be read ({type(error).__name__})", where=str(path), remedy="give a Parquet file"
        ) from error
