"""Checkpoints: whole or not there."""

from pathlib import Path

import pytest

from agents import checkpoints
from data_pipeline.errors import InputError


def write(root: Path, iteration: int) -> Path:
    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights").write_bytes(bytes([iteration]) * 1000)

    return checkpoints.write_checkpoint(root, iteration, fill)


def test_newest_whole_skips_damage(tmp_path: Path) -> None:
    for iteration in (1, 2, 3):
        write(tmp_path, iteration)
    assert checkpoints.newest_whole(tmp_path).name == "iteration-000003"
    weights = tmp_path / "iteration-000003" / "inner" / "weights"
    weights.write_bytes(weights.read_bytes()[:500])  # a file cut short
    (tmp_path / "iteration-000002" / "inner" / "weights").unlink()
    assert checkpoints.newest_whole(tmp_path).name == "iteration-000001"
    (tmp_path / "iteration-000001" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"no whole checkpoint.*has changed.*is missing.*cut short"):
        checkpoints.newest_whole(tmp_path)


def test_a_failed_write_leaves_the_old_ones_alone(tmp_path: Path) -> None:
    write(tmp_path, 1)

    def full_disk(folder: Path) -> None:
        (folder / "weights").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoints.write_checkpoint(tmp_path, 2, full_disk)
    assert [path.name for path in tmp_path.iterdir()] == ["iteration-000001"]
    assert checkpoints.newest_whole(tmp_path).name == "iteration-000001"


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for iteration in range(1, 6):
        write(tmp_path, iteration)
    checkpoints.mark_best(tmp_path, tmp_path / "iteration-000002", 0.5)
    (tmp_path / ".iteration-000006.99").mkdir()  # what a SIGKILL leaves
    checkpoints.prune(tmp_path, keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.json", "iteration-000002", "iteration-000004", "iteration-000005"]
    assert checkpoints.best_score(tmp_path) == 0.5
    assert checkpoints.best_checkpoint(tmp_path) == tmp_path / "iteration-000002"


def test_an_existing_checkpoint_is_not_written_again(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    checkpoints.write_checkpoint(tmp_path, 1, lambda folder: (folder / "other").touch())
    assert checkpoints.damage(path) == ""
    assert not (path / "other").exists()


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoints.checkpoint_of(tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoints.newest_whole(tmp_path)
