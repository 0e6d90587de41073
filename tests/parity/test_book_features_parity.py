"""One step function for quotes and one for books, the same bytes: all at once, in pieces, one by one, restarted."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from features.batch import compute_features
from features.catalogue import KINDS
from features.config import BookParameters, QuoteParameters
from features.events import Events
from features.kernel import load_kernel
from features.stream import FeatureStream
from tests.book_tools import RECORDED, recorded_books, recorded_quotes, synthetic_books, synthetic_quotes


@dataclass(frozen=True)
class Case:
    """A kind of input with events to try it on."""

    kind: str
    quick: Any
    synthetic: Callable[..., Events]
    recorded: Callable[[str], Events]
    names: tuple[str, ...]

    def compute(self, events: Events, parameters: Any = None, names: tuple[str, ...] | None = None) -> np.ndarray:
        return compute_features(events, names, parameters, self.kind)


QUOTES = Case(
    "quotes",
    QuoteParameters(short=8, long=30, fast_ms=50, slow_ms=400, microprice_refit=40),
    synthetic_quotes,
    recorded_quotes,
    ("ofi_50", "queue_imbalance", "quote_rate_1000ms"),
)
BOOK = Case(
    "book",
    BookParameters(short=8, long=30, component_half_life=4),
    synthetic_books,
    recorded_books,
    ("mlofi_2_20", "depth_imbalance_5", "book_slope_ask"),
)
cases = pytest.mark.parametrize("case", [QUOTES, BOOK], ids=lambda case: case.kind)


def one_by_one(stream: FeatureStream, events: Events) -> np.ndarray:
    rows = np.stack([getattr(events, name) for name in stream.kind.fields], axis=1)
    return np.stack([stream.update(int(t), row) for t, row in zip(events.time_ns, rows, strict=True)])


def bytes_of(X: np.ndarray) -> bytes:
    """Row by row, whatever the layout in memory."""
    return np.ascontiguousarray(X).tobytes()


@cases
@pytest.mark.parametrize("quick", [False, True], ids=["default", "quick"])
def test_one_event_at_a_time_gives_the_bytes_of_the_batch(case: Case, quick: bool) -> None:
    parameters = case.quick if quick else None
    events = case.synthetic(1_500, seed=3, silences=0)
    X = case.compute(events, parameters)
    assert np.isfinite(X).any()
    assert bytes_of(one_by_one(FeatureStream(None, parameters, case.kind), events)) == bytes_of(X)


@cases
@given(cuts=st.lists(st.integers(0, 500), max_size=8), seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_any_cuts_with_a_restart_at_each_give_the_bytes_of_the_batch(case: Case, cuts: list[int], seed: int) -> None:
    events = case.synthetic(500, seed)
    stream = FeatureStream(None, case.quick, case.kind)
    pieces = []
    for start, stop in pairwise([0, *sorted(cuts), 500]):
        stream = FeatureStream.from_state(stream.state_bytes())
        pieces.append(stream.update_many(events.slice(start, stop)))
    assert bytes_of(np.concatenate(pieces)) == bytes_of(case.compute(events, case.quick))


@cases
def test_selected_columns_are_the_bytes_of_all_columns_but_warm_up_sooner(case: Case) -> None:
    events = case.synthetic(1_500, seed=6, silences=0)
    X = case.compute(events, names=case.names)
    everything = case.compute(events)
    order = FeatureStream(kind=case.kind).names
    warm = np.isfinite(everything).all(axis=1)
    assert bytes_of(X[warm]) == bytes_of(everything[warm][:, [order.index(name) for name in case.names]])
    assert np.isfinite(X).all(axis=1).sum() > warm.sum() > 0


@cases
def test_a_silence_resets_everything(case: Case) -> None:
    """Rows after it are those of a history that begins there; a silence of exactly the limit is none."""
    events = case.synthetic(800, seed=7, silences=1, odd=False)
    (start,) = np.flatnonzero(np.diff(events.time_ns) > 60_000 * 1_000_000) + 1
    X = case.compute(events, case.quick)
    assert bytes_of(X[start:]) == bytes_of(case.compute(events.slice(start, 800), case.quick))
    assert np.isnan(X[start]).all()
    shift = np.where(np.arange(800) >= start, events.time_ns[start] - events.time_ns[start - 1] - 60_000_000_000, 0)
    bridged = case.compute(Events(events.time_ns - shift, events.local_time_ns, events.columns), case.quick)
    assert np.isfinite(bridged[start]).all()


@cases
def test_what_comes_before_both_sides_are_there_begins_nothing(case: Case) -> None:
    """The history begins at the first event with two sides, as if the ones before had not come."""
    events = case.synthetic(200, seed=2, silences=0, odd=False)
    side = [name for name in KINDS[case.kind].fields if name.startswith("ask") and name.endswith("sz")]
    columns = {name: values.copy() for name, values in events.columns.items()}
    for name in side:
        columns[name][:50] = 0.0
    X = case.compute(Events(events.time_ns, events.local_time_ns, columns), case.quick)
    assert np.isnan(X[:50]).all()
    assert bytes_of(X[50:]) == bytes_of(case.compute(events.slice(50, 200), case.quick))


@cases
def test_the_future_changes_nothing_before_it(case: Case) -> None:
    events, other, cut = case.synthetic(600, seed=11), case.synthetic(600, seed=12), 400
    mixed = {name: np.concatenate((events.columns[name][:cut], other.columns[name][cut:])) for name in events.columns}
    X = case.compute(events, case.quick)
    Y = case.compute(Events(events.time_ns, events.local_time_ns, mixed), case.quick)
    assert bytes_of(X[:cut]) == bytes_of(Y[:cut])
    assert bytes_of(X[cut:]) != bytes_of(Y[cut:])


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        (QUOTES, {"time": -1}, "earlier than the last quote's"),
        (QUOTES, {"bid_sz": -1.0}, "bid_sz is -1.0"),
        (QUOTES, {"ask_sz": -np.inf}, "ask_sz is -inf"),
        (BOOK, {"time": -1}, "earlier than the last book's"),
        (BOOK, {"ask7_sz": -1.0}, "ask7_sz is -1.0"),
        (BOOK, {"bid3_px": 1e6}, "not in order"),
        (BOOK, {"ask3_px": 1e-6}, "not in order"),
    ],
)
def test_a_bad_event_is_refused_and_leaves_no_trace(case: Case, change: dict[str, float], message: str) -> None:
    events = case.synthetic(100, seed=1, silences=0, odd=False)
    stream = FeatureStream(None, case.quick, case.kind)
    stream.update_many(events)
    before = stream.state_bytes()
    row = {name: float(values[-1]) for name, values in events.columns.items()}
    bad = row | change
    time_ns = int(events.time_ns[-1]) + int(bad.pop("time", 0))
    with pytest.raises(InputError, match=message):
        stream.update(time_ns, list(bad.values()))
    assert stream.state_bytes() == before
    stream.update(int(events.time_ns[-1]), list(row.values()))


@cases
@pytest.mark.parametrize("contract", RECORDED)
def test_parity_on_recorded_events(case: Case, contract: str) -> None:
    events = case.recorded(contract).slice(0, 3_000)
    X = case.compute(events)
    assert np.isfinite(X).any()
    assert bytes_of(one_by_one(FeatureStream(kind=case.kind), events)) == bytes_of(X)
    assert len(load_kernel(case.kind).advance.signatures) == 1
