"""How the market's code is compiled, stated once.

Strict IEEE arithmetic (no fastmath: every way of stepping must agree bit for bit), cached on disk, numpy's division
(inf instead of an exception, so no hidden branches), no reference counting: compiled functions here only borrow arrays
that their callers own, and counting those references atomically cost several times the step itself.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

from features import brackets, maths, vector_memory, vectors


@cache
def _sources(folder: Path) -> str:
    """Digest of what a function in `folder` may be put together from.

    numba's cache looks only at the file of the function that Python calls: an edit of a part in another file, or of a
    constant, would go unnoticed. Its files are named after the qualified name, so that is where this digest goes.
    """
    own = Path(__file__).parent
    files = [path for place in dict.fromkeys((own, folder)) for path in sorted(place.glob("*.py"))]
    files += [Path(str(module.__file__)) for module in (brackets, maths, vector_memory, vectors)]
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile an entry point that Python calls; it releases the GIL."""
    return _entry_point(function, nogil=True)


def brief_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile an entry point too short to release the GIL for, which takes 40 ns."""
    return _entry_point(function, nogil=False)


def _entry_point(function: Callable[..., Any], nogil: bool) -> Callable[..., Any]:
    folder = Path(function.__code__.co_filename).parent
    function.__qualname__ = f"{function.__qualname__}_{_sources(folder)}"
    return njit(cache=True, nogil=nogil, **_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a part that entry points are put together from; it is inlined into each."""
    return njit(forceinline=True, **_OPTIONS)(function)


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a part that entry points call: for large ones in many places, which would take minutes to inline."""
    return njit(**_OPTIONS)(function)
