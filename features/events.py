"""Events of a recording (trades, quotes, books) as plain arrays for the feature streams, with both of their clocks."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from data_pipeline.errors import InputError
from data_pipeline.schema import column_float64
from features.catalogue import KINDS

EXCHANGE_CLOCKS = ("trade_time_ms", "trans_time_ms", "event_time_ms")
"""Columns that hold the exchange's own time, the closest to the matching engine first."""


@dataclass(frozen=True, slots=True)
class Events:
    """The key and the fields of one kind as arrays (T,), each field an attribute of its own name."""

    time_ns: np.ndarray
    """int64 (T,), non-decreasing: the clock that windows, rates and decays run on."""
    local_time_ns: np.ndarray
    """int64 (T,), when each event was received; what `features.sampling` asks for."""
    columns: dict[str, np.ndarray]
    """float64 (T,) by field."""

    def __len__(self) -> int:
        return len(self.time_ns)

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(name) from None

    def slice(self, start: int, stop: int) -> "Events":
        """Rows [start, stop) as views."""
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        return Events(self.time_ns[start:stop], self.local_time_ns[start:stop], columns)


def read_events(table: pa.Table, kind: str, clock: Literal["local", "exchange"] = "local") -> Events:
    """The events of a recorded table (`data_pipeline.recording`), for `FeatureStream(kind=kind).update_many`.

    `clock` says what `time_ns` is. "local" always exists and is what a live system sees, the network's jitter included.
    "exchange" is free of the jitter, but some streams carry no such time, and where they do it has milliseconds only.

    Raises InputError for a missing column, an exchange clock that is absent or has nulls, or a clock that goes back.
    """
    where = f"{kind} table"
    fields = KINDS[kind].fields
    for name in ("local_ts_ns", *fields):
        if name not in table.column_names:
            raise InputError(f"column {name!r} is missing", where=where, remedy="give a recorded table of this kind")
    local = np.ascontiguousarray(table["local_ts_ns"].to_numpy(), dtype=np.int64)
    time = local if clock == "local" else _exchange_time(table, where)
    back = np.flatnonzero(np.diff(time) < 0)
    if len(back):
        raise InputError(f"row {back[0] + 1} is earlier than the one above", where=where, remedy="sort by this clock")
    return Events(time, local, {name: column_float64(table[name]) for name in fields})


def _exchange_time(table: pa.Table, where: str) -> np.ndarray:
    for name in EXCHANGE_CLOCKS:
        if name in table.column_names and table[name].null_count == 0:
            return 1_000_000 * np.ascontiguousarray(table[name].to_numpy(), dtype=np.int64)
    raise InputError("it carries no exchange time", where=where, remedy='use clock="local"')
