"""The compiled reading of rows: what it takes it reads as Python would, and everything else it leaves alone."""

from __future__ import annotations

import itertools
import json
import re
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.download.answers import BadAnswerError, bars_from_rows, bars_from_text
from data_pipeline.download.archive_files import bars_from_archive
from data_pipeline.download.numbers import RowLayout, csv_columns, json_columns
from data_pipeline.download.venues import kline_endpoint
from data_pipeline.errors import InputError
from data_pipeline.venue import Venue
from tests.emulator.bars import BarSource

START = 1_704_067_200_000
THREE = RowLayout(3, (2, 0), whole=(0,))
BINANCE = kline_endpoint(Venue("binance", "spot"))
# at most fifteen digits: each of these is to be taken
plain_numbers = st.from_regex(r"[0-9]{1,7}(\.[0-9]{1,8})?", fullmatch=True)


def cut(text: bytes, sizes: list[int]) -> list[bytes]:
    """`text` in pieces of these sizes, the rest last."""
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**53), plain_numbers, plain_numbers), min_size=1, max_size=9), st.data())
def test_numbers_are_those_that_python_reads(rows: list[tuple[int, str, str]], data: st.DataObject) -> None:
    expected = np.array([[float(third) for _, _, third in rows], [float(first) for first, _, _ in rows]])
    quoted = "[" + ",".join(f'[{first},"{second}","{third}"]' for first, second, third in rows) + "]"
    read = json_columns(quoted, THREE)
    assert read is not None
    assert read.tobytes() == expected.tobytes()
    text = "".join(f"{first},{second},{third}\n" for first, second, third in rows).encode()
    text = data.draw(st.sampled_from([text, text[:-1], b"open,some,other\n" + text]))
    pieces = cut(text, data.draw(st.lists(st.integers(0, 12), max_size=12)))
    columns = csv_columns(pieces, THREE, len(rows))
    assert columns is not None
    assert columns.tobytes() == expected.tobytes()
    assert csv_columns(pieces, THREE, len(rows) - 1) is None


def test_what_one_division_cannot_round_is_refused() -> None:
    random, refused = np.random.default_rng(5), 0
    one = RowLayout(1, (0,))
    for length, decimals in itertools.product(range(14, 19), range(1, 13)):
        for digits in random.integers(10 ** (length - 1), 10**length, 40).tolist():
            text = f"{digits // 10**decimals}.{digits % 10**decimals:0{decimals}d}"
            read = json_columns(f"[[{text}]]", one)
            refused += read is None
            assert read is None or read[0, 0] == float(text)
            assert read is not None or digits > 2**53
    assert 0.3 < refused / 2400 < 0.7
    # the digits of 2**64 + 1 are those of 1 in a register of 64 bits
    assert json_columns(f"[[{2**64 + 1}]]", one) is None
    assert json_columns(f"[[0.{2**64 + 1:030d}]]", one) is None


NUMBER = r'(?:[0-9]+(?:\.[0-9]+)?|"[0-9]+(?:\.[0-9]+)?")'
ROW = rf'\[(?:[0-9]+|"[0-9]+"),{NUMBER},{NUMBER}\]'
ROWS = re.compile(rf"\[{ROW}(?:,{ROW})*\]")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), plain_numbers, plain_numbers), min_size=1, max_size=3), st.data())
def test_a_text_with_one_byte_out_of_place_is_refused(rows: list[tuple[int, str, str]], data: st.DataObject) -> None:
    text = "[" + ",".join(f'[{first},"{second}",{third}]' for first, second, third in rows) + "]"
    place = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from(["", *'[]",.0-+e \n', "\u0663"]))
    spoilt = text[:place] + put + text[place + data.draw(st.integers(0, 1)) :]
    assert (json_columns(spoilt, THREE) is not None) == (ROWS.fullmatch(spoilt) is not None)
    lines = "".join(f"{first},{second},{third}\n" for first, second, third in rows)
    torn = lines[: data.draw(st.integers(0, len(lines) - 2))]
    read = csv_columns([torn.encode()], THREE, 9)
    whole = re.fullmatch(r"(?:[0-9]+,[0-9]+(?:\.[0-9]+)?,[0-9]+(?:\.[0-9]+)?(?:\n|$))+", torn)
    assert (read is not None) == (whole is not None)


@pytest.mark.parametrize(
    "text", ["", "[]", "[[]]", "[[1,2,3]", "[1,2,3]", "[[1,2,3],]", "[[1,2]]", "[[1.5,2,3]]", "[[1,2,3.]]"]
)
def test_what_is_not_rows_is_left_to_the_general_parser(text: str) -> None:
    assert json_columns(text, THREE) is None
    assert csv_columns([text.encode()], THREE, 9) is None


def test_a_page_read_from_its_text_is_the_page_read_from_its_objects() -> None:
    source = BarSource(START, 300)
    text = "[" + ",".join(row.decode() for row in source.rows) + "]"
    assert BINANCE is not None
    assert BINANCE.layout is not None
    span = (START, source.stop_ms)
    table = bars_from_text(text, BINANCE.layout, span, 60_000)
    assert table is not None
    assert table.equals(source.table())
    assert table.equals(bars_from_rows(json.loads(text), BINANCE.columns, span, 60_000))
    with pytest.raises(BadAnswerError, match="when asked for"):
        bars_from_text(text, BINANCE.layout, (START, source.stop_ms - 60_000), 60_000)
    cells = json.loads(source.rows[0])
    cells[8] = 5_000_000_000  # trades in one minute: right in form, and not believed
    with pytest.raises(BadAnswerError, match="5000000000"):
        bars_from_text(json.dumps([cells], separators=(",", ":")), BINANCE.layout, span, 60_000)


def archived(text: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bars.csv", text)
    return buffer.getvalue()


@pytest.mark.parametrize("written", [b"\r\n", b"e0,"])
def test_an_archive_written_in_another_way_gives_the_same_bars(written: bytes) -> None:
    source = BarSource(START, 200)
    span = (START, source.stop_ms)
    text = source.csv(*span)
    other = (
        text.replace(b"\n", written)
        if written == b"\r\n"
        else b",".join(cell + b"e0" if number == 4 else cell for number, cell in enumerate(text.split(b",")))
    )
    assert other != text
    assert bars_from_archive(archived(other), "bars.zip", span, 60_000).equals(source.table())


def test_an_archive_with_a_bar_too_many_or_a_damaged_byte_is_refused() -> None:
    source = BarSource(START, 200)
    content = archived(source.csv(START, source.stop_ms))
    with pytest.raises(InputError, match="are not of"):
        bars_from_archive(content, "bars.zip", (START, source.stop_ms - 60_000), 60_000)
    place = len(content) // 2
    with pytest.raises(InputError, match="not a readable zip archive"):
        bars_from_archive(
            content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :],
            "bars.zip",
            (START, source.stop_ms),
            60_000,
        )
