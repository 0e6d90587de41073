"""Check a store (hashes, holes, accepted gaps, quality of the bars) or a recording (hashes, findings). Example:

    python -m scripts.check_data --store data/store
    python -m scripts.check_data --store recordings --mend

Exit code 1 says that something is damaged or was never fetched.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.cli import run


@dataclass(frozen=True)
class Args:
    """What to check."""

    store: Path = Path("data/store")
    """Folder of the store, or of the recording."""
    events: bool = False
    """Also print the store's own log (quarantined, re-issued and reopened parts), or each of a recording's findings."""
    mend: bool = False
    """Of a recording: set damaged parts aside and rebuild them from the raw events. (A download mends a store.)"""


def main(args: Args) -> int:
    """Print the checks; 1 when something is damaged or was never fetched."""
    from data_pipeline.errors import InputError
    from data_pipeline.recording.ledger import is_recording
    from data_pipeline.schema import iso_time
    from data_pipeline.store.check import check_store
    from data_pipeline.store.ledger import Ledger

    if is_recording(args.store):
        return check_a_recording(args)
    if args.mend:
        raise InputError(
            "there is no recording to mend", where=str(args.store), remedy="a store is mended by the next download"
        )
    checks = check_store(args.store)
    for check in checks:
        print("\n".join(check.lines()))
    if args.events:
        ledger = Ledger(args.store, write=False)
        for at_ms, kind, detail in ledger.events():
            print(f"{iso_time(at_ms)} {kind}: {detail}")
        ledger.close()
    return 0 if all(check.sound for check in checks) else 1


def check_a_recording(args: Args) -> int:
    """Print the checks of a recording, after mending it if asked to; 1 when something is damaged."""
    from data_pipeline.recording.check import check_recording, findings_of
    from data_pipeline.recording.mending import mend
    from data_pipeline.schema import iso_time

    if args.mend:
        print("\n".join(mend(args.store).lines() or ["nothing was damaged"]))
    check = check_recording(args.store)
    print("\n".join(check.lines()))
    if args.events:
        for local_ns, what, symbol, detail in findings_of(args.store):
            print(f"{iso_time(local_ns // 1_000_000)} {what} {symbol or ''}: {detail}")
    return 0 if check.sound else 1


def main_cli() -> int:
    """Entry point of `python -m scripts.check_data`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
