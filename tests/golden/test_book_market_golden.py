"""docs/book.md run as it stands, and every fill of one-lot orders held to hftbacktest's on recorded events."""

import doctest
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.book_golden import (
    FILES,
    FIXTURE,
    LATENCY_MS,
    PEER,
    QUEUES,
    STEP_MS,
    own_fills,
    peer_fills,
    prices_of,
    recorded_market,
    schedule,
)
from benchmarks.peers.client import python_of
from envs.book.columns import ASKS, BOOK, PRICE, TAKER
from envs.book.market import BookMarket
from tests.book_tools import real_data

DOCS = Path(__file__).parents[2] / "docs" / "book.md"


def test_every_example_of_the_documentation_holds() -> None:
    result = doctest.testfile(str(DOCS), module_relative=False)
    assert result.attempted > 40
    assert result.failed == 0


def traded_through_before(market: BookMarket, arrival_ns: int, side: int) -> bool:
    """Whether trades since the book in force have reached the best price that a taker on `side` sees in it."""
    now = int(np.searchsorted(market.event_time_ns, arrival_ns, side="right"))
    book = int(market.events[now - 1, BOOK])
    best = market.books[book, ASKS if side > 0 else 0]
    while market.events[now - 1, TAKER] != 0.0:
        now -= 1
        if side * (market.events[now, PRICE] - best) >= 0:
            return True
    return False


def crossed_by_own_side(market: BookMarket, fill_ns: int, level: float, side: int) -> bool:
    """Whether a trade of that time went through `level` with a taker of the order's own side."""
    rows = np.flatnonzero(market.event_time_ns == fill_ns)
    taker, price = market.events[rows, TAKER], market.events[rows, PRICE]
    return bool(np.any((taker * side > 0) & (side * (price - level) < 0)))


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("name", sorted(FILES))
def test_fills_are_those_of_hftbacktest(name: str, queue: str) -> None:
    """Differences are rules that docs/book.md states, each told from the events; the rest agrees to the ms and tick."""
    market = recorded_market(name, real_data())
    orders, limits = schedule(market), prices_of(market, schedule(market))
    own = own_fills(market, orders, queue)
    peer = [tuple(fill) for fill in json.loads(FIXTURE.read_text(encoding="utf-8"))[f"{name} {queue}"]]
    unexplained = {"limit": 0, "market": 0}
    different = 0
    for (row, side, offset), level, ours, theirs in zip(orders, limits, own, peer, strict=True):
        if ours == theirs:
            continue
        different += 1
        decided = (int(market.open_time_ms[row]) + STEP_MS) * 1_000_000
        if offset == np.inf:
            unexplained["market"] += not traded_through_before(market, decided + LATENCY_MS * 1_000_000, side)
            # Never better than the peer, which takes from the book as if nothing had been traded since.
            assert not ours[0] or side * (ours[2] - theirs[2]) > 0
        else:
            assert ours[:1] == theirs[:1]
            assert ours[2] == theirs[2]
            unexplained["limit"] += not crossed_by_own_side(market, decided + ours[1] * 1_000_000, level, side)
    assert different < 0.025 * len(orders)
    assert unexplained["market"] == 0
    # In proportion means another formula there: hftbacktest counts what was traded into the queue that it shares out.
    assert unexplained["limit"] <= (0 if queue == "risk_averse" else 6)


def test_the_peer_still_says_what_it_said() -> None:
    python = python_of(PEER)
    if not python.exists():
        pytest.skip("hftbacktest is not set up: see benchmarks.peers.book_golden")
    market = recorded_market("um", real_data())
    recorded = json.loads(FIXTURE.read_text(encoding="utf-8"))["um risk_averse"]
    assert [list(fill) for fill in peer_fills(market, schedule(market), "risk_averse", python)] == recorded
