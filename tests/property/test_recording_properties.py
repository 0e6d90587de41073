"""Whatever a stream loses, repeats or reorders: a live book is the exchange's book, a bar is the exchange's bar."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.recording.aggregate import MINUTE_MS, Bar
from data_pipeline.recording.book import BookBuilder, Rules
from data_pipeline.recording.events import Depth, Trade, encode_line, parse_snapshot, read_log
from data_pipeline.recording.tape import TradeTape
from tests.emulator.stream import LiveBook

FAULTS = st.lists(st.sampled_from(["send"] * 6 + ["lose", "repeat", "swap", "snapshot", "old snapshot"]), max_size=60)


def market(rules: Rules, steps: int, seed: int) -> Iterator[tuple[Depth, dict[str, Any]]]:
    """Depth events and the truth after each."""
    book = LiveBook(10_000, seed)
    for _ in range(steps):
        previous = book.last_id
        first, final, bids, asks = book.step()
        pu = previous if rules == "linear" else None
        yield Depth("BTCUSDT", 0, None, first, final, pu, bids, asks), book.snapshot(1000)


@pytest.mark.parametrize("rules", ["spot", "linear"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=FAULTS, seed=st.integers(0, 1000))
def test_a_live_book_is_the_exchanges_book_at_its_update(rules: Rules, plan: list[str], seed: int) -> None:
    builder = BookBuilder(rules)
    truth: dict[int, dict[str, Any]] = {}
    held: list[Depth] = []

    def deliver(event: Depth) -> None:
        builder.on_depth(event)
        if builder.live:
            assert builder.last_id is not None
            expected = parse_snapshot(None, truth[builder.last_id])
            bids, asks = builder.levels(1000)
            assert bids == [(float(price), float(qty)) for price, qty in expected.bids]
            assert asks == [(float(price), float(qty)) for price, qty in expected.asks]

    plan = [*plan, "send", "snapshot", "send", "send"]
    for action, (event, snapshot) in zip(plan, market(rules, len(plan), seed), strict=True):
        truth[event.final_id] = snapshot
        if action == "lose":
            continue
        if action == "swap":
            held.append(event)
            continue
        deliver(event)
        for late in held:
            deliver(late)
        held.clear()
        if action == "repeat":
            deliver(event)
        elif action == "snapshot":
            builder.on_snapshot(parse_snapshot(None, snapshot))
        elif action == "old snapshot":
            old = truth[list(truth)[max(0, len(truth) - 5)]]
            builder.on_snapshot(parse_snapshot(None, old))
    assert builder.live, "two good events after a good snapshot make a book"


def trade(number: int) -> Trade:
    """Trade `number`: one every seven seconds, with a price and a size of its own."""
    price, qty = f"{100 + number % 13}.{number % 7}0", f"0.{number % 9 + 1:03d}"
    return Trade("BTCUSDT", 0, number * 7_000, number, price, qty, number % 3 == 0, True)


def exact(bar: Bar) -> tuple[Any, ...]:
    return tuple(getattr(bar, name) for name in Bar.__slots__)


def plain_bars(numbers: range) -> dict[int, tuple[Any, ...]]:
    """Whole minutes of undisturbed trades, without the tape's machinery."""
    minutes: dict[int, Bar] = {}
    for number in numbers:
        item = trade(number)
        minutes.setdefault(
            item.trade_time_ms // MINUTE_MS * MINUTE_MS, Bar(item.trade_time_ms // MINUTE_MS * MINUTE_MS, True)
        ).add(item)
    return {minute: exact(bar) for minute, bar in minutes.items()}


