"""The folder of a search: runs are found again by what they are, and each is a trial, however it ended."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import checkpoints
from evaluation.trials import TrialLog
from evaluation.tuning_runs import TuneRun, begin_run, end_run, lineage, log_runs, newest_of, read_run, read_runs


def scored(run: TuneRun, *scores: float, first: int = 1) -> TuneRun:
    """The run with a history of these scores."""
    records: list[dict[str, Any]] = [{"iteration": 0.5}]  # one that was not scored
    for k, score in enumerate(scores, start=first):
        records.append({"iteration": float(k), "validation/return_log": score, "validation/sharpe": 10 * score})
    (run.path / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_run(run.path)


def test_a_run_is_found_again_by_its_settings(tmp_path: Path) -> None:
    first = begin_run(tmp_path, {"gamma": 0.9, "network.hidden": (8, 8)})
    assert begin_run(tmp_path, {"network.hidden": (8, 8), "gamma": 0.9}) == first
    assert first.settings == {"gamma": 0.9, "network.hidden": (8, 8)}
    second = begin_run(tmp_path, {"gamma": 0.9, "network.hidden": (8,)})
    assert [run.name for run in read_runs(tmp_path)] == [first.name, second.name]
    assert (first.score, first.iteration, first.checkpoint, first.ended) == (-math.inf, 0, None, "")
    end_run(first.path, "scheduler")
    end_run(first.path, "iterations")  # the first reason stands
    assert read_run(first.path).ended == "scheduler"
    run = scored(second, 0.1, 0.3, 0.2)
    assert (run.score, run.iteration, run.best["iteration"] if run.best else None) == (0.3, 3, 2.0)


def test_a_member_goes_on_from_another_s_checkpoint(tmp_path: Path) -> None:
    donor = begin_run(tmp_path, {"gamma": 0.9}, member=0)
    mine = begin_run(tmp_path, {"gamma": 0.8}, member=1)
    start = checkpoints.write_checkpoint(
        donor.path / checkpoints.FOLDER, 4, lambda folder: (folder / "weights").write_text("w") and None
    )
    now = begin_run(tmp_path, {"gamma": 0.95}, member=1, parent=donor.name, start=start)
    assert (now.begun_at, now.parent, now.iteration) == (4, donor.name, 4)
    taken = checkpoints.newest_whole(now.path / checkpoints.FOLDER)
    assert (taken.name, (taken / "weights").read_text()) == (start.name, "w")
    runs = read_runs(tmp_path)
    assert newest_of(runs, 1) == now
    assert newest_of(runs, 0) == donor
    assert newest_of(runs, 2) is None
    assert lineage(runs, now) == [donor, now]
    assert lineage(runs, mine) == [mine]


def test_every_run_is_one_trial(tmp_path: Path) -> None:
    runs = [begin_run(tmp_path, {"gamma": gamma}) for gamma in (0.7, 0.8, 0.9)]
    runs[0], runs[1] = scored(runs[0], 0.1, 0.2), scored(runs[1], 0.05)
    log = TrialLog(tmp_path / "trials.jsonl")
    for _ in range(2):
        log_runs(runs, log, "SYN", 7, {"data": "d"})
    assert len(log.path.read_text().splitlines()) == 3  # nothing new, nothing written
    count = log.count("SYN")
    assert count.trials == 3  # the one without a score too
    per_day = np.array([2.0, 0.5]) / math.sqrt(365.0)
    assert count.variance == pytest.approx(per_day.var(ddof=1))
    trials = log.read()[0]
    assert [trial.days for trial in trials] == [7, 7, 7]
    assert trials[0].net_return == pytest.approx(math.expm1(0.2))
    assert trials[2].sharpe is None
    runs[1] = scored(runs[1], 0.05, 0.4)  # it went on, and did better
    log_runs(runs, log, "SYN", 7, {"data": "d"})
    assert log.count("SYN").trials == 3
    log_runs(runs, log, "SYN", 7, {"data": "other"})
    assert log.count("SYN").trials == 6
