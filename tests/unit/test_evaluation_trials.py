"""The log of trials: everything tried is counted, nothing twice, and a crash cannot hide a trial."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from evaluation.trials import Trial, TrialCount, TrialLog, trial_key


def trial(key: str, sharpe: float | None = 0.1, subject: str = "BTCUSDT") -> Trial:
    return Trial(subject, key, sharpe, 40, 0.01, {"seed": 1})


def test_trials_come_back_as_they_were(tmp_path):
    log = TrialLog(tmp_path / "deep" / "trials.jsonl")
    made = [trial("a", 0.1), trial("b", None)]
    for one in made:
        log.append(one)
    assert log.read() == (made, 0)


def test_counts_by_subject_and_key(tmp_path):
    log = TrialLog(tmp_path / "trials.jsonl")
    assert log.count("BTCUSDT") == TrialCount(0, 0.0)
    log.append(trial("a", 0.1))
    assert log.count("BTCUSDT") == TrialCount(1, 0.0)
    log.append(trial("a", 0.1))  # the same trial again
    log.append(trial("other", 9.0, subject="SYNTHETIC planted_edge"))
    assert log.count("BTCUSDT").trials == 1
    for key, sharpe in (("b", 0.3), ("c", -0.2)):
        log.append(trial(key, sharpe))
    found = log.count("BTCUSDT")
    assert found.trials == 3
    assert found.variance == pytest.approx(np.var([0.1, 0.3, -0.2], ddof=1))


def test_unknown_sharpe_ratios_count_but_give_no_variance(tmp_path):
    log = TrialLog(tmp_path / "trials.jsonl")
    log.append(trial("a", 0.1))
    log.append(trial("b", math.nan))
    found = log.count("BTCUSDT")
    assert found.trials == 2
    assert math.isnan(found.variance)


def test_a_line_torn_by_a_crash_still_counts_and_spoils_nothing_else(tmp_path):
    log = TrialLog(tmp_path / "trials.jsonl")
    for key in "ab":
        log.append(trial(key))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-25])
    log.append(trial("c"))
    trials, torn = log.read()
    assert [one.key for one in trials] == ["a", "c"]
    assert torn == 1
    assert log.count("BTCUSDT").trials == 3


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text('{"hello": 1}\n')
    with pytest.raises(InputError, match=r"notes\.jsonl line 1: the line is not a trial"):
        TrialLog(path).read()


def _append_many(path: Path, who: int) -> None:
    for k in range(50):
        TrialLog(path).append(trial(f"{who}-{k}"))


def test_processes_can_write_at_once(tmp_path):
    path = tmp_path / "trials.jsonl"
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_append_many, [path, path], [0, 1]))
    trials, torn = TrialLog(path).read()
    assert torn == 0
    assert len({one.key for one in trials}) == 100


def test_keys_depend_on_every_part():
    assert trial_key({"a": 1, "b": 2}, 3) == trial_key({"b": 2, "a": 1}, 3)
    assert trial_key({"a": 1}, 3) != trial_key({"a": 1}, 4)
