"""A fit outlives its process: killed at any step, while it saves, or interrupted, it ends as if nothing had been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_pipeline.errors import InputError
from supervised.fit_state import FileCheckpoint
from supervised.training import fit
from tests.supervised_tools import TRAIN, chunk_sets, small_model

ROOT = Path(__file__).resolve().parents[2]
QUICK = replace(TRAIN, epochs=1)


@pytest.mark.slow
def test_the_weights_are_those_of_an_undisturbed_fit_to_the_bit(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.supervised_kills", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for kind in ("plain", "of_symbols"):
        assert [died for died, _, _ in found[kind]] == [signal.SIGKILL] * 5  # at steps 1, 4, 6, 7 and 15
        assert [kept for _, kept, _ in found[kind]] == [False, False, True, True, True]  # the first is after step 4
        assert all(same for *_, same in found[kind]), kind
    assert found["while saving"] == [signal.SIGKILL, 4, True]  # the file is the one saved before
    assert found["interrupted"] == [6, True]  # Ctrl-C saves, between two of the regular savings


def test_a_finished_fit_is_not_trained_again(tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "fit.pt", "these")
    heard: list[int] = []
    for _ in range(2):
        model = small_model()
        fit(model, *chunk_sets(model), QUICK, seed=0, checkpoint=checkpoint, progress=lambda e: heard.append(e.number))
    assert heard == [1]


def test_states_of_others_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    model = small_model()
    path = tmp_path / "fit.pt"
    fit(model, *chunk_sets(model), QUICK, seed=0, checkpoint=FileCheckpoint(path, "these"))
    with pytest.raises(InputError, match="other settings or data"):
        FileCheckpoint(path, "others").load()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not the state of a fit"):
        FileCheckpoint(path, "these").load()
    torch.save({"no": "state"}, path)
    with pytest.raises(InputError, match="not the state of a fit"):
        FileCheckpoint(path, "these").load()
    assert FileCheckpoint(tmp_path / "none.pt", "these").load() is None
