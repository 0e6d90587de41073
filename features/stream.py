"""Feature rows from bars as they come: one at a time or many, with a state that saves, restores and resets at gaps."""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays, iso_time
from features.bar_kernel import SOURCE_FINGERPRINT, advance
from features.bar_layout import COUNT, FINGERPRINT, LAST_OPEN_MS, WARMUP_ROWS, make_plan, state_size
from features.catalogue import BAR_FIELDS, DEFAULT_PARAMETERS, feature_names, select_features
from features.config import BarParameters

CHUNK_ROWS = 16_384
"""Bars gathered at a time by `update_many`; small enough for the processor's cache."""
STATE_MAGIC = b"bar-features-1\n"


class FeatureStream:
    """Turns closed bars into feature rows, in time order, with constant memory.

    A bar that does not open exactly `interval_ms` after the last one starts the state afresh: no window ever reaches
    across a gap, and rows are NaN in every column until `WARMUP` bars have passed again.

    `names` selects and orders the columns (all features when None; then every optional field of the bars is required).
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        interval_ms: int = 60_000,
        parameters: BarParameters = DEFAULT_PARAMETERS,
    ) -> None:
        if interval_ms <= 0:
            raise InputError(f"interval_ms {interval_ms} is not positive", where="FeatureStream", remedy="60000 is 1m")
        selected = select_features(names, parameters)
        self.names: tuple[str, ...] = tuple(spec.name for spec in selected)
        self.interval_ms = interval_ms
        self.parameters = parameters
        order = feature_names(parameters)
        self._plan = make_plan(parameters, interval_ms, selected)
        self._selection = np.array([order.index(name) for name in self.names], dtype=np.int64)
        self._state = np.zeros(state_size(parameters))
        self._required = {field for spec in selected for field in spec.inputs}
        self._time = np.empty(1, dtype=np.int64)
        self._bar = np.empty((len(BAR_FIELDS), 1))

    @property
    def warm(self) -> bool:
        """Whether the last row had values."""
        return bool(self._state[COUNT] > self._plan[WARMUP_ROWS])

    @property
    def last_open_time_ms(self) -> int | None:
        """Open time of the last bar taken in, None before the first."""
        return int(self._state[LAST_OPEN_MS]) if self._state[COUNT] > 0 else None

    def update(self, open_time_ms: int, bar: Sequence[float] | np.ndarray) -> np.ndarray:
        """Take in one closed bar, nine numbers in the order of `BAR_FIELDS`; return its row, float64 (F,), a new array.

        Raises InputError, with the state untouched, for a bar that is not later than the last, for prices that are not
        positive and ordered, and for a NaN or negative number in a field that a selected feature needs.
        """
        if len(bar) != len(BAR_FIELDS):
            raise InputError(
                f"bar has {len(bar)} numbers", where="feature stream", remedy=f"give {', '.join(BAR_FIELDS)}"
            )
        self._time[0] = open_time_ms
        self._bar[:, 0] = bar
        out = np.empty((1, len(self.names)))
        if advance(self._time, self._bar, self._plan, self._selection, self._state, out) == 0:
            self._refuse(open_time_ms, self._bar[:, 0], "feature stream")
        return out[0]

    def update_many(self, bars: BarArrays) -> np.ndarray:
        """Take in bars in time order; return their rows, float64 (T, F), the very bytes that `update` would give.

        Raises InputError as `update` does, naming the row; the state then stands as after the row above.
        """
        out = np.empty((len(bars), len(self.names)))
        # Own buffers, not the caller's arrays: read-only or strided ones would make numba compile a second `advance`.
        times = np.empty(CHUNK_ROWS, dtype=np.int64)
        columns = np.empty((len(BAR_FIELDS), CHUNK_ROWS))
        for start in range(0, len(bars), CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, len(bars))
            rows = stop - start
            times[:rows] = bars.open_time_ms[start:stop]
            for i, name in enumerate(BAR_FIELDS):
                columns[i, :rows] = getattr(bars, name)[start:stop]
            done = advance(times[:rows], columns, self._plan, self._selection, self._state, out[start:stop])
            if done < rows:
                self._refuse(int(times[done]), columns[:, done], f"bars, row {start + done}")
        return out

    def state_bytes(self) -> bytes:
        """Everything needed to go on later, elsewhere: columns, interval, windows and the state's exact bits."""
        about = {
            "names": self.names,
            "interval_ms": self.interval_ms,
            "parameters": dataclasses.asdict(self.parameters),
        }
        return STATE_MAGIC + json.dumps(about).encode() + b"\n" + self._state.astype("<f8").tobytes()

    @classmethod
    def from_state(cls, data: bytes) -> "FeatureStream":
        """The stream that `state_bytes` described; it goes on with the same bytes as if it had never stopped.

        Raises InputError for bytes that are not a saved state, are cut short, or come from another version of the step.
        """

        def refuse(what: str) -> InputError:
            return InputError(what, where="saved feature state", remedy="run the stream over the last bars again")

        if not data.startswith(STATE_MAGIC):
            raise refuse("these bytes are not a saved state")
        header, _, body = data[len(STATE_MAGIC) :].partition(b"\n")
        try:
            about = json.loads(header)
            parameters = about["parameters"]
            parameters["horizons"] = tuple(parameters["horizons"])
            stream = cls(about["names"], about["interval_ms"], BarParameters(**parameters))
        except (ValueError, TypeError, KeyError) as error:
            raise refuse(f"its header does not fit this version ({error})") from error
        if len(body) != 8 * len(stream._state):
            raise refuse(f"it holds {len(body)} bytes of state, not {8 * len(stream._state)}")
        stream._state[:] = np.frombuffer(body, dtype="<f8")
        if stream._state[COUNT] > 0 and stream._state[FINGERPRINT] != SOURCE_FINGERPRINT:
            raise refuse("it was written by another version of the feature step")
        return stream

    def _refuse(self, open_time_ms: int, bar: np.ndarray, where: str) -> None:
        """Raise the InputError that says why `advance` stopped at this bar."""
        where = f"{where} ({iso_time(open_time_ms)})"
        values = dict(zip(BAR_FIELDS, bar.tolist(), strict=True))
        for name, value in values.items():
            if (name in BAR_FIELDS[:5] or name in self._required) and not 0.0 <= value < np.inf:
                raise InputError(
                    f"{name} is {value}", where=where, remedy="leave out the features that need it, or the bar"
                )
        last = self.last_open_time_ms
        if last is not None and open_time_ms <= last:
            remedy = "give each bar once, in time order"
            raise InputError(f"the bar is not later than the last one ({iso_time(last)})", where=where, remedy=remedy)
        prices = " ".join(f"{name} {values[name]}" for name in BAR_FIELDS[:4])
        raise InputError(f"{prices} are not a bar", where=where, remedy="need 0 < low <= open, close <= high")
