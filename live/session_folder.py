"""A session on disk: what it did, and the state it goes on from.

    OUT/journal.jsonl  one line per bar: predictions, fills, trades, position, equity, decision; only ever appended to
    OUT/state.npz      everything that changes, and the length of the journal at that moment
    OUT/risk.jsonl     one line whenever the circuit breakers trip, lift or are re-armed, and when limits change
    OUT/summary.json   where the session stood when it last ended

`commit` brings the journal to disk first and the state after it. A session that is killed in between finds a journal
that is ahead of its state; it is cut back to the state's length, and the bars are traded again with the same outcome.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from live.config import SessionLimits
from live.session import PaperSession, Step
from live.trained_run import TrainedRun

JOURNAL, STATE, SUMMARY, RISK_LOG = "journal.jsonl", "state.npz", "summary.json", "risk.jsonl"
_LENGTH = "journal_bytes"


class SessionFolder:
    """An opened session; make one with `start` or `resume`, close it by `close`."""

    def __init__(self, path: Path, session: PaperSession, journal_bytes: int) -> None:
        self.path = path
        self.session = session
        self._journal = (path / JOURNAL).open("ab")
        self._journal.truncate(journal_bytes)

    @classmethod
    def start(cls, path: Path, session: PaperSession) -> SessionFolder:
        """A new session. Raises InputError when the folder holds one."""
        if (path / STATE).exists():
            raise InputError(
                "the folder already holds a session",
                where=str(path),
                remedy="pass --resume to go on, or another --out",
            )
        path.mkdir(parents=True, exist_ok=True)
        return cls(path, session, 0)

    @classmethod
    def resume(cls, path: Path, run: TrainedRun, limits: SessionLimits | None = None) -> SessionFolder:
        """Go on with the session in `path`, behind its own limits and those of `limits` that are given.

        Raises InputError when there is none, or it belongs to another run.
        """
        session, extra = PaperSession.restore(run, path / STATE, limits)
        journal = path / JOURNAL
        length = int(extra[_LENGTH])
        found = journal.stat().st_size if journal.exists() else 0
        if found < length:
            raise InputError(
                f"the journal has {found} bytes, its session wrote {length}",
                where=str(journal),
                remedy="bring the file back, or start anew with another --out",
            )
        return cls(path, session, length)

    def record(self, step: Step) -> None:
        """Add a line to the journal; `commit` brings it to disk."""
        self._journal.write(json.dumps(step.to_dict(), allow_nan=False).encode() + b"\n")

    def log_risk(self, event: str, **details: Any) -> None:
        """Add what happened to the circuit breakers to risk.jsonl, at once on disk.

        A line may come twice: a session killed before its next commit trades those bars again.
        """
        risk, last = self.session.account.risk, self.session.counts.last_open_ms
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "bar_open_time_ms": last, "event": event}
        line |= {"state": risk.state, "reason": risk.reason, **details}
        with (self.path / RISK_LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def commit(self) -> None:
        """Make everything recorded so far survive a kill or a power cut."""
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self.session.save(self.path / STATE, {_LENGTH: self._journal.tell()})

    def close(self, summary: dict[str, Any] | None = None) -> None:
        """Close the journal; a `summary` is written beside it."""
        self._journal.close()
        if summary is not None:
            write_json(self.path / SUMMARY, summary)
