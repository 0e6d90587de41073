"""What a start does before anything else. There is no other recovery: no handler at exit, no flag for a clean stop.

SQLite replays or drops its own half-written transactions. What is left to do is in the lake: temporary files, files
that were renamed into place but never entered, and files that no longer are what the ledger says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.store.layout import QUARANTINE
from data_pipeline.store.ledger import Ledger, Part
from data_pipeline.store.parts import is_intact


@dataclass
class Recovery:
    """What recovery found, by path relative to the store."""

    leftovers: list[str] = field(default_factory=list)
    """Temporary files and files that no ledger entry speaks of, removed: their rows are hot or were never stored."""
    quarantined: list[str] = field(default_factory=list)
    """Parts whose bytes changed, moved to the quarantine folder; their months are fetched again."""
    vanished: list[str] = field(default_factory=list)
    """Parts whose file is gone; their months are fetched again."""


def recover(ledger: Ledger, now_ms: int) -> Recovery:
    """Make the lake what the ledger says it is. Safe to be killed in, and to be run again, at any point."""
    report = Recovery()
    parts = ledger.parts()
    for part in parts:
        if not is_intact(ledger.root, part):
            _set_aside(ledger, part, report, now_ms)
    known = {part.path for part in ledger.parts()}
    for folder in ("bars", "trades"):
        for pattern in ("part.parquet", ".part.parquet.*.tmp"):
            for path in sorted((ledger.root / folder).rglob(pattern)):
                relative = str(path.relative_to(ledger.root))
                if relative not in known:
                    path.unlink()
                    report.leftovers.append(relative)
    return report


def _set_aside(ledger: Ledger, part: Part, report: Recovery, now_ms: int) -> None:
    path = ledger.root / part.path
    if path.exists():
        place = _free_name(ledger.root / QUARANTINE, part.path)
        place.parent.mkdir(exist_ok=True)
        path.replace(place)
        report.quarantined.append(part.path)
        detail = f"{part.path} is not what was sealed (sha256 {part.sha256[:12]} expected); kept as {place.name}"
        ledger.drop_part(part, "quarantined", detail, now_ms)
    else:
        report.vanished.append(part.path)
        ledger.drop_part(part, "vanished", f"{part.path} is gone", now_ms)


def _free_name(folder: Path, relative: str) -> Path:
    """A name of one level that tells where the file came from and that nothing has yet."""
    plain = relative.replace("/", "__")
    number = 0
    while (folder / f"{number:03d}__{plain}").exists():
        number += 1
    return folder / f"{number:03d}__{plain}"
