"""The exchange's zipped CSV files to tables: one fixed format, header line or not, ms or µs."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from zlib_ng import zlib_ng

from data_pipeline.columns import ARCHIVE_COLUMNS
from data_pipeline.download.answers import MICROSECONDS
from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, validate_bars
from data_pipeline.store.layout import Span
from data_pipeline.store.trades import TRADE_SCHEMA

_TRADE_COLUMNS = ("agg_id", "price", "qty", "first_id", "last_id", "time", "buyer_is_maker", "best_match")
_LOCAL_HEADER = 30  # bytes of a zip's local file header before the name and the extra field
_REMEDY = "fetch the file again; if it stays so, report it to the archive's owner"


def unzip(content: bytes, name: str) -> bytes:
    """The one CSV inside a zip archive. Raises InputError, naming the file, for anything else.

    Inflated by zlib-ng, which takes two thirds of the time of zlib; the caller has checked the archive's sha256.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
            if len(members) != 1:
                raise InputError(f"the archive holds {len(members)} CSV files", where=name, remedy=_REMEDY)
            entry = members[0]
            if entry.compress_type != zipfile.ZIP_DEFLATED:
                return archive.read(entry)
        header = content[entry.header_offset : entry.header_offset + _LOCAL_HEADER]
        begin = entry.header_offset + _LOCAL_HEADER + int.from_bytes(header[26:28], "little")
        begin += int.from_bytes(header[28:30], "little")
        text = zlib_ng.decompress(content[begin : begin + entry.compress_size], -15, entry.file_size)
        if len(text) != entry.file_size or zlib_ng.crc32(text) != entry.CRC:
            raise zipfile.BadZipFile("the contents are damaged")
    except (zipfile.BadZipFile, zlib.error, zlib_ng.error, EOFError, OSError) as error:  # type: ignore[misc]
        raise InputError(f"not a readable zip archive ({error})", where=name, remedy=_REMEDY) from None
    return text


def bars_from_archive(content: bytes, name: str, span: Span, interval_ms: int) -> pa.Table:
    """The bars of a kline archive as a validated table of `BAR_SCHEMA`.

    Raises InputError naming the file for a damaged archive, invalid bars, and bars outside `span`.
    """
    raw = _parse(unzip(content, name), name, ARCHIVE_COLUMNS, _bar_types())
    times = raw["open_time"].to_numpy()
    if len(times) and times[0] > MICROSECONDS:
        if (times % 1000).any():
            raise InputError("open times off the millisecond", where=name, remedy=_REMEDY)
        times = times // 1000
    columns = [pa.array(times).cast(BAR_SCHEMA.field("open_time").type)]
    columns += [raw[field.name].cast(field.type) for field in list(BAR_SCHEMA)[1:]]
    table = pa.table(columns, schema=BAR_SCHEMA)
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
    raw = _parse(unzip(content, name), name, _TRADE_COLUMNS, types)
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
