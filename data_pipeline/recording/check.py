"""What a recording holds, whether it is whole, and what went wrong while it was made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.recording.ledger import Part, is_intact, parts_of, read_ledger
from data_pipeline.recording.mending import QUARANTINE
from data_pipeline.recording.rotation import unsealed_logs
from data_pipeline.schema import iso_time


@dataclass(frozen=True, slots=True)
class RecordingCheck:
    """One recording. `damaged`: parts that are gone or not what was sealed. `waiting`: logs that are not sealed yet."""

    root: Path
    parts: list[Part]
    damaged: list[Part]
    findings: Counter[tuple[str, str, str]]
    """How often by (venue of the segment, symbol or nothing, what)."""
    waiting: list[Path]
    set_aside: list[str]

    @property
    def sound(self) -> bool:
        """No part is damaged. What the exchange or the network did is no fault of the recording."""
        return not self.damaged

    def lines(self) -> list[str]:
        """The check for a terminal."""
        out = []
        for venue in sorted({part.venue for part in self.parts}):
            out.append(f"{venue}")
            mine = [part for part in self.parts if part.venue == venue]
            for symbol in sorted({part.symbol for part in mine}):
                out += self._symbol_lines(venue, symbol, [part for part in mine if part.symbol == symbol])
        for part in self.damaged:
            out.append(f"  DAMAGED {part.path}: run python -m scripts.check_data --store {self.root} --mend")
        out += [f"  not sealed yet: {path.name}, {path.stat().st_size / 1e6:.1f} MB" for path in self.waiting]
        out += [f"  in quarantine: {name}" for name in self.set_aside]
        return out or ["nothing is recorded yet"]

    def _symbol_lines(self, venue: str, symbol: str, parts: list[Part]) -> list[str]:
        rows: Counter[str] = Counter()
        for part in parts:
            rows[part.kind] += part.rows
        first, last = min(part.first_ns for part in parts), max(part.last_ns for part in parts)
        span = f"{iso_time(first // 1_000_000)} to {iso_time(last // 1_000_000)}"
        told = ", ".join(f"{kind} {count:,}" for kind, count in sorted(rows.items()))
        found = {what: n for (at, name, what), n in sorted(self.findings.items()) if (at, name) == (venue, symbol)}
        lines = [f"  {symbol or 'all'}: {told} ({span}, {len(parts)} parts)"]
        return lines + [f"    {what}: {count}" for what, count in found.items()]


def check_recording(root: Path) -> RecordingCheck:
    """Check the hash of every part and gather the findings. Changes nothing; a recorder may run meanwhile."""
    with read_ledger(root) as ledger:
        parts = parts_of(ledger)
        rows = ledger.execute("SELECT segment, symbol, what FROM findings").fetchall()
    venues = {part.segment: part.venue for part in parts}
    findings = Counter((venues.get(segment, ""), symbol or "", what) for segment, symbol, what in rows)
    aside = root / QUARANTINE
    return RecordingCheck(
        root,
        parts,
        [part for part in parts if not is_intact(root, part)],
        findings,
        unsealed_logs(root),
        sorted(path.name for path in aside.iterdir()) if aside.is_dir() else [],
    )


def findings_of(root: Path) -> list[tuple[int, str, str | None, str]]:
    """(local ns, what, symbol, detail) of everything that happened, oldest first."""
    with read_ledger(root) as ledger:
        return ledger.execute("SELECT local_ns, what, symbol, detail FROM findings ORDER BY local_ns").fetchall()
