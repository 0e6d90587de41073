"""What must hold for every tape and every order: money adds up, no fill beats the book, nothing knows the future."""

from dataclasses import replace

import numpy as np
import pytest

from envs.actions import ORDER_WIDTH
from envs.book.backtest import BookBacktest, BookResult
from envs.book.columns import ASKS, BOOK, BOOK_COLUMNS, PRICE, SIZE, STOP, TAKER
from envs.book.config import BookConfig
from envs.book.market import BookMarket
from tests.book_market_tools import build, random_orders, random_recording

SEEDS = range(6)
CAPITALS = (100.0, 400.0, 3_000.0, 50_000.0)


def played(seed: int, gap: bool = False, **settings: object) -> tuple[BookMarket, np.ndarray, BookResult]:
    market = build(random_recording(seed, gap=gap))
    orders = random_orders(np.random.default_rng(seed + 100), len(market), len(CAPITALS))
    config = BookConfig(trailing_bps=15.0, break_even_bps=8.0, limit_ttl_bars=3.0, **settings)  # type: ignore[arg-type]
    return market, orders, BookBacktest(market, config, CAPITALS).replay(orders)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("queue", "latency_ms"), [("risk_averse", 100.0), ("proportional", 100.0), ("proportional", 2_300.0)]
)
def test_money_adds_up(seed: int, queue: str, latency_ms: float) -> None:
    _, _, result = played(seed, gap=seed % 2 == 0, queue=queue, latency_ms=latency_ms)
    fills, trades = result.fills.to_pandas(), result.trades.to_pandas()
    assert fills["maker"].any()
    assert {"take_profit", "stop_loss", "signal"} <= set(fills["reason"])
    for lane, capital in enumerate(CAPITALS):
        own = fills[fills["lane"] == lane]
        flow = -own["side"] * own["qty"] * own["price"] - own["fee"]
        assert result.equity[-1, lane] == pytest.approx(capital + flow.sum(), rel=1e-10)
        assert (own["side"] * own["qty"]).sum() == pytest.approx(0.0, abs=1e-9)
        net = trades.loc[trades["lane"] == lane, "net_pnl"].sum()
        assert result.equity[-1, lane] == pytest.approx(capital + net, rel=1e-10)
        assert result.costs.fees[lane] == pytest.approx(own["fee"].sum(), rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_fill_is_better_or_larger_than_the_events_allow(seed: int) -> None:
    market, _, result = played(seed)
    taken: dict[tuple[int, int, int], float] = {}
    for fill in result.fills.to_pylist():
        if fill["reason"] in ("ruin", "end"):
            continue
        now = int(np.searchsorted(market.event_time_ns, fill["time_ns"], side="right"))
        book = int(market.events[now - 1, BOOK])
        side = fill["side"]
        if fill["maker"]:
            at = np.flatnonzero(market.event_time_ns == fill["time_ns"])
            opposite = market.books[book, ASKS if side > 0 else 0]
            traded = market.events[at[market.events[at, TAKER] != 0.0], PRICE]
            assert side * (opposite - fill["price"]) <= 0 or (side * (traded - fill["price"]) <= 0).any()
            continue
        first = ASKS if side > 0 else 0
        # A book of the same time stamp may have come before the fill or after it.
        at = market.event_time_ns[:now] == fill["time_ns"]
        in_force = {book, book - 1} if (market.events[:now][at, TAKER] == 0.0).any() else {book}
        shown = [market.books[b, first : first + BOOK_COLUMNS // 2] for b in in_force]
        assert side * (fill["price"] - side * min(side * rows[0] for rows in shown)) >= -1e-9
        key = (fill["lane"], book, side)
        taken[key] = taken.get(key, 0.0) + fill["qty"]
        assert taken[key] <= sum(rows[1::2].sum() for rows in shown) + 1e-9
    assert taken


@pytest.mark.parametrize("seed", SEEDS)
def test_the_tail_of_the_tape_changes_nothing_before_it(seed: int) -> None:
    market, orders, result = played(seed)
    cut = len(market) // 2
    first = int(market.schedule[cut, STOP])
    events, books = market.events.copy(), market.books.copy()
    events[first:, [PRICE, SIZE]] *= 1.5
    books[int(events[first - 1, BOOK]) + 1 :] *= 1.5
    changed = replace(market, events=events, books=books)
    other = BookBacktest(
        changed, BookConfig(trailing_bps=15.0, break_even_bps=8.0, limit_ttl_bars=3.0), CAPITALS
    ).replay(orders)
    np.testing.assert_array_equal(other.position[: cut + 1], result.position[: cut + 1])
    np.testing.assert_array_equal(other.equity[: cut + 1], result.equity[: cut + 1])
    assert not np.array_equal(other.equity, result.equity)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lane_is_the_same_alone_and_among_others(seed: int) -> None:
    market, orders, result = played(seed, queue="proportional")
    config = BookConfig(trailing_bps=15.0, break_even_bps=8.0, limit_ttl_bars=3.0, queue="proportional")
    for lane, capital in enumerate(CAPITALS):
        alone = BookBacktest(market, config, [capital]).replay(orders[:, lane : lane + 1])
        np.testing.assert_array_equal(alone.equity[:, 0], result.equity[:, lane])
        np.testing.assert_array_equal(alone.position[:, 0], result.position[:, lane])


@pytest.mark.parametrize("seed", SEEDS)
def test_queues_in_proportion_fill_no_later(seed: int) -> None:
    market = build(random_recording(seed))
    rows = np.arange(2, len(market) - 8, 2)
    orders = np.full((len(market), 2 * len(rows), ORDER_WIDTH), np.inf)
    orders[:, :, 0] = np.nan
    for lane, row in enumerate(np.repeat(rows, 2)):
        orders[row, lane, [0, 4]] = 1.0 if lane % 2 else -1.0, 0.0
    first = {}
    for queue in ("risk_averse", "proportional"):
        fills = (
            BookBacktest(market, BookConfig(queue=queue), [400.0] * orders.shape[1]).replay(orders).fills.to_pandas()
        )
        entries = fills[fills["reason"] == "none"]
        first[queue] = entries.groupby("lane")["time_ns"].min()
        # No order is filled beyond its size, however many parts it takes.
        assert (entries["qty"] * entries["price"]).groupby(entries["lane"]).sum().max() <= 400.0
    harsh, kind = first["risk_averse"], first["proportional"]
    assert set(harsh.index) <= set(kind.index)
    assert (kind[harsh.index] <= harsh).all()
