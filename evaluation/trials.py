"""The log of trials: every configuration that was ever judged on a subject, so that the deflated Sharpe ratio counts
them.

Whoever tries fifty configurations and shows the best has tried fifty. The log is a file of JSON lines that is only ever
appended to; keep one for a project and pass it to every experiment.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.errors import InputError


@dataclass(frozen=True)
class Trial:
    """One configuration, judged once on test data."""

    subject: str
    """What was traded, for example "BTCUSDT" or "SYNTHETIC planted_edge". Trials deflate others on their own subject
    only."""
    key: str
    """What makes the trial that trial (see `trial_key`); repeating it does not count again."""
    sharpe: float | None
    """Sharpe ratio per day, net of all costs; None when it could not be computed."""
    days: int
    """Days it was judged on."""
    net_return: float
    """Total net return over those days."""
    details: dict[str, Any] = field(default_factory=dict)
    """Anything a reader of the log may want: seed, algorithm, git revision, time."""


@dataclass(frozen=True, slots=True)
class TrialCount:
    """What the deflated Sharpe ratio has to know of the trials on a subject."""

    trials: int
    """Different trials, including lines that cannot be read: whoever wrote them tried something."""
    variance: float
    """Variance (n - 1) of their Sharpe ratios per day; 0 for a single trial, NaN when fewer than two are known of
    several."""


def trial_key(*parts: Any) -> str:
    """Digest of what defines a trial (configuration, seed, data hash, ...): equal parts, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class TrialLog:
    """An append-only file of trials, safe for several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, trial: Trial) -> None:
        """Write one line and sync it to disk. A line torn by an earlier crash is closed first, so it spoils only
        itself."""
        known = trial.sharpe is not None and math.isfinite(trial.sharpe)
        record = asdict(trial) | {"sharpe": trial.sharpe if known else None}
        line = json.dumps(record, sort_keys=True, allow_nan=False, default=str) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[list[Trial], int]:
        """All trials in the order they were made, and the number of lines that a crash left unreadable.

        Raises InputError for a line that is whole JSON but no trial: the file is something else.
        """
        trials: list[Trial] = []
        torn = 0
        if not self.path.exists():
            return trials, torn
        for number, line in enumerate(self.path.read_text(errors="replace").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                torn += 1
                continue
            try:
                trials.append(Trial(**record))
            except TypeError:
                place = f"{self.path} line {number}"
                raise InputError("the line is not a trial", where=place, remedy="pass a log of trials") from None
        return trials, torn

    def count(self, subject: str) -> TrialCount:
        """Trials made on `subject`; of trials with the same key the last one counts."""
        trials, torn = self.read()
        latest = {trial.key: trial for trial in trials if trial.subject == subject}
        total = len(latest) + torn
        known = [trial.sharpe for trial in latest.values() if trial.sharpe is not None]
        if total <= 1:
            return TrialCount(total, 0.0)
        return TrialCount(total, float(np.var(known, ddof=1)) if len(known) > 1 else math.nan)
