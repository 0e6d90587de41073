"""What an audit saw, and the comparison of rows byte by byte that every audit rests on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.errors import InputError


@dataclass(frozen=True, slots=True)
class Leak:
    """The first row that changed though nothing that it may know did."""

    kind: str
    """truncation, perturbation or delay"""
    cut: int
    """First row that was taken away or changed; of a delay audit the moment, in the unit of the clock."""
    row: int
    columns: tuple[int, ...]
    """Columns of that row that changed; all of them when the row is gone."""

    def __str__(self) -> str:
        places = f"columns {', '.join(map(str, self.columns))}" if self.columns else "its value"
        cause = f"what came after {self.cut}" if self.kind == "delay" else f"rows from {self.cut} on"
        return f"{self.kind}: {cause} changed row {self.row}, {places}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit saw. A report without leaks only means something if it compared values that were not NaN."""

    leaks: tuple[Leak, ...]
    """At most one per cut."""
    cuts: int
    """Rows, or moments, at which the future was cut off or changed."""
    compared: int
    """Values that were not NaN and had to be equal."""
    responded: int
    """Values after the cuts that did change; not for truncation. 0 means that the function does not read the input."""
    in_flight: int = 0
    """Delay only: items sent by the moment and received after it, summed. 0 means that both clocks say the same."""

    @property
    def clean(self) -> bool:
        return not self.leaks

    def __str__(self) -> str:
        verdict = "no look-ahead found" if self.clean else "; ".join(map(str, self.leaks))
        return f"{verdict} ({self.compared} values compared)"


def as_rows(result: Any, count: int, what: str) -> np.ndarray:
    """What a function returned, (count, F) and contiguous. Raises InputError unless it has one row for each `what`."""
    rows = np.asarray(result)
    if rows.ndim == 0 or len(rows) != count:
        found = f"{len(rows)} rows" if rows.ndim else "a single value"
        raise InputError(f"got {found} for {count} {what}s", where="audit", remedy=f"return one row per {what}")
    return np.ascontiguousarray(rows).reshape(count, int(np.prod(rows.shape[1:])))


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """bool (N, F): where the bytes differ. Shapes and dtypes must agree."""
    if a.dtype != b.dtype or a.shape != b.shape:
        raise InputError(
            f"{a.shape[1]} columns of {a.dtype} became {b.shape[1]} of {b.dtype}",
            where="audit",
            remedy="the columns must not depend on the input: name the features",
        )
    if a.size == 0:
        return np.zeros(a.shape, dtype=bool)
    bytes_a, bytes_b = (np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, x.itemsize) for x in (a, b))
    return (bytes_a != bytes_b).any(axis=2)


def first_difference(kind: str, cut: int, a: np.ndarray, b: np.ndarray) -> Leak | None:
    """The first row (N, F) in which `b` is not `a`, byte for byte."""
    where = differs(a, b)
    rows = np.flatnonzero(where.any(axis=1))
    if len(rows) == 0:
        return None
    row = int(rows[0])
    return Leak(kind, cut, row, tuple(int(j) for j in np.flatnonzero(where[row])))


def value_count(rows: np.ndarray) -> int:
    """How many values are not NaN."""
    return int(np.count_nonzero(rows == rows))
