"""The command: the catalogue listed, a store built from files and from a bar store, here and on a Ray cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.schema import bar_arrays
from data_pipeline.store.layout import Series, month_span, split_by_month
from data_pipeline.store.ledger import Chunk
from data_pipeline.store.seal import months_to_seal, seal_month
from data_pipeline.store.writer import open_store
from features.batch import compute_features
from features.catalogue import KINDS, catalogue
from features.store.build import build
from features.store.reader import FeatureStore
from scripts import build_features
from tests.feature_store_tools import HOUR, NAMES, REQUEST, WINDOWS, assert_same_bits, expected, hourly_bars, source

BARS = hourly_bars(100, missing=((45, 46),))
SELECT = ["--select", *NAMES]


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["build_features", *map(str, words)])
    return build_features.main_cli()


def rows(store: Path, symbol: str, interval: str = "1h") -> np.ndarray:
    table = FeatureStore(store, interval=interval).read(symbol, names=NAMES)
    return np.stack([table[name].to_numpy() for name in NAMES], axis=1)


def bar_store(root: Path, table: pa.Table, series: Series) -> None:
    """A store of bars: closed months sealed, the last one hot."""
    times = bar_arrays(table).open_time_ms
    stop = int(times[-1]) + HOUR
    with open_store(root) as (ledger, _):
        for span in split_by_month((int(times[0]), stop)):
            low, high = np.searchsorted(times, span)
            ledger.put_chunks([Chunk(series, *span, table.slice(int(low), int(high - low)), "rest")])
        for month in months_to_seal(ledger, series, month_span(int(times[-1]))[0]):
            seal_month(ledger, series, month)


def test_the_list_shows_what_is_chosen(monkeypatch, capsys) -> None:
    assert command(monkeypatch, "--list") == 0
    shown = capsys.readouterr().out
    for kind in KINDS:
        assert f"{kind}: {len(catalogue(kind))} features" in shown
        assert all(spec.name in shown for spec in catalogue(kind))
    assert (
        command(monkeypatch, "--list", "--kind", "bars", "--select", "return_?", "time", "--windows.horizons", 3, 7)
        == 0
    )
    shown = capsys.readouterr().out
    names = [word for line in shown.splitlines() for word in line.split()[1:2] if "_" in word]
    assert names == ["return_3", "return_7", "time_of_day_sin", "time_of_day_cos"]
    formula = next(spec.formula for spec in catalogue() if spec.name == "time_of_day_sin")
    assert formula in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--list", "--kind", "chairs"], "kind 'chairs' is unknown; there are bars"),
        (["--list", "--select", "nothing"], "nothing is called nothing"),
        ([], "give either a store or files of bars"),
        (["--store", "nowhere"], "nowhere: there is no store"),
        (["--files", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--files", "{file}", "--interval", "1h", "--symbols", "ETHUSDT"], "no file of ETHUSDT; there are BTCUSDT"),
        (["--files", "{file}", "--interval", "1h", "--select", "bodi"], "'bodi' is unknown"),
        (["--files", "{file}", "--interval", "1h", "--select", "bodi*"], "no feature matches bodi"),
        (["--files", "{file}", "--interval", "1h", "--workers", "0"], "workers 0 is below 1"),
        (["--files", "{file}"], "apart"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_line(tmp_path, monkeypatch, capsys, options, message) -> None:
    file = tmp_path / "BTCUSDT-1h.parquet"
    pq.write_table(BARS.slice(0, 50), file)
    words = [word.format(file=file) for word in options]
    assert command(monkeypatch, *words, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_from_files_in_processes_and_again(tmp_path, monkeypatch, capsys) -> None:
    eth = hourly_bars(40, seed=5)
    pq.write_table(BARS.slice(0, 1000), tmp_path / "BTCUSDT-1h-a.parquet")
    pq.write_table(BARS.slice(1000), tmp_path / "BTCUSDT-1h-b.parquet")
    pq.write_table(eth, tmp_path / "ETHUSDT-1h.parquet")
    store = tmp_path / "features"
    words = ["--files", tmp_path, "--interval", "1h", "--out", store, *SELECT]
    assert command(monkeypatch, *words, "--workers", 2) == 0
    assert "files BTCUSDT 1h: 2,376 rows of 5 features" in capsys.readouterr().out
    assert_same_bits(rows(store, "BTC/USDT"), expected(BARS))
    assert_same_bits(rows(store, "ETH/USDT"), expected(eth))
    next(store.rglob("month=2024-02/*.parquet")).unlink()
    assert command(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "1 months built, 3 kept" in said
    assert "was deleted" in said
    assert "0 months built, 2 kept" in said


def test_from_a_bar_store_with_ends(tmp_path, monkeypatch) -> None:
    bars = tmp_path / "bars"
    bar_store(bars, BARS, Series("binance_spot", "BTCUSDT", "1h"))
    store = tmp_path / "features"
    words = ["--store", bars, "--interval", "1h", "--out", store, *SELECT]
    assert command(monkeypatch, *words, "--end", "2024-03-10", "--threads", 1) == 0
    first = {path: path.stat().st_mtime_ns for path in store.rglob("month=2024-0[12]/*.parquet")}
    assert command(monkeypatch, *words, "--symbols", "BTC/USDT") == 0
    assert first == {path: path.stat().st_mtime_ns for path in store.rglob("month=2024-0[12]/*.parquet")}
    assert_same_bits(rows(store, "BTC/USDT"), expected(BARS))
    other = tmp_path / "later"
    assert command(monkeypatch, *words[: -len(SELECT)], "--out", other, "--start", "2024-02-03", *SELECT) == 0
    later = BARS.filter(pa.array(bar_arrays(BARS).open_time_ms >= 1_706_918_400_000))
    assert_same_bits(rows(other, "BTC/USDT"), compute_features(bar_arrays(later), NAMES, WINDOWS))


@pytest.mark.slow
def test_on_a_ray_cluster_as_here(tmp_path) -> None:
    from agents.ray_executor import RayExecutor

    names = ("BTCUSDT", "ETHUSDT")
    sources = [source(BARS, Series("binance_spot", name, "1h")) for name in names]
    with RayExecutor() as executor:
        reports = build(tmp_path, sources, REQUEST, executor=executor)
        failing = source(BARS.slice(0, 0), Series("binance_spot", "SOLUSDT", "1h"))
        with pytest.raises(ValueError, match="SOLUSDT 1h: there are no bars"):
            build(tmp_path, [failing], REQUEST, executor=executor)
    assert [report.series.symbol for report in reports] == list(names)
    for name in names:
        assert_same_bits(rows(tmp_path, name), expected(BARS))
