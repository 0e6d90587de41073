"""The walk-forward study of policies from the command line: windows, tables, going on after a kill, no look ahead."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.synthetic import synthetic_market
from evaluation import agent_study
from evaluation.agent_study import SpanResult, Window, plan_windows, read_results, window_market
from evaluation.agent_study_config import StudyConfig
from evaluation.agent_study_report import joined, markdown, summarise
from evaluation.config import ExperimentConfig
from evaluation.dataset import prepare_symbols
from evaluation.trials import TrialCount, TrialLog
from scripts.benchmark_agents import Args, main, main_cli
from supervised.predictions import Predictions

DAY = 1440
QUICK = StudyConfig(
    seeds=2,
    windows=2,
    test_days=1,
    validation_days=1,
    iterations=2,
    validate_every=1,
    model_folds=2,
    random_accounts=20,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Args:
    args = Args(synthetic="planted_edge", days=7, study=QUICK, out=tmp_path_factory.mktemp("runs") / "study")
    assert main(args) == 0
    return args


def results(out: Path) -> dict[str, SpanResult]:
    return {str(path.relative_to(out)): read_results(path)[0] for path in sorted(out.glob("window-*/*/result.json"))}


@pytest.mark.slow
def test_tables_tell_what_the_policies_did(study: Args) -> None:
    found = json.loads((study.out / "summary.json").read_text())
    table = (study.out / "summary.md").read_text()
    judged = results(study.out)
    assert len(judged) == 2 * 2 * 2  # windows, algorithms, seeds
    for algorithm in QUICK.algorithms:
        nets = []
        for seed in range(2):
            parts = [judged[f"window-{window}/{algorithm}-seed-{seed}/result.json"] for window in range(2)]
            assert all(len(part.random) == 20 for part in parts)
            nets.append(float(np.prod([1.0 + r for part in parts for r in part.daily]) - 1.0))
        row = found["joined"][algorithm.upper()]
        assert row["net_by_seed"] == pytest.approx(nets)
        assert row["net_over_seeds"]["value"] == pytest.approx(np.mean(nets))
        assert f"| {algorithm.upper()} | " in table
    assert found["trials"]["trials"] == 4
    assert found["joined"]["perfect foresight"]["net_over_seeds"]["value"] > 0.0
    for place in study.out.glob("window-*/*-seed-*"):
        assert (place / "policy" / "policy.npz").is_file()
        assert not (place / "checkpoints").exists()


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_the_same(study: Args, monkeypatch: pytest.MonkeyPatch) -> None:
    before, written = results(study.out), (study.out / "summary.json").read_text()
    missing = study.out / "window-1" / "ddpg-seed-1" / "result.json"
    missing.unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    again = replace(study, resume=True)
    with monkeypatch.context() as patched:  # after training, before its result is written
        patched.setattr(agent_study, "write_results", killed)
        with pytest.raises(KeyboardInterrupt):
            main(again)
    assert not missing.exists()
    kept = {path: path.stat().st_mtime_ns for path in study.out.rglob("result.json")}
    assert main(again) == 0
    assert results(study.out) == before
    assert (study.out / "summary.json").read_text() == written
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(TrialLog(study.out.parent / "trials.jsonl").read()[0]) == 8  # logged twice, counted once
    with pytest.raises(InputError, match="seeds"):
        main(replace(again, study=replace(QUICK, seeds=3)))


def test_windows_follow_one_another_and_leave_the_past_to_training() -> None:
    times = np.arange(20 * DAY, dtype=np.int64) * 60_000
    config = StudyConfig(windows=3, test_days=2, validation_days=3)
    windows = plan_windows(times, 7 * DAY, config)
    assert [window.stop for window in windows] == [16 * DAY, 18 * DAY, 20 * DAY]
    assert [window.test for window in windows] == [14 * DAY, 16 * DAY, 18 * DAY]
    assert all(w.test - w.validation == 3 * DAY and w.start == 7 * DAY < w.validation for w in windows)
    with pytest.raises(InputError, match="too little to train on"):
        plan_windows(times, 9 * DAY, config)
    with_gap = np.delete(times, slice(10 * DAY, 12 * DAY))  # days without bars do not count
    assert [w.test for w in plan_windows(with_gap, 5 * DAY, config)] == [12 * DAY, 14 * DAY, 16 * DAY]


def test_nothing_after_a_row_reaches_its_observation(tmp_path: Path) -> None:
    source = ExperimentConfig(market="no_edge", days=5)
    table = synthetic_market(SyntheticConfig(setting="no_edge", bars=5 * DAY)).bars
    symbol = prepare_symbols({"SYN/USDT": table}, source)[0]
    rows, rng = len(symbol.bars), np.random.default_rng(0)
    fold = np.where(np.arange(rows) < DAY, -1, 0).astype(np.int16)
    values = np.where(fold[:, None] < 0, np.nan, rng.uniform(0.3, 0.7, (rows, 1))).astype(np.float32)
    times = symbol.bars.open_time_ms
    predictions = Predictions(values, ("p_up_tcn_h5",), fold, times[DAY - 60 : DAY - 59], times)
    window = Window(0, DAY, 3 * DAY, 4 * DAY, 5 * DAY)
    usual = window_market(symbol, predictions, window, StudyConfig(), tmp_path / "usual")

    later = symbol.features.copy()
    later[window.validation :] += 3.0
    other = replace(symbol, features=later)
    changed = window_market(other, predictions, window, StudyConfig(), tmp_path / "changed")
    assert np.array_equal(
        usual.observations[: window.validation], changed.observations[: window.validation], equal_nan=True
    )
    assert not np.array_equal(usual.observations[window.test :], changed.observations[window.test :], equal_nan=True)
    first = later.copy()
    first[: window.validation] += 3.0  # what is trained on does set the scale
    moved = window_market(replace(symbol, features=first), predictions, window, StudyConfig(), tmp_path / "moved")
    assert not np.array_equal(changed.observations[window.test :], moved.observations[window.test :], equal_nan=True)


def account(name: str, daily: list[float], random: tuple[float, ...] = (), trades: int = 40) -> SpanResult:
    return SpanResult(name, [86_400_000 * day for day in range(len(daily))], daily, trades, 0.01, 0.5, "", random)


def test_windows_are_compounded_and_luck_is_counted() -> None:
    good, bad = [0.01, -0.005] * 15, [-0.01, 0.004] * 15
    baselines = [account(name, [0.0] * 30) for name in ("buy and hold", "best simple rule", "perfect foresight")]
    windows = [[*baselines, account("ppo", good, (0.0, 0.2)), account("ppo", bad, (-0.1, 0.1))] for _ in range(2)]
    found = joined("PPO", [[window[3] for window in windows], [window[4] for window in windows]], TrialCount(10, 0.01))
    expected = [float(np.prod(1.0 + np.array(daily)) ** 2 - 1.0) for daily in (good, bad)]
    assert found.nets == pytest.approx(expected)
    assert found.sharpe.n == 60
    assert found.trades_per_day == pytest.approx(40 / 30)
    assert found.random == pytest.approx([(0.0 + 0.9**2 - 1.0) / 2, (1.2**2 - 1.0 + 1.1**2 - 1.0) / 2])
    assert found.random_p == pytest.approx(2 / 3)  # the second random account does better
    summary = summarise("BTCUSDT", windows, ["ppo"], TrialCount(10, 0.01), synthetic=False)
    assert summary.luckiest[0].nets == pytest.approx(expected[:1])
    assert summary.luckiest[0].deflated < 0.95  # it has a Sharpe ratio of 6 a year, and ten were tried
    assert summary.verdicts["PPO"].level == "none"
    assert f"| PPO, luckiest seed | +{100 * expected[0]:.2f} % |" in markdown(summary)


def test_unusable_options_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        ([], "give --bars or --synthetic"),
        (["--synthetic", "no_edge", "--seeds", "0"], "--seeds: 0 is below 1"),
        (["--bars", "none.parquet"], "none.parquet"),
    ):
        monkeypatch.setattr(sys, "argv", ["benchmark_agents", *words, "--out", str(tmp_path / "x")])
        assert main_cli() == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
