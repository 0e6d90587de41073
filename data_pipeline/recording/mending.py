"""Damaged parts: set aside, and made again from the raw events of their segment.

The events of a segment are its log, line for line, so everything that was derived from it can be derived again and
comes out the same. Order: damaged files go to `quarantine/`, the log is written back, the ledger forgets the segment in
one transaction, then the log is sealed as any other: killed anywhere, the next start or the next mending goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from data_pipeline.files import atomic_path, sync_folder
from data_pipeline.recording.events import join_line
from data_pipeline.recording.ledger import Part, drop_parts, forget_segment, is_intact, open_ledger, parts_of
from data_pipeline.recording.rotation import LOG_FOLDER, lock_folder
from data_pipeline.recording.sealing import recover
from data_pipeline.recording.state import Finding
from data_pipeline.schema import iso_time

QUARANTINE = "quarantine"


@dataclass
class Mended:
    """What a mending did, by path relative to the recording. `lost`: could not be made again."""

    rebuilt: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The mending for a terminal."""
        return [
            *(f"set aside and rebuilt from the raw events: {path}" for path in self.rebuilt),
            *(f"set aside, cannot be rebuilt: {path}" for path in self.lost),
        ]


def mend(out: Path) -> Mended:
    """Set every damaged part aside and rebuild what the raw events of its segment allow.

    Raises InputError while a recorder works on the folder.
    """
    report = Mended()
    lock = lock_folder(out)
    try:
        recover(out)
        with open_ledger(out) as ledger:
            parts = parts_of(ledger)
            damaged = [part for part in parts if not is_intact(out, part)]
            for segment in sorted({part.segment for part in damaged}):
                mine = [part for part in damaged if part.segment == segment]
                events = next((part for part in parts if part.segment == segment and part.kind == "events"), None)
                for part in mine:
                    _set_aside(out, part)
                if events is not None and events not in mine:
                    _write_log(out, segment, events)
                    forget_segment(ledger, segment)
                    report.rebuilt += [part.path for part in mine]
                else:
                    drop_parts(ledger, mine, _lost(mine), mine[0].first_ns)
                    report.lost += [part.path for part in mine]
        recover(out)
    finally:
        lock.close()
    return report


def _set_aside(out: Path, part: Part) -> None:
    path, folder = out / part.path, out / QUARANTINE
    if path.exists():
        folder.mkdir(exist_ok=True)
        plain = part.path.replace("/", "__")
        number = next(n for n in range(10_000) if not (folder / f"{n:03d}__{plain}").exists())
        path.replace(folder / f"{number:03d}__{plain}")
        sync_folder(folder)


def _write_log(out: Path, segment: str, events: Part) -> None:
    """The segment's log as it was, from its events."""
    with atomic_path(out / LOG_FOLDER / f"{segment}.log") as temporary, temporary.open("wb") as file:
        for batch in pq.ParquetFile(out / events.path).iter_batches(columns=["local_ts_ns", "payload"]):
            times, payloads = (batch.column(n).to_pylist() for n in range(2))
            file.writelines(join_line(time_ns, text) for time_ns, text in zip(times, payloads, strict=True))


def _lost(parts: list[Part]) -> Finding:
    kinds = ", ".join(sorted(f"{part.kind} {part.symbol}".strip() for part in parts))
    first, last = min(part.first_ns for part in parts), max(part.last_ns for part in parts)
    span = f"{iso_time(first // 1_000_000)} to {iso_time(last // 1_000_000)}"
    symbols = {part.symbol for part in parts} - {""}
    return Finding("part_lost", symbols.pop() if len(symbols) == 1 else None, f"{kinds}, {span}")
