"""What every compiled feature kernel shares: its plan, the head of its state, and the mark of its sources.

A kernel is one compiled function

    advance(times, columns, plan, settings, state, scratch, out, first) -> rows taken in

- `times` int64 (T,), `columns` float64 (fields, T or more): input rows, fields in the order of `Kind.fields`;
- `plan` whole numbers, `settings` float64: made by `Kernel.make_plan` from the parameters and the selected features;
- `state` float64: everything it remembers; all zeros before the first row. Its head is int64 (slots below);
- `scratch` float64: memory whose content means nothing between calls;
- `out` float64 (F, first + T or more): row `first + t` of column j receives the j-th selected feature after input row
  t, NaN inside the warm-up.

It stops at the first row that it cannot take (a number out of range, a time that goes back) and returns its index:
rows from there on are not written and the state stands as after the row above. Whatever number of rows a call brings,
one or millions, the bytes in `out` are the same.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from features.spec import FeatureSpec, Kind

HEAD = 4
"""Slots of the state's head; they hold int64 (`head_of`)."""
FINGERPRINT, COUNT, LAST_TIME = range(3)
"""Head slots: mark of the sources that wrote the state, rows taken in since the stretch began, time of the last."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the compiled function is told once, and how much memory it needs."""

    plan: np.ndarray
    """int64 or int32 (any,)."""
    settings: np.ndarray
    """float64 (any,)."""
    state_size: int
    """Floats of state, head included."""
    scratch_size: int
    """Floats of scratch, 0 for none."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kind with its compiled function."""

    kind: Kind
    fingerprint: int
    """`source_fingerprint` of everything that the bytes of the rows depend on."""
    make_plan: Callable[[Any, Sequence[FeatureSpec]], Plan]
    """(parameters, selected specs) -> plan; the selection is part of it."""
    advance: Callable[..., int]
    explain: Callable[[int, dict[str, float], int | None, set[str]], tuple[str, str]]
    """(time, row by field, last time or None, fields the selection reads) -> (what is wrong with it, remedy)."""


def aligned_floats(size: int) -> np.ndarray:
    """float64 (size,), not set, that begins where a cache line does: vectors of eight then never straddle two."""
    memory = np.empty(size + 7)
    start = -(memory.ctypes.data // 8) % 8
    return memory[start : start + size]


def load_kernel(kind: str) -> Kernel:
    """`KERNEL` of `features.<kind>.kernel`; imported here only, since that needs the compiler."""
    kernel: Kernel = import_module(f"features.{kind}.kernel").KERNEL
    return kernel


def source_fingerprint(package_file: str, *shared: str) -> int:
    """48 bits of a hash over all modules of the package that `package_file` lies in and the `shared` ones.

    `shared` are paths relative to the folder `features`. Give the result to a function that defines the compiled one
    in its closure: numba's on-disk cache looks only at the file of the compiled function, so that an edit of another
    module would go unseen, but values of the closure are part of its key.
    """
    digest = hashlib.blake2b(digest_size=6)
    modules = [*Path(package_file).parent.glob("*.py"), *(Path(__file__).parent / name for name in shared)]
    for path in sorted(modules):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return int.from_bytes(digest.digest(), "big")


@njit(error_model="numpy")
def head_of(state: np.ndarray) -> np.ndarray:
    """The head of the state as int64 (HEAD,), a view: times in nanoseconds would not fit a float64."""
    return state[:HEAD].view(np.int64)


@njit(error_model="numpy")
def blank_warmup(out: np.ndarray, start: int, stop: int, count: int, warmup: int) -> None:
    """NaN for those of the rows `start` .. `stop` of `out` that are among the first `warmup` rows of their stretch, of
    which `count` came before `start`.
    """
    last = min(stop, start + max(0, warmup - count))
    out[:, start:last] = np.nan
