"""Real bars, where the folder SCALPING_REAL_DATA holds them: readable, valid, and inside the bands of calibration."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.calibration import BANDS, outside_bands, stylised_facts
from data_pipeline.errors import InputError
from data_pipeline.quality import quality_report
from data_pipeline.readers import read_bars
from data_pipeline.schema import OPTIONAL_COLUMNS, bar_arrays, iso_time

FOLDER = os.environ.get("SCALPING_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="SCALPING_REAL_DATA is unset")
KLINES = Path(FOLDER) / "klines"
RAW = Path(FOLDER) / "raw"

ROWS = {
    "binance_spot_BNBUSDT_1m_2021-04_05": ("BNBUSDT", 61_273),
    "binance_spot_BTCUSDT_1m_2021-04_05": ("BTCUSDT", 61_272),
    "binance_spot_ETHUSDT_1m_2021-04_05": ("ETHUSDT", 61_273),
    "binance_spot_MATICUSDT_1m_2021-04_05": ("MATICUSDT", 61_274),
    "binance_spot_SOLUSDT_1m_2021-04_05": ("SOLUSDT", 61_278),
    "binance_spot_BTCUSDT_1m_2021-07-01_15_full": ("BTCUSDT", 20_161),
    "binance_spot_BTCUSDT_1m_2026-01-02_09_trades": ("BTCUSDT", 10_080),
    "binance_spot_BTCUSDT_1m_2026-03_04": ("BTCUSDT", 87_840),
    "binance_um_FILUSDT_1m_2023-2024_14months": ("FILUSDT", 606_240),
    "bitfinex_BTCUSD_1m_2017_2018": ("BTCUSD", 1_025_708),
    "bitfinex_ETHUSD_1m_2017_2018": ("ETHUSD", 922_362),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_file_reads_and_lies_in_the_bands(name: str) -> None:
    table = read_bars(KLINES / f"{name}.parquet")
    assert (table.schema.metadata[b"symbol"].decode(), table.num_rows) == ROWS[name]
    report = quality_report(table)
    for check in ("vwap_outside", "taker_above_volume"):
        if check in {finding.name for finding in report.findings}:
            assert report.finding(check).bars == 0
    facts = stylised_facts(bar_arrays(table))
    assert outside_bands(facts) == []
    assert np.isnan(facts["taker_return"]) == ("taker_buy_volume" in report.not_given)


def test_no_band_is_wider_than_a_quarter_beyond_the_real_extremes() -> None:
    """A band that everything passes says nothing: its ends stay near the smallest and the largest real value."""
    facts = [stylised_facts(bar_arrays(read_bars(KLINES / f"{name}.parquet"))) for name in ROWS]
    for name, (low, high) in BANDS.items():
        values = [each[name] for each in facts if not np.isnan(each[name])]
        assert 0.75 * min(values) <= low <= min(values), name
        assert max(values) <= high <= 1.25 * max(values), name


def test_the_outages_of_april_2021_are_the_only_gaps() -> None:
    for symbol in ("BTC", "ETH", "BNB", "SOL", "MATIC"):
        gaps = quality_report(read_bars(KLINES, symbol=f"{symbol}USDT", end="2021-06-01")).finding("gap").spans
        assert [(iso_time(start), iso_time(end), bars) for start, end, bars in gaps.tolist()] == [
            ("2021-04-20T02:00:00Z", "2021-04-20T04:30:00Z", 150),
            ("2021-04-25T04:01:00Z", "2021-04-25T08:45:00Z", 284),
        ]


def test_bars_recorded_before_their_end_are_suspected() -> None:
    report = quality_report(read_bars(KLINES / "binance_spot_BTCUSDT_1m_2021-04_05.parquet"))
    assert "2021-04-23T02:18:00Z" in [iso_time(start) for start, _, _ in report.finding("unfinished").longest()]


def test_what_the_old_files_do_not_give_is_null() -> None:
    table = read_bars(KLINES / "binance_spot_BTCUSDT_1m_2021-04_05.parquet")
    assert all(table[name].null_count == table.num_rows for name in OPTIONAL_COLUMNS)


def test_the_official_archive_equals_the_parquet_file() -> None:
    """Microsecond stamps, no header line, zipped, against milliseconds in Parquet."""
    archive = read_bars(RAW / "BTCUSDT-1m-2026-03.zip")
    parquet = read_bars(KLINES / "binance_spot_BTCUSDT_1m_2026-03_04.parquet", end="2026-04-01")
    assert archive.equals(parquet)
    joined = read_bars(RAW / "BTCUSDT-1m-2026-03.zip", KLINES / "binance_spot_BTCUSDT_1m_2026-03_04.parquet")
    assert joined.num_rows == 87_840


def test_the_futures_archive_equals_its_month_of_the_parquet_file() -> None:
    archive = read_bars(RAW / "FILUSDT-1m-2024-10.zip")
    assert archive.equals(
        read_bars(KLINES / "binance_um_FILUSDT_1m_2023-2024_14months.parquet", start="2024-10-01", end="2024-11-01")
    )


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_the_official_archive_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    content = (RAW / "BTCUSDT-1m-2026-03.zip").read_bytes()
    (tmp_path / "BTCUSDT-1m-2026-03.zip").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"BTCUSDT-1m-2026-03.zip: not a readable zip archive"):
        read_bars(tmp_path / "BTCUSDT-1m-2026-03.zip")
