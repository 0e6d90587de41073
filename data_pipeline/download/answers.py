"""An exchange's rows to bars, believing nothing: shape, numbers, unit of time, order, grid, range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.download.numbers import RowLayout, json_columns
from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, validate_bars
from data_pipeline.store.layout import Span

MICROSECONDS = 10**14  # a stamp above this is in microseconds; as milliseconds it would lie past the year 5000


class BadAnswerError(Exception):
    """An answer under status 200 that cannot be true; ask again."""


def bars_from_rows(
    rows: Any, columns: dict[str, int], span: Span, interval_ms: int, *, newest_first: bool = False
) -> pa.Table:
    """Rows as a table of `BAR_SCHEMA`, ascending, inside `span`. `columns` maps names to positions in a row.

    Raises BadAnswerError for anything but a list of rows of one width that hold numbers, in one order without
    duplicates, on the grid and inside the span. An empty list is a valid answer: there may be no bars.
    """
    if not isinstance(rows, list):
        raise BadAnswerError(f"not a list of rows but {type(rows).__name__}")
    if not rows:
        return BAR_SCHEMA.empty_table()
    if set(map(type, rows)) != {list}:
        raise BadAnswerError("a row is not a list")
    widths = set(map(len, rows))
    if len(widths) > 1 or min(widths) <= max(columns.values()):
        raise BadAnswerError(f"rows of {min(widths)} to {max(widths)} fields")
    if newest_first:
        rows = rows[::-1]
    fields = list(zip(*rows, strict=True))
    try:
        arrays = {
            name: np.fromiter(map(float, fields[place]), np.float64, len(rows))
            for name, place in columns.items()
            if name != "open_time"
        }
        times = np.fromiter(map(int, fields[columns["open_time"]]), np.int64, len(rows))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnswerError(f"a field is not a number ({error})") from None
    return _believed(times, arrays, span, interval_ms)


def bars_from_text(text: str, layout: RowLayout, span: Span, interval_ms: int) -> pa.Table | None:
    """What `bars_from_rows` makes of the rows of a JSON text, ascending, without making a single object of them.

    `layout` names the places of the columns of `BAR_SCHEMA`. None when the text is anything but rows of plain numbers:
    the general way takes it, or finds what is wrong. Raises BadAnswerError for rows that cannot be true.
    """
    numbers = json_columns(text, layout)
    if numbers is None:
        return None
    arrays = dict(zip(BAR_SCHEMA.names, numbers, strict=True))
    return _believed(arrays["open_time"].astype(np.int64), arrays, span, interval_ms)


def _believed(times: np.ndarray, arrays: dict[str, np.ndarray], span: Span, interval_ms: int) -> pa.Table:
    times = _milliseconds(times)
    if not span[0] <= times[0] <= times[-1] < span[1]:
        raise BadAnswerError(f"bars {times[0]} to {times[-1]} when asked for [{span[0]}, {span[1]})")
    try:
        table = table_of_bars(times, arrays)
        validate_bars(table, "answer", interval_ms=interval_ms, now_ms=span[1])
    except (InputError, pa.ArrowInvalid) as error:
        raise BadAnswerError(str(error)) from None
    return table


def _milliseconds(times: np.ndarray) -> np.ndarray:
    micro = np.abs(times) > MICROSECONDS
    if not micro.any():
        return times
    if not micro.all() or (times % 1000).any():
        raise BadAnswerError("open times mix units")
    return times // 1000


def table_of_bars(times: np.ndarray, columns: Mapping[str, np.ndarray | pa.ChunkedArray]) -> pa.Table:
    """Columns of T rows as a table of `BAR_SCHEMA`, absent ones null; nothing is checked but that trades are whole.

    `times` are int64 ms, the others numbers. Raises pa.ArrowInvalid for trades that are no int32.
    """

    def column(field: pa.Field) -> pa.Array | pa.ChunkedArray:
        if field.name == "open_time":
            return pa.array(times).cast(field.type)
        if field.name not in columns:
            return pa.nulls(len(times), field.type)
        values = columns[field.name]
        if isinstance(values, np.ndarray):
            values = pa.array(values)
        return values if values.type == field.type else values.cast(field.type)

    return pa.table([column(field) for field in BAR_SCHEMA], schema=BAR_SCHEMA)


def cut_rows(rows: Any, span: Span) -> Any:
    """Rows of a plain `fetch_ohlcv` inside `span`: most venues take no end, so more may come than was asked for.

    Raises BadAnswerError when rows came but none of them was asked for: the venue ignores the start, and to take its
    silence about the span for a gap would be wrong.
    """
    if not isinstance(rows, list) or not rows:
        return rows
    try:
        inside = [row for row in rows if span[0] <= row[0] < span[1]]
    except (TypeError, IndexError, KeyError):
        raise BadAnswerError("a row does not begin with a time") from None
    if not inside and min(row[0] for row in rows) < span[0]:
        raise BadAnswerError("the venue answered with other bars than it was asked for")
    return inside
