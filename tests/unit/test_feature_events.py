"""Recorded tables as events: which clock they run on, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.errors import InputError
from features.config import BookParameters, QuoteParameters, TapeParameters
from features.events import read_events

LOCAL = [10_000_000, 11_000_000, 12_500_000]


def table(**changes: list | None) -> pa.Table:
    """Three quotes; a column of None is left out."""
    columns = {
        "local_ts_ns": LOCAL,
        "event_time_ms": [None, None, None],
        "bid_px": [1.0, 1.0, None],
        "bid_sz": [5.0, 6.0, 0.0],
        "ask_px": [1.1, 1.1, 1.2],
        "ask_sz": [1.0, 2.0, 3.0],
    } | changes
    return pa.table({name: values for name, values in columns.items() if values is not None})


def test_fields_become_float_arrays_and_nulls_nan() -> None:
    events = read_events(table(), "quotes")
    assert len(events) == 3
    np.testing.assert_array_equal(events.time_ns, LOCAL)
    np.testing.assert_array_equal(events.local_time_ns, LOCAL)
    np.testing.assert_array_equal(events.bid_px, [1.0, 1.0, np.nan])
    part = events.slice(1, 3)
    np.testing.assert_array_equal(part.ask_sz, [2.0, 3.0])
    np.testing.assert_array_equal(part.time_ns, LOCAL[1:])
    with pytest.raises(AttributeError, match="no_such_field"):
        _ = events.no_such_field


def test_the_exchange_clock_nearest_to_the_matching_engine_is_taken() -> None:
    both = table(event_time_ms=[3, 3, 4], trans_time_ms=[2, 3, 3])
    events = read_events(both, "quotes", "exchange")
    np.testing.assert_array_equal(events.time_ns, [2_000_000, 3_000_000, 3_000_000])
    np.testing.assert_array_equal(events.local_time_ns, LOCAL)
    only = read_events(table(event_time_ms=[3, 3, 4]), "quotes", "exchange")
    np.testing.assert_array_equal(only.time_ns, [3_000_000, 3_000_000, 4_000_000])


def test_tables_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(InputError, match="column 'ask_sz' is missing"):
        read_events(table(ask_sz=None), "quotes")
    with pytest.raises(InputError, match="column 'local_ts_ns' is missing"):
        read_events(table(local_ts_ns=None), "quotes")
    with pytest.raises(InputError, match="no exchange time"):
        read_events(table(), "quotes", "exchange")
    with pytest.raises(InputError, match="row 2 is earlier"):
        read_events(table(local_ts_ns=[1, 3, 2]), "quotes")
    with pytest.raises(InputError, match="row 1 is earlier"):
        read_events(table(event_time_ms=[3, 2, 4]), "quotes", "exchange")


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (QuoteParameters, {"short": 7}),
        (QuoteParameters, {"long": 50}),
        (QuoteParameters, {"fast_ms": 10_000}),
        (QuoteParameters, {"imbalance_buckets": 101, "spread_ticks": 1}),
        (QuoteParameters, {"imbalance_buckets": -5, "spread_ticks": -2}),
        (QuoteParameters, {"microprice_refit": 0}),
        (QuoteParameters, {"max_silence_ms": 0}),
        (BookParameters, {"short": 200}),
        (BookParameters, {"near_bps": ()}),
        (BookParameters, {"near_bps": (5.0, 5.0)}),
        (BookParameters, {"near_bps": (0.0, 5.0)}),
        (BookParameters, {"sweep_notional": float("inf")}),
        (BookParameters, {"component_half_life": 0}),
        (BookParameters, {"max_silence_ms": 0}),
        (TapeParameters, {"span": 0}),
        (TapeParameters, {"most_waiting": 0}),
    ],
)
def test_parameters_that_make_no_sense_are_refused(kind: type, wrong: dict) -> None:
    kind()
    with pytest.raises(InputError, match=kind.__name__):
        kind(**wrong)
