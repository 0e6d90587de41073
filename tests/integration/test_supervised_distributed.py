"""A fit shared by two worker processes, one of which is killed: the weights are those of a single process."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from agents.runtime import start_ray
from supervised import distributed
from supervised.chunk_set import ChunkSet
from supervised.distributed import Cluster, distributed_fit
from supervised.fit_state import Epoch, FileCheckpoint, copy_state
from supervised.symbols import SymbolModel
from supervised.training import fit
from tests.supervised_tools import TRAIN, Signal, chunk_sets, small_model


def model() -> SymbolModel:
    return SymbolModel(small_model(dropout=0.0), 2, forget=0.0)


@pytest.mark.slow
def test_two_workers_equal_one_process_though_one_is_killed(tmp_path: Path) -> None:
    alone, shared = model(), model()
    sets = chunk_sets(alone.model, tmp_path, seeds=(0, 1))
    history = fit(alone, *sets, TRAIN, seed=5)
    start_ray(2)
    heard: list[Epoch] = []
    marker = tmp_path / "killed"
    found = distributed_fit(
        shared,
        *sets,
        TRAIN,
        seed=5,
        checkpoint=FileCheckpoint(tmp_path / "fit.pt", "these", every=3),
        cluster=Cluster(workers=2, restarts=1),
        progress=heard.append,
        watch=Signal(signal.SIGKILL, 8, marker),
    )
    assert marker.exists()
    assert [epoch.number for epoch in found] == [1, 2, 3]
    assert [epoch.number for epoch in heard] == [1, 2, 3]  # the restarted group went on, it did not begin again
    for one, other in zip(history, found, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5)
        assert one.validation_loss == pytest.approx(other.validation_loss, abs=1e-5)
    ours, theirs = copy_state(alone), copy_state(shared)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-4, rtol=1e-3, msg=name)
    assert not [*tmp_path.glob(".ray-*")]


def test_arrays_travel_as_files_or_once_through_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapped files are mapped again, others put into the store; a view of a part is not taken for the whole file."""
    sent: list[np.ndarray] = []
    monkeypatch.setattr(ray, "put", lambda array: sent.append(array) or len(sent) - 1)
    monkeypatch.setattr(ray, "get", lambda number: sent[number])
    training, _ = chunk_sets(small_model(), tmp_path)
    chosen = np.arange(len(training))
    wanted = training.batch(chosen)

    def travelled(chunks: ChunkSet) -> ChunkSet:
        return distributed._unpacked(distributed._shipped(chunks))

    def same(chunks: ChunkSet) -> bool:
        return all(map(torch.equal, map(torch.nan_to_num, chunks.batch(chosen)), map(torch.nan_to_num, wanted)))

    assert same(travelled(training))
    assert [array.shape for array in sent] == [training.parts[0].runs.shape]
    (part,) = training.parts
    view = replace(training, parts=(replace(part, X=part.X[:]),))
    assert same(travelled(view))
    assert len(sent) == 3
