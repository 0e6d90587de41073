"""Reading a recording: the sealed parts of one kind and symbol as one Arrow table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.errors import InputError
from data_pipeline.recording.ledger import Part, is_intact, parts_of, read_ledger
from data_pipeline.recording.sealing import SCHEMAS
from data_pipeline.store.layout import to_ms

Moment = int | str | None


def read_recording(
    out: str | Path,
    kind: str,
    symbol: str = "",
    start: Moment = None,
    end: Moment = None,
    columns: Sequence[str] | None = None,
    *,
    venue: str | None = None,
    incomplete: bool = False,
) -> pa.Table:
    """Rows of `kind` (trades, bbo, book, bars; events without symbol) in [start, end), as `sealing.SCHEMAS` has them.

    `symbol`: the exchange's own, such as BTCUSDT. `start`, `end`: UTC milliseconds or ISO text, compared with the local
    time of arrival, for bars with the open time. Trades come in the order of their ids, wherever they came from
    (`source`); bars in order of time; the rest in the order of arrival. The open segment is not seen before it is
    sealed.

    Rows of the book whose ten levels are not all inside the span of the last snapshot may lack levels, even the best
    ones: what never changed since was never sent. They are left out unless `incomplete`; the column `complete` tells.

    Raises InputError for an unknown kind, symbol or column, for several venues without `venue`, and for a part that is
    gone or not what was sealed.
    """
    out = Path(out)
    if kind not in SCHEMAS:
        raise InputError(f"kind {kind!r} is unknown", remedy=f"use one of {' '.join(SCHEMAS)}")
    schema = SCHEMAS[kind]
    names = list(schema.names if columns is None else columns)
    if unknown := [name for name in names if name not in schema.names]:
        raise InputError(f"column {unknown[0]!r} is unknown", remedy=f"columns: {' '.join(schema.names)}")
    parts = _chosen(out, kind, symbol, venue)
    first, stop = to_ms(start, "start"), to_ms(end, "end")
    clock = "open_time" if kind == "bars" else "local_ts_ns"
    order = {"trades": "trade_id", "bars": "open_time"}.get(kind)
    helpers = {clock} | ({order} if order else set()) | ({"complete"} if kind == "book" else set())
    tables = [schema.empty_table()]
    for part in parts:
        if clock == "local_ts_ns" and _outside(part, first, stop):
            continue
        if not is_intact(out, part):
            raise InputError(
                "the file is gone or not what was sealed",
                where=part.path,
                remedy=f"run python -m scripts.check_data --store {out} --mend",
            )
        table = pq.read_table(out / part.path, columns=list({*names, *helpers}), partitioning=None)
        tables.append(_cut(table, clock, first, stop))
    # parts hold the columns of their time: one that came later is null in older parts
    whole = pa.concat_tables(tables[1:] or tables, promote_options="default").unify_dictionaries()
    if kind == "book" and not incomplete:
        whole = whole.filter(whole["complete"])
    if order is not None:
        whole = whole.sort_by(order)
    return whole.select(names)


def _chosen(out: Path, kind: str, symbol: str, venue: str | None) -> list[Part]:
    with read_ledger(out) as ledger:
        known = parts_of(ledger)
    same = [part for part in known if part.kind == kind and venue in (None, part.venue)]
    found = [part for part in same if part.symbol == symbol]
    if not found:
        held = ", ".join(sorted({f"{part.venue} {part.kind} {part.symbol}".strip() for part in known})) or "nothing"
        raise InputError(f"no {kind} of {symbol!r}", where=str(out), remedy=f"it holds {held}")
    if len(venues := sorted({part.venue for part in found})) > 1:
        raise InputError(f"{symbol} is recorded of {', '.join(venues)}", where=str(out), remedy="name the venue")
    return found


def _outside(part: Part, first: int | None, stop: int | None) -> bool:
    early = first is not None and part.last_ns < first * 1_000_000
    return early or (stop is not None and part.first_ns >= stop * 1_000_000)


def _cut(table: pa.Table, clock: str, first: int | None, stop: int | None) -> pa.Table:
    unit = 1_000_000 if clock == "local_ts_ns" else 1000 if table.schema.field(clock).type.unit == "us" else 1
    times = table[clock].cast(pa.int64())
    if first is not None:
        table = table.filter(pc.greater_equal(times, first * unit))
        times = table[clock].cast(pa.int64())
    if stop is not None:
        table = table.filter(pc.less(times, stop * unit))
    return table
