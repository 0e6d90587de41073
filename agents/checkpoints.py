"""Checkpoints that are whole or not there: written aside, listed with their digests, synced, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.files import file_sha256, write_json

POLICY_JSON = "policy.json"
POLICY_WEIGHTS = "policy.npz"
RLLIB = "rllib"
MANIFEST = "manifest.json"
FOLDER = "checkpoints"
PREFIX = "iteration-"
BEST = "best.json"


def write_checkpoint(root: Path, iteration: int, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a folder, then make it appear as `root/iteration-NNNNNN`.

    A crash at any moment leaves the older checkpoints and at most one folder whose name begins with a dot.

    Args:
        root: folder of all checkpoints of a run.
        iteration: training iterations done; one checkpoint per iteration, an existing one is left as it is.
        write: fills an empty folder.
    """
    final = path_of(root, iteration)
    if final.exists():
        return final
    partial = root / f".{final.name}.{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        write(partial)
        files = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        write_json(partial / MANIFEST, {str(path.relative_to(partial)): file_sha256(path) for path in files})
        for path in [*files, *(path for path in partial.rglob("*") if path.is_dir()), partial]:
            _sync(path)
        partial.rename(final)
        _sync(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def path_of(root: Path, iteration: int) -> Path:
    """Where the checkpoint after so many iterations is."""
    return root / f"{PREFIX}{iteration:06d}"


def prune(root: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints and the best one, and what a crash left half-written."""
    best = best_checkpoint(root)
    for path in _all(root)[:-keep]:
        if path != best:
            shutil.rmtree(path)
    for path in root.glob(f".{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def newest_whole(root: Path) -> Path:
    """The newest checkpoint whose every file is as it was written.

    Raises:
        InputError: there is none.
    """
    damaged = []
    for path in reversed(_all(root)):
        problem = damage(path)
        if not problem:
            return path
        damaged.append(f"{path.name}: {problem}")
    found = f"no whole checkpoint ({', '.join(damaged)})" if damaged else "no checkpoint"
    raise InputError(found, where=str(root), remedy="start without resume")


@contextmanager
def stops_when_full(run_dir: Path) -> Iterator[None]:
    """Tell of a full disk in one line that says how to go on. What is half written by then is gone or ignored.

    Raises:
        InputError: the disk, the quota or the allowed size of a file is exhausted.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        whole = next((path.name for path in reversed(_all(run_dir / FOLDER)) if not damage(path)), None)
        raise InputError(
            f"no room left on the disk ({error.strerror}); newest whole checkpoint: {whole or 'none'}",
            where=str(run_dir),
            remedy="free some space, then resume" if whole else "free some space, then begin anew",
        ) from error


def damage(checkpoint: Path) -> str:
    """What is wrong with a checkpoint's files; empty when nothing is."""
    try:
        digests = json.loads((checkpoint / MANIFEST).read_text())
    except (OSError, json.JSONDecodeError):
        return f"{MANIFEST} is missing or cut short"
    for name, digest in digests.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if file_sha256(path) != digest:
            return f"{name} has changed"
    return ""


def mark_best(root: Path, checkpoint: Path, score: float) -> None:
    """Point to the best checkpoint so far and its validation score."""
    write_json(root / BEST, {"checkpoint": checkpoint.name, "score": score})


def best_checkpoint(root: Path) -> Path | None:
    """The checkpoint that `mark_best` named last, if it is there."""
    named = _best(root)
    return root / named[0] if named and (root / named[0]).is_dir() else None


def best_score(root: Path) -> float | None:
    """The score that came with `mark_best`, if any."""
    named = _best(root)
    return named[1] if named else None


def _best(root: Path) -> tuple[str, float] | None:
    try:
        values = json.loads((root / BEST).read_text())
    except FileNotFoundError:
        return None
    return values["checkpoint"], float(values["score"])


def checkpoint_of(path: Path) -> Path:
    """A checkpoint folder given itself, its run folder or the folder of all checkpoints: the best one, else the newest.

    Raises:
        InputError: there is none.
    """
    if (path / POLICY_JSON).is_file():
        return path
    root = path / FOLDER if (path / FOLDER).is_dir() else path
    found = best_checkpoint(root) or next(reversed(_all(root)), None)
    if found is None:
        raise InputError("no checkpoint here", where=str(path), remedy="give a checkpoint or run folder, or .onnx file")
    return found


def _all(root: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    return sorted(path for path in root.glob(f"{PREFIX}*") if path.is_dir())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
