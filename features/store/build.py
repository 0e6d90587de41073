"""Building a store: each series in a process, the files of its months in threads, every month once.

The rows of a month depend on the bars before it, back to the last gap: windows reach across month borders, and exact
sums depend on where their blocks began. So a series is one pass over its bars, and what can be shared out within it is
the writing: encoding, hashing and syncing cost more than the features themselves. The state at each month's end is
stored beside the rows; a build that finds a month as it should be loads that state and goes on behind it.

What a month was made from is its address: the set, the digest of its bars, the digest of the state it began with. Where
bars changed, the months behind them are built anew until a gap, or until the states agree again.

A build may be killed at any moment. A month is there once the manifest names it, and the manifest names it only after
its files were synced to the disk under their own names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.files import locked
from data_pipeline.schema import BarArrays
from data_pipeline.store.layout import LOCK_FILE, Series, month_label
from data_pipeline.store.problems import disk_troubles
from features.store.feature_set import KIND, FeatureSet, Precision, bars_digest, digest, feature_set
from features.store.manifest import FRESH, Manifest, MonthPart, load_manifest
from features.store.parts import discard, fault, read_state, sweep, write_month
from features.store.sources import Source, lacking_fields, split_months
from features.stream import FeatureStream

Progress = Callable[[Series, int, int], None]
"""Told (series, months done, months in all)."""


@dataclass(frozen=True)
class Request:
    """What to build, the same for every series."""

    names: tuple[str, ...] | None
    """Features, families or presets; None for all that a series' bars can give."""
    parameters: Any
    """`features.config.BarParameters`; its interval must be that of the series."""
    precision: Precision = "float64"


@dataclass
class SeriesReport:
    """What a build did for one series."""

    series: Series
    features: FeatureSet
    rows: int = 0
    """Rows of the set as it now is."""
    built: dict[str, str] = field(default_factory=dict)
    """Months that were computed, each with the reason why it had to be."""
    kept: int = 0
    """Months found as they should be."""
    removed: list[str] = field(default_factory=list)
    """Months that no longer are what one pass over the bars gives, and were removed."""


def build(
    root: Path,
    sources: Sequence[Source],
    request: Request,
    *,
    executor: Executor | None = None,
    threads: int = 2,
    progress: Progress | None = None,
) -> list[SeriesReport]:
    """Bring the sets of all `sources` under `root` up to date; one report for each, in their order.

    `executor` gets one task per series (`features.store.processes`, or Ray's for several machines, which must all see
    `root` and the sources' files); None computes here, and then `progress` hears of every month instead of every
    series. `threads` write the months of a series.

    Raises InputError when another build holds the store, when the disk refuses, and, after all others are done, for
    series whose bars cannot be had or cannot give a feature that was asked for.
    """
    with disk_troubles(root):
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / LOCK_FILE, "build"):
            if executor is None:
                return [build_series(root, source, request, threads, progress) for source in sources]
            _compile(request)
            return _share_out(root, sources, request, executor, threads, progress)


def _share_out(
    root: Path, sources: Sequence[Source], request: Request, executor: Executor, threads: int, progress: Progress | None
) -> list[SeriesReport]:
    tasks = {executor.submit(build_series, root, source, request, threads): source.series for source in sources}
    failures: list[InputError] = []
    for task in as_completed(tasks):
        error = task.exception()
        if isinstance(error, InputError):
            failures.append(error)
            continue
        report: SeriesReport = task.result()
        months = len(report.built) + report.kept
        if progress:
            progress(report.series, months, months)
    if failures:
        first, others = failures[0], len(failures) - 1
        what = f"{first.what} ({others} other series failed too)" if others else first.what
        raise InputError(what, where=first.where, remedy=first.remedy)
    return [task.result() for task in tasks]


def _compile(request: Request) -> None:
    """Have the step compiled once, so that the processes find it in the cache instead of each compiling it."""
    stream = FeatureStream(request.names, request.parameters, KIND)
    stream.update(0, np.ones(len(stream.kind.fields)))


