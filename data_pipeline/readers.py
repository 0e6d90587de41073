"""Bars from files: Parquet, CSV and the exchange's zipped CSV, one table of `BAR_SCHEMA` out."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.columns import (
    match_columns,
    nan_to_null,
    numbers_to_float64,
    plain_name,
    times_to_ms,
    trades_to_int32,
)
from data_pipeline.csv_files import CUT_SHORT, csv_bytes, parse_csv
from data_pipeline.errors import InputError
from data_pipeline.instruments import split_symbol
from data_pipeline.schema import BAR_SCHEMA, INTERVAL_MS, OPTIONAL_COLUMNS, bar_arrays, iso_time, validate_bars

SUFFIXES = (".parquet", ".csv", ".zip")
_INTERVAL = re.compile(r"^(?:\d{1,2}[mhdw]|1mo|1min)$", re.IGNORECASE)
_SYMBOL = re.compile(r"^[A-Z0-9]{2,12}(?:USDT|USDC|FDUSD|BUSD|TUSD|USD|EUR|BTC|ETH)$")


@dataclass(frozen=True, slots=True)
class _Source:
    """One validated file: its bars, and the metadata that travels with them."""

    where: str
    table: pa.Table
    symbol: str | None
    synthetic: dict[bytes, bytes]


def read_bars(
    *paths: str | Path,
    start: str | None = None,
    end: str | None = None,
    interval: str = "1m",
    symbol: str | None = None,
) -> pa.Table:
    """Read one symbol's bars from one or several files into a table of `BAR_SCHEMA`, sorted by open time.

    A path is a .parquet, .csv or .zip file, or a folder of .parquet files (with `symbol`, only that symbol's). Column
    names and time units are recognised (docs/data.md lists them); what a file does not give is null. Each whole file
    is validated before it is cut to [start, end), which are ISO dates or times, UTC unless they say otherwise.
    Missing minutes stay missing. Rows that two files share must be equal and are kept once.

    The schema metadata holds `symbol` and `interval`, and for synthetic bars `synthetic=true` and `synthetic_config`.

    Raises InputError, one line with file, row, value and remedy, for everything that is wrong with a file, for files
    of several symbols, for overlaps that disagree, and for a range without bars.
    """
    interval_ms = INTERVAL_MS.get(interval)
    if interval_ms is None:
        raise InputError(f"interval {interval!r} is unknown", remedy=f"use one of {' '.join(INTERVAL_MS)}")
    start_ms, end_ms = _iso_to_ms(start, "start"), _iso_to_ms(end, "end")
    files = [file for path in paths for file in _expand(Path(path), symbol)]
    if not files:
        raise InputError("no file of bars is given", where="read_bars", remedy="give at least one path")
    sources = [_read_file(file, interval_ms) for file in files]
    name = _common_symbol(sources, files, symbol)
    table = _cut(_join(sources), start_ms, end_ms, " ".join(source.where for source in sources))
    label = {b"symbol": name.encode(), b"interval": interval.encode(), **_common_label(sources)}
    return table.replace_schema_metadata(label)


def symbol_from_path(path: str | Path) -> str:
    """The symbol that a file name tells ('BTCUSDT-1m-2026-03.zip' -> 'BTCUSDT'), else its stem in capitals."""
    return _recognise_symbol(Path(path)) or Path(path).stem.upper()


def _recognise_symbol(path: Path) -> str | None:
    parts = [part.upper() for part in re.split(r"[-_. ]+", path.stem)]
    for before, part in pairwise(parts):
        if _INTERVAL.match(part) and split_symbol(before)[1]:
            return before
    return next((part for part in parts if _SYMBOL.match(part)), None)


def _iso_to_ms(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{name} {text!r} is not an ISO date", remedy="write such as 2026-03-01 or 2026-03-01T12:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _expand(path: Path, symbol: str | None) -> list[Path]:
    if not path.exists():
        raise InputError("there is no such file", where=str(path), remedy="check the path")
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"{path.suffix!r} is no known kind of file", where=str(path), remedy=f"use {' '.join(SUFFIXES)}"
            )
        return [path]
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise InputError("the folder holds no .parquet file", where=str(path), remedy="name the files themselves")
    if symbol is None:
        return files
    chosen = [file for file in files if split_symbol(symbol_from_path(file)) == split_symbol(symbol)]
    if not chosen:
        there = " ".join(sorted({symbol_from_path(file) for file in files}))
        raise InputError(f"unknown symbol {symbol!r}", where=str(path), remedy=f"the folder holds {there}")
    return chosen


def _read_file(path: Path, interval_ms: int) -> _Source:
    where = path.name
    raw = _read_parquet(path) if path.suffix.lower() == ".parquet" else parse_csv(csv_bytes(path), where)
    if raw.num_rows == 0:
        raise InputError("there are no bars", where=where, remedy="give a file with at least one bar")
    names = match_columns(raw.column_names, where)
    columns = {"open_time": times_to_ms(raw[names["open_time"]], where)}
    for name in BAR_SCHEMA.names[1:]:
        if name not in names:
            columns[name] = pa.chunked_array([pa.nulls(raw.num_rows, BAR_SCHEMA.field(name).type)])
            continue
        values = numbers_to_float64(raw[names[name]], name, where)
        values = nan_to_null(values) if name in OPTIONAL_COLUMNS else values
        columns[name] = trades_to_int32(values, where) if name == "trades" else values
    table = pa.table(columns, schema=BAR_SCHEMA)
    validate_bars(table, where, interval_ms=interval_ms)
    metadata = raw.schema.metadata or {}
    synthetic = {key: value for key, value in metadata.items() if key.startswith(b"synthetic")}
    return _Source(where, table, _symbol_inside(raw, metadata, where) or _recognise_symbol(path), synthetic)


def _symbol_inside(raw: pa.Table, metadata: dict[bytes, bytes], where: str) -> str | None:
    """The symbol that a file's metadata or its symbol column names."""
    column = next((name for name in raw.column_names if plain_name(name) == "symbol"), None)
    if column is None:
        return metadata[b"symbol"].decode() if b"symbol" in metadata else None
    symbols = [str(value) for value in raw[column].unique().to_pylist() if value is not None]
    if len(symbols) > 1:
        raise InputError(
            f"the symbol column holds {' and '.join(symbols[:3])}", where=where, remedy="give one file per symbol"
        )
    return symbols[0] if symbols else None


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable Parquet file ({error})", where=path.name, remedy=CUT_SHORT) from None


def _common_symbol(sources: list[_Source], files: list[Path], symbol: str | None) -> str:
    named = {split_symbol(source.symbol): source for source in sources if source.symbol}
    if symbol is not None:
        for pair, source in named.items():
            if pair != split_symbol(symbol):
                raise InputError(
                    f"the file is of symbol {source.symbol}, not {symbol}",
                    where=source.where,
                    remedy="give matching files",
                )
        return symbol
    if len(named) > 1:
        first, second = list(named.values())[:2]
        raise InputError(
            f"{first.where} is of symbol {first.symbol}, {second.where} of {second.symbol}",
            where="read_bars",
            remedy="read one symbol at a time",
        )
    return next((source.symbol for source in named.values() if source.symbol), symbol_from_path(files[0]))


def _common_label(sources: list[_Source]) -> dict[bytes, bytes]:
    """The synthetic label of all files, empty for real bars; a mixture of the two is refused."""
    label = sources[0].synthetic
    for source in sources[1:]:
        if source.synthetic != label:
            raise InputError(
                f"synthetic bars of another kind than in {sources[0].where}",
                where=source.where,
                remedy="read them apart",
            )
    return label


def _join(sources: list[_Source]) -> pa.Table:
    """All bars in order of time; rows present twice must be equal and are kept once."""
    if len(sources) == 1:
        return sources[0].table
    table = pa.concat_tables([source.table for source in sources])
    origin = np.repeat(np.arange(len(sources)), [source.table.num_rows for source in sources])
    times = bar_arrays(table).open_time_ms
    order = np.argsort(times, kind="stable")
    table, times, origin = table.take(order), times[order], origin[order]
    again = np.flatnonzero(times[1:] == times[:-1]) + 1
    bars = bar_arrays(table)
    for name in BAR_SCHEMA.names[1:]:
        values = getattr(bars, name)
        differs = (values[again] != values[again - 1]) & ~(np.isnan(values[again]) & np.isnan(values[again - 1]))
        if differs.any():
            row = int(again[np.argmax(differs)])
            one, two = sources[origin[row - 1]].where, sources[origin[row]].where
            raise InputError(
                f"{name} is {values[row - 1]} in {one} and {values[row]} in {two}",
                where=f"bar {iso_time(int(times[row]))}",
                remedy="leave out the file that is wrong",
            )
    return table.take(np.delete(np.arange(len(times)), again)).combine_chunks()


def _cut(table: pa.Table, start_ms: int | None, end_ms: int | None, where: str) -> pa.Table:
    times = bar_arrays(table).open_time_ms
    first = 0 if start_ms is None else int(np.searchsorted(times, start_ms))
    stop = len(times) if end_ms is None else int(np.searchsorted(times, end_ms))
    if first >= stop:
        wanted = (
            f"{'...' if start_ms is None else iso_time(start_ms)} to {'...' if end_ms is None else iso_time(end_ms)}"
        )
        raise InputError(
            f"no bars from {wanted}",
            where=where,
            remedy=f"the bars run from {iso_time(int(times[0]))} to {iso_time(int(times[-1]))}",
        )
    return table.slice(first, stop - first)
