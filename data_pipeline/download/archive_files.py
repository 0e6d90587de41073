"""The exchange's zipped CSV files to tables: one fixed format, header line or not, ms or µs."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from isal import isal_zlib

from data_pipeline.columns import ARCHIVE_COLUMNS
from data_pipeline.download.answers import MICROSECONDS, table_of_bars
from data_pipeline.download.numbers import RowLayout, csv_columns
from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, validate_bars
from data_pipeline.store.layout import Span
from data_pipeline.store.trades import TRADE_SCHEMA

_TRADE_COLUMNS = ("agg_id", "price", "qty", "first_id", "last_id", "time", "buyer_is_maker", "best_match")
_BAR_LAYOUT = RowLayout(
    len(ARCHIVE_COLUMNS),
    tuple(ARCHIVE_COLUMNS.index(name) for name in BAR_SCHEMA.names),
    whole=tuple(ARCHIVE_COLUMNS.index(name) for name in ("open_time", "trades")),
)
_PIECE = 1 << 16  # bytes of packed data at a time
_LOCAL_HEADER = 30  # bytes of a zip's local file header before the name and the extra field
_REMEDY = "fetch the file again; if it stays so, report it to the archive's owner"


def inflate(content: bytes, name: str) -> Iterator[bytes]:
    """The one CSV inside a zip archive, piece by piece. Raises InputError, naming the file, for anything else.

    Pieces of some hundred kB are parsed while the processor's cache holds them. ISA-L takes 0.4 of zlib's time.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
            if len(members) != 1:
                raise InputError(f"the archive holds {len(members)} CSV files", where=name, remedy=_REMEDY)
            entry = members[0]
            if entry.compress_type != zipfile.ZIP_DEFLATED:
                yield archive.read(entry)
                return
        header = content[entry.header_offset : entry.header_offset + _LOCAL_HEADER]
        begin = entry.header_offset + _LOCAL_HEADER + int.from_bytes(header[26:28], "little")
        begin += int.from_bytes(header[28:30], "little")
        packed = memoryview(content)[begin : begin + entry.compress_size]
        stream, size, checksum = isal_zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
        for start in range(0, len(packed), _PIECE):
            piece = stream.decompress(packed[start : start + _PIECE])
            size, checksum = size + len(piece), isal_zlib.crc32(piece, checksum)
            yield piece
        if not stream.eof or size != entry.file_size or checksum != entry.CRC:
            raise zipfile.BadZipFile("the contents are damaged")
    except (zipfile.BadZipFile, zlib.error, isal_zlib.error, EOFError, OSError) as error:  # type: ignore[misc]
        raise InputError(f"not a readable zip archive ({error})", where=name, remedy=_REMEDY) from None


def bars_from_archive(content: bytes, name: str, span: Span, interval_ms: int) -> pa.Table:
    """The bars of a kline archive as a validated table of `BAR_SCHEMA`.

    Raises InputError naming the file for a damaged archive, invalid bars, and bars outside `span`.
    """
    numbers = csv_columns(inflate(content, name), _BAR_LAYOUT, (span[1] - span[0]) // interval_ms)
    columns: dict[str, np.ndarray | pa.ChunkedArray]
    if numbers is not None:
        columns = dict(zip(BAR_SCHEMA.names, numbers, strict=True))
        times = numbers[0].astype(np.int64)
    else:  # written otherwise, or wrong: the general parser takes it, or says what is the matter
        raw = _parse(b"".join(inflate(content, name)), name, ARCHIVE_COLUMNS, _bar_types())
        columns = {column: raw[column] for column in BAR_SCHEMA.names}
        times = raw["open_time"].to_numpy()
    if len(times) and times[0] > MICROSECONDS:
        if (times % 1000).any():
            raise InputError("open times off the millisecond", where=name, remedy=_REMEDY)
        times = times // 1000
    try:
        table = table_of_bars(times, columns)
    except pa.ArrowInvalid as error:
        raise InputError(f"trades are no counts ({error})", where=name, remedy=_REMEDY) from None
    validate_bars(table, name, interval_ms=interval_ms, now_ms=span[1])
    if times[0] < span[0] or times[-1] >= span[1]:
        raise InputError(
            f"bars {times[0]} to {times[-1]} are not of [{span[0]}, {span[1]})", where=name, remedy=_REMEDY
        )
    return table


def trades_from_archive(content: bytes, name: str, span: Span) -> pa.Table:
    """The trades of an aggTrades archive as a table of `TRADE_SCHEMA`, times in µs whatever the file has.

    Raises InputError naming the file for a damaged archive, ids that do not rise, sizes that are not positive, times
    that go back or lie outside `span`.
    """
    types = {field.name: field.type for field in TRADE_SCHEMA} | {"time": pa.int64(), "best_match": pa.bool_()}
    raw = _parse(b"".join(inflate(content, name)), name, _TRADE_COLUMNS, types)
    times = raw["time"].to_numpy()
    if len(times) == 0 or times[0] <= MICROSECONDS:
        times = times * 1000
    columns = [
        raw[n] if n != "time" else pa.array(times).cast(pa.timestamp("us", tz="UTC")) for n in TRADE_SCHEMA.names
    ]
    table = pa.table(columns, schema=TRADE_SCHEMA)
    checks = (
        ("trade ids that do not rise", np.diff(raw["agg_id"].to_numpy()) <= 0),
        ("times that go back", np.diff(times) < 0),
        ("a price or quantity that is not positive", ~(raw["price"].to_numpy() > 0) | ~(raw["qty"].to_numpy() > 0)),
        ("trades of another day", (times < span[0] * 1000) | (times >= span[1] * 1000)),
    )
    for what, bad in checks:
        if bad.any():
            raise InputError(f"{what}, first at row {int(np.argmax(bad))}", where=name, remedy=_REMEDY)
    return table


def _bar_types() -> dict[str, pa.DataType]:
    types: dict[str, pa.DataType] = {field.name: field.type for field in BAR_SCHEMA}
    return types | {"open_time": pa.int64(), "close_time": pa.int64(), "ignore": pa.string()}


def _parse(text: bytes, name: str, columns: tuple[str, ...], types: dict[str, pa.DataType]) -> pa.Table:
    """CSV text by position: names in a header line vary over the years, the order never did."""
    first = text[: text.find(b"\n")]
    width = first.count(b",") + 1
    if not first or width > len(columns) or width < len(columns) - 1:
        raise InputError(f"{width} fields in the first line", where=name, remedy=_REMEDY)
    names = list(columns[:width])
    wanted = [column for column in names if column not in ("close_time", "ignore", "best_match")]
    try:
        return pa_csv.read_csv(
            pa.BufferReader(text),
            pa_csv.ReadOptions(
                column_names=names, skip_rows=int(not first[:1].isdigit()), use_threads=False, block_size=len(text) + 1
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={column: types[column] for column in wanted},
                include_columns=wanted,
                true_values=["True", "true"],
                false_values=["False", "false"],
            ),
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"not readable as CSV ({error})", where=name, remedy=_REMEDY) from None
