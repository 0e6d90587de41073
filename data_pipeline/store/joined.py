"""Derived views that join instruments which are not one and the same, and say so in every row."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, iso_time
from data_pipeline.store.bar_store import BarStore, Moment


def read_joined(store: BarStore, symbols: Sequence[str], start: Moment = None, end: Moment = None) -> pa.Table:
    """Bars of successive instruments one after the other, such as MATIC/USDT and then POL/USDT.

    A table of `BAR_SCHEMA` plus `instrument`, the symbol that each row really is of. Prices and sizes are taken as they
    are: nothing is scaled at the join (MATIC became POL one to one; other successions need a ratio). The metadata holds
    derived=true and the symbols. Between two instruments there may be a gap; it stays.

    Raises InputError when two of the instruments overlap in time: which of them to take is not for a view to choose.
    """
    tables, last, previous = [], None, ""
    for symbol in symbols:
        table = store.read(symbol, start, end)
        if table.num_rows == 0:
            continue
        times = table["open_time"].cast(pa.int64())
        first = times[0].as_py()
        if last is not None and first <= last:
            raise InputError(
                f"{symbol} begins at {iso_time(first)}, before {previous} ends at {iso_time(last)}",
                where="joined view",
                remedy="give the symbols in order of time and cut them with start and end",
            )
        last, previous = times[-1].as_py(), symbol
        names = pa.DictionaryArray.from_arrays(pa.array([0] * table.num_rows, pa.int32()), [symbol])
        tables.append(table.append_column("instrument", names).replace_schema_metadata(None))
    schema = BAR_SCHEMA.append(pa.field("instrument", pa.dictionary(pa.int32(), pa.string())))
    joined = pa.concat_tables(tables).unify_dictionaries() if tables else schema.empty_table()
    return joined.replace_schema_metadata({"derived": "true", "instruments": " ".join(symbols)})
