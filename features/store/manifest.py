"""What a stored set holds: one entry for each month, each with what it was made from and the hash of what was made.

Folders are those of the lake, with the set below the interval, so that sets lie side by side and never mix:

    bars/venue=V/symbol=S/interval=1m/set=KEY/manifest.json
    bars/venue=V/symbol=S/interval=1m/set=KEY/month=2024-01/ADDRESS.parquet
    bars/venue=V/symbol=S/interval=1m/set=KEY/month=2024-01/ADDRESS.state

A file is part of the set once the manifest says so. The manifest is replaced as a whole (temporary file, fsync, rename)
after the files it names have been; a file it does not name is a leftover of a killed build.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from data_pipeline.store.layout import Series
from features.store.feature_set import FeatureSet

MANIFEST = "manifest.json"
FRESH = "fresh"
"""Stands for a starting state where there is none: the month's first bar begins a stretch."""


@dataclass(frozen=True, slots=True)
class MonthPart:
    """One month of rows."""

    month: str
    """Such as 2024-01."""
    first_ms: int
    """Open time of its first row."""
    last_ms: int
    """Open time of its last row."""
    rows: int
    address: str
    """`FeatureSet.address` of the bars and the state below."""
    bars: str
    """Digest of the bars it was made from."""
    state_in: str
    """Digest of the state it began with, or `FRESH`."""
    state_out: str
    """Digest of the state it left behind: of the file beside it."""
    path: str
    """Of the Parquet file, relative to the store."""
    bytes: int
    sha256: str

    @property
    def state_path(self) -> str:
        """Of the state it left behind, relative to the store."""
        return str(Path(self.path).with_suffix(".state"))

    def follows(self, before: MonthPart, interval_ms: int) -> bool:
        """Whether this month was made to go on where `before` ended, over the very same bars."""
        contiguous = self.first_ms == before.last_ms + interval_ms
        return self.state_in == (before.state_out if contiguous else FRESH)


@dataclass
class Manifest:
    """The months of one series in one set, by label."""

    series: Series
    features: FeatureSet
    parts: dict[str, MonthPart] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Relative to the store."""
        return set_folder(self.series, self.features.key)

    def in_order(self) -> list[MonthPart]:
        """All months in order of time."""
        return sorted(self.parts.values(), key=lambda part: part.first_ms)

    def save(self, root: Path) -> None:
        """Replace the manifest on disk."""
        parts = [dataclasses.asdict(part) for part in self.in_order()]
        write_json(root / self.folder / MANIFEST, {"set": self.features.describe(), "parts": parts})


def set_folder(series: Series, key: str) -> Path:
    """Where a set of a series lies, relative to the store."""
    return series.folder() / f"set={key}"


def load_manifest(root: Path, series: Series, key: str) -> Manifest:
    """The manifest of a set. Raises FileNotFoundError when there is none, InputError when it cannot be read."""
    path = root / set_folder(series, key) / MANIFEST
    text = path.read_text()
    try:
        data = json.loads(text)
        parts = [MonthPart(**part) for part in data["parts"]]
        return Manifest(series, FeatureSet.from_dict(data["set"]), {part.month: part for part in parts})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"not a manifest of this version ({error!r})",
            where=str(path),
            remedy="delete its folder and build the features again",
        ) from error
