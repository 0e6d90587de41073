"""Feature rows from input rows as they come: one at a time or many, with a state that saves, restores and resets."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.schema import iso_time
from features.catalogue import KINDS, select_features
from features.config import NormaliserConfig
from features.kernel import COUNT, FINGERPRINT, HEAD, LAST_TIME, aligned_floats, load_kernel
from features.normalisation import NORMALISER_FINGERPRINT, Normaliser

CHUNK_ROWS = 16_384
"""Input rows gathered at a time by `update_many`; small enough for the processor's cache."""
STATE_MAGIC = b"features-2\n"


class FeatureStream:
    """Turns input rows of one kind, bars unless told otherwise, into feature rows, in time order, with constant memory.

    A gap starts the state afresh (for bars: a bar that does not open exactly one interval after the last): no window
    ever reaches across it, and rows are NaN in every column until the selected features are all warm again.

    `names` selects and orders the columns: names, families or presets, see `features.catalogue.select_features`; all
    features of the kind when None, and then every optional field is required. With a `normaliser` the rows leave it as
    z-scores, see `features.normalisation`; its statistics survive gaps.
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        parameters: Any = None,
        kind: str = "bars",
        normaliser: NormaliserConfig | None = None,
    ) -> None:
        self.kind = KINDS[kind]
        self.parameters = self.kind.parameters() if parameters is None else parameters
        selected = select_features(names, self.parameters, kind)
        self.names: tuple[str, ...] = tuple(spec.name for spec in selected)
        self.warmup = max(spec.warmup for spec in selected)
        """Leading rows of each contiguous stretch that are NaN in every column."""
        self._kernel = load_kernel(kind)
        plan = self._kernel.make_plan(self.parameters, selected)
        self._plan, self._settings = plan.plan, plan.settings
        self._state, self._scratch = np.zeros(plan.state_size), aligned_floats(plan.scratch_size)
        self._head = self._state[:HEAD].view(np.int64)
        self._normaliser = None if normaliser is None else Normaliser(normaliser, len(selected))
        self._required = {field for spec in selected for field in spec.inputs}
        self._time = np.empty(1, dtype=np.int64)
        self._row = np.empty((len(self.kind.fields), 1))
        self._cells = self._row[:, 0]

    @property
    def warm(self) -> bool:
        """Whether the last row had values."""
        warm = bool(self._head[COUNT] > self.warmup)
        return warm and (self._normaliser is None or self._normaliser.ready)

    @property
    def last_time(self) -> int | None:
        """Time of the last row taken in, in the unit of the kind's key; None before the first."""
        return int(self._head[LAST_TIME]) if self._head[COUNT] > 0 else None

    def update(self, time: int, row: Sequence[float] | np.ndarray) -> np.ndarray:
        """Take in one row, numbers in the order of `Kind.fields`; return its features, float64 (F,), a new array.

        Raises InputError, with the state untouched, for a time that does not follow the last, for numbers that cannot
        be (prices that are not positive and ordered, say), and for a NaN in a field that a selected feature needs.
        """
        if len(row) != len(self._cells):
            raise InputError(
                f"row has {len(row)} numbers",
                where=f"{self.kind.name} stream",
                remedy=f"give {', '.join(self.kind.fields)}",
            )
        self._time[0] = time
        self._cells[:] = row
        out = np.empty((len(self.names), 1))
        if self._advance(self._time, self._row, out, 0) == 0:
            self._refuse(time, self._cells, f"{self.kind.name} stream")
        return out[:, 0]

    def update_many(self, events: Any) -> np.ndarray:
        """Take in many rows in time order; return their features, float64 (T, F), the very bytes `update` would give.

        `events` has the kind's key and fields as attributes, arrays (T,): `BarArrays` for bars. The result is the
        transpose of a C-contiguous (F, T): each feature is contiguous.

        Raises InputError as `update` does, naming the row; the state then stands as after the row above.
        """
        times = getattr(events, self.kind.time_field)
        columns = [getattr(events, name) for name in self.kind.fields]
        out = aligned_floats(len(self.names) * len(times)).reshape(len(self.names), len(times))
        # Own buffers, not the caller's arrays: read-only or strided ones would make numba compile a second `advance`.
        time_chunk = np.empty(CHUNK_ROWS, dtype=np.int64)
        chunk = np.empty((len(columns), CHUNK_ROWS))
        for start in range(0, len(times), CHUNK_ROWS):
            rows = min(CHUNK_ROWS, len(times) - start)
            time_chunk[:rows] = times[start : start + rows]
            for i, column in enumerate(columns):
                chunk[i, :rows] = column[start : start + rows]
            done = self._advance(time_chunk[:rows], chunk, out, start)
            if done < rows:
                self._refuse(int(time_chunk[done]), chunk[:, done], f"{self.kind.name}, row {start + done}")
        return out.T

    def state_bytes(self) -> bytes:
        """Everything needed to go on later, elsewhere: kind, columns, parameters and the state's exact bits."""
        about: dict[str, Any] = {
            "kind": self.kind.name,
            "names": self.names,
            "parameters": dataclasses.asdict(self.parameters),
        }
        if self._normaliser is not None:
            about["normaliser"] = dataclasses.asdict(self._normaliser.config)
            about["normaliser_fingerprint"] = NORMALISER_FINGERPRINT
        body = b"".join(part.astype("<f8").tobytes() for part in self._state_parts())
        return STATE_MAGIC + json.dumps(about).encode() + b"\n" + body

    @classmethod
    def from_state(cls, data: bytes) -> Self:
        """The stream that `state_bytes` described; it goes on with the very bytes it would have given.

        Raises InputError for bytes that are not a saved state, are cut short, or come from another version of the step.
        """

        def refuse(what: str) -> InputError:
            return InputError(what, where="saved feature state", remedy="run the stream over the last rows again")

        if not data.startswith(STATE_MAGIC):
            raise refuse("these bytes are not a saved state")
        header, _, body = data[len(STATE_MAGIC) :].partition(b"\n")
        try:
            about = json.loads(header)
            given = {
                name: tuple(value) if isinstance(value, list) else value for name, value in about["parameters"].items()
            }
            normaliser = NormaliserConfig(**about["normaliser"]) if "normaliser" in about else None
            stream = cls(about["names"], KINDS[about["kind"]].parameters(**given), about["kind"], normaliser)
        except (ValueError, TypeError, KeyError) as error:
            raise refuse(f"its header does not fit this version ({error})") from error
        size = 8 * sum(map(len, stream._state_parts()))
        if len(body) != size:
            raise refuse(f"it holds {len(body)} bytes of state, not {size}")
        saved = np.frombuffer(body, dtype="<f8")
        for part in stream._state_parts():
            part[:], saved = saved[: len(part)], saved[len(part) :]
        if stream._head[COUNT] != 0 and stream._head[FINGERPRINT] != stream._kernel.fingerprint:
            raise refuse("it was written by another version of the feature step")
        if normaliser is not None and about.get("normaliser_fingerprint") != NORMALISER_FINGERPRINT:
            raise refuse("it was written by another version of the normaliser")
        return stream

    def _advance(self, times: np.ndarray, columns: np.ndarray, out: np.ndarray, first: int) -> int:
        kernel = self._kernel
        rows = kernel.advance(times, columns, self._plan, self._settings, self._state, self._scratch, out, first)
        if self._normaliser is not None:
            self._normaliser.apply(out, first, rows)
        return rows

    def _state_parts(self) -> list[np.ndarray]:
        """The arrays that make up the state, in the order in which they are saved."""
        return [self._state] if self._normaliser is None else [self._state, self._normaliser.state]

    def _refuse(self, time: int, row: np.ndarray, where: str) -> None:
        """Raise the InputError that says why `advance` stopped at this row."""
        values = dict(zip(self.kind.fields, row.tolist(), strict=True))
        what, remedy = self._kernel.explain(time, values, self.last_time, self._required)
        time_ms = time if self.kind.time_field.endswith("_ms") else time // 1_000_000
        raise InputError(what, where=f"{where} ({iso_time(time_ms)})", remedy=remedy)
