"""scripts.export_onnx as a user runs it, and int8 graphs behind their gate."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.readers import read_bars
from data_pipeline.schema import bar_arrays, segments
from data_pipeline.synthetic import synthetic_market
from features.batch import available_features, compute_features
from scripts.export_onnx import Args, main, models_folder
from supervised.config import ModelConfig, TrainConfig, WalkForwardConfig
from supervised.fold_store import TrainedFold, load_fold
from supervised.inference.export import ABOUT, labelled_rows
from supervised.inference.int8 import Int8Limits, Int8Report, export_int8
from supervised.inference.members import StreamingMembers
from supervised.inference.onnx_session import ExportError, layout_of, load_session
from supervised.inference.onnx_stream import OnnxStream
from supervised.market_data import labels
from supervised.walk_forward import walk_forward_predictions
from tests.inference_tools import dense_answers, lively_model, random_rows
from tests.live_tools import LiveRun

ROOT = Path(__file__).resolve().parents[2]
ANY_SPEED = Int8Limits(log_loss=5e-3, accuracy=0.02, latency_ratio=100.0)
"""The machine that runs tests may have no instructions for eight bits."""


def command(*options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.export_onnx", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_a_run_becomes_graphs_that_serve_it(live_run: LiveRun, tmp_path: Path) -> None:
    done = command(live_run.path, "--out", tmp_path / "onnx")
    assert done.returncode == 0, done.stderr
    fold = load_fold(next((live_run.path / "predictions").iterdir()), 1)
    about = json.loads((tmp_path / "onnx" / ABOUT).read_text())
    assert tuple(about["feature_names"]) == fold.feature_names
    x = fold.scaler.transform(live_run.symbol.features[-300:-1])
    for kind, model in fold.models.items():
        wanted = dense_answers(model, x)
        session = load_session(tmp_path / "onnx" / f"{kind}.onnx")
        assert layout_of(session) == fold.config.layout
        dense = session.run(None, {"x": x[None]})[0][0]
        assert np.abs(dense - wanted[:, : dense.shape[1]]).max() <= 1e-5
        stream = OnnxStream((tmp_path / "onnx" / f"{kind}.stream.onnx").read_bytes())
        assert np.abs(np.array([stream.advance(row) for row in x]) - wanted).max() <= 1e-5
        assert f"{kind}.stream.onnx" in done.stdout
        assert len(about["models"][kind]["outputs"]) == wanted.shape[1]


def test_a_refused_graph_makes_exit_code_1_and_leaves_the_others(
    live_run: LiveRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    bars, out = tmp_path / "bars.parquet", tmp_path / "onnx"
    pq.write_table(synthetic_market(SyntheticConfig(bars=2_600, seed=8)).bars, bars)
    assert main(Args(live_run.path, out, bars=(bars,), max_latency_ratio=0.0)) == 1
    assert "takes more than 0% of float32's time" in capsys.readouterr().out
    assert not list(out.glob("*.int8.onnx"))
    assert len(list(out.glob("*.onnx"))) == 6


def test_what_is_no_run_is_refused(live_run: LiveRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no trained models"):
        models_folder(tmp_path, None)
    with pytest.raises(InputError, match="symbol 'ETH/USDT' is not in the run"):
        models_folder(live_run.path, "ETH/USDT")
    folder = models_folder(live_run.path, None)
    assert models_folder(folder, None) == folder == models_folder(live_run.path, "SYN/USDT")


def judged(tmp_path: Path, limits: Int8Limits) -> Int8Report:
    """Labels that follow the model's own probabilities: it has an edge to lose."""
    model, x = lively_model("tcn"), random_rows(3_000)
    chance = 1.0 / (1.0 + np.exp(-dense_answers(model, x)[:, :2]))
    y = np.where(np.random.default_rng(1).random(chance.shape) < chance, 1.0, -1.0).astype(np.float32)
    y[::7] = np.nan
    return export_int8(model, tmp_path / "int8.onnx", x, y, limits)


