"""The files of a stored set: a month's rows, the state behind them, and what is wrong with either."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.files import atomic_path
from data_pipeline.schema import BAR_SCHEMA, BarArrays
from data_pipeline.store.parts import is_intact, write_table
from features.store.feature_set import digest
from features.store.manifest import Manifest, MonthPart

TIME = "open_time"


def write_month(
    root: Path,
    manifest: Manifest,
    label: str,
    address: str,
    content: str,
    state_in: str,
    bars: BarArrays,
    rows: np.ndarray,
    state: bytes,
) -> MonthPart:
    """Write `rows`, float64 (T, F), of `bars` and the `state` behind them, both synced; return their entry.

    Values are stored as they are, NaN included; float32 sets round each once, to nearest.
    """
    features = manifest.features
    times = pa.array(bars.open_time_ms).cast(BAR_SCHEMA.field(TIME).type)
    columns = {name: pa.array(rows[:, k].astype(features.precision)) for k, name in enumerate(features.names)}
    path = manifest.folder / f"month={label}" / f"{address}.parquet"
    size, sha256 = write_table(root / path, pa.table({TIME: times, **columns}))
    part = MonthPart(
        month=label,
        first_ms=int(bars.open_time_ms[0]),
        last_ms=int(bars.open_time_ms[-1]),
        rows=len(bars),
        address=address,
        bars=content,
        state_in=state_in,
        state_out=digest(state),
        path=str(path),
        bytes=size,
        sha256=sha256,
    )
    with atomic_path(root / part.state_path) as temporary:
        temporary.write_bytes(state)
    return part


def fault(root: Path, part: MonthPart | None, address: str) -> str | None:
    """Why a month has to be built, None when it is there, was made from the same, and is what was written."""
    if part is None:
        return "new"
    if part.address != address:
        return "made from other bars"
    if not is_intact(root, part):
        return f"{part.path} was {'altered' if (root / part.path).exists() else 'deleted'}"
    state = root / part.state_path
    if not state.exists() or digest(state.read_bytes()) != part.state_out:
        return f"{part.state_path} was {'altered' if state.exists() else 'deleted'}"
    return None


def read_state(root: Path, part: MonthPart) -> bytes:
    """The state behind a month that has no `fault`."""
    return (root / part.state_path).read_bytes()


def discard(root: Path, parts: Iterable[MonthPart]) -> None:
    """Remove the files of months that the manifest no longer names."""
    for part in parts:
        for path in (part.path, part.state_path):
            (root / path).unlink(missing_ok=True)


def sweep(root: Path, manifest: Manifest) -> None:
    """Remove what killed builds left: files of the set that its manifest does not name."""
    named = {path for part in manifest.parts.values() for path in (part.path, part.state_path)}
    for path in (root / manifest.folder).glob("month=*/*"):
        if str(path.relative_to(root)) not in named:
            path.unlink()
    for path in (root / manifest.folder).glob(".*.tmp"):
        path.unlink()
