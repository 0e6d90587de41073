"""Reading bars: hot rows and sealed months as one table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, iso_time
from data_pipeline.store import codec
from data_pipeline.store.layout import Series, Span, to_ms
from data_pipeline.store.ledger import Ledger, Part, bar_series
from data_pipeline.store.parts import is_intact, read_part
from data_pipeline.venue import contract_of, nearest, store_symbol

_EVER: Span = (0, 1 << 53)
_PATIENCE = 3  # a month may be sealed or reopened between reading the ledger and opening the file
Moment = int | str | datetime | None


class BarStore:
    """Read-only view of a store; a download may run meanwhile.

    `venue` such as binance_spot picks among the venues of the store, and may be left out while a symbol has one only.
    Every part is checked against its hash the first time this object reads it.
    """

    def __init__(self, root: str | Path, *, venue: str | None = None, interval: str = "1m") -> None:
        self.root = Path(root)
        self.venue = venue
        self.interval = interval
        self._ledger = Ledger(self.root, write=False)
        self._checked: set[tuple[str, str, int]] = set()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def __enter__(self) -> BarStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def series(self) -> list[Series]:
        """Every series of bars in the store."""
        return bar_series(self._ledger)

    def read(
        self, symbol: str, start: Moment = None, end: Moment = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Bars opening in [start, end) in order of time, one Arrow table with `columns` (all, when None).

        `symbol`: BTC/USDT, BTC/USDT:USDT or BTCUSDT. `start`, `end`: UTC milliseconds, ISO text or datetime. Gaps stay
        gaps. The metadata holds `symbol`, `venue` and `interval`. A range without bars gives no rows.

        Raises InputError for an unknown symbol or column, for a symbol of several venues, and for a part whose bytes
        are not those that were sealed.
        """
        series = find_series(self.series(), symbol, self.venue, self.interval, str(self.root))
        names = list(BAR_SCHEMA.names if columns is None else columns)
        for name in names:
            if name not in BAR_SCHEMA.names:
                raise InputError(f"column {name!r} is unknown", remedy=f"columns: {' '.join(BAR_SCHEMA.names)}")
        first, stop = to_ms(start, "start"), to_ms(end, "end")
        span = (_EVER[0] if first is None else first, _EVER[1] if stop is None else stop)
        if span[0] > span[1]:
            raise InputError(f"start {iso_time(span[0])} is after end {iso_time(span[1])}", remedy="swap them")
        label = {"symbol": series.symbol, "venue": series.venue, "interval": series.interval}
        return self._read(series, span, names).replace_schema_metadata(label)

    def _read(self, series: Series, span: Span, names: list[str]) -> pa.Table:
        for attempt in range(_PATIENCE):
            with self._ledger.snapshot():
                parts = [part for part in self._ledger.parts(series) if _touch(part, span)]
                chunks = self._ledger.chunks(series, span)
            pieces = [(start, _cut(codec.decode(payload), span, names)) for start, _, payload in chunks]
            try:
                pieces += [(part.start_ms, self._part(part, span, names)) for part in parts]
            except FileNotFoundError:
                if attempt + 1 < _PATIENCE:
                    continue
                raise InputError(
                    "a sealed part is gone", where=str(self.root), remedy="run python -m scripts.download again"
                ) from None
            break
        if not pieces:
            return BAR_SCHEMA.empty_table().select(names)
        pieces.sort(key=lambda piece: piece[0])
        return pa.concat_tables([table for _, table in pieces])

    def _part(self, part: Part, span: Span, names: list[str]) -> pa.Table:
        path = self.root / part.path
        key = (part.path, part.sha256, path.stat().st_mtime_ns)
        if key not in self._checked:
            if not is_intact(self.root, part):
                if not path.exists():
                    raise FileNotFoundError(path)
                raise InputError(
                    "the file is not what was sealed (its sha256 differs)",
                    where=part.path,
                    remedy="run python -m scripts.download again: it sets the file aside and fetches the month anew",
                )
            self._checked.add(key)
        return read_part(path, span, names)


def find_series(known: Sequence[Series], symbol: str, venue: str | None, interval: str, where: str) -> Series:
    """The one series of `known` that `symbol` (BTC/USDT, BTC/USDT:USDT or BTCUSDT) means on `venue`, any when None.

    A symbol with a slash says whether it means spot or a perpetual; a venue whose name does not say fits both.
    Raises InputError, naming the store `where`, when there is none or several venues have it.
    """
    wanted = store_symbol(symbol)
    same = [series for series in known if series.interval == interval]
    found = [series for series in same if series.symbol == wanted and venue in (None, series.venue)]
    if "/" in symbol and venue is None:
        contract = contract_of(symbol)
        found = [series for series in found if series.venue.partition("_")[2] in ("", contract)]
    if len(found) == 1:
        return found[0]
    if found:
        venues = ", ".join(series.venue for series in found)
        raise InputError(f"symbol {symbol} is stored for {venues}", where=where, remedy="name the venue")
    close = nearest(wanted, [series.symbol for series in same])
    held = ", ".join(map(str, known)) or "nothing"
    remedy = f"did you mean {close}?" if close else f"the store holds {held}"
    raise InputError(f"no {interval} bars of {symbol!r}", where=where, remedy=remedy)


def _touch(part: Part, span: Span) -> bool:
    return part.start_ms < span[1] and part.stop_ms > span[0]


def _cut(table: pa.Table, span: Span, names: list[str]) -> pa.Table:
    times = table["open_time"].cast(pa.int64()).to_numpy()
    first, stop = np.searchsorted(times, span)
    return table.slice(int(first), int(stop - first)).select(names)
