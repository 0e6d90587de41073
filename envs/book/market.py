"""`BookMarket`: decision rows over recorded trades and books."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from envs.book.columns import (
    ASKS,
    BOOK_COLUMNS,
    EVENT_COLUMNS,
    FIRST,
    SCHEDULE_COLUMNS,
    SIZE,
)
from envs.book.recording import Recording
from envs.costs import TradingCosts
from envs.market import Market
from features.sampling import known_rows

_NS = 1_000_000


@dataclass(frozen=True, eq=False)
class Decisions:
    """When decisions are taken: at the end of each whole step that lies in unbroken recording.

    open_time_ms   int64 (T,) exchange clock, beginning of the step
    local_time_ns  int64 (T,) local clock, end of the step: what had been received by then may be looked at
    known          int64 (T,2) rows of the books received by the step's beginning and end
    """

    step_ms: int
    open_time_ms: np.ndarray
    local_time_ns: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.open_time_ms)


def decision_times(recording: Recording, step_ms: int = 1_000) -> Decisions:
    """The steps of `recording`, aligned to whole multiples of `step_ms`. InputError when there are less than two."""
    if step_ms < 1:
        raise InputError(f"step_ms {step_ms} is under 1", where="decision times", remedy="use whole milliseconds")
    step, first, last = step_ms * _NS, int(recording.book_time_ns[0]), int(recording.book_time_ns[-1])
    opens = np.arange(first // step + 1, last // step, dtype=np.int64) * step
    whole = np.ones(len(opens), dtype=bool)
    for start, stop in recording.holes.tolist():
        whole &= (opens + step <= start) | (opens > stop)
    edges = np.stack([opens, opens + step], axis=1) - recording.clock_ahead_ns
    known = known_rows(edges.ravel(), recording.book_local_ns).reshape(-1, 2)
    # At its beginning a step must know a book of its own stretch.
    for start, stop in recording.holes.tolist():
        whole &= (opens <= start) | (recording.book_time_ns[known[:, 0]] >= stop)
    whole &= known[:, 0] >= 0
    if whole.sum() < 2:
        raise InputError(
            f"{whole.sum()} whole steps of {step_ms} ms",
            where="recording",
            remedy="record longer, or use a shorter step",
        )
    return Decisions(step_ms, opens[whole] // _NS, edges[whole, 1], known[whole])


@dataclass(frozen=True, eq=False)
class BookMarket(Market):
    """A `Market` whose bars are steps, with the events inside them. Every array is read-only and C-contiguous.

    A row's open, high, low and close are mids of the books received by then, its volume is what was traded, its
    half-spread that of the last book received. Beside what a Market has:

    event_time_ns  int64 (E,)     exchange clock, non-decreasing
    events         float64 (E,4)  trades and books, see `envs.book.columns`
    books          float64 (B,40) ten bids and ten asks, see `envs.book.columns`
    schedule       int64 (T,3)    which events fall into each row's step, which book was known at its end
    """

    event_time_ns: np.ndarray
    events: np.ndarray
    books: np.ndarray
    schedule: np.ndarray

    ARRAYS: ClassVar[dict[str, str]] = {
        **Market.ARRAYS,
        "event_time_ns": "int64",
        "events": "float64",
        "books": "float64",
        "schedule": "int64",
    }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """As `Market.shapes`."""
        events = len(self.event_time_ns)
        return {
            **super().shapes(),
            "event_time_ns": (events,),
            "events": (events, EVENT_COLUMNS),
            "books": (len(self.books), BOOK_COLUMNS),
            "schedule": (len(self.open_time_ms), SCHEDULE_COLUMNS),
        }

    @classmethod
    def from_recording(
        cls,
        recording: Recording,
        decisions: Decisions,
        observations: np.ndarray,
        columns: tuple[str, ...],
        instrument: Instrument,
    ) -> "BookMarket":
        """Join a recording with observation rows (T, C) that were known at each decision's local time.

        `features.sampling.sample_asof(decisions.local_time_ns, ...)` gives such rows. A row with a NaN is never traded.
        Raises InputError as `Market.build` does.
        """
        edges = decisions.open_time_ms[:, None] * _NS + np.array([0, decisions.step_ms * _NS])
        inside = np.searchsorted(recording.event_time_ns, edges)
        bars, half_spread = _bars(recording, decisions, inside)
        costs = TradingCosts(half_spread=half_spread, impact=np.zeros(len(decisions)))
        rows = Market.build(bars, observations, columns, instrument, decisions.step_ms, costs=costs)
        return cls(
            **vars(rows),
            event_time_ns=recording.event_time_ns,
            events=recording.events,
            books=recording.books,
            schedule=np.concatenate([inside, decisions.known[:, 1:]], axis=1),
        )

    def cut(self, start: int, stop: int) -> dict[str, Any]:
        """As `Market.cut`; the events stay whole."""
        return {**super().cut(start, stop), "schedule": self.schedule[start:stop]}


def _bars(recording: Recording, decisions: Decisions, inside: np.ndarray) -> tuple[BarArrays, np.ndarray]:
    """Steps as bars of known mids, and the half-spread (T,) of the last book known in each."""
    books, known = recording.books, decisions.known
    bid, ask = books[:, 0], books[:, ASKS]
    mids = 0.5 * (bid + ask)
    # reduceat of the pairs (first, stop): every other result is that of a step; the extra book keeps `stop` in range.
    spans = np.stack([known[:, 0], known[:, 1] + 1], axis=1).ravel()
    padded = np.append(mids, mids[-1])
    sizes = np.append(0.0, np.cumsum(recording.events[:, SIZE]))
    count = len(decisions)
    unknown = np.full(count, np.nan)
    bars = BarArrays(
        open_time_ms=decisions.open_time_ms,
        open=mids[known[:, 0]],
        high=np.maximum.reduceat(padded, spans)[::2],
        low=np.minimum.reduceat(padded, spans)[::2],
        close=mids[known[:, 1]],
        volume=sizes[inside[:, 1]] - sizes[inside[:, FIRST]],
        quote_volume=unknown,
        taker_buy_volume=unknown,
        taker_buy_quote_volume=unknown,
        trades=unknown,
    )
    last = known[:, 1]
    return bars, (0.5 * (ask - bid) / mids)[last]