def test_int8_is_written_within_its_limits_and_is_int8(tmp_path: Path) -> None:
    report = judged(tmp_path, ANY_SPEED)
    assert 2_000 < report.labels < 3_000
    assert report.log_loss[0] < 0.66
    assert 0 < report.largest_difference < 0.1
    written = (tmp_path / "int8.onnx").read_bytes()
    assert b"DequantizeLinear" in written
    x = random_rows(100)[None]
    assert np.isfinite(load_session(tmp_path / "int8.onnx").run(None, {"x": x})[0]).all()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Int8Limits(log_loss=-1.0), "log-loss rises by more than -1"),
        (Int8Limits(log_loss=1.0, accuracy=-1.0), "accuracy falls by more than -1"),
        (Int8Limits(log_loss=1.0, accuracy=1.0, latency_ratio=0.0), "takes more than 0% of float32's time"),
    ],
)
def test_int8_beyond_a_limit_is_refused_with_what_was_measured(tmp_path: Path, limits: Int8Limits, reason: str) -> None:
    with pytest.raises(ExportError, match=rf"{reason} \(log-loss 0\.\d+ -> 0\.\d+, accuracy .* us a window\)"):
        judged(tmp_path, limits)
    assert list(tmp_path.iterdir()) == []


def test_int8_needs_rows_to_be_judged_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give at least"):
        export_int8(lively_model("tcn"), tmp_path / "x.onnx", random_rows(500), np.ones((500, 2), dtype=np.float32))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedFold, Path]:
    """A TCN trained on nine days of minutes, and the file they are from."""
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    folder = tmp_path_factory.mktemp("fold")
    path = Path(root) / "klines" / "binance_spot_BTCUSDT_1m_2026-03_04.parquet"
    bars = bar_arrays(read_bars(path, end="2026-03-11"))
    config = WalkForwardConfig(
        horizons=(1, 5), models=(ModelConfig("tcn"),), train=TrainConfig(epochs=2), folds=1, first_train_fraction=0.9
    )
    names = available_features(bars, ["core"])
    X = compute_features(bars, names)
    y, t1 = labels(bars, config.layout, 60_000)
    stretches = segments(bars.open_time_ms, 60_000)
    walk_forward_predictions(X, y, t1, stretches, bars.open_time_ms, config, feature_names=names, out_dir=folder)
    return load_fold(folder, 0), path


@pytest.mark.slow
def test_int8_on_real_rows_loses_less_than_stated(real: tuple[TrainedFold, Path], tmp_path: Path) -> None:
    """The stated loss: 2e-4 nats of log-loss, half a percentage point of accuracy, on rows after the training's."""
    fold, path = real
    rows = labelled_rows(fold, bar_arrays(read_bars(path, start="2026-03-11", end="2026-03-18")), 60_000)
    limits = Int8Limits(latency_ratio=100.0)
    report = export_int8(fold.models["tcn"], tmp_path / "int8.onnx", rows.x, rows.y, limits)
    assert report.labels > 5_000
    assert report.log_loss[1] - report.log_loss[0] <= limits.log_loss
    assert report.accuracy[0] - report.accuracy[1] <= limits.accuracy


@pytest.mark.slow
def test_streams_equal_research_on_real_rows(real: tuple[TrainedFold, Path]) -> None:
    """Heavy tails and all: the compiled TCN, against what walk-forward would say."""
    fold, path = real
    bars = bar_arrays(read_bars(path, start="2026-03-11", end="2026-03-14"))
    X = compute_features(bars, fold.feature_names)
    members = StreamingMembers(fold.models, fold.config.models, fold.scaler)
    live = np.concatenate([members.advance(row).p_up for row in X])
    wanted = fold.predict(X, segments(bars.open_time_ms, 60_000)).p_up
    np.testing.assert_array_equal(np.isnan(live), np.isnan(wanted))
    assert np.nanmax(np.abs(live - wanted)) <= 1e-5
