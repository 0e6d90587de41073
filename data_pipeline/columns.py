"""A file's own columns to those of the contract: names by alias, times by magnitude, sizes as float64."""

import re
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, REQUIRED_COLUMNS

# Names are compared as lower-case letters and digits only, so "Open time", "open_time" and "openTime" are one.
ALIASES: dict[str, tuple[str, ...]] = {
    "open_time": ("opentime", "timestamp", "time", "date", "datetime", "opentimestamp", "opentimems", "ts", "unix"),
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice"),
    "low": ("low", "l", "lowprice"),
    "close": ("close", "c", "closeprice"),
    "volume": ("volume", "vol", "v", "basevolume", "volumebase", "baseassetvolume"),
    "quote_volume": ("quotevolume", "quoteassetvolume", "volumequote", "qv", "turnover"),
    "trades": ("trades", "count", "numberoftrades", "numtrades", "tradecount", "tradescount", "n"),
    "taker_buy_volume": ("takerbuyvolume", "takerbuybasevolume", "takerbuybaseassetvolume", "takerbuybase"),
    "taker_buy_quote_volume": ("takerbuyquotevolume", "takerbuyquoteassetvolume", "takerbuyquote"),
}
# Columns that carry nothing the contract lacks; "symbol" is read for the name only.
IGNORED = frozenset({"closetime", "ignore", "symbol", "interval", "index", "unnamed0", "indexlevel0", ""})
# Column order of an exchange archive without a header line, and of a plain OHLCV file.
ARCHIVE_COLUMNS: tuple[str, ...] = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
HEADERLESS: dict[int, tuple[str, ...]] = {12: ARCHIVE_COLUMNS, 11: ARCHIVE_COLUMNS[:-1], 6: ARCHIVE_COLUMNS[:6]}

_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
# (unit, upper bound of its magnitude for dates up to the year 5000, units per millisecond as numerator and denominator)
_UNITS = (("s", 1e11, 1000, 1), ("ms", 1e14, 1, 1), ("us", 1e17, 1, 1_000), ("ns", np.inf, 1, 1_000_000))


def plain_name(name: str) -> str:
    """Lower-case letters and digits of a column name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def match_columns(names: list[str], where: str) -> dict[str, str]:
    """Map contract name -> the file's name for it.

    Raises InputError for a name that is neither known nor listed as ignored, for two columns with one meaning, and
    for a required column that is absent.
    """
    found: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        canonical = _CANONICAL.get(plain)
        if canonical is None:
            if plain in IGNORED:
                continue
            raise InputError(
                f"unknown column {name!r}",
                where=where,
                remedy=f"drop or rename it; known columns: {' '.join(BAR_SCHEMA.names)}",
            )
        if canonical in found:
            raise InputError(
                f"columns {found[canonical]!r} and {name!r} both mean {canonical}", where=where, remedy="drop one"
            )
        found[canonical] = name
    for name in REQUIRED_COLUMNS:
        if name not in found:
            raise InputError(
                f"column {name!r} is missing (found: {' '.join(names)})", where=where, remedy="add it or rename it"
            )
    return found


def times_to_ms(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Open times of any accepted type as timestamp[ms, UTC]; nulls stay null.

    Accepted: integers and floats since 1970 UTC in s, ms, us or ns (told by magnitude, one unit per file), ISO text,
    Arrow timestamps (without a zone: UTC) and dates. Raises InputError naming the row of a value that is none of
    these, of a second unit, or that is not on a whole millisecond.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _parse_time_text(column, where)
        kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
        kind = column.type
    if pa.types.is_timestamp(kind):
        per_ms = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}[kind.unit]
        values = column.cast(pa.int64())
        unit = kind.unit
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = _whole_numbers(column, where)
        unit, per_ms = _unit_of(values, where)
    else:
        raise InputError(f"open_time has type {kind}", where=where, remedy="use integers, ISO text or timestamps")
    numbers = values.fill_null(0).to_numpy()
    milliseconds, rest = np.divmod(numbers * per_ms[0], per_ms[1])
    if rest.any():
        row = int(np.argmax(rest != 0))
        raise InputError(
            f"open_time {numbers[row]} {unit} is off the grid",
            where=f"{where}, row {row}",
            remedy="use the time at which the bar OPENS",
        )
    missing = values.is_null().to_numpy() if values.null_count else None
    return pa.chunked_array([pa.array(milliseconds, mask=missing).cast(BAR_SCHEMA.field("open_time").type)])


def _parse_time_text(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    for kind in (pa.int64(), pa.float64(), pa.timestamp("ms"), pa.timestamp("ms", tz="UTC")):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    for row, text in enumerate(column.to_pylist()):
        if text is not None and not _is_time(text):
            raise InputError(
                f"open_time {text!r} is not a time",
                where=f"{where}, row {row}",
                remedy="use a number since 1970 or ISO text such as 2026-03-01T00:00:00Z",
            )
    raise InputError("open_time mixes several notations", where=where, remedy="write all times the same way")


def _is_time(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return False
    return True


def _whole_numbers(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    values = column.cast(pa.float64())
    numbers = values.fill_null(0.0).to_numpy()
    # Seconds may carry a fraction; a millisecond is the finest that the contract knows.
    scaled = numbers * 1000.0 if numbers.size and abs(numbers[0]) < _UNITS[0][1] else numbers
    bad = ~np.isfinite(scaled) | (np.abs(scaled) >= 2.0**63) | (scaled != np.floor(scaled))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"open_time {numbers[row]} is not a whole number of ms",
            where=f"{where}, row {row}",
            remedy="use the time at which the bar OPENS",
        )
    mask = values.is_null().to_numpy() if values.null_count else None
    return pa.chunked_array([pa.array(scaled.astype(np.int64), mask=mask)])


def _unit_of(values: pa.ChunkedArray, where: str) -> tuple[str, tuple[int, int]]:
    """The one unit of all values by their magnitude; the first row decides, another row of another unit is an error."""
    known = values.drop_null().to_numpy()
    if len(known) == 0:
        return "ms", (1, 1)
    bounds = np.array([bound for _, bound, _, _ in _UNITS])
    index = np.searchsorted(bounds, np.abs(known.astype(np.float64)), side="right")
    other = index != index[0]
    unit, _, numerator, denominator = _UNITS[index[0]]
    if other.any():
        place = int(np.argmax(other))
        row = int(np.flatnonzero(values.is_valid().to_numpy())[place])
        raise InputError(
            f"open_time {known[place]} is in {_UNITS[index[place]][0]}, the first row is in {unit}",
            where=f"{where}, row {row}",
            remedy="write all times in one unit",
        )
    return unit, (numerator, denominator)


def numbers_to_float64(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """Any numeric column, or text of numbers, as float64. Raises InputError naming the first row that is no number."""
    try:
        return column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    for row, value in enumerate(column.to_pylist()):
        try:
            float("nan" if value is None else value)
        except (TypeError, ValueError):
            raise InputError(
                f"{name} {value!r} is not a number", where=f"{where}, row {row}", remedy="mend or drop the row"
            ) from None
    raise InputError(f"{name} has type {column.type}", where=where, remedy="store it as float64")


def nan_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A float column with NaN, which many writers use for "not given", as null."""
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def trades_to_int32(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Trade counts from float64 to int32. Raises InputError naming the first row that is no whole number."""
    values = column.fill_null(0.0).to_numpy()
    bad = ~((values == np.floor(values)) & (np.abs(values) < 2.0**31))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"trades {values[row]} is not a whole number", where=f"{where}, row {row}", remedy="mend or drop the row"
        )
    return column.cast(pa.int32())