@settings(max_examples=60, deadline=None)
@given(
    lost=st.sets(st.integers(0, 199), max_size=6),
    repeated=st.sets(st.integers(0, 199), max_size=20),
    delays=st.dictionaries(st.integers(0, 199), st.integers(1, 30), max_size=10),
)
def test_only_whole_minutes_become_bars_and_they_are_exact(
    lost: set[int], repeated: set[int], delays: dict[int, int]
) -> None:
    order = sorted(set(range(200)) - lost, key=lambda number: number + delays.get(number, 0))
    order = [number for number in order for _ in range(2 if number in repeated else 1)]
    tape = TradeTape()
    bars = [bar for number in order for bar in tape.push(trade(number))[1]]
    bars += tape.give_up()
    truth = plain_bars(range(200))
    opened = trade(order[0]).trade_time_ms // MINUTE_MS * MINUTE_MS
    touched = {trade(number).trade_time_ms // MINUTE_MS * MINUTE_MS for number in lost} | {opened}
    last = max(truth)
    assert {bar.open_time_ms: exact(bar) for bar in bars}.items() <= truth.items()
    missing = set(truth) - {bar.open_time_ms for bar in bars} - {last}
    # a hole voids the minutes that it touches; when it ends a minute, the one after it has no proven begin
    near = touched | {minute + MINUTE_MS for minute in touched} | {minute - MINUTE_MS for minute in touched}
    early = {trade(number).trade_time_ms // MINUTE_MS * MINUTE_MS for number in range(order[0])}
    assert missing <= near | early | set(range(0, opened, MINUTE_MS))
    assert len(bars) == len({bar.open_time_ms for bar in bars})


def test_minutes_without_trades_repeat_the_last_price() -> None:
    tape = TradeTape()
    times = [30_000, 70_000, 250_000, 310_000]
    bars = [
        bar
        for number, time_ms in enumerate(times)
        for bar in tape.push(Trade("BTCUSDT", 0, time_ms, number, f"10{number}", "1", False, True))[1]
    ]
    assert [(bar.open_time_ms, bar.trades, str(bar.open), str(bar.close)) for bar in bars] == [
        (60_000, 1, "101", "101"),
        (120_000, 0, "101", "101"),
        (180_000, 0, "101", "101"),
        (240_000, 1, "102", "102"),
    ]


def test_trades_off_the_book_keep_the_ids_whole_and_stay_out_of_the_bar() -> None:
    tape = TradeTape()
    bars = []
    for number, time_ms in enumerate((30_000, 70_000, 80_000, 130_000)):
        item = Trade("BTCUSDT", 0, time_ms, number, "100", "1", False, on_book=number != 2)
        bars += tape.push(item)[1]
    assert [(bar.open_time_ms, bar.trades) for bar in bars] == [(60_000, 1)]


def test_absurd_stamp_does_not_make_a_million_bars() -> None:
    tape = TradeTape()
    for number in range(11):  # the first minute begins inside the recording and is none
        tape.push(trade(number))
    absurd = trade(11)._replace(trade_time_ms=1_700_000_000_000_000)
    assert tape.push(absurd) == (absurd, [])
    bars = [bar for number in range(12, 40) for bar in tape.push(trade(number))[1]]
    assert [bar.open_time_ms // MINUTE_MS for bar in bars] == [2, 3], "it voids its own minute, not those after it"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(-9, 2**53)), max_size=8),
    cut=st.integers(0, 400),
)
def test_a_log_cut_anywhere_gives_every_whole_line(texts: list[dict], cut: int, tmp_path: Path) -> None:
    lines = [encode_line(n, text) for n, text in enumerate(texts)]
    data = b"".join(lines)[:cut]
    path = tmp_path / "1.log"
    path.write_bytes(data)
    whole = data.count(b"\n")
    assert [line.message for line in read_log(path)] == texts[:whole]
    assert [line.end for line in read_log(path)][-1:] == ([len(b"".join(lines[:whole]))] if whole else [])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_hole_filled_by_groups_gives_the_bars_and_ids_of_an_undisturbed_tape(data: st.DataObject) -> None:
    """Groups may reach over both edges of the hole, into what is known before it and what waits behind it."""
    count = 120
    trades = [trade(number)._replace(trade_time_ms=number // 3 * 7_000) for number in range(count)]
    groups, number = [], 0
    while number < count:
        size = data.draw(st.integers(1, 3 - number % 3))  # trades of one group share price, side and time
        for member in range(number, number + size):
            head = trades[number]
            trades[member] = trades[member]._replace(price=head.price, buyer_is_maker=head.buyer_is_maker)
        qty = sum((Decimal(item.qty) for item in trades[number : number + size]), Decimal(0))
        groups.append(trades[number]._replace(trade_id=number + size - 1, joined=size, qty=str(qty)))
        number += size
    low = data.draw(st.integers(1, count - 2))
    high = data.draw(st.integers(low, min(count - 2, low + 60)))
    arrived = data.draw(st.integers(high + 3, count + 2))  # how far the stream is when the answer comes
    plain, mended = TradeTape(), TradeTape(hold=1000)
    expected = [exact(bar) for item in trades for bar in plain.push(item)[1]]
    kept, bars = [], []

    def push(item: Trade) -> None:
        new, closed = mended.push(item)
        bars.extend(exact(bar) for bar in closed)
        if new is not None:
            kept.extend(range(new.first_id, new.trade_id + 1))

    for item in trades[:low] + trades[high + 1 : arrived]:
        push(item)
    assert mended.hole() == (low, high)
    for group in groups:
        if group.first_id <= high and group.trade_id >= low:
            push(group)
    assert mended.hole() is None
    for item in trades[arrived:]:
        push(item)
    assert bars == expected
    assert sorted(kept) == list(range(count))


def test_a_group_at_the_turn_of_a_minute_leaves_both_minutes_in_doubt() -> None:
    def bars(time_ms: int, spread_ms: int) -> list[int]:
        tape = TradeTape(spread_ms=spread_ms)
        items = [Trade("BTCUSDT", 0, 30_000 * number, number, "100", "1", False) for number in range(14)]
        items[6] = items[6]._replace(trade_time_ms=time_ms, trade_id=8, joined=3)
        items[7:] = [item._replace(trade_id=item.trade_id + 2) for item in items[7:]]
        return [bar.open_time_ms // MINUTE_MS for item in items for bar in tape.push(item)[1]]

    assert bars(180_050, 100) == [1, 4, 5]
    assert bars(179_950, 100) == [1, 4, 5]
    assert bars(180_150, 100) == bars(180_050, 0) == [1, 2, 3, 4, 5]
