"""Check a store: hashes, holes, accepted gaps and the quality of every symbol's bars. Example:

    python -m scripts.check_data --store data/store

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
    """Folder of the store."""
    events: bool = False
    """Also print the store's own log (quarantined, re-issued and reopened parts)."""


def main(args: Args) -> int:
    """Print the checks; 1 when something is damaged or was never fetched."""
    from data_pipeline.schema import iso_time
    from data_pipeline.store.check import check_store
    from data_pipeline.store.ledger import Ledger

    checks = check_store(args.store)
    for check in checks:
        print("\n".join(check.lines()))
    if args.events:
        ledger = Ledger(args.store, write=False)
        for at_ms, kind, detail in ledger.events():
            print(f"{iso_time(at_ms)} {kind}: {detail}")
        ledger.close()
    return 0 if all(check.sound for check in checks) else 1


def main_cli() -> int:
    """Entry point of `python -m scripts.check_data`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
