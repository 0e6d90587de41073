"""The sequence rules of snapshot and diff, spot and USD-M, one by one."""

from __future__ import annotations

import pytest

from data_pipeline.recording.book import KEPT_LIVE, BookBuilder, Outcome, Rules
from data_pipeline.recording.events import Depth, MalformedEventError, Snapshot, parse_snapshot
from data_pipeline.recording.state import parse

BIDS = [["100.0", "1"], ["99.0", "2"]]
ASKS = [["101.0", "1"], ["102.0", "2"]]


def depth(
    first: int, final: int, previous: int | None = None, bids: list | None = None, asks: list | None = None
) -> Depth:
    return Depth("BTCUSDT", 0, None, first, final, previous, bids or [], asks or [])


def snapshot(last_id: int) -> Snapshot:
    return Snapshot("BTCUSDT", last_id, BIDS, ASKS)


def live(rules: Rules) -> BookBuilder:
    """A live book at update 10."""
    book = BookBuilder(rules)
    book.on_depth(depth(8, 10, 7))
    assert book.on_snapshot(snapshot(9)) is Outcome.APPLIED
    assert book.live
    assert book.last_id == 10
    return book


def test_no_event_makes_a_book_without_a_snapshot() -> None:
    book = BookBuilder("spot")
    assert book.on_depth(depth(1, 2)) is Outcome.PENDING
    assert not book.live
    assert book.wants_snapshot


@pytest.mark.parametrize(
    ("first", "final", "outcome"),
    [(11, 12, Outcome.APPLIED), (9, 12, Outcome.APPLIED), (9, 10, Outcome.OLD), (12, 13, Outcome.GAP)],
)
def test_spot_event_on_a_live_book(first: int, final: int, outcome: Outcome) -> None:
    book = live("spot")
    assert book.on_depth(depth(first, final, bids=[["100.5", "3"]])) is outcome
    assert book.live is (outcome is not Outcome.GAP)
    assert (book.live and book.top()[0] == 100.5) is (outcome is Outcome.APPLIED)


@pytest.mark.parametrize(
    ("previous", "final", "outcome"),
    [(10, 15, Outcome.APPLIED), (11, 15, Outcome.GAP), (9, 15, Outcome.GAP), (7, 10, Outcome.OLD), (5, 8, Outcome.OLD)],
)
def test_linear_event_on_a_live_book_must_name_the_last_one(previous: int, final: int, outcome: Outcome) -> None:
    book = live("linear")
    assert book.on_depth(depth(final - 1, final, previous)) is outcome


@pytest.mark.parametrize(
    ("rules", "first", "final", "previous", "outcome"),
    [
        ("spot", 21, 25, None, Outcome.APPLIED),
        ("spot", 15, 21, None, Outcome.APPLIED),
        ("spot", 15, 20, None, Outcome.OLD),
        ("spot", 22, 25, None, Outcome.STALE),
        ("linear", 23, 25, 18, Outcome.APPLIED),  # the snapshot lies between two events: their ids have holes
        ("linear", 15, 20, 14, Outcome.APPLIED),
        ("linear", 15, 19, 14, Outcome.OLD),
        ("linear", 23, 25, 21, Outcome.STALE),
    ],
)
def test_first_event_after_a_snapshot(
    rules: Rules, first: int, final: int, previous: int | None, outcome: Outcome
) -> None:
    book = BookBuilder(rules)
    assert book.on_snapshot(snapshot(20)) is Outcome.PENDING
    assert not book.live, "a snapshot alone is not a book: nothing shows that the stream reaches it"
    assert book.on_depth(depth(first, final, previous)) is outcome
    assert book.live is (outcome is Outcome.APPLIED)


def test_gap_keeps_its_event_for_the_next_snapshot() -> None:
    book = live("spot")
    assert book.on_depth(depth(15, 16, bids=[["100.5", "3"]])) is Outcome.GAP
    assert book.wants_snapshot
    assert book.on_snapshot(snapshot(13)) is Outcome.STALE
    assert book.wants_snapshot
    assert book.on_snapshot(snapshot(14)) is Outcome.APPLIED
    assert book.top()[0] == 100.5


