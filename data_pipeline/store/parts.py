"""Writing and reading one sealed file of the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.files import atomic_path, file_sha256, make_folders
from data_pipeline.store.layout import Series, Span
from data_pipeline.store.ledger import Part

ROW_GROUP = 7 * 1440  # a week of minutes: a reader of some days decodes little more than those
# Parquet's own encodings for floats and rising integers: half the time of the dictionary default, and smaller.
_DELTA = "DELTA_BINARY_PACKED"
_SPLIT = "BYTE_STREAM_SPLIT"


def write_part(root: Path, series: Series, span: Span, table: pa.Table, source: str) -> Part:
    """Write `table` to its place in the lake: temporary file, fsync, rename, fsync of the folder.

    The ledger does not know the part yet; until it does, recovery removes it again.
    """
    relative = series.part_path(span[0])
    size, digest = write_table(root / relative, table)
    return Part(series, *span, str(relative), table.num_rows, size, digest, source)


def write_table(path: Path, table: pa.Table) -> tuple[int, str]:
    """Write `table` as Parquet in the lake's manner, whole or not at all; its size in bytes and its sha256."""
    make_folders(path.parent)
    encodings = _encodings(table.schema)
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=ROW_GROUP,
            compression="snappy",  # every engine has it, and it decodes in half the time of zstd for a tenth more bytes
            use_dictionary=False,
            column_encoding=encodings,
            # times and ids are what rows are looked for by; the bounds of prices would cost a seventh of the writing
            write_statistics=[name for name, encoding in encodings.items() if encoding == _DELTA],
        )
        return temporary.stat().st_size, file_sha256(temporary)


def _encodings(schema: pa.Schema) -> dict[str, str]:
    chosen = {}
    for field in schema:
        if pa.types.is_floating(field.type):
            chosen[field.name] = _SPLIT
        elif pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type):
            chosen[field.name] = _DELTA
    return chosen


class Stored(Protocol):
    """What a ledger knows of a file it holds."""

    @property
    def path(self) -> str:
        """Relative to the store."""

    @property
    def bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Its hash, in hex."""


def is_intact(root: Path, part: Stored) -> bool:
    """Whether the part's file is there with the size and the hash that the ledger knows."""
    path = root / part.path
    return path.is_file() and path.stat().st_size == part.bytes and file_sha256(path) == part.sha256


def read_part(path: Path, span: Span, columns: list[str], time_column: str = "open_time") -> pa.Table:
    """Rows of a part whose time lies in `span`, reading only the row groups that hold some.

    Raises OSError or pyarrow's own errors for a file that is not there or not Parquet.
    """
    wanted = columns if time_column in columns else [time_column, *columns]
    with pq.ParquetFile(path, memory_map=True) as file:
        groups = _groups_in(file.metadata, span, time_column)
        table = file.read_row_groups(groups, columns=wanted, use_threads=False)
    times = table[time_column]
    unit_per_ms = 1000 if times.type.unit == "us" else 1
    values = times.cast(pa.int64()).to_numpy()
    first, stop = np.searchsorted(values, [span[0] * unit_per_ms, span[1] * unit_per_ms])
    return table.slice(int(first), int(stop - first)).select(columns)


def _groups_in(metadata: pq.FileMetaData, span: Span, time_column: str) -> list[int]:
    names = [metadata.schema.column(i).name for i in range(metadata.num_columns)]
    position = names.index(time_column)
    chosen = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(position).statistics
        low, high = statistics.min.timestamp() * 1000, statistics.max.timestamp() * 1000
        if high >= span[0] and low < span[1]:
            chosen.append(group)
    return chosen
