"""How the streaming kernels are compiled, stated once.

Sums may be reassociated and multiplications fused (answers are compared within 1e-5, not bit for bit), NaN and infinity
keep their meaning. No reference counting: kernels only borrow the arrays that their callers own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from features.kernel import source_fingerprint

_SOURCES = source_fingerprint(__file__, "maths.py", "vectors.py")
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_LOOSE: Any = {"reassoc", "contract", "nsz", "arcp"}
_INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile an entry point that Python calls; it releases the GIL.

    numba's cache on disk looks only at the file of the function itself. Its files are named after the qualified name,
    so the fingerprint of all kernels goes there: an edit of a part in another file is then noticed.
    """
    function.__qualname__ = f"{function.__qualname__}_{_SOURCES:x}"
    compiled: Callable[..., Any] = njit(cache=True, nogil=True, fastmath=False, **_OPTIONS)(function)
    return compiled


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile sums that kernels are put together from."""
    compiled: Callable[..., Any] = njit(fastmath=_LOOSE, **_INNER, **_OPTIONS)(function)
    return compiled


def strict_part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a part that calls `features.maths`, whose functions round on purpose where algebra would cancel.

    That is said outright: a function that says nothing about it is compiled as its first caller is, and stays so.
    """
    compiled: Callable[..., Any] = njit(fastmath=False, **_INNER, **_OPTIONS)(function)
    return compiled
