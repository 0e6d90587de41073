"""The loop of a paper session: take a bar, trade it, write it down, tell whoever listens."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from live.bus import StepBus
from live.feed import BarFeed
from live.session import Step
from live.session_folder import SessionFolder

COMMIT_S = 1.0
"""Least seconds between two commits: at real time every bar is one, a fast replay is not slowed down by the disk."""


class StopSignal:
    """Ctrl-C and SIGTERM become a wish to stop between two bars, where a session is whole; a second one interrupts."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that came, 0 for none."""
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.number != 0

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number


def run_session(
    folder: SessionFolder,
    feed: BarFeed,
    *,
    stop: Callable[[], bool] = lambda: False,
    killed: Callable[[], bool] = lambda: False,
    bus: StepBus | None = None,
    show: Callable[[Step], None] = lambda _step: None,
    commit_every_s: float = COMMIT_S,
) -> None:
    """Trade `feed` until it ends or `stop()` is true, with a commit every `commit_every_s` seconds and at the end.

    `killed()` is asked at every bar. A change of the circuit breakers is logged and committed at once.
    An error leaves the folder as of the last commit, from which `SessionFolder.resume` goes on.
    """
    committed = time.monotonic()
    risk = folder.session.account.risk
    standing = risk.state, risk.reason
    for bar in feed.bars(stop):
        step = folder.session.on_bar(bar, killed=killed())
        folder.record(step)
        before, standing = standing, (step.risk_state, step.risk_reason)
        if standing != before:
            folder.log_risk("lifted" if step.risk_state == "active" else "tripped")
        if bus is not None:
            bus.publish(step)
        show(step)
        if standing != before or time.monotonic() - committed >= commit_every_s:
            folder.commit()
            committed = time.monotonic()
    folder.commit()
