"""A run's folder: its configuration, the data and the software it ran on, so that a killed run goes on as the same run.

    run/config.json        the experiment's configuration
    run/environment.json   git revision, versions, platform
    run/data.json          what identifies the data: digest of each file, or the synthetic market's configuration

What takes long (walk-forward folds, training) keeps its own checkpoints below; the rest is computed again on resume.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.files import write_json

LIBRARIES = ("numpy", "numba", "pyarrow", "torch", "ray", "gymnasium", "onnxruntime", "crypto-scalping-suite")


def environment() -> dict[str, str]:
    """What the numbers depend on besides the configuration: git revision (with "+changes"), versions, platform."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "git": git_revision()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_revision() -> str:
    """Revision of the checkout this code runs from ("+changes" when it differs), "unknown" outside a checkout."""
    home = Path(__file__).resolve().parent.parent

    def git(*words: str) -> str:
        return subprocess.run(
            ("git", "-C", str(home), *words), capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        revision = git("rev-parse", "--short=12", "HEAD")
        return f"{revision}+changes" if git("status", "--porcelain", "--untracked-files=no") else revision
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def jsonable(value: Any) -> Any:
    """`value` as JSON types: dataclasses become dicts, paths strings, tuples lists, NaN and infinity None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return jsonable(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


@dataclass(frozen=True)
class RunFolder:
    """An opened run folder; make one with `RunFolder.open`."""

    path: Path

    @classmethod
    def open(cls, path: Path, config: Any, *, resume: bool, free: tuple[str, ...] = ()) -> RunFolder:
        """Create the folder, or reopen it to go on.

        `free` names the fields of `config` that may differ on resume (they do not change the result).
        Raises InputError when the folder holds a run and `resume` is off, when there is nothing to resume, and when the
        configuration differs from the one the run was started with, or the folder cannot be written.
        """
        wanted = {key: value for key, value in jsonable(config).items() if key not in free}
        config_file = path / "config.json"
        if config_file.exists():
            if not resume:
                raise InputError(
                    "the folder already holds a run", where=str(path), remedy="pass --resume to go on, or another --out"
                )
            stored = json.loads(config_file.read_text())
            for key, value in wanted.items():
                if stored.get(key) != value:
                    raise InputError(
                        f"the run was started with {key} = {stored.get(key)!r}, now it is {value!r}",
                        where=str(config_file),
                        remedy="resume with the same options, or start anew with another --out",
                    )
        else:
            if resume:
                raise InputError(
                    "there is no run to resume", where=str(path), remedy="leave out --resume, or mend --out"
                )
            try:
                write_json(config_file, wanted)
                write_json(path / "environment.json", environment())
            except OSError as error:
                raise InputError(
                    f"the folder cannot be written ({error.strerror})", where=str(path), remedy="give another --out"
                ) from error
        return cls(path)

    def same_data(self, identity: dict[str, Any]) -> None:
        """Remember what identifies the data; on resume, refuse other data than the run was started with.

        Raises InputError naming what differs.
        """
        file, wanted = self.path / "data.json", jsonable(identity)
        if not file.exists():
            write_json(file, wanted)
            return
        stored = json.loads(file.read_text())
        for name in sorted(stored.keys() | wanted.keys()):
            if stored.get(name) != wanted.get(name):
                raise InputError(
                    f"{name} is not what the run was started with",
                    where=str(file),
                    remedy="bring the old data back, or start anew with another --out",
                )
