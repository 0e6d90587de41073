"""The main job as a user runs it: from a command line to a report, interrupted and resumed, without look-ahead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import synthetic_market
from envs.columns import HALF_SPREAD
from envs.market import Market
from evaluation.config import ExperimentConfig
from evaluation.dataset import SymbolRows, prepare_symbols
from evaluation.experiment import walk_forward_settings
from evaluation.observations import build_market
from supervised.walk_forward import walk_forward_predictions

ROOT = Path(__file__).resolve().parents[2]
# Small enough for a minute, large enough that every stage does real work.
SMALL = ("--days", "8", "--models", "lstm", "--horizons", "5", "--folds", "2", "--agent-seeds", "1", "--threads", "1",
         "--spread-model", "bars")  # fmt: skip


def command(out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "scripts.run_scalping_experiment", "--out", str(out), *SMALL, *words]


def finish(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out, *words), cwd=ROOT, capture_output=True, text=True, timeout=500)


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = finish(out, "--iterations", "4")
    assert done.returncode == 0, done.stderr
    assert summary(out)["verdict"]["sentence"] in " ".join(done.stdout.split())
    assert "report.html" in done.stdout
    return out


@pytest.mark.slow
def test_a_run_leaves_everything_a_reader_needs(undisturbed: Path) -> None:
    found = summary(undisturbed)
    assert found["verdict"]["sentence"] in (undisturbed / "report.html").read_text()
    assert "SYNTHETIC" in found["verdict"]["sentence"]
    for name in ("config.json", "environment.json", "data.json", "quality.json", "policy.onnx"):
        assert (undisturbed / name).stat().st_size > 0
    assert json.loads((undisturbed / "config.json").read_text())["seed"] == 0
    assert list((undisturbed / "agent" / "seed-0" / "tensorboard").glob("events.*"))
    assert (undisturbed.parent / "trials.jsonl").read_text().count("\n") == 1
    half_spread = Market.load(next((undisturbed / "markets").iterdir())).prices[:, HALF_SPREAD]
    assert np.isfinite(half_spread[1:]).all()
    assert len(np.unique(half_spread)) > 100


@pytest.mark.slow
def test_the_folder_of_a_run_is_not_taken_for_another(undisturbed: Path) -> None:
    before = (undisturbed / "summary.json").read_bytes()
    refused = finish(undisturbed, "--iterations", "4")
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    other = finish(undisturbed, "--iterations", "5", "--resume")
    assert other.returncode == 2
    assert "iterations" in other.stderr
    assert (undisturbed / "summary.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "Ctrl-C"])
def test_an_interrupted_run_goes_on_and_ends_the_same(how: signal.Signals, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    process = subprocess.Popen(
        command(out, "--iterations", "4"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    history = out / "agent" / "seed-0" / "history.jsonl"
    deadline = time.monotonic() + 400
    while not (history.exists() and history.read_text().count("\n") >= 1):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if how == signal.SIGKILL:
        os.killpg(process.pid, how)  # Ray's processes too, as when the machine goes down
    else:
        process.send_signal(how)
    process.communicate(timeout=120)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    assert not (out / "summary.json").exists()

    done = finish(out, "--iterations", "4", "--resume")
    assert done.returncode == 0, done.stderr
    assert summary(out)["overall"] == summary(undisturbed)["overall"]


def prepared(bars: SyntheticConfig, cut: int | None = None) -> SymbolRows:
    """The symbol's rows; from row `cut` on the bars are those of another market."""
    table = synthetic_market(bars).bars
    if cut is not None:
        other = synthetic_market(SyntheticConfig(bars=bars.bars, seed=99)).bars
        table = pa.concat_tables([table.slice(0, cut), other.slice(cut)])
    config = ExperimentConfig(models=("tcn", "lstm"), horizons=(5,), folds=3, outcomes=True)
    return prepare_symbols({"SYN/USDT": table}, config)[0]


@pytest.mark.slow
def test_the_future_changes_no_feature_prediction_or_observation_before_it(tmp_path: Path) -> None:
    rows = 6000
    config = ExperimentConfig(models=("tcn", "lstm"), horizons=(5,), folds=3, threads=1, outcomes=True)
    settings = walk_forward_settings(config)
    whole = prepared(SyntheticConfig(bars=rows))
    seen = {}
    for cut in (None, 5400):  # inside the test days
        symbol = prepared(SyntheticConfig(bars=rows), cut)
        predictions = walk_forward_predictions(
            symbol.features, symbol.targets, symbol.target_ends, symbol.segments, symbol.bars.open_time_ms, settings
        )
        assert np.isnan(build_market(symbol, predictions, tmp_path / f"constant-{cut}").prices[:, HALF_SPREAD]).all()
        market = build_market(symbol, predictions, tmp_path / str(cut), further=True, spread="bars")
        assert market.columns[len(symbol.feature_names) :] == predictions.columns + predictions.further_columns
        half_spread = market.prices[1:, HALF_SPREAD]  # what the next bar is filled at is known at a row's close
        seen[cut] = (symbol.features, predictions.values, predictions.further, market.observations, half_spread)
    assert whole.split.validation < 5400
    for before, after in zip(seen[None], seen[5400], strict=True):
        assert before[:5400].tobytes() == after[:5400].tobytes()
        assert before[5400:].tobytes() != after[5400:].tobytes()
