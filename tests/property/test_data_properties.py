"""Properties of bars that hold for any content: round trips, stretches, and no bad cell that slips through."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.quality import quality_report
from data_pipeline.readers import read_bars
from data_pipeline.schema import BAR_SCHEMA, bar_arrays, segments, validate_bars

MINUTE = 60_000
START = 1_577_836_800_000
prices = st.floats(min_value=1e-8, max_value=1e8)
sizes = st.floats(min_value=0.0, max_value=1e12)
maybe = st.one_of(st.none(), sizes)


@st.composite
def bar_tables(draw: st.DrawFn) -> pa.Table:
    """Any valid bars: random gaps, prices over sixteen decades, zero sizes, nulls where they are allowed."""
    count = draw(st.integers(2, 12))
    steps = [1, *draw(st.lists(st.integers(1, 5000), min_size=count - 2, max_size=count - 2))]
    minutes = np.concatenate(([0], np.cumsum(steps)))
    rows = []
    for minute in minutes:
        four = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
        open_, close = draw(st.sampled_from([(four[1], four[2]), (four[2], four[1]), (four[0], four[3])]))
        trades = draw(st.one_of(st.none(), st.integers(0, 2**31 - 1)))
        priced = [int(START + MINUTE * minute), open_, four[3], four[0], close]
        rows.append([*priced, draw(sizes), draw(maybe), trades, draw(maybe), draw(maybe)])
    columns = [list(column) for column in zip(*rows, strict=True)]
    arrays = [pa.array(columns[0], pa.int64()).cast(BAR_SCHEMA.field(0).type)]
    arrays += [pa.array(column, field.type) for column, field in zip(columns[1:], list(BAR_SCHEMA)[1:], strict=True)]
    return pa.table(arrays, schema=BAR_SCHEMA)


@settings(max_examples=60, deadline=None)
@given(bar_tables())
def test_any_valid_table_survives_parquet_and_csv(table: pa.Table) -> None:
    validate_bars(table, "drawn")
    quality_report(table)
    with tempfile.TemporaryDirectory() as folder:
        parquet, text = Path(folder) / "a.parquet", Path(folder) / "a.csv"
        pq.write_table(table, parquet)
        pa_csv.write_csv(table.set_column(0, "open_time", table["open_time"].cast(pa.int64())), text)
        for path in (parquet, text):
            again = read_bars(path)
            assert again.schema.equals(BAR_SCHEMA)
            assert again.equals(table)


BAD_VALUES = [float("nan"), float("inf"), -1.0]


@settings(max_examples=60, deadline=None)
@given(bar_tables(), st.data())
def test_a_bad_value_anywhere_is_found_at_its_row(table: pa.Table, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, table.num_rows - 1))
    name = data.draw(st.sampled_from(["open", "high", "low", "close", "volume"]))
    bad = data.draw(st.sampled_from(BAD_VALUES))
    values = table[name].to_pylist()
    values[row] = bad
    spoilt = table.set_column(table.column_names.index(name), BAR_SCHEMA.field(name), pa.array(values))
    with pytest.raises(InputError, match=rf"drawn, row {row} .*: {name} {bad} is ") as caught:
        validate_bars(spoilt, "drawn")
    assert caught.value.remedy


@settings(max_examples=60, deadline=None)
@given(bar_tables(), st.data())
def test_swapped_or_repeated_rows_are_refused(table: pa.Table, data: st.DataObject) -> None:
    row = data.draw(st.integers(1, table.num_rows - 1))
    order = np.arange(table.num_rows)
    order[row] = row - 1
    with pytest.raises(InputError, match=rf"row {row} .* is duplicated"):
        validate_bars(table.take(order), "drawn")
    order[row - 1] = row
    with pytest.raises(InputError, match=rf"row {row} .* is before the row above"):
        validate_bars(table.take(order), "drawn")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=30))
def test_segments_partition_the_rows(steps: list[int]) -> None:
    times = START + MINUTE * np.cumsum(np.array(steps, dtype=np.int64))
    parts = segments(times, MINUTE)
    assert np.concatenate([np.arange(*part) for part in parts] or [np.arange(0)]).tolist() == list(range(len(times)))
    for start, stop in parts:
        assert np.all(np.diff(times[start:stop]) == MINUTE)
    for (_, stop), (start, _) in pairwise(parts.tolist()):
        assert times[start] - times[stop - 1] > MINUTE


@settings(max_examples=40, deadline=None)
@given(bar_tables(), st.integers(0, 12), st.integers(0, 12))
def test_two_files_of_one_series_join_to_the_whole(table: pa.Table, one: int, two: int) -> None:
    first, second = sorted((min(one, table.num_rows - 1), min(two, table.num_rows - 1)))
    parts = (table.slice(0, second + 1), table.slice(first))
    # Three bars or more that are all far apart are taken for bars of a wider interval.
    assume(all(part.num_rows < 3 or np.diff(bar_arrays(part).open_time_ms).min() == MINUTE for part in parts))
    with tempfile.TemporaryDirectory() as folder:
        for name, part in zip(("b", "a"), parts, strict=True):
            pq.write_table(part, Path(folder) / f"{name}.parquet")
        assert read_bars(folder).equals(table)
