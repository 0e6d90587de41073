"""Hot rows as bytes: one Arrow IPC stream per chunk, so that a thousand bars cost SQLite one insert."""

from __future__ import annotations

import pyarrow as pa

from data_pipeline.schema import BAR_SCHEMA


def encode(table: pa.Table) -> bytes:
    """The rows of `table` as an uncompressed Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode(payload: bytes) -> pa.Table:
    """The table that `encode` was given; columns point into `payload`, nothing is copied."""
    return pa.ipc.open_stream(pa.py_buffer(payload)).read_all()


def join(payloads: list[bytes]) -> pa.Table:
    """All chunks of bars, in the order given, as one table; without any, an empty one."""
    if not payloads:
        return BAR_SCHEMA.empty_table()
    return pa.concat_tables([decode(payload) for payload in payloads])
