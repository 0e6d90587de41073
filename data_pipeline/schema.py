"""The contract of bars: Arrow schema, plain arrays for compiled code, contiguous stretches."""

from dataclasses import dataclass

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
