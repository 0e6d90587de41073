"""Troubles of the disk told as one line of input error, because a person has to mend them."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipeline.errors import InputError

_FULL = "free some space and run again; what was committed is kept"


@contextmanager
def disk_troubles(root: Path) -> Iterator[None]:
    """Turn a full disk, a folder that cannot be written and a damaged ledger into InputError naming `root`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError("the disk is full", where=str(root), remedy=_FULL) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
            place = error.filename or root
            raise InputError(
                f"cannot write there ({error.strerror})", where=str(place), remedy="choose a folder you may write to"
            ) from error
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "full" in text:
            raise InputError("the disk is full", where=str(root), remedy=_FULL) from error
        if "readonly" in text or "unable to open" in text:
            raise InputError(
                f"cannot write there ({text})", where=str(root), remedy="choose a folder you may write to"
            ) from error
        if "malformed" in text or "not a database" in text:
            raise InputError(
                f"the ledger is damaged ({text})", where=str(root), remedy="move the folder away and download again"
            ) from error
        raise