def build_series(
    root: Path,
    source: Source,
    request: Request,
    threads: int = 2,
    progress: Progress | None = None,
) -> SeriesReport:
    """Bring one series' set up to date. The lock of the store must be held. Raises InputError as `build` does."""
    series = source.series
    if request.parameters.interval_ms != series.interval_ms:
        raise InputError(
            f"the windows are meant for bars of {request.parameters.interval_ms} ms",
            where=str(series),
            remedy=f"set interval_ms to {series.interval_ms}",
        )
    bars = source.read()
    if len(bars) == 0:
        raise InputError("there are no bars", where=str(series), remedy="give a range that holds some")
    features = feature_set(
        request.names,
        request.parameters,
        int(bars.open_time_ms[0]),
        lacking=lacking_fields(bars),
        precision=request.precision,
    )
    with disk_troubles(root):
        try:
            manifest = load_manifest(root, series, features.key)
        except FileNotFoundError:
            manifest = Manifest(series, features)
        sweep(root, manifest)
        return _pass(root, manifest, list(split_months(bars)), threads, progress)


def _pass(
    root: Path, manifest: Manifest, months: Sequence[BarArrays], threads: int, progress: Progress | None
) -> SeriesReport:
    """One pass over the bars of a series: keep what is as it should be, compute the rest."""
    features, series = manifest.features, manifest.series
    report = SeriesReport(series, features)
    stream: FeatureStream | None = None
    before: BarArrays | None = None
    kept: MonthPart | None = None
    state_out = FRESH
    with _Writer(root, manifest, threads) as writer:
        for done, bars in enumerate(months):
            if progress:
                progress(series, done, len(months))
            contiguous = before is not None and bars.open_time_ms[0] == before.open_time_ms[-1] + series.interval_ms
            state_in = state_out if contiguous else FRESH
            label, content = month_label(int(bars.open_time_ms[0])), bars_digest(bars)
            address = features.address(content, state_in)
            part = manifest.parts.get(label)
            reason = fault(root, part, address)
            if part is not None and reason is None:
                kept, stream, state_out = part, None, part.state_out
                report.kept += 1
            else:
                if not contiguous:
                    stream = features.stream()
                elif stream is None and kept is not None:
                    stream = features.stream(read_state(root, kept))
                assert stream is not None  # contiguous with a month that was kept or computed
                rows = stream.update_many(bars)
                state = stream.state_bytes()
                state_out = digest(state)
                writer.put(label, address, content, state_in, bars, rows, state)
                report.built[label] = reason or ""
            before = bars
    gone = _stale(manifest, [month_label(int(bars.open_time_ms[0])) for bars in months])
    if gone:
        report.removed = [part.month for part in gone]
        for part in gone:
            del manifest.parts[part.month]
        manifest.save(root)
        discard(root, gone)
    report.rows = sum(part.rows for part in manifest.parts.values())
    if progress:
        progress(series, len(months), len(months))
    return report


def _stale(manifest: Manifest, present: Sequence[str]) -> list[MonthPart]:
    """Months that are no longer what one pass gives: those without bars between months with bars, and those behind the
    last one that do not go on where it ends. Others behind it stay: the source was cut short, not the history."""
    parts = manifest.in_order()
    stale = [part for part in parts if part.month < present[-1] and part.month not in present]
    before = manifest.parts[present[-1]]
    behind = parts[parts.index(before) + 1 :]
    for k, part in enumerate(behind):
        if not part.follows(before, manifest.series.interval_ms):
            return stale + behind[k:]
        before = part
    return stale


class _Writer:
    """Writes months in threads and enters them into the manifest, one at a time, as they are done."""

    def __init__(self, root: Path, manifest: Manifest, threads: int) -> None:
        self._root, self._manifest, self._most = root, manifest, threads + 1
        self._pool = ThreadPoolExecutor(threads)
        self._waiting: deque[Future[MonthPart]] = deque()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while kind is None and self._waiting:
                self._enter()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def put(self, *month: Any) -> None:
        """Write a month, the arguments of `write_month` after the manifest; waits while many are under way."""
        self._waiting.append(self._pool.submit(write_month, self._root, self._manifest, *month))
        while len(self._waiting) > self._most or (self._waiting and self._waiting[0].done()):
            self._enter()

    def _enter(self) -> None:
        part = self._waiting.popleft().result()
        replaced = self._manifest.parts.get(part.month)
        self._manifest.parts[part.month] = part
        self._manifest.save(self._root)
        if replaced is not None and replaced.path != part.path:
            discard(self._root, [replaced])
