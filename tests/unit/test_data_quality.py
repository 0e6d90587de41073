"""The quality report finds exactly what was planted, and nothing in clean bars."""

import json

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.quality import quality_report
from data_pipeline.schema import BAR_SCHEMA, OPTIONAL_COLUMNS
from data_pipeline.synthetic import synthetic_market

ROWS = 2_000
START = 1_577_836_800_000
MINUTE = 60_000


@pytest.fixture
def columns() -> dict[str, np.ndarray]:
    table = synthetic_market(SyntheticConfig(bars=ROWS, seed=1)).bars
    return {name: table[name].to_numpy().copy() for name in table.column_names}


def as_table(columns: dict[str, np.ndarray]) -> pa.Table:
    return pa.table(
        [pa.array(columns[field.name]).cast(field.type, safe=False) for field in BAR_SCHEMA], schema=BAR_SCHEMA
    )


def spans(columns: dict[str, np.ndarray], name: str) -> list[tuple[int, int, int]]:
    """Planted spans as (first minute, minute after the last, bars)."""
    found = quality_report(as_table(columns)).finding(name).spans
    return [((start - START) // MINUTE, (end - START) // MINUTE, bars) for start, end, bars in found.tolist()]


def test_clean_bars_have_no_finding(columns: dict[str, np.ndarray]) -> None:
    report = quality_report(as_table(columns))
    assert {finding.name: finding.bars for finding in report.findings} == dict.fromkeys(
        ["gap", "frozen_price", "zero_volume", "outlier", "unfinished", "vwap_outside", "taker_above_volume"], 0
    )
    assert report.missing_share == 0.0
    assert len(report.lines()) == 1


def test_gaps_are_listed_and_never_filled(columns: dict[str, np.ndarray]) -> None:
    kept = np.r_[0:100, 103:500, 900:ROWS]
    gappy = {name: values[kept] for name, values in columns.items()}
    assert spans(gappy, "gap") == [(100, 103, 3), (500, 900, 400)]
    report = quality_report(as_table(gappy))
    assert report.rows == ROWS - 403
    assert report.missing_share == pytest.approx(403 / ROWS)
    assert report.to_dict()["findings"]["gap"]["longest"][0] == {
        "start": "2020-01-01T08:20:00Z",
        "end": "2020-01-01T15:00:00Z",
        "bars": 400,
    }
    assert "missing: 403 bars in 2 places; longest 400 at 2020-01-01T08:20:00Z" in report.lines()[1]


def test_runs_without_volume_end_at_gaps(columns: dict[str, np.ndarray]) -> None:
    columns["volume"][200:210] = 0.0
    kept = np.r_[0:204, 206:ROWS]
    assert spans({name: values[kept] for name, values in columns.items()}, "zero_volume") == [
        (200, 204, 4),
        (206, 210, 4),
    ]


def test_a_frozen_price_is_found_from_ten_bars_on(columns: dict[str, np.ndarray]) -> None:
    for first, length in ((300, 9), (600, 12)):
        for name in ("open", "high", "low", "close"):
            columns[name][first : first + length] = columns["close"][first - 1]
    assert spans(columns, "frozen_price") == [(600, 612, 12)]


def test_an_outlier_is_the_bar_that_jumps_and_the_one_that_comes_back(columns: dict[str, np.ndarray]) -> None:
    columns["close"][700] *= 1.05
    columns["high"][700] = columns["close"][700]
    assert spans(columns, "outlier") == [(700, 702, 2)]


def test_a_jump_over_a_gap_is_no_outlier(columns: dict[str, np.ndarray]) -> None:
    for name in ("open", "high", "low", "close"):
        columns[name][1000:] *= 1.05
    assert spans(columns, "outlier") == [(1000, 1001, 1)]
    kept = np.r_[0:1000, 1010:ROWS]
    assert spans({name: values[kept] for name, values in columns.items()}, "outlier") == []


def test_sizes_that_contradict_are_found(columns: dict[str, np.ndarray]) -> None:
    columns["quote_volume"][50] *= 1.01
    columns["taker_buy_volume"][60:62] = columns["volume"][60:62] * 1.1
    assert spans(columns, "vwap_outside") == [(50, 51, 1)]
    assert spans(columns, "taker_above_volume") == [(60, 62, 2)]


def test_a_bar_recorded_before_its_end_is_suspected(columns: dict[str, np.ndarray]) -> None:
    columns["volume"][800] *= 0.01
    columns["open"][801:] *= 1.002  # what happened after the recording shows only in the next open
    for name in ("high", "low", "close"):
        columns[name][801:] *= 1.002
    assert spans(columns, "unfinished") == [(800, 801, 1)]
    columns["volume"][800] *= 100.0  # with its usual volume a jump alone is none
    assert spans(columns, "unfinished") == []


def test_columns_that_are_not_given_are_named_and_not_checked(columns: dict[str, np.ndarray]) -> None:
    table = as_table(columns)
    for name in OPTIONAL_COLUMNS:
        field = BAR_SCHEMA.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.nulls(ROWS, field.type))
    report = quality_report(table)
    assert report.not_given == OPTIONAL_COLUMNS
    assert report.lines()[-1] == f"  not given by the source: {', '.join(OPTIONAL_COLUMNS)}"
    with pytest.raises(KeyError):
        report.finding("vwap_outside")


@pytest.mark.parametrize("rows", [1, 2, 60, 61])
def test_short_tables_are_fine_and_the_report_is_json(columns: dict[str, np.ndarray], rows: int) -> None:
    report = quality_report(as_table({name: values[:rows] for name, values in columns.items()}))
    assert json.loads(json.dumps(report.to_dict()))["rows"] == rows
