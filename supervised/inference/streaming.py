"""Models answered row by row: the state is carried along, so that a row costs its own work and not a window's.

A stream says of every row what the dense causal model says of it when it is given all rows since the stream's start,
up to rounding. What backends share is here; the compiled one is the default.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.outputs import OutputLayout


class Stream(Protocol):
    """One model, fed row by row."""

    n_features: int
    layout: OutputLayout
    rows: int
    """Rows since the start."""

    def advance(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next row (F,), scaled and finite; answer float32 (O + H,): the outputs in the order of `layout`,
        then the standard deviation of each direction logit. The array belongs to the caller."""

    def prepare(self) -> None:
        """Do what the next answer needs and does not depend on its row. May be left out; `advance` then does it."""

    def reset(self) -> None:
        """Start anew, as after a gap."""

    def update_weights(self, model: CausalModel) -> None:
        """Serve another model of the same shape from the next row on. The state stays: rows before keep the marks
        that the old weights left until they leave the receptive field, unless the caller starts anew and feeds them
        again."""

    def state_bytes(self) -> bytes:
        """Everything that rows have changed; weights are not part of it."""

    def restore(self, state: bytes) -> None:
        """Go on from `state_bytes` of a stream of the same shape. Raises InputError for anything else."""


def check_row(row: NDArray[np.float32], n_features: int) -> None:
    """Raise InputError unless row is float32 (F,)."""
    if row.shape != (n_features,) or row.dtype != np.float32:
        raise InputError(
            f"row {row.dtype} {row.shape} does not fit a model of {n_features} features",
            where="stream",
            remedy="pass a scaled float32 row",
        )


def check_successor(model: CausalModel, stream: Stream, same: bool) -> None:
    """Raise InputError unless `model` may take the place of the one that the stream serves: `same` architecture and
    sizes, features and layout."""
    if not same or model.n_features != stream.n_features or model.layout != stream.layout:
        raise InputError("the new weights are of another shape", where="stream", remedy="open a new stream")


def pack_state(rows: int, parts: list[np.ndarray], about: str) -> bytes:
    """Bytes that `unpack_state` reads. `about` names the backend and the sizes that they fit."""
    head = about.encode()
    numbers = np.array([len(head), rows], dtype=np.int64)
    return b"".join([numbers.tobytes(), head, *(np.ascontiguousarray(part).tobytes() for part in parts)])


def unpack_state(state: bytes, parts: list[np.ndarray], about: str) -> int:
    """Fill `parts` with what `pack_state` wrote and return the number of rows."""
    head = about.encode()
    at = 16 + len(head)
    if len(state) != at + sum(part.nbytes for part in parts) or state[16:at] != head:
        raise InputError("the saved state is of another stream", where="stream", remedy="start the stream anew")
    for part in parts:
        part[...] = np.frombuffer(state, part.dtype, part.size, at).reshape(part.shape)
        at += part.nbytes
    return int(np.frombuffer(state, np.int64, 2)[1])
