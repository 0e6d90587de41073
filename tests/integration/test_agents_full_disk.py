"""A disk that fills up while a policy trains: a clear end, nothing half-written, and a resume that loses nothing."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from test_agents_train import market, read_history, run, same_end, undisturbed

from agents import checkpoints
from agents.monitor import HISTORY, Record
from agents.train import TrainResult
from data_pipeline.errors import InputError
from envs.market import Market

__all__ = ["market", "undisturbed"]  # fixtures


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's thread dies of it
@pytest.mark.parametrize("full", ["checkpoint", "history"])
def test_a_full_disk_ends_the_run_and_harms_nothing(
    full: str, market: Market, undisturbed: TrainResult, tmp_path: Path
) -> None:
    # A limit on the size of files fails like a full disk, and nobody else on this machine notices.
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(record: Record) -> None:
        """After iteration 2: no room for the next checkpoint, or for another whole line of history."""
        size = {"checkpoint": 16_384, "history": (tmp_path / HISTORY).stat().st_size + 100}[full]
        if record["iteration"] == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))

    try:
        with pytest.raises(InputError, match=r"no room left .*iteration-000002; free some space, then resume"):
            run(market, tmp_path, progress=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    root = tmp_path / checkpoints.FOLDER
    assert sorted(path.name for path in root.iterdir()) == ["iteration-000000", "iteration-000002"]
    assert checkpoints.damage(root / "iteration-000002") == ""
    assert len(read_history(tmp_path)) == (3 if full == "checkpoint" else 2)
    assert same_end(undisturbed, run(market, tmp_path, resume=True))
