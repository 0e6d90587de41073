"""What exchanges are known to do wrong: the store ends up right, or the download says in one line why not."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import BAR_SCHEMA
from data_pipeline.store.bar_store import BarStore
from tests.emulator.faults import Fault, FaultKind
from tests.emulator.lab import HOUR, Lab, hourly

HOURS = 24 * 40


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    listing = hourly(hours=HOURS)
    return Lab(tmp_path / "store", [listing], listing.source.stop_ms + HOUR)


def assert_right(lab: Lab) -> None:
    """The store holds the exchange's closed bars, all of them, once."""
    with BarStore(lab.store, interval="1h") as store:
        table = store.read("BTC/USDT").replace_schema_metadata(None)
    assert table.schema.equals(BAR_SCHEMA)
    assert table.equals(lab.listings[0].source.table())


PASSING: tuple[FaultKind, ...] = (
    "500",
    "502",
    "503",
    "504",
    "reset_before",
    "reset_mid_body",
    "truncated_json",
    "html",
    "duplicate_bar",
    "missing_bars",
    "misaligned_bar",
    "short_rows",
    "empty_list",
)


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_passes_leaves_no_trace(lab: Lab, kind: FaultKind) -> None:
    lab.faults.add(Fault(kind, after=2, count=2))
    outcome = lab.download()
    assert lab.faults.struck == [kind, kind]
    # aiohttp itself sends a GET again when a kept-alive connection dies before any answer
    assert outcome.retried >= 1 or kind == "reset_before"
    assert outcome.missing == 0
    assert_right(lab)


def test_bars_in_microseconds_are_told_by_their_magnitude(lab: Lab) -> None:
    lab.faults.add(Fault("microseconds", count=1000))
    outcome = lab.download()
    assert len(lab.faults.struck) > 3
    assert outcome.retried == 0
    assert_right(lab)


@pytest.mark.parametrize("kind", ["429", "418"])
def test_nothing_is_sent_before_retry_after_is_over(lab: Lab, kind: FaultKind) -> None:
    lab.faults.add(Fault(kind, after=3, retry_after=1))
    sent: list[float] = []
    respond = lab.core.respond
    lab.core.respond = lambda *request: (sent.append(time.monotonic()), respond(*request))[1]  # type: ignore[method-assign]
    outcome = lab.download(in_flight=1)
    assert outcome.refusals == lab.core.statuses[int(kind)] == 1
    pauses = [after - before for before, after in itertools.pairwise(sent)]
    assert max(pauses) >= 1.0
    assert_right(lab)


def test_a_refusal_in_the_midst_of_many_requests_holds_them_all(lab: Lab) -> None:
    lab.faults.add(Fault("429", after=2, retry_after=1))
    outcome = lab.download(in_flight=15, page_rows=20)
    assert outcome.refusals == 1
    assert_right(lab)


def test_an_answer_that_never_comes_is_given_up_and_asked_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import data_pipeline.download.rest as rest

    open_client = rest.open_client

    def impatient(*args: object, **options: object) -> object:
        client = open_client(*args, **options)  # type: ignore[arg-type]
        client.timeout = 300
        return client

    monkeypatch.setattr(rest, "open_client", impatient)
    lab.faults.add(Fault("timeout", after=2))
    outcome = lab.download()
    assert lab.faults.struck == ["timeout"]
    assert outcome.retried == 1
    assert_right(lab)


@pytest.mark.parametrize("kind", ["500", "html", "truncated_json", "duplicate_bar", "reset_mid_body"])
def test_a_fault_that_stays_ends_in_one_line_and_keeps_what_was_right(lab: Lab, kind: FaultKind) -> None:
    lab.faults.add(Fault(kind, after=4, count=10_000))
    with pytest.raises(InputError, match="no usable answer in 3 attempts") as caught:
        lab.download(attempts=3, in_flight=1)
    assert "\n" not in str(caught.value)
    lab.faults.faults.clear()
    with BarStore(lab.store, interval="1h") as store:
        assert store.read("BTC/USDT").num_rows > 0
    lab.download()
    assert_right(lab)


@pytest.mark.parametrize("ahead_ms", [-7 * 86_400_000, 7 * 86_400_000])
def test_a_wrong_local_clock_never_lets_an_open_bar_in(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, ahead_ms: int
) -> None:
    import data_pipeline.download.rest as rest

    lab.now_ms = lab.listings[0].source.start_ms + 500 * HOUR + HOUR // 2
    monkeypatch.setattr(rest, "_local_ms", lambda: lab.now_ms + ahead_ms)
    lab.download()
    with BarStore(lab.store, interval="1h") as store:
        times = store.read("BTC/USDT", columns=["open_time"])
    assert times.num_rows == 500  # the bar that opened half an hour ago is not among them


def test_the_open_bar_is_stored_only_once_it_has_closed(lab: Lab) -> None:
    source = lab.listings[0].source
    lab.now_ms = source.start_ms + 500 * HOUR + HOUR // 2
    lab.download()
    lab.now_ms += HOUR
    assert lab.download().rows == 1
    lab.now_ms = source.stop_ms + HOUR
    lab.download()
    assert lab.core.running_bars_served == 0
    assert_right(lab)


def test_a_storm_of_all_faults_at_once(lab: Lab) -> None:
    lab.faults.chance, lab.faults.kinds = 0.4, (*PASSING, "429", "418", "microseconds")
    outcome = lab.download(page_rows=50, attempts=30)
    assert len(set(lab.faults.struck)) > 6
    assert outcome.missing == 0
    assert_right(lab)


def test_an_empty_answer_about_the_first_bar_is_not_believed_at_once(lab: Lab) -> None:
    lab.faults.add(Fault("empty_list"))
    lab.download()
    assert lab.faults.struck == ["empty_list"]
    assert_right(lab)
