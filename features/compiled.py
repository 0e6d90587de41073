"""How the column functions are compiled."""

from typing import Any

COLUMN: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of functions that are called from compiled code only and make no arrays: no counting of references, which
takes longer than their work on a single live row, and none of the wrappers that a third of the compile time goes to."""
FORMULA: dict[str, Any] = {**COLUMN, "forceinline": True}
"""Options of formulas for one row, and of loops short enough to stand where they are called."""
