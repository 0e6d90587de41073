"""Golden fills: what hftbacktest makes of one-lot orders over the recorded books that `SCALPING_REAL_DATA` names.

    python -m benchmarks.peers.setup --folder .peers-hftbacktest --requirements benchmarks/peers/hftbacktest.txt
    python -m benchmarks.peers.book_golden     # writes tests/golden/hftbacktest_fills.json

Limit orders at the touch and behind it, bid and ask, at decisions through the whole recording, each with ten seconds to
live, and market orders. The fixture holds orders and fills only, no market data.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.peers.client import python_of
from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.book.backtest import BookBacktest
from envs.book.columns import ASKS, KNOWN
from envs.book.config import BookConfig, QueueModel
from envs.book.market import BookMarket, decision_times
from envs.book.recording import read_recording
from envs.columns import CLOSE

FIXTURE = Path(__file__).parents[2] / "tests" / "golden" / "hftbacktest_fills.json"
PEER = Path(__file__).parents[2] / ".peers-hftbacktest"
STEP_MS = 1_000
LATENCY_MS = 50
LIMIT_STEPS = 10
QUEUES: tuple[QueueModel, ...] = ("risk_averse", "proportional")
OFFSETS_BPS = (0.0, 0.02, np.inf)
"""At the touch, a few ticks behind it where the ten levels still reach, by market order."""
EVERY = 4
Fill = tuple[int, int, int]
"""Filled or not (1, 0), ms since the decision, price in ticks."""
FILES = {"spot": "binance_spot_BTCUSDT_2024-08-08T2354", "um": "binance_um_BTCUSDT_2024-08-08T2354"}
INSTRUMENTS = {
    # Free to trade in single lots: fills are what is compared.
    "spot": Instrument("BTCUSDT", 0.01, 0.00001, 0.0, 0.0, 0.0, "linear"),
    "um": Instrument("BTCUSDT", 0.1, 0.001, 0.0, 0.0, 0.0, "linear"),
}


def recorded_market(name: str, folder: Path) -> BookMarket:
    """One of the recordings with a decision a second and nothing to observe."""
    stem = folder / "micro" / FILES[name]
    recording = read_recording(f"{stem}.trades.parquet", f"{stem}.l10.parquet")
    steps = decision_times(recording, STEP_MS)
    return BookMarket.from_recording(recording, steps, np.zeros((len(steps), 1)), ("nothing",), INSTRUMENTS[name])


def schedule(market: BookMarket) -> list[tuple[int, int, float]]:
    """(row, side, offset in bps) of each order, in time order."""
    rows = range(5, len(market) - LIMIT_STEPS - 2, EVERY)
    return [(row, side, offset) for row in rows for side in (1, -1) for offset in OFFSETS_BPS]


def prices_of(market: BookMarket, orders: list[tuple[int, int, float]]) -> np.ndarray:
    """The limit of each order behind the best price of its side that was known, on the tick away from the market."""
    per_unit = round(1.0 / market.instrument.tick_size)
    prices = []
    for row, side, offset in orders:
        best = market.books[market.schedule[row, KNOWN], 0 if side > 0 else ASKS]
        ticks = best * (1.0 - side * 1e-4 * offset) * per_unit if offset < np.inf else 0.0
        prices.append((np.floor(ticks + 1e-6) if side > 0 else np.ceil(ticks - 1e-6)) / per_unit)
    return np.array(prices)


def own_fills(market: BookMarket, orders: list[tuple[int, int, float]], queue: QueueModel) -> list[Fill]:
    """The fill of each order, by the book market: each in a lane of its own, with money for one lot."""
    rows = np.full((len(market), len(orders), 5), np.inf)
    rows[:, :, 0] = np.nan
    for lane, (row, side, offset) in enumerate(orders):
        rows[row, lane, [0, 4]] = side, offset
    capital = 1.5 * market.instrument.lot_step * market.prices[0, CLOSE]
    config = BookConfig(latency_ms=LATENCY_MS, limit_ttl_bars=LIMIT_STEPS, queue=queue)
    fills = BookBacktest(market, config, [capital] * len(orders)).replay(rows).fills
    per_unit = round(1.0 / market.instrument.tick_size)
    done: list[Fill] = [(0, 0, 0)] * len(orders)
    for fill in fills.to_pylist():
        if fill["reason"] == "none":
            decided = int(market.open_time_ms[orders[fill["lane"]][0]]) + STEP_MS
            done[fill["lane"]] = (1, fill["time_ns"] // 1_000_000 - decided, round(fill["price"] * per_unit))
    return done


def write_events(market: BookMarket, orders: list[tuple[int, int, float]], path: Path) -> None:
    """Events and orders for `hftbacktest_runs`."""
    decided = decided_ns(market, orders)
    np.savez(
        path,
        event_time_ns=market.event_time_ns,
        events=market.events,
        books=market.books,
        submit_ns=decided,
        cancel_ns=decided + LIMIT_STEPS * STEP_MS * 1_000_000,
        side=np.array([side for _, side, _ in orders]),
        price=prices_of(market, orders),
        latency_ns=LATENCY_MS * 1_000_000,
        tick=market.instrument.tick_size,
        lot=market.instrument.lot_step,
    )


def decided_ns(market: BookMarket, orders: list[tuple[int, int, float]]) -> np.ndarray:
    """When each order is decided on, exchange clock: int64 (N,)."""
    return np.array([(market.open_time_ms[row] + STEP_MS) * 1_000_000 for row, _, _ in orders], dtype=np.int64)


def as_fills(rows: list[list[float]], market: BookMarket, orders: list[tuple[int, int, float]]) -> list[Fill]:
    """What `hftbacktest_runs.fills` says, in ms and ticks."""
    per_unit = round(1.0 / market.instrument.tick_size)
    return [
        (int(filled), (int(time) - start) // 1_000_000 if filled else 0, round(price * per_unit))
        for (filled, time, price), start in zip(rows, decided_ns(market, orders).tolist(), strict=True)
    ]


def peer_fills(market: BookMarket, orders: list[tuple[int, int, float]], queue: str, python: Path) -> list[Fill]:
    """The fill of each order, by hftbacktest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.npz"
        write_events(market, orders, path)
        script = Path(__file__).with_name("hftbacktest_runs.py")
        done = subprocess.run([str(python), str(script), str(path), queue], check=True, stdout=subprocess.PIPE)
    return as_fills(json.loads(done.stdout), market, orders)


@dataclass(frozen=True)
class Args:
    """Write the golden fills of hftbacktest."""

    out: Path = FIXTURE
    """The file that the tests read."""
    peer: Path = PEER
    """Where `benchmarks.peers.setup` put it."""


def main(args: Args) -> int:
    folder = os.environ.get("SCALPING_REAL_DATA")
    if not folder:
        raise InputError("SCALPING_REAL_DATA is not set", where="book golden", remedy="name the folder of real data")
    lines = []
    for name in FILES:
        market = recorded_market(name, Path(folder))
        orders = schedule(market)
        for queue in QUEUES:
            fills = peer_fills(market, orders, queue, python_of(args.peer))
            lines.append(f'"{name} {queue}": {json.dumps(fills, separators=(",", ":"))}')
            same = np.mean([a == b for a, b in zip(fills, own_fills(market, orders, queue), strict=True)])
            print(
                f"{name}, {queue}: {sum(f[0] for f in fills)} of {len(fills)} filled, {same:.1%} as by the book market"
            )
    args.out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
