"""From bars to what models learn from: the features and labels are those of one pass, whatever blocks they came in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import bar_arrays, segments
from features.scaling import Scaler
from features.store.sources import TableBars
from supervised import chunks
from supervised.market_data import labels, load_market
from supervised.outputs import Bracket, OutputLayout
from supervised.spool import scaled, spool
from tests.feature_store_tools import HOUR, REQUEST, SERIES, expected, hourly_bars, with_one_change

LAYOUT = OutputLayout((1, 7), (Bracket(15.0, 15.0, 12), Bracket(25.0, 10.0, 5, side=-1)))
BARS = hourly_bars(days=90, missing=((20, 22), (60, 61)))


def test_matrices_on_disk_hold_what_one_pass_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ROWS", 100)  # so that labels cross blocks, as features cross months
    market = load_market(TableBars(SERIES, BARS), REQUEST, LAYOUT, tmp_path)
    bars, data = bar_arrays(BARS), market.data
    assert isinstance(data.X, np.memmap)
    assert isinstance(data.y, np.memmap)
    np.testing.assert_array_equal(data.X, expected(BARS))
    y, t1 = labels(bars, LAYOUT, HOUR)
    np.testing.assert_array_equal(data.y, y)
    known = np.isfinite(y)
    np.testing.assert_array_equal(data.t1[known], t1[known])
    assert {-1.0, 0.0, 1.0} == set(np.unique(y[known[:, 2], 2]))
    np.testing.assert_array_equal(data.segments, segments(bars.open_time_ms, HOUR))
    assert market.symbol == "BTCUSDT"
    assert market.feature_names == REQUEST.names


def test_what_is_there_is_not_made_again_and_other_bars_make_other_files(tmp_path: Path) -> None:
    first = load_market(TableBars(SERIES, BARS), REQUEST, LAYOUT, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    again = load_market(TableBars(SERIES, BARS), REQUEST, LAYOUT, tmp_path)
    assert again.digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == files
    other = load_market(TableBars(SERIES, with_one_change(BARS, 1000)), REQUEST, LAYOUT, tmp_path)
    assert other.digest != first.digest
    assert load_market(TableBars(SERIES, BARS), REQUEST, OutputLayout((1,)), tmp_path).digest != first.digest


def test_a_matrix_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    block = np.ones((3, 2))
    for blocks in ([block], [block, block, block]):
        with pytest.raises(InputError, match="does not give 5 rows"):
            spool(path, blocks, (5, 2), np.float32)
        assert not [*tmp_path.iterdir()]
    found = spool(path, [block, block[:2]], (5, 2), np.float32)
    np.testing.assert_array_equal(found, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 2.0


def test_scaling_on_disk_is_scaling_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ROWS", 7)
    X = np.random.default_rng(0).standard_normal((40, 3)) * 5
    scaler = Scaler.fit(X, slice(0, 20))
    np.testing.assert_array_equal(scaled(X, scaler, tmp_path / "X.npy"), scaled(X, scaler, None))
