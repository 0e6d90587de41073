"""Searches with real Ray Tune: changes of settings reach what learns, and a killed search goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents import checkpoints
from agents.config import AgentConfig, agent_preset
from agents.config_files import read_settings
from agents.flat_adam import FlatAdam
from agents.train import train
from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.market import Market
from evaluation.bars_market import split_markets
from evaluation.trials import TrialLog
from evaluation.tuning import Search, search, set_up
from evaluation.tuning_config import TuneConfig
from evaluation.tuning_report import report_of
from evaluation.tuning_runs import TuneRun, held, lineage, read_runs
from evaluation.tuning_space import parse_space
from scripts import tune as command
from tests.browser import BROWSER, in_browser, text_of
from tests.integration.agents_market import signal_market

RULES = MarketConfig(default_tp_bps=50.0, default_sl_bps=30.0, episode_bars=240)
TINY = {"lanes": 16, "fragment": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def parts() -> tuple[list[Market], list[Market]]:
    return split_markets([signal_market(3, seed=1)], 0.6, 0.3)


def prepared(out: Path, parts: tuple[list[Market], list[Market]], config: TuneConfig, *space: str) -> Search:
    agent = agent_preset("ppo", iterations=6, **TINY)
    dimensions = parse_space(space, agent, RULES, while_training=config.search == "pbt")
    return set_up(out, config, dimensions, agent, RULES, parts, parallel=2, resume=(out / "config.json").exists())


@pytest.mark.parametrize(
    ("agent", "changed"),
    [
        (
            agent_preset("ppo", iterations=2, **TINY),
            lambda a: replace(a, ppo=replace(a.ppo, learning_rate=0.005, learning_rate_final=0.005)),
        ),
        (
            replace(
                agent_preset("ddpg", iterations=2, **TINY),
                ddpg=replace(agent_preset("ddpg").ddpg, warmup_rows=100, updates=2, batch=32),
            ),
            lambda a: replace(
                a,
                ddpg=replace(a.ddpg, actor_learning_rate=0.005, critic_learning_rate=0.005, learning_rate_final=0.005),
            ),
        ),
    ],
    ids=["ppo", "ddpg"],
)
def test_a_checkpoint_taken_over_learns_at_the_new_rate(
    agent: AgentConfig,
    changed: Callable[[AgentConfig], AgentConfig],
    parts: tuple[list[Market], list[Market]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What PBT does: another run's checkpoint, under other settings. The old rate lies in the optimizer's state."""
    rules = replace(RULES, action_mode="continuous" if agent.algorithm == "ddpg" else "discrete")
    rates: list[float] = []
    step = FlatAdam.step
    monkeypatch.setattr(
        FlatAdam,
        "step",
        lambda self, *args: (rates.extend(group["lr"] for group in self.param_groups), step(self, *args))[1],
    )
    first = train(parts[0], rules, replace(agent, iterations=1), tmp_path / "donor")
    assert rates
    assert 0.005 not in rates
    rates.clear()
    shutil.copytree(first.last_checkpoint, tmp_path / "other" / checkpoints.FOLDER / first.last_checkpoint.name)
    second = train(parts[0], rules, changed(agent), tmp_path / "other", resume=True)
    assert [record["iteration"] for record in second.history] == [2.0]  # it began where the donor was
    assert set(rates) == {0.005}


