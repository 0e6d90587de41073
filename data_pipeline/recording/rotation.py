"""The active log segment: appended in batches, synced on a schedule, closed on a grid of time."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from data_pipeline.errors import InputError
from data_pipeline.files import make_folders, sync_folder

LOG_FOLDER = "log"


class SegmentLog:
    """One open segment, `log/<start ns>.log`. What was written survives a kill; what was synced, a power cut."""

    def __init__(self, folder: Path, local_ns: int) -> None:
        make_folders(folder)
        while (path := folder / f"{local_ns}.log").exists():
            local_ns += 1  # the clock was set back onto an earlier segment
        self.path = path
        self.start_ns = local_ns
        self.size = 0
        self._file = path.open("xb", buffering=0)
        self._dirty = True
        sync_folder(folder)

    def write(self, data: bytes) -> None:
        """Hand `data` (whole lines) to the operating system. Raises OSError when the disk is full."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
        self.size += len(data)
        self._dirty = True

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        if self._dirty:
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> Path:
        """Sync, close and return the path, which is then ready to be sealed."""
        self.sync()
        self._file.close()
        return self.path


def rotation_due(log: SegmentLog, local_ns: int, rotate_minutes: float, rotate_mb: float) -> bool:
    """Whether the UTC grid of `rotate_minutes` has a point between the segment's start and now, or it is too big."""
    period_ns = int(rotate_minutes * 60e9)
    return local_ns // period_ns != log.start_ns // period_ns or log.size >= rotate_mb * 1e6


def unsealed_logs(out: Path) -> list[Path]:
    """Segments that lie in the log folder, oldest first."""
    return sorted((out / LOG_FOLDER).glob("*.log"), key=lambda path: int(path.stem))


def lock_folder(out: Path) -> IO[str]:
    """Take the folder for this process until the returned file is closed (or the process dies, however it dies).

    Raises InputError when another recorder holds it or it cannot be written to.
    """
    try:
        make_folders(out)
        file = (out / ".lock").open("a+")
    except OSError as error:
        raise InputError(
            f"cannot write here: {error.strerror}", where=str(out), remedy="give --out a folder that can be written to"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise InputError(
            f"{holder} is recording here", where=str(out), remedy="stop it first, or give another --out"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} (since {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())})")
    file.flush()
    return file
