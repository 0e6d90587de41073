"""Training runs on a market: what they leave behind, and that they go on from an interruption as if there were none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agents_market import DAY, signal_market
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import checkpoints
from agents.config import AgentConfig, DDPGSettings, NetworkConfig, PPOSettings
from agents.monitor import read_history
from agents.policy import load_policy
from agents.train import TrainResult, train
from data_pipeline.errors import InputError
from data_pipeline.files import file_sha256
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market

MARKET = MarketConfig(episode_bars=120)
CONFIG = AgentConfig(
    iterations=6,
    lanes=16,
    fragment=32,
    network=NetworkConfig(hidden=(16, 16)),
    device="cpu",
    checkpoint_every=2,
    validate_every=3,
    ppo=PPOSettings(minibatch=128),
    ddpg=DDPGSettings(batch=32, updates=8, replay_rows=4000, warmup_rows=600),
)


@pytest.fixture(scope="module")
def market() -> Market:
    return signal_market(5, seed=3)


@pytest.fixture(scope="module")
def undisturbed(market: Market, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return run(market, tmp_path_factory.mktemp("undisturbed"))


def run(market: Market, folder: Path, config: AgentConfig = CONFIG, **options: Any) -> TrainResult:
    validation = market.slice(4 * DAY, 5 * DAY)
    return train(market.slice(0, 4 * DAY), MARKET, config, folder, validation=validation, **options)


def policy_weights(checkpoint: Path) -> dict[str, np.ndarray]:
    with np.load(checkpoint / checkpoints.POLICY_WEIGHTS) as stored:
        return {name: stored[name] for name in stored.files}


def same_figures(one: TrainResult, two: TrainResult) -> bool:
    """Whether two runs told the same story, speeds aside; every figure of a loss depends on every weight before it."""
    stories = [
        [{name: value for name, value in record.items() if "speed" not in name} for record in result.history]
        for result in (one, two)
    ]
    return stories[0] == stories[1]


def same_end(one: TrainResult, two: TrainResult) -> bool:
    """Whether two runs told the same story and ended with the same weights."""
    weights = [policy_weights(result.last_checkpoint) for result in (one, two)]
    return same_figures(one, two) and all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_leaves_history_events_and_checkpoints(undisturbed: TrainResult) -> None:
    root = undisturbed.run_dir / checkpoints.FOLDER
    assert read_history(undisturbed.run_dir) == undisturbed.history
    assert [record["iteration"] for record in undisturbed.history] == [1, 2, 3, 4, 5, 6]
    assert undisturbed.last_checkpoint.name == "iteration-000006"
    assert checkpoints.damage(undisturbed.last_checkpoint) == ""
    kept = sorted(path.name for path in root.glob("iteration-*"))
    assert kept == sorted({"iteration-000004", "iteration-000006", undisturbed.best_checkpoint.name})
    scores = {r["iteration"]: r["validation/return_log"] for r in undisturbed.history if "validation/return_log" in r}
    assert sorted(scores) == [3, 6]
    best = max(scores, key=lambda iteration: (scores[iteration], -iteration))
    assert undisturbed.best_checkpoint.name == f"iteration-{int(best):06d}"
    assert checkpoints.best_score(root) == scores[best]
    events = EventAccumulator(str(undisturbed.run_dir / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    figures = ("return", "equity", "win_rate", "trades_per_day", "max_drawdown", "sharpe", "costs")
    assert {f"episode/{figure}" for figure in figures} <= set(tags)
    assert {"learn/policy_loss", "learn/entropy", "speed/sample_rows_per_second", "validation/return_log"} <= set(tags)
    assert [event.step for event in events.Scalars("learn/entropy")] == [1, 2, 3, 4, 5, 6]
    trading = ("trades_per_day", "fees", "spread_cost", "impact_cost", "funding", "time_in_market")
    assert {f"validation/{figure}" for figure in trading} <= set(tags)
    assert {"episode/sharpe_error", "episode/fees", "episode/time_in_market", "actions/flat_share"} <= set(tags)
    assert [picture.step for picture in events.Images("validation/equity")] == [3, 6]
    for record in undisturbed.history:
        sides = [record[f"actions/{side}_share"] for side in ("long", "short", "flat")]
        assert sum(sides) == pytest.approx(1.0)
        assert record["episode/costs"] == pytest.approx(
            sum(record[f"episode/{name}"] for name in ("fees", "spread_cost", "impact_cost", "funding"))
        )
        seconds = sum(record[f"speed/{part}_seconds"] for part in ("sample", "learn", "wait"))
        rows = record["speed/sample_rows_per_second"] * record["speed/sample_seconds"]
        assert record["speed/rows_per_second"] == pytest.approx(rows / seconds)


@pytest.mark.parametrize("name", ["ppo", "ddpg"])
def test_interrupt_and_resume_equal_the_undisturbed_run(name: str, market: Market, tmp_path: Path) -> None:
    config = replace(CONFIG, algorithm=name)
    actions = replace(MARKET, action_mode="continuous")
    train_market = market.slice(0, 4 * DAY)

    def interrupt(record: dict[str, float]) -> None:
        if record["iteration"] == 3:
            raise KeyboardInterrupt

    whole = train(train_market, actions, config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(train_market, actions, config, tmp_path / "broken", progress=interrupt)
    assert checkpoints.newest_whole(tmp_path / "broken" / checkpoints.FOLDER).name == "iteration-000003"
    assert same_end(whole, train(train_market, actions, config, tmp_path / "broken", resume=True))


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_agents_train import run, signal_market

def act(record):
    if record["iteration"] == 5:
        os.kill(os.getpid(), signal.{signal})

if __name__ == "__main__":
    run(signal_market(5, seed=3), Path({folder!r}), progress=act)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "newest"), [("SIGKILL", 4), ("SIGINT", 5)])
def test_killed_at_any_time_it_goes_on(
    name: str, newest: int, market: Market, undisturbed: TrainResult, tmp_path: Path
) -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), signal=name, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if name == "SIGKILL":
        assert done.returncode == -signal.SIGKILL
        # What a kill in the middle of a write leaves: a folder that is not yet a checkpoint, and a cut line.
        (tmp_path / checkpoints.FOLDER / ".iteration-000006.1").mkdir()
        with (tmp_path / "history.jsonl").open("a") as file:
            file.write('{"iteration": 6.0, "ro')
    else:
        assert "KeyboardInterrupt" in done.stderr
    assert checkpoints.newest_whole(tmp_path / checkpoints.FOLDER).name == f"iteration-{newest:06d}"
    assert same_end(undisturbed, run(market, tmp_path, resume=True))
    assert not list((tmp_path / checkpoints.FOLDER).glob(".*"))


@pytest.mark.parametrize(("times", "newest"), [(1, 5), (2, 4)])
def test_ctrl_c_within_an_iteration_waits_for_its_end(
    times: int, newest: int, market: Market, undisturbed: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one does not wait, and does not save what is half done."""
    from agents.algorithm import BatchedAlgorithm

    learn = BatchedAlgorithm.learn

    def learn_interrupted(self: BatchedAlgorithm, *arguments: Any, **options: Any) -> None:
        for _ in range(times if self.iteration == 4 else 0):
            os.kill(os.getpid(), signal.SIGINT)
        learn(self, *arguments, **options)

    monkeypatch.setattr(BatchedAlgorithm, "learn", learn_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(market, tmp_path)
    monkeypatch.undo()
    root = tmp_path / checkpoints.FOLDER
    assert checkpoints.newest_whole(root).name == f"iteration-{newest:06d}"
    (root / checkpoints.BEST).unlink()  # as if killed between writing the best checkpoint and marking it
    resumed = run(market, tmp_path, resume=True)
    assert same_end(undisturbed, resumed)
    assert resumed.best_checkpoint.name == undisturbed.best_checkpoint.name


def test_a_damaged_newest_checkpoint_is_passed_over(market: Market, undisturbed: TrainResult, tmp_path: Path) -> None:
    run(market, tmp_path)
    state = tmp_path / checkpoints.FOLDER / "iteration-000006" / checkpoints.RLLIB / "algorithm_state.pkl"
    state.write_bytes(state.read_bytes()[:100])
    resumed = run(market, tmp_path, resume=True)
    assert [record["iteration"] for record in resumed.history] == [1, 2, 3, 4, 5, 6]
    assert same_end(undisturbed, resumed)


def contents(folder: Path) -> dict[str, str]:
    return {str(path): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def test_two_runs_in_one_folder_are_refused(market: Market, undisturbed: TrainResult) -> None:
    folder = undisturbed.run_dir
    before = contents(folder)
    with pytest.raises(InputError, match="holds a run already"):
        run(market, folder)
    with pytest.raises(InputError, match=r"agent\.gamma is 0\.5, the interrupted run had 0\.98"):
        run(market, folder, replace(CONFIG, gamma=0.5), resume=True)
    with pytest.raises(InputError, match=r"data\.0 is"):
        run(signal_market(5, seed=4), folder, resume=True)
    assert contents(folder) == before
    longer = run(market, folder, replace(CONFIG, iterations=7, validate_every=0), resume=True)
    assert [record["iteration"] for record in longer.history] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.slow
def test_several_markets_and_a_remote_runner(market: Market, tmp_path: Path) -> None:
    other = market.slice(0, 2 * DAY).save(tmp_path / "other")
    config = replace(CONFIG, num_env_runners=1, iterations=4)
    markets = [market.slice(0, 2 * DAY), other]
    whole = train(markets, MARKET, config, tmp_path / "run")
    shutil.rmtree(whole.last_checkpoint)
    resumed = train(markets, MARKET, config, tmp_path / "run", resume=True)
    assert [record["iteration"] for record in resumed.history] == [1, 2, 3, 4]
    assert same_figures(whole, resumed)


def test_the_policy_of_a_run_serves_the_backtest(market: Market, undisturbed: TrainResult) -> None:
    policy = load_policy(undisturbed.run_dir)
    assert policy.spec.observation_columns[0] == "signal"
    validation = market.slice(4 * DAY, 5 * DAY)
    result = Backtest(validation, MARKET).run(policy)
    score = float(np.log(result.equity[-1, 0] / result.initial_capital[0]))
    best = checkpoints.best_score(undisturbed.run_dir / checkpoints.FOLDER)
    assert score == best
