"""Reading stored features: any range, any columns, only the row groups and columns that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, iso_time
from data_pipeline.store.bar_store import Moment, find_series
from data_pipeline.store.layout import Series, Span, to_ms
from data_pipeline.store.parts import is_intact, read_part
from data_pipeline.venue import nearest
from features.kernel import load_kernel
from features.store.feature_set import KIND, FeatureSet
from features.store.manifest import MANIFEST, Manifest, MonthPart, load_manifest
from features.store.parts import TIME

_EVER: Span = (0, 1 << 53)
_PATIENCE = 3  # a month may be replaced between reading the manifest and opening the file
_BUILD = "run python -m scripts.build_features again: it builds what is not as it should be"


class FeatureStore:
    """Read-only view of a feature store; a build may run meanwhile.

    `venue` and `interval` pick among series as `BarStore` does. `key`, the beginning of a set's key, picks among the
    sets of a series; without it, the set must be the only one that the present code made. Every file is checked against
    its hash the first time this object reads it.
    """

    def __init__(self, root: str | Path, *, venue: str | None = None, interval: str = "1m", key: str = "") -> None:
        self.root = Path(root)
        self.venue = venue
        self.interval = interval
        self.key = key
        self._checked: set[tuple[str, int]] = set()

    def series(self) -> list[Series]:
        """Every series that has a set, in order."""
        found = set()
        for path in self.root.glob(f"{KIND}/venue=*/symbol=*/interval=*/set=*/{MANIFEST}"):
            venue, symbol, interval = (part.partition("=")[2] for part in path.parts[-5:-2])
            found.add(Series(venue, symbol, interval))
        return sorted(found)

    def sets(self, symbol: str) -> list[FeatureSet]:
        """Every set of a symbol, by whatever version of the code. Raises InputError for an unknown symbol."""
        return [manifest.features for manifest in self._manifests(symbol)]

    def read(
        self, symbol: str, start: Moment = None, end: Moment = None, names: Sequence[str] | None = None
    ) -> pa.Table:
        """Rows of bars opening in [start, end), in order of time: `open_time` and the columns `names` (all, when None).

        `start`, `end`: UTC milliseconds, ISO text or datetime. Rows inside a warm-up are NaN; bars that are missing
        have no row. The metadata holds `symbol`, `venue`, `interval` and `set`, the set's key. A range without bars
        gives no rows.

        Raises InputError for an unknown symbol or column, for a symbol of several venues or sets, for a file that is
        gone or not what was written, and for months that were not made in one pass (bars changed and a build is under
        way, or was killed).
        """
        first, stop = to_ms(start, "start"), to_ms(end, "end")
        span = (_EVER[0] if first is None else first, _EVER[1] if stop is None else stop)
        if span[0] > span[1]:
            raise InputError(f"start {iso_time(span[0])} is after end {iso_time(span[1])}", remedy="swap them")
        for _ in range(_PATIENCE):
            manifest = self._manifest(symbol)
            try:
                return self._read(manifest, span, names)
            except FileNotFoundError as error:
                gone = error.filename
        raise InputError("the file is gone", where=str(gone), remedy=_BUILD)

    def _read(self, manifest: Manifest, span: Span, names: Sequence[str] | None) -> pa.Table:
        features, series = manifest.features, manifest.series
        wanted = list(features.names if names is None else names)
        for name in wanted:
            if name not in features.names:
                close = nearest(name, features.names)
                remedy = f"did you mean {close}?" if close else f"it holds {' '.join(features.names)}"
                raise InputError(f"feature {name!r} is not in the set", where=str(manifest.folder), remedy=remedy)
        parts = [part for part in manifest.in_order() if part.first_ms < span[1] and part.last_ms >= span[0]]
        for before, part in pairwise(parts):
            if not part.follows(before, series.interval_ms):
                what = f"{part.month} was not made to go on where {before.month} ends"
                raise InputError(what, where=str(manifest.folder), remedy=_BUILD)
        value = pa.type_for_alias(features.precision)
        schema = pa.schema([BAR_SCHEMA.field(TIME), *((name, value) for name in wanted)])
        tables = [self._part(part, span, schema.names) for part in parts]
        label = {"symbol": series.symbol, "venue": series.venue, "interval": series.interval, "set": features.key}
        return pa.concat_tables([schema.empty_table(), *tables]).replace_schema_metadata(label)

    def _part(self, part: MonthPart, span: Span, columns: list[str]) -> pa.Table:
        path = self.root / part.path
        seen = (part.sha256, path.stat().st_mtime_ns)
        if seen not in self._checked:
            if not is_intact(self.root, part):
                raise InputError(
                    "the file is not what was written (its sha256 differs)", where=part.path, remedy=_BUILD
                )
            self._checked.add(seen)
        return read_part(path, span, columns)

    def _manifest(self, symbol: str) -> Manifest:
        manifests = self._manifests(symbol)
        found = [manifest for manifest in manifests if manifest.features.key.startswith(self.key)]
        if not self.key:
            found = [manifest for manifest in found if manifest.features.fingerprint == load_kernel(KIND).fingerprint]
        if len(found) == 1:
            return found[0]
        keys = " ".join(manifest.features.key for manifest in found or manifests)
        where = f"{self.root}, {symbol}"
        if found:
            raise InputError(f"there are several sets: {keys}", where=where, remedy="name one by its key")
        if self.key:
            raise InputError(f"no set's key begins with {self.key!r}", where=where, remedy=f"there are {keys}")
        remedy = f"run python -m scripts.build_features, or name an old set by its key: {keys}"
        raise InputError("every set was made by another version of the features", where=where, remedy=remedy)

    def _manifests(self, symbol: str) -> list[Manifest]:
        known = self.series()
        series = find_series(known, symbol, self.venue, self.interval, str(self.root))
        folders = sorted((self.root / series.folder()).glob(f"set=*/{MANIFEST}"))
        return [load_manifest(self.root, series, path.parent.name.partition("=")[2]) for path in folders]
