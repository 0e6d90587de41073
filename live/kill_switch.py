"""The kill switch: a file, a signal or a Redis key, pulled from outside and seen between two bars.

    touch OUT/KILL                               from any process, on any machine that sees the folder
    kill -USR1 PID
    redis-cli set scalping:kill:NAME 1           (scalping:kill stops every session)

It stays pulled until the file or the key is gone; the halt that it causes stays until a human re-arms the session.
"""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from live.bus import StepBus

KILL_FILE = "KILL"
KILL_SIGNAL: int | None = getattr(signal, "SIGUSR1", None)
"""None where the system has no such signal (Windows)."""


class KillSwitch:
    """Whether somebody wants the session to stop trading; a context manager, for it listens to a signal."""

    def __init__(self, folder: Path, bus: StepBus | None = None) -> None:
        self._file = folder / KILL_FILE
        self._bus = bus
        self._signalled = False
        self._before: Any = None

    def pulled_by(self) -> str | None:
        """What pulls it now: the file, the signal or the key; None when nothing does."""
        if self._signalled:
            return "signal"
        if self._file.exists():
            return str(self._file)
        return None if self._bus is None else self._bus.kill_key()

    def __enter__(self) -> KillSwitch:
        if KILL_SIGNAL is not None:
            self._before = signal.signal(KILL_SIGNAL, self._note)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if KILL_SIGNAL is not None:
            signal.signal(KILL_SIGNAL, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._signalled = True
