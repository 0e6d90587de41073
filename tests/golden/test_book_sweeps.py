"""Market orders through many levels against exact fractions, written from docs/book.md alone; and COIN-M."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest

from data_pipeline.instruments import Instrument
from envs.book.backtest import BookBacktest, BookResult
from envs.book.config import BookConfig
from envs.book.market import BookMarket, decision_times
from envs.book.recording import read_recording
from envs.columns import CLOSE
from tests.book_market_tools import build, random_recording
from tests.book_tools import RECORDED, real_data

LATENCY_MS = 50
INSTRUMENTS = {
    "spot": (1.0, Instrument("BTCUSDT", 0.01, 0.00001, 5.0, 10.0, 10.0, "spot")),
    "um": (1.0, Instrument("BTCUSDT", 0.1, 0.001, 5.0, 2.0, 5.0)),
    "cm": (100.0, Instrument("BTCUSD", 0.1, 100.0, 0.0, 2.0, 5.0, "inverse")),
}
CAPITALS = (200.0, 20_000.0, 400_000.0, 5_000_000.0)
"""In quote units: one level, a few, most, more than there is."""


def recorded(name: str) -> BookMarket:
    contract_size, instrument = INSTRUMENTS[name]
    stem = real_data() / "micro" / RECORDED[name]
    recording = read_recording(f"{stem}.trades.parquet", f"{stem}.l10.parquet", contract_size=contract_size)
    steps = decision_times(recording, 1_000)
    return BookMarket.from_recording(recording, steps, np.zeros((len(steps), 1)), ("nothing",), instrument)


class Sweep(NamedTuple):
    """What a market order finds: exact level by exact level, best first, and the best price that is shown."""

    levels: list[tuple[Fraction, Fraction]]
    best: Fraction

    @property
    def there(self) -> Fraction:
        return sum((size for _, size in self.levels), Fraction(0))

    def parts(self, size: Fraction) -> list[tuple[Fraction, Fraction]]:
        """(price, size) of each level's share of an order."""
        taken = []
        for price, level in self.levels:
            part = min(level, size)
            size -= part
            if part:
                taken.append((price, part))
        return taken


def exact(value: float) -> Fraction:
    return Fraction(repr(float(value)))


def lots(size: Fraction, instrument: Instrument) -> Fraction:
    step = exact(instrument.lot_step)
    return size // step * step


def average(parts: list[tuple[Fraction, Fraction]], inverse: bool) -> Fraction:
    """Price at which a whole order is worth what its parts are: the harmonic mean for contracts settled in the coin."""
    size = sum(part for _, part in parts)
    if inverse:
        return size / sum(part / price for price, part in parts)
    return sum(price * part for price, part in parts) / size


def seen_by(market: BookMarket, arrival_ns: int, direction: int) -> Sweep:
    """The book in force at the arrival, less what has traded since."""
    known = int(np.searchsorted(market.event_time_ns, arrival_ns, side="right"))
    books = np.flatnonzero(market.events[:known, 0] == 0.0)
    book = market.books[int(market.events[books[-1], 3])].tolist()
    trades = [
        (exact(price), exact(size), taker) for taker, price, size, _ in market.events[books[-1] + 1 : known].tolist()
    ]
    side = book[20:] if direction > 0 else book[:20]
    levels = []
    for shown_price, shown in zip(side[::2], side[1::2], strict=True):
        price, left = exact(shown_price), exact(shown)
        for at, size, taker in trades:
            if direction * (at - price) > 0:
                left = Fraction(0)  # a trade beyond has met this first
            elif at == price:
                left = max(left - size, Fraction(0)) if taker == direction else Fraction(0)
        levels.append((price, left))
    return Sweep(levels, exact(side[0]))


def entry(sweep: Sweep, cash: float, instrument: Instrument) -> tuple[Fraction, Fraction] | None:
    """(size, average price) of an entry with all of `cash`, None when nothing comes of it."""
    inverse = instrument.contract == "inverse"
    fee = exact(instrument.taker_fee_bps) / 10_000

    def affordable(price: Fraction) -> Fraction:
        unit = 1 / price if inverse else price
        size = lots(exact(cash) / (1 + fee) / unit, instrument)
        return size if size * unit >= exact(instrument.min_notional) else Fraction(0)

    there = lots(sweep.there, instrument)
    first = min(affordable(sweep.best), there)
    if first <= 0:
        return None
    size = min(affordable(average(sweep.parts(first), inverse)), first)
    return (size, average(sweep.parts(size), inverse)) if size > 0 else None


