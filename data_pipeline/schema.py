"""The contract of bars: Arrow schema, its checks, plain arrays for compiled code, contiguous stretches."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from data_pipeline.errors import InputError

INTERVAL_MS: dict[str, int] = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}

BAR_SCHEMA: pa.Schema = pa.schema(
    [
        ("open_time", pa.timestamp("ms", tz="UTC")),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("quote_volume", pa.float64()),
        ("trades", pa.int32()),
        ("taker_buy_volume", pa.float64()),
        ("taker_buy_quote_volume", pa.float64()),
    ]
)
REQUIRED_COLUMNS: tuple[str, ...] = ("open_time", "open", "high", "low", "close", "volume")
OPTIONAL_COLUMNS: tuple[str, ...] = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
PRICE_COLUMNS: tuple[str, ...] = ("open", "high", "low", "close")
EARLIEST_MS = 1_230_768_000_000  # 2009-01-01: Bitcoin's first block; an earlier stamp is a wrong unit, not a bar
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class BarArrays:
    """The columns of a bar table as C-contiguous arrays of one length T, ready for compiled code.

    `open_time_ms` is int64 (T,) UTC milliseconds of the bar's OPEN; every other field is float64 (T,), in the
    units of `BAR_SCHEMA` (prices and quote volumes in quote units, volumes in base units). What a source does not
    give is NaN.
    """

    open_time_ms: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    quote_volume: np.ndarray
    trades: np.ndarray
    taker_buy_volume: np.ndarray
    taker_buy_quote_volume: np.ndarray

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def slice(self, start: int, stop: int) -> "BarArrays":
        """Rows [start, stop) as views."""
        return BarArrays(**{name: getattr(self, name)[start:stop] for name in self.__slots__})


def bar_arrays(table: pa.Table) -> BarArrays:
    """Turn a table of `BAR_SCHEMA` into `BarArrays`; nulls become NaN. O(T), copies only where it must.

    Raises InputError when a column of the schema is missing (tables from `read_bars` have them all).
    """
    missing = [name for name in BAR_SCHEMA.names if name not in table.column_names]
    if missing:
        raise InputError(f"column {missing[0]!r} is missing", where="bar table", remedy="load it with read_bars")
    time_ms = np.ascontiguousarray(table["open_time"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy())
    columns = {name: column_float64(table[name]) for name in BAR_SCHEMA.names[1:]}
    return BarArrays(open_time_ms=time_ms, **columns)


def column_float64(column: pa.ChunkedArray) -> np.ndarray:
    """One numeric column as contiguous float64 (T,), nulls as NaN."""
    values = column.cast(pa.float64()) if column.type != pa.float64() else column
    return np.ascontiguousarray(values.to_numpy(), dtype=np.float64)


def segments(open_time_ms: np.ndarray, interval_ms: int) -> np.ndarray:
    """Contiguous stretches of an increasing time axis: int64 (K, 2) rows [start, stop), in order.

    Inside a stretch every bar opens exactly `interval_ms` after the one before it. An empty axis gives (0, 2).
    """
    times = np.asarray(open_time_ms, dtype=np.int64)
    if len(times) == 0:
        return np.empty((0, 2), dtype=np.int64)
    breaks = np.flatnonzero(np.diff(times) != interval_ms) + 1
    starts = np.concatenate(([0], breaks))
    stops = np.concatenate((breaks, [len(times)]))
    return np.stack((starts, stops), axis=1).astype(np.int64)


def iso_time(time_ms: int) -> str:
    """UTC milliseconds as ISO text, or the bare number where no calendar date exists for it."""
    try:
        text = datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"time {time_ms}"
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


def validate_bars(table: pa.Table, where: str, *, interval_ms: int = 60_000, now_ms: int | None = None) -> None:
    """Raise InputError at the first thing wrong in a table of `BAR_SCHEMA`; `where` names it (a file name).

    Checked in this order: columns, types, at least one row, nulls in required columns, open times between 2009 and
    one day past `now_ms` (the clock, when None) and on the grid of `interval_ms`, strictly increasing, steps not all
    wider than the interval; prices finite and positive, open, close and low not above high, open and close not below
    low; volumes and trade counts finite and not negative. The message names the row (0-based), its open time, the
    value and the remedy. O(T), vectorised.
    """
    _check_schema(table, where)
    bars = bar_arrays(table)
    _check_times(bars.open_time_ms, where, interval_ms, now_ms)
    _check_prices(bars, where)
    _check_sizes(table, bars, where)


def _check_schema(table: pa.Table, where: str) -> None:
    if not table.schema.equals(BAR_SCHEMA):
        _check_columns(table, where)
    if table.num_rows == 0:
        raise InputError("there are no bars", where=where, remedy="give a file with at least one bar")
    for name in REQUIRED_COLUMNS:
        if table[name].null_count:
            row = int(np.flatnonzero(table[name].is_null().to_numpy())[0])
            raise InputError(f"{name} is missing", where=f"{where}, row {row}", remedy="drop the row or mend the file")


def _check_columns(table: pa.Table, where: str) -> None:
    for name in table.column_names:
        if name not in BAR_SCHEMA.names:
            raise InputError(
                f"unknown column {name!r}", where=where, remedy=f"known columns: {' '.join(BAR_SCHEMA.names)}"
            )
    for field in BAR_SCHEMA:
        if field.name not in table.column_names:
            raise InputError(f"column {field.name!r} is missing", where=where, remedy="load the file with read_bars")
        if table.schema.field(field.name).type != field.type:
            found = table.schema.field(field.name).type
            raise InputError(
                f"column {field.name!r} has type {found}",
                where=where,
                remedy=f"cast it to {field.type} (read_bars does)",
            )


def _check_times(times: np.ndarray, where: str, interval_ms: int, now_ms: int | None) -> None:
    latest = (int(time.time() * 1000) if now_ms is None else now_ms) + DAY_MS

    def fail(bad: np.ndarray, what: str, remedy: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            place = f"{where}, row {row} ({iso_time(int(times[row]))})"
            raise InputError(what.format(value=int(times[row])), where=place, remedy=remedy)

    fail(
        (times < EARLIEST_MS) | (times > latest),
        "open_time {value} ms is not between 2009 and tomorrow",
        "give the time in its true unit (s, ms, us or ns since 1970 UTC)",
    )
    fail(
        times % interval_ms != 0,
        f"open_time is off the {interval_ms // 1000} s grid",
        "use the time at which the bar OPENS, and pass the file's interval",
    )
    if len(times) < 2:
        return
    steps = np.diff(times)
    fail(np.concatenate(([False], steps == 0)), "open_time {value} is duplicated", "keep one bar per interval")
    fail(
        np.concatenate(([False], steps < 0)), "open_time {value} is before the row above", "sort the rows by open_time"
    )
    narrowest = int(steps.min())
    if narrowest > interval_ms and len(times) > 2:
        raise InputError(
            f"all bars are at least {narrowest // 1000} s apart, not {interval_ms // 1000} s",
            where=f"{where}, rows 0-{len(times) - 1}",
            remedy="pass the file's interval",
        )


def _row(where: str, bars: BarArrays, bad: np.ndarray) -> tuple[int, str]:
    row = int(np.argmax(bad))
    return row, f"{where}, row {row} ({iso_time(int(bars.open_time_ms[row]))})"


def _check_prices(bars: BarArrays, where: str) -> None:
    remedy = "drop the row or fetch the file again"
    for name in PRICE_COLUMNS:
        values = getattr(bars, name)
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            row, place = _row(where, bars, bad)
            kind = "not positive" if np.isfinite(values[row]) else "not a number"
            raise InputError(f"{name} {values[row]} is {kind}", where=place, remedy=remedy)
    pairs = (("high", "low"), ("high", "open"), ("high", "close"), ("open", "low"), ("close", "low"))
    for upper, lower in pairs:
        above, below = getattr(bars, upper), getattr(bars, lower)
        bad = above < below
        if bad.any():
            row, place = _row(where, bars, bad)
            raise InputError(f"{upper} {above[row]} is below {lower} {below[row]}", where=place, remedy=remedy)


def _check_sizes(table: pa.Table, bars: BarArrays, where: str) -> None:
    for name in ("volume", *OPTIONAL_COLUMNS):
        values = getattr(bars, name)
        given = ~np.isnan(values)
        if table[name].null_count + int(given.sum()) != len(values):  # a NaN that is not a null
            bad = ~given & ~table[name].is_null().to_numpy()
            row, place = _row(where, bars, bad)
            raise InputError(
                f"{name} {values[row]} is not a number", where=place, remedy="leave it empty where unknown"
            )
        bad = given & ~((values >= 0) & (values < np.inf))
        if bad.any():
            row, place = _row(where, bars, bad)
            kind = "negative" if values[row] < 0 else "infinite"
            raise InputError(
                f"{name} {values[row]} is {kind}", where=place, remedy="drop the row or fetch the file again"
            )
