"""Every kind of bad bar is refused in one line that names file, row, value and remedy."""

import pickle

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA, bar_arrays, iso_time, segments, validate_bars
from data_pipeline.synthetic import synthetic_market

MINUTE = 60_000


@pytest.fixture(scope="module")
def bars() -> pa.Table:
    return synthetic_market(SyntheticConfig(bars=50)).bars


def changed(table: pa.Table, column: str, row: int, value: float | int | None) -> pa.Table:
    """The table with one cell replaced."""
    values = table[column].cast(pa.int64()).to_pylist() if column == "open_time" else table[column].to_pylist()
    values[row] = value
    kind = table.schema.field(column).type
    array = pa.array(values, pa.int64()).cast(kind) if column == "open_time" else pa.array(values, kind)
    return table.set_column(table.column_names.index(column), table.schema.field(column), array)


def test_valid_bars_pass(bars: pa.Table) -> None:
    validate_bars(bars, "good.csv")


BAD_CELLS = [
    ("close", 7, float("nan"), "close nan is not a number"),
    ("open", 7, float("inf"), "open inf is not a number"),
    ("low", 7, 0.0, "low 0.0 is not positive"),
    ("high", 7, -3.0, "high -3.0 is not positive"),
    ("high", 7, 1.0, "high 1.0 is below low"),
    ("open", 7, 1e6, "is below open 1000000.0"),
    ("close", 7, 1e6, "is below close 1000000.0"),
    ("open", 7, 1.0, "open 1.0 is below low"),
    ("close", 7, 1.0, "close 1.0 is below low"),
    ("volume", 7, -0.5, "volume -0.5 is negative"),
    ("volume", 7, float("nan"), "volume nan is not a number"),
    ("volume", 7, float("inf"), "volume inf is infinite"),
    ("volume", 7, None, "volume is missing"),
    ("close", 7, None, "close is missing"),
    ("quote_volume", 7, -1.0, "quote_volume -1.0 is negative"),
    ("taker_buy_volume", 7, float("nan"), "taker_buy_volume nan is not a number"),
    ("trades", 7, -2, "trades -2.0 is negative"),
]


@pytest.mark.parametrize(("column", "row", "value", "text"), BAD_CELLS)
def test_a_bad_cell_is_named_with_its_row(bars: pa.Table, column: str, row: int, value: float, text: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_bars(changed(bars, column, row, value), "bars.csv")
    message = str(caught.value)
    assert text in message
    assert message.startswith("bars.csv, row 7")
    assert value is None or "(2020-01-01T00:07:00Z)" in message
    assert caught.value.remedy
    assert "\n" not in message


START = 1_577_836_800_000


@pytest.mark.parametrize(
    ("row", "value", "text"),
    [
        (7, START + 6 * MINUTE, "row 7 (2020-01-01T00:06:00Z): open_time 1577837160000 is duplicated"),
        (7, START + 3 * MINUTE, "row 7 (2020-01-01T00:03:00Z): open_time 1577836980000 is before the row above"),
        (7, START + 7 * MINUTE + 1, "row 7 (2020-01-01T00:07:00.001Z): open_time is off the 60 s grid"),
        (7, START // 1000, "row 7 (1970-01-19T06:17:16.800Z): open_time 1577836800 ms is not between 2009"),
        (7, START * 1000, "row 7 (time 1577836800000000): open_time 1577836800000000 ms is not between 2009"),
        (0, 0, "row 0 (1970-01-01T00:00:00Z): open_time 0 ms is not between 2009"),
    ],
)
def test_a_bad_time_is_named_with_its_row(bars: pa.Table, row: int, value: int, text: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_bars(changed(bars, "open_time", row, value), "bars.csv")
    assert text in str(caught.value)


def test_bars_from_after_tomorrow_are_refused(bars: pa.Table) -> None:
    last = START + 49 * MINUTE
    validate_bars(bars, "bars.csv", now_ms=last - 86_400_000)
    with pytest.raises(InputError, match=r"row 49 .* not between 2009 and tomorrow"):
        validate_bars(bars, "bars.csv", now_ms=last - 86_400_001)


def test_bars_of_a_wider_interval_are_refused(bars: pa.Table) -> None:
    with pytest.raises(InputError, match="rows 0-9: all bars are at least 300 s apart, not 60 s"):
        validate_bars(bars.take(np.arange(0, 50, 5)), "bars.csv")
    validate_bars(bars.take(np.arange(0, 50, 5)), "bars.csv", interval_ms=300_000)


def test_a_gap_is_allowed(bars: pa.Table) -> None:
    validate_bars(bars.take(np.r_[0:10, 20:50]), "bars.csv")


def test_wrong_columns_and_types_are_refused(bars: pa.Table) -> None:
    with pytest.raises(InputError, match="unknown column 'vwap'"):
        validate_bars(bars.append_column("vwap", bars["close"]), "bars.csv")
    with pytest.raises(InputError, match="column 'trades' is missing"):
        validate_bars(bars.drop_columns(["trades"]), "bars.csv")
    with pytest.raises(InputError, match="column 'volume' has type string"):
        validate_bars(bars.set_column(5, "volume", bars["volume"].cast(pa.string())), "bars.csv")
    with pytest.raises(InputError, match="there are no bars"):
        validate_bars(bars.slice(0, 0), "bars.csv")


def test_bar_arrays_are_contiguous_and_nulls_are_nan(bars: pa.Table) -> None:
    without = bars.set_column(7, BAR_SCHEMA.field("trades"), pa.nulls(50, pa.int32()))
    arrays = bar_arrays(pa.concat_tables([without, without]))
    assert arrays.open_time_ms.dtype == np.int64
    for name in arrays.__slots__:
        values = getattr(arrays, name)
        assert values.shape == (100,)
        assert values.flags.c_contiguous
        assert name == "open_time_ms" or values.dtype == np.float64
    assert np.isnan(arrays.trades).all()
    np.testing.assert_array_equal(arrays.close[50:], bars["close"].to_numpy())
    assert len(arrays.slice(10, 25)) == 15
    with pytest.raises(InputError, match="column 'low' is missing"):
        bar_arrays(bars.drop_columns(["low"]))


def test_segments_split_at_every_break() -> None:
    times = np.array([0, 1, 2, 5, 6, 9]) * MINUTE
    np.testing.assert_array_equal(segments(times, MINUTE), [[0, 3], [3, 5], [5, 6]])
    assert segments(np.empty(0, dtype=np.int64), MINUTE).shape == (0, 2)


def test_input_error_is_one_line_and_survives_pickling() -> None:
    error = InputError("value\n'a'", where="f.csv", remedy="mend it")
    assert str(error) == "f.csv: value 'a'; mend it"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.remedy) == (str(error), "mend it")
    assert isinstance(error, ValueError)


def test_iso_time_of_an_impossible_date_is_the_number() -> None:
    assert iso_time(10**18) == "time 1000000000000000000"
