"""Readers: every accepted notation gives the same table, every damaged file a one-line error."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.readers import read_bars, symbol_from_path
from data_pipeline.schema import BAR_SCHEMA, OPTIONAL_COLUMNS, bar_arrays
from data_pipeline.synthetic import synthetic_market

ROWS = 300


@pytest.fixture(scope="module")
def bars() -> pa.Table:
    return synthetic_market(SyntheticConfig(bars=ROWS)).bars.replace_schema_metadata(None)


def archive_lines(bars: pa.Table, per_ms: int = 1) -> list[str]:
    """The rows as the exchange's archive writes them: twelve fields, no header."""
    arrays = bar_arrays(bars)
    return [
        f"{time * per_ms},{arrays.open[i]},{arrays.high[i]},{arrays.low[i]},{arrays.close[i]},{arrays.volume[i]},"
        f"{(time + 60_000) * per_ms - 1},{arrays.quote_volume[i]},{arrays.trades[i]:.0f},{arrays.taker_buy_volume[i]},"
        f"{arrays.taker_buy_quote_volume[i]},0"
        for i, time in enumerate(arrays.open_time_ms)
    ]


HEADERS = [
    "",
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
    "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Number of trades,"
    "Taker buy base asset volume,Taker buy quote asset volume,Ignore",
    "timestamp,o,h,l,c,vol,closeTime,quoteVolume,tradeCount,takerBuyBaseVolume,takerBuyQuoteVolume,ignore",
]


@pytest.mark.parametrize("header", HEADERS)
def test_archives_with_and_without_header_read_the_same(tmp_path: Path, bars: pa.Table, header: str) -> None:
    text = "\n".join(([header] if header else []) + archive_lines(bars)) + "\n"
    plain = tmp_path / "BTCUSDT-1m-2020-01.csv"
    plain.write_text(text)
    zipped = tmp_path / "BTCUSDT-1m-2020-01.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(plain, plain.name)
    for path in (plain, zipped):
        table = read_bars(path)
        assert table.schema.equals(BAR_SCHEMA)
        assert table.equals(bars)
        assert table.schema.metadata[b"symbol"] == b"BTCUSDT"


@pytest.mark.parametrize(("unit", "numerator", "denominator"), [("s", 1, 1000), ("us", 1000, 1), ("ns", 10**6, 1)])
def test_units_are_told_by_magnitude(
    tmp_path: Path, bars: pa.Table, unit: str, numerator: int, denominator: int
) -> None:
    times = bar_arrays(bars).open_time_ms * numerator // denominator
    for kind in (pa.int64(), pa.float64(), pa.string()):
        column = pa.array(times).cast(kind, safe=False)
        path = tmp_path / f"{unit}_{kind}.parquet"
        pq.write_table(bars.set_column(0, "open_time", column), path)
        assert read_bars(path).equals(bars)


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00"]
)
def test_iso_times_are_utc(tmp_path: Path, bars: pa.Table, form: str) -> None:
    path = tmp_path / "bars.csv"
    text = np.datetime_as_string(bar_arrays(bars).open_time_ms.astype("datetime64[ms]"), unit="s")
    suffix = form.split("%S")[1]
    column = pa.array([stamp.replace("T", form[8]) + suffix for stamp in text])
    pa_csv.write_csv(bars.set_column(0, "date", column), path)
    assert read_bars(path).equals(bars)


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("ns", tz="Europe/Berlin")])
def test_arrow_timestamps_of_any_unit_and_zone(tmp_path: Path, bars: pa.Table, kind: pa.DataType) -> None:
    pq.write_table(bars.set_column(0, "time", bars["open_time"].cast(kind)), tmp_path / "bars.parquet")
    assert read_bars(tmp_path / "bars.parquet").equals(bars)


def test_what_a_file_does_not_give_is_null(tmp_path: Path, bars: pa.Table) -> None:
    pq.write_table(bars.drop_columns(list(OPTIONAL_COLUMNS)), tmp_path / "a.parquet")
    table = read_bars(tmp_path / "a.parquet")
    assert all(table[name].null_count == ROWS for name in OPTIONAL_COLUMNS)
    holes = pa.array([float("nan")] * 3 + [5.0] * (ROWS - 3))
    pq.write_table(bars.set_column(7, "trades", holes), tmp_path / "b.parquet")
    assert read_bars(tmp_path / "b.parquet")["trades"].to_pylist()[:4] == [None, None, None, 5]


def test_six_headerless_columns_are_ohlcv(tmp_path: Path, bars: pa.Table) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(",".join(line.split(",")[:6]) for line in archive_lines(bars)))
    table = read_bars(path)
    assert table.select(["close", "volume"]).equals(bars.select(["close", "volume"]))
    assert table["trades"].null_count == ROWS
    assert table.schema.metadata[b"symbol"] == b"X"


def test_a_byte_order_mark_and_semicolons_are_fine(tmp_path: Path, bars: pa.Table) -> None:
    path = tmp_path / "x.csv"
    text = "\n".join([HEADERS[1], *archive_lines(bars)]).replace(",", ";")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_bars(path).equals(bars)


