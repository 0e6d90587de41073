"""Reading a log or a capture again: the state after it, and what happened on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.recording.aggregate import Bar
from data_pipeline.recording.book import Rules
from data_pipeline.recording.events import read_log
from data_pipeline.recording.state import Finding, Step, StreamState


@dataclass
class ReplaySummary:
    """What a replay found. `bars` maps symbols to their whole minutes."""

    state: StreamState
    bars: dict[str, list[Bar]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Tops of the book that were compared with bookTicker."""
        return sum(check.compared for check in self.state.checks.values())

    @property
    def different(self) -> int:
        """Those that differed."""
        return sum(check.different for check in self.state.checks.values())


def replay_steps(paths: Iterable[Path], state: StreamState) -> Iterator[tuple[int, Step]]:
    """Yield (local_ns, step) for every line of `paths`, read one after the other as one stream."""
    for path in paths:
        for line in read_log(path):
            yield line.local_ns, state.apply(line.message)


def replay(paths: Iterable[Path], rules: Rules, *, snapshot_limit: int = 1000) -> ReplaySummary:
    """Replay logs or captures (in order of time, one venue) and keep bars and findings."""
    summary = ReplaySummary(StreamState(rules, snapshot_limit=snapshot_limit))
    for _, step in replay_steps(paths, summary.state):
        summary.findings.extend(step.findings)
        for bar in step.bars:
            symbol = step.event.symbol if step.event is not None else None
            summary.bars.setdefault(symbol or "", []).append(bar)
    return summary
