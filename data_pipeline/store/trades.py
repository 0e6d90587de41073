"""Aggregated trades of the lake: one part a day."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from data_pipeline.errors import InputError
from data_pipeline.store.layout import TRADES, Series, to_ms
from data_pipeline.store.ledger import Ledger
from data_pipeline.store.parts import is_intact, read_part

TRADE_SCHEMA: pa.Schema = pa.schema(
    [
        ("agg_id", pa.int64()),
        ("price", pa.float64()),
        ("qty", pa.float64()),
        ("first_id", pa.int64()),
        ("last_id", pa.int64()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("buyer_is_maker", pa.bool_()),
    ]
)


def read_trades(
    root: str | Path,
    venue: str,
    symbol: str,
    start: int | str | None = None,
    end: int | str | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Aggregated trades with `time` in [start, end), a table of `TRADE_SCHEMA`, in order of their ids.

    Raises InputError for an unknown series and for a day whose file is not what was sealed.
    """
    ledger = Ledger(Path(root), write=False)
    try:
        series = Series(venue, symbol, TRADES)
        parts = ledger.parts(series)
    finally:
        ledger.close()
    if not parts:
        raise InputError(f"no trades of {venue} {symbol}", where=str(root), remedy="download them with --data trades")
    first, stop = to_ms(start, "start"), to_ms(end, "end")
    span = (0 if first is None else first, 1 << 53 if stop is None else stop)
    names = list(TRADE_SCHEMA.names if columns is None else columns)
    tables = []
    for part in parts:
        if part.start_ms < span[1] and part.stop_ms > span[0]:
            if not is_intact(Path(root), part):
                raise InputError(
                    "the file is gone or not what was sealed", where=part.path, remedy="download the day again"
                )
            tables.append(read_part(Path(root) / part.path, span, names, "time"))
    return pa.concat_tables(tables) if tables else TRADE_SCHEMA.empty_table().select(names)