def spoil_line(lines: list[str], row: int, field: int, text: str) -> list[str]:
    fields = lines[row].split(",")
    fields[field] = text
    return [*lines[:row], ",".join(fields), *lines[row + 1 :]]


CSV_DAMAGE: list[tuple[Callable[[list[str]], list[str]], str]] = [
    (lambda lines: [], "bad.csv: there are no bars"),
    (lambda lines: [HEADERS[1]], "bad.csv: there are no bars"),
    (
        lambda lines: [*lines[:-1], lines[-1][:40]],
        "bad.csv, row 299 (1577854740000): 4 fields where there should be 12",
    ),
    (lambda lines: [*lines[:-1], "157785"], "row 299 (157785): 1 fields where there should be 12"),
    (lambda lines: [*lines[:4], lines[4] + ",7", *lines[5:]], "row 4 (1577837040000): 13 fields"),
    (lambda lines: [",".join(line.split(",")[:9]) for line in lines], "row 0: 9 fields without a header line"),
    (lambda lines: spoil_line(lines, 9, 4, "abc"), "row 9 (1577837340000): close 'abc' is not a number"),
    (lambda lines: spoil_line(lines, 9, 4, ""), "row 9: close is missing"),
    (lambda lines: spoil_line(lines, 9, 2, "nan"), "row 9 (2020-01-01T00:09:00Z): high nan is not a number"),
    (lambda lines: spoil_line(lines, 9, 0, "soon"), "row 9: open_time 'soon' is not a time"),
    (lambda lines: spoil_line(lines, 9, 0, ""), "row 9: open_time is missing"),
    (
        lambda lines: spoil_line(lines, 9, 0, "1577837340"),
        "row 9: open_time 1577837340 is in s, the first row is in ms",
    ),
    (lambda lines: spoil_line(lines, 9, 8, "7.5"), "row 9: trades 7.5 is not a whole number"),
    (lambda lines: spoil_line(lines, 9, 5, "-1"), "row 9 (2020-01-01T00:09:00Z): volume -1.0 is negative"),
    (lambda lines: [lines[1], lines[0], *lines[2:]], "row 1 (2020-01-01T00:00:00Z): open_time 1577836800000 is before"),
    (lambda lines: [HEADERS[1].replace("volume,close", "vwap,close"), *lines], "bad.csv: unknown column 'vwap'"),
    (lambda lines: [HEADERS[1].replace("high", "ignore"), *lines], "bad.csv: column 'high' is missing"),
    (
        lambda lines: [HEADERS[1].replace("close_time", "date"), *lines],
        "columns 'open_time' and 'date' both mean open_time",
    ),
    (lambda lines: ["PAR1\0\0" * 50], "bad.csv: not text"),
    (lambda lines: [lines[0][:30] + '"' * 200_000], "bad.csv"),
    (lambda lines: ["<html><body>Not Found</body></html>"], "bad.csv: unknown column"),
]


@pytest.mark.parametrize(("damage", "text"), CSV_DAMAGE)
def test_a_damaged_csv_is_one_line_with_file_row_and_remedy(
    tmp_path: Path, bars: pa.Table, damage: Callable[[list[str]], list[str]], text: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(damage(archive_lines(bars))))
    with pytest.raises(InputError) as caught:
        read_bars(path)
    assert text in str(caught.value)
    assert str(caught.value).startswith("bad.csv")
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_microseconds_off_the_millisecond_are_refused(tmp_path: Path, bars: pa.Table) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(spoil_line(archive_lines(bars, 1000), 3, 0, "1577836980000001")))
    with pytest.raises(InputError, match="row 3: open_time 1577836980000001 us is off the grid"):
        read_bars(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.98])
def test_binary_files_cut_short_are_refused(tmp_path: Path, bars: pa.Table, share: float) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(bars, whole)
    zipped = tmp_path / "whole.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("whole.csv", "\n".join(archive_lines(bars)))
    for file in (whole, zipped):
        cut = tmp_path / f"cut{file.suffix}"
        content = file.read_bytes()
        cut.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=f"cut{file.suffix}: not a readable .* cut short or damaged"):
            read_bars(cut)


def test_a_flipped_byte_in_an_archive_is_noticed(tmp_path: Path, bars: pa.Table) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.csv", "\n".join(archive_lines(bars)))
    content = bytearray(path.read_bytes())
    content[500] = content[500] ^ 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x.zip: not a readable zip archive"):
        read_bars(path)


def test_a_range_is_half_open_and_must_hold_bars(tmp_path: Path, bars: pa.Table) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(bars, path)
    table = read_bars(path, start="2020-01-01T01:00", end="2020-01-01T02:00Z")
    assert table.equals(bars.slice(60, 60))
    assert read_bars(path, start="2020-01-01T02:00+01:00").equals(bars.slice(60))
    with pytest.raises(InputError, match=r"x.parquet: no bars from 2021-01-01T00:00:00Z to \.\.\.; the bars run from"):
        read_bars(path, start="2021-01-01")
    with pytest.raises(InputError, match="no bars"):
        read_bars(path, start="2020-01-01T02:00", end="2020-01-01T01:00")
    with pytest.raises(InputError, match="start 'yesterday' is not an ISO date"):
        read_bars(path, start="yesterday")


