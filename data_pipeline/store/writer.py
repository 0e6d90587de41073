"""The one writer of a store: takes the lock, recovers, then hands out the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.files import locked, make_folders
from data_pipeline.store.layout import LOCK_FILE
from data_pipeline.store.ledger import Ledger
from data_pipeline.store.problems import disk_troubles
from data_pipeline.store.recovery import Recovery, recover


@contextmanager
def open_store(root: Path) -> Iterator[tuple[Ledger, Recovery]]:
    """Open the store at `root` for writing, making it if need be; yields its ledger and what recovery did.

    Raises InputError when another process writes to it, when the disk refuses, and for a newer ledger.
    """
    with disk_troubles(root):
        make_folders(root)
        with locked(root / LOCK_FILE, "download"):
            ledger = Ledger(root, write=True)
            try:
                yield ledger, recover(ledger, int(time.time() * 1000))
            finally:
                ledger.close()