def test_gap_among_the_events_kept_is_found() -> None:
    book = BookBuilder("spot")
    for first, final in ((1, 2), (5, 6)):
        book.on_depth(depth(first, final))
    assert book.on_snapshot(snapshot(0)) is Outcome.GAP
    assert book.on_snapshot(snapshot(4)) is Outcome.APPLIED


def test_crossed_book_is_void() -> None:
    book = live("spot")
    assert book.on_depth(depth(11, 11, bids=[["101.0", "1"]])) is Outcome.CROSSED
    assert not book.live
    assert book.wants_snapshot


def test_snapshot_replaces_a_live_book_without_a_break() -> None:
    book = live("spot")
    for update in range(11, 16):
        book.on_depth(depth(update, update, bids=[["100.5", str(update)]]))
    assert book.on_snapshot(snapshot(12)) is Outcome.APPLIED
    assert book.last_id == 15
    assert book.top()[:2] == (100.5, 15.0)


def test_snapshot_of_the_very_state_leaves_the_book_live() -> None:
    book = live("spot")
    assert book.on_snapshot(snapshot(10)) is Outcome.APPLIED
    assert book.live


def test_live_book_survives_a_snapshot_that_is_too_old() -> None:
    book = live("spot")
    for update in range(11, 11 + 2 * KEPT_LIVE):
        book.on_depth(depth(update, update))
    assert book.on_snapshot(snapshot(12)) is Outcome.STALE
    assert book.live
    assert book.last_id == 10 + 2 * KEPT_LIVE


def test_book_says_when_the_touch_has_left_the_span_of_the_snapshot() -> None:
    book = BookBuilder("spot", snapshot_limit=2)
    book.on_depth(depth(1, 1))
    book.on_snapshot(snapshot(0))
    assert book.covers(2)
    book.on_depth(depth(2, 2, bids=[["100.0", "0"], ["98.0", "5"]]))
    assert book.covers(1)
    assert not book.covers(2), "98 lies below the snapshot's 99: a level between the two could be unknown"


def test_state_carries_over() -> None:
    book = live("spot")
    other = BookBuilder("spot")
    other.restore(book.to_dict())
    event = depth(11, 11, bids=[["100.5", "3"]])
    assert book.on_depth(event) is other.on_depth(event) is Outcome.APPLIED
    assert book.to_dict() == other.to_dict()


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (None, "NoneType"),
        ('{"lastUpdateId":1,"bids":[["1', "str"),
        ({"bids": BIDS, "asks": ASKS}, "lastUpdateId is None"),
        ({"lastUpdateId": 1, "bids": BIDS}, "no asks"),
        ({"lastUpdateId": 1, "bids": [], "asks": ASKS}, "no bids"),
        ({"lastUpdateId": 1, "bids": BIDS[::-1], "asks": ASKS}, "out of order"),
        ({"lastUpdateId": 1, "bids": [["100.0"]], "asks": ASKS}, "bids"),
        ({"lastUpdateId": 1, "bids": [["103", "1"]], "asks": ASKS}, "crossed"),
    ],
)
def test_unusable_snapshots_are_refused(response: object, why: str) -> None:
    with pytest.raises(MalformedEventError, match=why):
        parse_snapshot("BTCUSDT", response)


@pytest.mark.parametrize("message", [{"e": "trade", "s": "BTCUSDT"}, {"stream": "x", "data": {"e": "depthUpdate"}}])
def test_known_kind_without_its_fields_is_malformed(message: dict) -> None:
    with pytest.raises(MalformedEventError):
        parse("spot", message)


def test_other_messages_are_none_of_ours() -> None:
    assert parse("spot", {"result": None, "id": 1}) is None
    assert parse("spot", {"e": "serverShutdown", "E": 1}) is None
