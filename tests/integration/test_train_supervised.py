"""The commands that train models and predict with them, as a user runs them: two symbols, interrupted once."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import synthetic_market
from scripts import predict, train_supervised
from supervised.monitor import TensorBoard
from supervised.predictions import Predictions

DAY, DAYS = 1440, 4
OPTIONS = (
    *("--models", "tcn", "lstm", "--hidden", "8", "--window", "16", "--train.epochs", "2", "--folds", "2"),
    *("--horizons", "5", "--brackets", "20/15/30", "--device", "cpu"),
)
KINDS = ("tcn", "lstm")


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three symbols: four days, and the last of them with the day after."""
    folder = tmp_path_factory.mktemp("bars")
    for seed, symbol in enumerate(("SYNA", "SYNB", "SYNC")):
        market = SyntheticConfig(setting="planted_edge", bars=(DAYS + 1) * DAY, seed=seed, symbol=f"{symbol}/USDT")
        table = synthetic_market(market).bars
        pq.write_table(table.slice(0, DAYS * DAY), folder / f"{symbol}USDT-1m.parquet")
        pq.write_table(table.slice((DAYS - 1) * DAY), folder / f"{symbol}USDT-1m-later.parquet")
    return folder


def call(command: Callable[[], int], *words: object) -> int:
    """The command's exit code."""
    before, sys.argv = sys.argv, [command.__module__, *map(str, words)]
    try:
        return command()
    finally:
        sys.argv = before


def train(bars: Path, *words: object) -> int:
    files = ("--files", bars / "SYNAUSDT-1m.parquet", bars / "SYNBUSDT-1m.parquet")
    return call(train_supervised.main_cli, *files, "--cache", bars / "cache", *OPTIONS, *words)


@pytest.fixture(scope="module")
def finished(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(bars, "--out", out) == 0
    return out


def test_a_run_says_what_it_did(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert set(summary["symbols"]) == {"SYNAUSDT", "SYNBUSDT"}
    about = summary["symbols"]["SYNAUSDT"]
    assert about["rows"] == DAYS * DAY
    assert set(about["directions"]) == {f"p_up_{name}_h5" for name in (*KINDS, "ensemble")}
    accuracy = about["directions"]["p_up_ensemble_h5"]["accuracy"]
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert set(json.loads((finished / "environment.json").read_text())) >= {"git", "torch", "numpy"}
    assert set(json.loads((finished / "data.json").read_text())) == {"SYNAUSDT", "SYNBUSDT"}
    assert json.loads((finished / "config.json").read_text())["seed"] == 0
    events = EventAccumulator(str(finished / "models" / "tensorboard" / "fold_1" / "tcn")).Reload()
    assert {"loss/train", "loss/validation_direction", "loss/validation_barrier", "accuracy/h5"} <= set(
        events.Tags()["scalars"]
    )
    assert {"calibration_error/h5", "fit/learning_rate", "fit/labels_per_second"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("loss/train")) == 2
    assert not (finished / "models" / "unfinished").exists()


def test_ctrl_c_and_resume_end_with_the_same_predictions(
    bars: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    steps = iter(range(12))
    whole = TensorBoard.step

    def interrupted(self: TensorBoard, *about: Any) -> None:
        whole(self, *about)
        if next(steps, None) is None:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TensorBoard, "step", interrupted)
        assert train(bars, "--out", out) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (out / "summary.json").exists()
    assert call(predict.main_cli, "--run", out, "--out", tmp_path / "x.parquet") == 2
    assert train(bars, "--out", out) == 2  # without --resume it is not touched
    assert "already holds a run" in capsys.readouterr().err
    assert train(bars, "--out", out, "--resume", "--seed", "1") == 2
    assert "seed" in capsys.readouterr().err
    assert train(bars, "--out", out, "--resume") == 0
    for symbol in ("SYNAUSDT", "SYNBUSDT"):
        one, other = (Predictions.load(run / "models" / symbol / "predictions.parquet") for run in (out, finished))
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.further, other.further)


def test_predictions_are_written_for_the_run_and_for_later_bars_only(
    bars: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def predicted(*words: object) -> int:
        return call(predict.main_cli, "--run", finished, "--out", tmp_path / "out.parquet", *words)

    assert predicted("--symbol", "SYNBUSDT") == 0
    own = Predictions.load(finished / "models" / "SYNBUSDT" / "predictions.parquet")
    np.testing.assert_array_equal(Predictions.load(tmp_path / "out.parquet").values, own.values)

    later = bars / "SYNBUSDT-1m-later.parquet"
    assert predicted("--files", later) == 0
    found = Predictions.load(tmp_path / "out.parquet")
    fresh = found.open_time_ms > own.open_time_ms[-1]
    np.testing.assert_array_equal(found.fold >= 0, fresh)  # the bars before are there to warm up on
    assert fresh.sum() == DAY
    assert np.isfinite(found.values[fresh]).all()
    assert found.columns == own.columns
    assert (found.train_cut_ms == own.open_time_ms[-1]).all()

    assert predicted("--files", later, "--from", "2020-01-04T12:00") == 2
    assert "the training cut" in capsys.readouterr().err
    strange = bars / "SYNCUSDT-1m-later.parquet"
    assert predicted("--files", strange) == 2
    assert "symbol 'SYNCUSDT' is not in the run" in capsys.readouterr().err
    assert predicted("--files", strange, "--symbol", "new-symbol") == 0
    new = Predictions.load(tmp_path / "out.parquet")
    assert np.isfinite(new.values[DAY:]).all()
    assert predicted() == 2
    assert "--symbol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either a store or files of bars"),
        (("--synthetic", "no_edge", "--brackets", "20/15"), "'20/15' is no bracket"),
        (("--synthetic", "no_edge", "--brackets", "20/-5/3"), "stop_loss_bps -5.0 is not positive"),
        (("--synthetic", "no_edge", "--resume"), "--resume needs --out"),
        (("--synthetic", "no_edge", "--horizons", "0"), "horizons"),
    ],
)
def test_unusable_options_are_refused_before_anything_is_done(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(train_supervised.main_cli, *words) == 2
    assert message in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