def test_bars_outside_the_range_are_checked_too(tmp_path: Path, bars: pa.Table) -> None:
    path = tmp_path / "x.parquet"
    volumes = bars["volume"].to_pylist()
    volumes[290] = -1.0
    pq.write_table(bars.set_column(5, "volume", pa.array(volumes)), path)
    with pytest.raises(InputError, match="row 290"):
        read_bars(path, end="2020-01-01T01:00")


def test_files_join_in_order_of_time_and_equal_overlaps_are_kept_once(tmp_path: Path, bars: pa.Table) -> None:
    early, late = tmp_path / "BTCUSDT-1m-a.parquet", tmp_path / "BTCUSDT-1m-b.parquet"
    pq.write_table(bars.slice(0, 180), early)
    pq.write_table(bars.slice(150), late)
    assert read_bars(late, early).equals(bars)
    assert read_bars(tmp_path).equals(bars)
    assert read_bars(tmp_path, symbol="BTC/USDT").schema.metadata[b"symbol"] == b"BTC/USDT"


def test_overlaps_that_disagree_are_refused(tmp_path: Path, bars: pa.Table) -> None:
    early, late = tmp_path / "early.parquet", tmp_path / "late.parquet"
    pq.write_table(bars.slice(0, 180), early)
    volumes = bars["volume"].to_pylist()
    volumes[160] += 1.0
    pq.write_table(bars.set_column(5, "volume", pa.array(volumes)).slice(150), late)
    with pytest.raises(
        InputError, match=r"bar 2020-01-01T02:40:00Z: volume is .* in early.parquet and .* in late.parquet"
    ):
        read_bars(early, late)


def test_several_symbols_are_refused(tmp_path: Path, bars: pa.Table) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        pq.write_table(bars, tmp_path / f"{symbol}-1m.parquet")
    with pytest.raises(InputError, match=r"is of symbol BTCUSDT, .* of ETHUSDT; read one symbol"):
        read_bars(tmp_path)
    assert read_bars(tmp_path, symbol="ETHUSDT").equals(bars)
    with pytest.raises(InputError, match="unknown symbol 'SOLUSDT'; the folder holds BTCUSDT ETHUSDT"):
        read_bars(tmp_path, symbol="SOLUSDT")
    with pytest.raises(InputError, match="the file is of symbol BTCUSDT, not ETHUSDT"):
        read_bars(tmp_path / "BTCUSDT-1m.parquet", symbol="ETHUSDT")
    pq.write_table(bars.append_column("symbol", pa.array(["A", "B"] * (ROWS // 2))), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="the symbol column holds A and B"):
        read_bars(tmp_path / "x.parquet")


def test_paths_and_options_that_cannot_be(tmp_path: Path, bars: pa.Table) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    with pytest.raises(InputError, match=r"there is no such file"):
        read_bars(tmp_path / "absent.csv")
    with pytest.raises(InputError, match=r"'.txt' is no known kind of file"):
        read_bars(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"the folder holds no \.parquet file"):
        read_bars(tmp_path / "empty")
    with pytest.raises(InputError, match="the archive holds 2 CSV files"):
        read_bars(tmp_path / "two.zip")
    with pytest.raises(InputError, match="interval '7m' is unknown"):
        read_bars(tmp_path, interval="7m")
    with pytest.raises(InputError, match="no file of bars is given"):
        read_bars()


def test_the_synthetic_label_travels_with_the_file(tmp_path: Path, bars: pa.Table) -> None:
    config = SyntheticConfig(bars=ROWS, seed=3)
    pq.write_table(synthetic_market(config).bars, tmp_path / "a.parquet")
    metadata = read_bars(tmp_path / "a.parquet", start="2020-01-01T01:00").schema.metadata
    assert metadata[b"synthetic"] == b"true"
    assert metadata[b"symbol"] == b"SYN/USDT"
    assert json.loads(metadata[b"synthetic_config"])["seed"] == 3
    pq.write_table(bars, tmp_path / "b.parquet")
    with pytest.raises(InputError, match="synthetic bars of another kind"):
        read_bars(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert b"synthetic" not in read_bars(tmp_path / "b.parquet").schema.metadata


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT-1m-2026-03.zip", "BTCUSDT"),
        ("binance_um_FILUSDT_1m_2023-2024_14months.parquet", "FILUSDT"),
        ("bitfinex_ETHUSD_1m.parquet", "ETHUSD"),
        ("solusdt.csv", "SOLUSDT"),
        ("my bars.csv", "MY BARS"),
    ],
)
def test_symbol_from_path(name: str, symbol: str) -> None:
    assert symbol_from_path(name) == symbol
