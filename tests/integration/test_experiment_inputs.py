"""Whatever is wrong with the input, the main job says so in one line, exits with 2 and leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import synthetic_market
from scripts.run_scalping_experiment import main_cli

ROWS = 3000


@pytest.fixture(scope="module")
def bars() -> pa.Table:
    return synthetic_market(SyntheticConfig(bars=ROWS)).bars


def changed(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    """The table with one value replaced."""
    values = table[column].to_pylist()
    values[row] = value
    position = table.schema.get_field_index(column)
    return table.set_column(position, table.field(column), pa.array(values, table.field(column).type))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["run_scalping_experiment", *words])
    return main_cli()


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path, *words: str) -> str:
    """Run the job, demand exit code 2, one line on standard error and no folder; returns the line."""
    assert run(monkeypatch, "--out", str(out), *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert not out.exists()
    return lines[0]


DAMAGE: dict[str, tuple[Callable[[pa.Table], pa.Table], tuple[str, ...]]] = {
    "unsorted": (lambda t: t.take(np.r_[0:10, 11, 10, 12 : t.num_rows]), ("row 11",)),
    "duplicated": (lambda t: t.take(np.r_[0:11, 10 : t.num_rows]), ("row 11",)),
    "nan price": (lambda t: changed(t, "close", 7, float("nan")), ("row 7", "close")),
    "negative volume": (lambda t: changed(t, "volume", 7, -1.0), ("row 7", "volume")),
    "high below low": (lambda t: changed(t, "high", 7, 1.0), ("row 7", "high")),
    "off the grid": (
        lambda t: t.set_column(0, t.field(0), pc.add(t["open_time"], pa.scalar(1500, pa.duration("ms")))),
        ("row 0",),
    ),
    "empty": (lambda t: t.slice(0, 0), ()),
    "unknown column": (lambda t: t.append_column("closing", t["close"]), ("closing",)),
    "missing column": (lambda t: t.drop_columns(["close"]), ("close",)),
    "less than the warm-up": (lambda t: t.slice(0, 50), ()),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_bars(
    name: str, bars: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, tells = DAMAGE[name]
    file = tmp_path / "SYNUSDT-1m.parquet"
    pq.write_table(damage(bars), file)
    line = refused(monkeypatch, capsys, tmp_path / "run", "--bars", str(file))
    for word in ("SYN", *tells):
        assert word in line


def test_wrong_time_unit(
    bars: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "SYNUSDT-1m.parquet"
    minutes = pc.divide(bars["open_time"].cast(pa.int64()), 60_000)
    pq.write_table(bars.set_column(0, "open_time", minutes), file)
    assert "row 0" in refused(monkeypatch, capsys, tmp_path / "run", "--bars", str(file))


def test_file_cut_short(
    bars: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "SYNUSDT-1m.parquet"
    pq.write_table(bars, file)
    file.write_bytes(file.read_bytes()[:-100])
    assert file.name in refused(monkeypatch, capsys, tmp_path / "run", "--bars", str(file))


@pytest.mark.parametrize(
    ("words", "tells"),
    [
        (("--start", "2031-01-01"), "2031-01-01"),
        (("--symbols", "DOGEUSDT"), "DOGEUSDT"),
        (("--initial-capital", "4"), "initial capital 4"),
        (("--train-fraction", "0.95"), "--validation-fraction"),
        (("--models", "lstm", "lstm"), "--models"),
        (("--device", "xpu:7"), "xpu:7"),
        (("--agent", "ddpg", "--action-mode", "discrete"), "--action-mode"),
        (("--end", "soon"), "soon"),
    ],
)
def test_options_that_cannot_be_used(
    words: tuple[str, ...],
    tells: str,
    bars: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "SYNUSDT-1m.parquet"
    pq.write_table(bars, file)
    assert tells in refused(monkeypatch, capsys, tmp_path / "run", "--bars", str(file), *words)


def test_files_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nowhere.parquet" in refused(
        monkeypatch, capsys, tmp_path / "run", "--bars", str(tmp_path / "nowhere.parquet")
    )
    (tmp_path / "empty").mkdir()
    refused(monkeypatch, capsys, tmp_path / "run", "--bars", str(tmp_path / "empty"))


def test_folders_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--out" in refused(monkeypatch, capsys, tmp_path / "run", "--days", "3", "--resume")
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert run(monkeypatch, "--days", "3", "--out", str(taken)) == 2
    assert taken.read_text() == "a file"
    assert "taken" in capsys.readouterr().err
