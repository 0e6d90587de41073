"""A disk whose power can be cut: what is synced is kept, what is not may be lost in the two worst ways.

Watches `os.fsync`. A file keeps the content that it had when it was last synced, a folder the names. Of SQLite's own
files, which it syncs itself and below Python, the present state is taken: between two commits it is that of the last.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

Forgets = Literal["nothing", "files", "folders"]


class Disk:
    """The folder `root` on such a disk. `forgets`: a kind of sync that does nothing, to see that its lack is found."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, forgets: Forgets = "nothing") -> None:
        self.root = root
        self.cuts = 0
        self.at_each_point: Callable[[], None] = lambda: None
        self._forgets = forgets
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._kept: list[int] = []  # open handles: the number of a removed file must not be given to another one
        self._sync = os.fsync
        self._note(root)
        patch.setattr(os, "fsync", self._fsync)
        patch.setattr(Path, "replace", self._around(Path.replace))
        patch.setattr(Path, "unlink", self._around(Path.unlink))

    def point(self) -> None:
        """The power may be cut here."""
        self.cuts += 1
        self.at_each_point()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with a point behind it."""
        return self._around(function)

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            self.point()
            return result

        return wrapped

    def _fsync(self, handle: int) -> None:
        self._sync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_relative_to(self.root):
            self._note(path)
            self.point()

    def _note(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        self._kept.append(handle)
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            if self._forgets != "folders" or path == self.root:
                self._names[status.st_ino] = {entry.name: entry.inode() for entry in os.scandir(path)}
        elif self._forgets != "files":
            self._contents[status.st_ino] = path.read_bytes()

    def close(self) -> None:
        """Close the handles."""
        for handle in self._kept:
            os.close(handle)

    def image(self, target: Path, *, eager: bool) -> Path:
        """What is left at `target` after a cut now.

        Lazy: a name that was not synced is lost, a removal that was not synced did not happen. Eager: names are on the
        disk at once, before the content that belongs to them.
        """
        shutil.rmtree(target, ignore_errors=True)
        self._restore(self.root, self.root.stat().st_ino, target, eager)
        return target

    def _restore(self, source: Path, number: int, target: Path, eager: bool) -> None:
        target.mkdir()
        here = {entry.name: entry.inode() for entry in os.scandir(source)} if source.is_dir() else {}
        names = here if eager else self._names.get(number, {})
        sqlite = {name: inode for name, inode in here.items() if "sqlite" in name and not name.endswith("-shm")}
        for name, inode in {**names, **sqlite}.items():
            if name in sqlite:
                shutil.copy(source / name, target / name)
            elif inode in self._contents or not (source / name).is_dir():
                (target / name).write_bytes(self._contents.get(inode, b""))
            else:
                self._restore(source / name, inode, target / name, eager)