def play(market: BookMarket, every: int) -> tuple[BookResult, list[tuple[int, int, float]]]:
    """In lanes of their own, buys and sells at every `every`-th row with each of the capitals, held for a step."""
    inverse = market.instrument.contract == "inverse"
    lanes = [
        (row, side, capital / market.prices[0, CLOSE] if inverse else capital)
        for row in range(3, len(market) - 6, every)
        for side in ((1, -1) if market.instrument.shortable else (1,))
        for capital in CAPITALS
    ]
    orders = np.full((len(market), len(lanes), 5), np.inf)
    orders[:, :, 0] = 0.0
    for lane, (row, side, _) in enumerate(lanes):
        orders[row, lane, 0] = side
    config = BookConfig(latency_ms=LATENCY_MS)
    return BookBacktest(market, config, [capital for *_, capital in lanes]).replay(orders), lanes


def compare(market: BookMarket, every: int) -> tuple[int, int, int]:
    """Hold every entry, and the first fill of every exit, to the reference; (entries, levels of the deepest, exits)."""
    result, lanes = play(market, every)
    inverse = market.instrument.contract == "inverse"
    fills: dict[int, list[dict]] = {}
    for fill in result.fills.to_pylist():
        fills.setdefault(fill["lane"], []).append(fill)
    counts, deepest, exits = 0, 0, 0
    for lane, (row, side, capital) in enumerate(lanes):
        decided = (int(market.open_time_ms[row]) + market.interval_ms) * 1_000_000
        arrival = decided + LATENCY_MS * 1_000_000
        wanted = entry(seen_by(market, arrival, side), capital, market.instrument)
        found = fills.get(lane, [])
        if wanted is None:
            assert found == []
            assert result.costs.refused[lane] > 0
            continue
        size, price = wanted
        assert (found[0]["time_ns"], found[0]["side"], found[0]["reason"]) == (arrival, side, "none")
        assert found[0]["qty"] == pytest.approx(float(size), rel=1e-12)
        assert found[0]["price"] == pytest.approx(float(price), rel=1e-12)
        counts += 1
        deepest = max(deepest, len(seen_by(market, arrival, side).parts(size)))
        later = arrival + market.interval_ms * 1_000_000
        sweep = seen_by(market, later, -side)
        leaves = min(size, lots(sweep.there, market.instrument))
        if leaves > 0:
            assert (found[1]["time_ns"], found[1]["side"], found[1]["reason"]) == (later, -side, "signal")
            assert found[1]["qty"] == pytest.approx(float(leaves), rel=1e-12)
            assert found[1]["price"] == pytest.approx(float(average(sweep.parts(leaves), inverse)), rel=1e-12)
            exits += 1
    return counts, deepest, exits


@pytest.mark.parametrize("seed", range(3))
def test_sweeps_of_random_books(seed: int) -> None:
    counts, deepest, exits = compare(build(random_recording(seed, seconds=20)), every=2)
    assert counts > 30
    assert deepest >= 8
    assert exits > 30


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_sweeps_of_recorded_books(name: str) -> None:
    counts, deepest, exits = compare(recorded(name), every=60)
    assert counts > 15
    assert deepest >= 8
    assert exits > 15


def test_an_account_of_coins_on_the_recorded_coin_margined_books() -> None:
    """COIN-M, sizes in contracts of 100 USD: every trade's gain is N (1 / entry - 1 / exit), and the books balance."""
    market = recorded("cm")
    rng = np.random.default_rng(0)
    lanes = 12
    orders = np.full((len(market), lanes, 5), np.inf)
    orders[:, :, 0] = np.repeat(rng.choice([-1.0, 0.0, 1.0], (len(market) // 10 + 1, lanes)), 10, axis=0)[: len(market)]
    orders[:, :, 1], orders[:, :, 2] = 3.0, 3.0
    orders[:, ::2, 4] = 0.0  # half of the lanes enter by limit orders
    result = BookBacktest(market, BookConfig(latency_ms=LATENCY_MS, ttl_bars=30), [0.5] * lanes).replay(orders)
    trades = result.trades.to_pylist()
    assert len(trades) > 100
    assert {"take_profit", "stop_loss", "signal"} <= {trade["exit_reason"] for trade in trades}
    for trade in trades:
        assert trade["qty"] % 100.0 == 0.0
        gained = trade["side"] * trade["qty"] * (1.0 / trade["entry_price"] - 1.0 / trade["exit_price"])
        assert trade["net_pnl"] == pytest.approx(gained - trade["fees"], rel=1e-9, abs=1e-15)
        assert (
            trade["qty"] / trade["entry_price"] <= 0.5 * 1.02
        )  # contracts are worth no more than the coins that hold them
    for lane in range(lanes):
        earned = sum(trade["net_pnl"] for trade in trades if trade["lane"] == lane)
        assert result.equity[-1, lane] == pytest.approx(0.5 + earned, abs=1e-12)
    makers = [fill for fill in result.fills.to_pylist() if fill["maker"]]
    assert len(makers) > 20
    for fill in makers:
        assert fill["fee"] == pytest.approx(2e-4 * fill["qty"] / fill["price"], rel=1e-9)