@pytest.mark.slow
def test_a_population_changes_settings_while_it_trains(
    parts: tuple[list[Market], list[Market]], tmp_path: Path
) -> None:
    config = TuneConfig(search="pbt", trials=2, validate_every=2, perturb_every=2)
    task = prepared(tmp_path / "pbt", parts, config, "ppo.learning_rate=log:0.0003..0.01", "ppo.epochs=1,2,4")
    runs = search(task)
    changed = [run for run in runs if run.parent is not None]
    assert changed
    for run in changed:
        before = lineage(runs, run)[-2]
        identity = json.loads((run.path / "identity.json").read_text())
        for name, value in run.settings.items():
            assert identity[f"agent.{name}"] == str(value)  # what was trained, not what was meant
        assert 0.0003 <= run.settings["ppo.learning_rate"] <= 0.01
        assert run.begun_at in {2, 4}
        assert [record["iteration"] for record in run.history] == [*range(run.begun_at + 2, run.iteration + 1, 2)]
        assert before.iteration >= run.begun_at
        rate = run.settings["ppo.learning_rate"]
        for record in run.history:  # the rate in use falls from the run's own to 1e-4
            done = record["rows"] / (6 * 16 * 32)
            assert record["learn/learning_rate"] == pytest.approx(rate + done * (1e-4 - rate))
    assert any(run.settings != lineage(runs, run)[-2].settings for run in changed)
    assert {run.ended for run in runs} <= {"iterations", "settings changed"}
    log = TrialLog(tmp_path / "trials.jsonl")
    report = report_of(task, runs, parts[1], log, "SYN", complete=True)
    assert report.trials.trials == len(runs) > 2
    assert search(task) == runs  # nothing is left to do
    assert not list((tmp_path / "pbt" / "runs").glob(".*"))


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL after one run has ended and another is under way: the first is not touched, the other goes on."""
    out = tmp_path / "search"
    words = [
        "--synthetic",
        "planted_edge",
        "--days",
        "12",
        "--trials",
        "3",
        "--parallel",
        "1",
        "--validate-every",
        "10",
    ]
    words += ["--set", "iterations=150", "lanes=16", "fragment=32", "market.episode_bars=240", "device=cpu"]
    words += ["--vary", "ppo.learning_rate=log:0.0003..0.01", "market.default_tp_bps=30,50", "--scheduler", "none"]
    words += ["--out", str(out)]
    child = subprocess.Popen(
        [sys.executable, "-m", "scripts.tune", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 480  # Ray may take minutes to start on a busy machine
        while not _one_ended_and_one_under_way(out):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    before = read_runs(out)
    ended = [run for run in before if run.ended]
    begun = [run for run in before if not run.ended]
    assert ended
    kept = _stamps(ended)
    monkeypatch.setattr(sys, "argv", ["tune", *words, "--resume"])
    assert command.main_cli() == 0
    runs = read_runs(out)
    assert _stamps(ended) == kept
    for run in begun:  # a kill may cost what came after the newest checkpoint
        now = next(each for each in runs if each.name == run.name)
        assert now.history[: len(run.history) - 1] == run.history[:-1]
    assert [(run.iteration, run.ended) for run in runs] == [(150, "iterations")] * 3
    assert TrialLog(tmp_path / "trials.jsonl").count("SYNTHETIC planted_edge SYNUSDT").trials == 3
    agent, market = read_settings(out / "best.json")
    best = json.loads((out / "best.json").read_text())
    assert agent.ppo.learning_rate == best["settings"]["ppo.learning_rate"]
    assert market.default_tp_bps == best["settings"]["market.default_tp_bps"]
    assert (Path(best["checkpoint"]) / "policy.json").is_file()
    assert best["validation_return_log"] == max(run.score for run in runs)
    page = (out / "results.html").read_text()
    assert "SYNTHETIC" in text_of(page)
    assert "after 3 trials" in text_of(page)
    if BROWSER:
        found = in_browser(page, 400, tmp_path)
        assert found["errors"] == []
        assert found["needed"] <= found["width"]


def _one_ended_and_one_under_way(out: Path) -> bool:
    runs = read_runs(out) if out.exists() else []
    return any(run.ended for run in runs) and any(not run.ended and len(run.history) > 1 for run in runs)


def _stamps(runs: list[TuneRun]) -> dict[Path, int]:
    """When each file of the runs was last written."""
    files = (path for run in runs for path in run.path.rglob("*") if path.name != "lock")
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_folder_serves_one_search_at_a_time(tmp_path: Path, parts: tuple[list[Market], list[Market]]) -> None:
    task = prepared(tmp_path / "s", parts, TuneConfig(trials=2), "gamma=0.9,0.95")
    with held(tmp_path / "s" / "lock", wait=False), pytest.raises(InputError, match="another search is working there"):
        search(task)
    with pytest.raises(InputError, match="the run was started with space"):
        prepared(tmp_path / "s", parts, TuneConfig(trials=2), "gamma=0.9,0.97")
    prepared(tmp_path / "s", parts, TuneConfig(trials=9), "gamma=0.9,0.95")  # more trials are no other search
