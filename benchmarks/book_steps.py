"""Events a second of the book market, against hftbacktest on the same recorded events and the same orders.

    python -m benchmarks.peers.setup --folder .peers-hftbacktest --requirements benchmarks/peers/hftbacktest.txt
    SCALPING_REAL_DATA=... python -m benchmarks.book_steps

The recording is Binance's USD-M BTCUSDT, trades and ten-level books, six minutes. First the values: 97 of 100 one-lot
orders must be filled alike (docs/book.md explains the rest), else nothing is timed. Then one account puts a limit order
every twelve seconds, in turns, in processor time; medians over the rounds, compilation and reading left out. An event
is a trade or a whole book: hftbacktest is given each book as the levels that changed, ours as the book.

    book_events_per_s    ours, one lane with all that a lane has: queue, brackets, account, risk, a mark every step
    book_vs_hftbacktest  events a second over hftbacktest's, which keeps queues and a position
    book_lane_events_per_s  ours with 256 lanes, events times lanes
"""

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.peers.book_golden import PEER, as_fills, own_fills, recorded_market, schedule, write_events
from benchmarks.peers.client import Peer
from data_pipeline.errors import InputError
from envs.book.backtest import BookBacktest
from envs.book.columns import TAKER
from envs.book.config import BookConfig
from envs.book.market import BookMarket
from envs.columns import CLOSE

QUEUE = "risk_averse"
ALIKE = 0.97
LANES = 256


@dataclass(frozen=True)
class Args:
    """Benchmark of the book market."""

    rounds: int = 15
    """Rounds, everything once in each."""
    peer: Path = PEER
    """Where `benchmarks.peers.setup` put hftbacktest."""
    without_peer: bool = False
    """Leave hftbacktest out."""


def main(args: Args) -> int:
    folder = os.environ.get("SCALPING_REAL_DATA")
    if not folder:
        raise InputError("SCALPING_REAL_DATA is not set", where="book steps", remedy="name the folder of real data")
    market = recorded_market("um", Path(folder))
    trades = int((market.events[:, TAKER] != 0).sum())
    print(f"{len(market.events):,} events in {len(market)} steps, {trades:,} of them trades")
    if args.without_peer:
        ours = [seconds_of(market, 1) for _ in range(args.rounds + 1)][1:]
        many = [seconds_of(market, LANES) for _ in range(args.rounds + 1)][1:]
        return report(market, ours, many, None)
    with Peer(args.peer) as peer, tempfile.TemporaryDirectory() as scratch:
        both = schedule(market)
        alike = np.mean(
            [a == b for a, b in zip(own_fills(market, both, QUEUE), told(peer, market, both, scratch), strict=True)]
        )
        print(f"{alike:.1%} of {len(both)} orders are filled alike")
        if alike < ALIKE:
            print("error: the fills differ, nothing is timed", file=sys.stderr)
            return 1
        path = Path(scratch) / "one.npz"
        write_events(market, [(row, 1, 0.0) for row in range(5, len(market) - 12, 12)], path)
        ours, many, theirs = [], [], []
        for number in range(args.rounds + 1):
            rounds = (
                seconds_of(market, 1),
                seconds_of(market, LANES),
                peer.ask("hftbacktest_runs", "fills", path=str(path), queue=QUEUE)["seconds"],
            )
            if number:  # the first one compiles
                for kept, seconds in zip((ours, many, theirs), rounds, strict=True):
                    kept.append(seconds)
    return report(market, ours, many, theirs)


def told(peer: Peer, market: BookMarket, orders: list[tuple[int, int, float]], scratch: str) -> list:
    """The fills of `orders` by hftbacktest."""
    path = Path(scratch) / "all.npz"
    write_events(market, orders, path)
    return as_fills(peer.ask("hftbacktest_runs", "fills", path=str(path), queue=QUEUE)["rows"], market, orders)


def seconds_of(market: BookMarket, lanes: int) -> float:
    """Processor time of `lanes` accounts that each put a limit order at the bid every twelve steps, for one lot."""
    orders = np.full((len(market), lanes, 5), np.inf)
    orders[:, :, 0] = np.nan
    orders[5:-12:12, :, 0], orders[5:-12:12, :, 4] = 1.0, 0.0
    orders[16::12, :, 0] = 0.0
    config = BookConfig(latency_ms=50, limit_ttl_bars=10, queue=QUEUE)
    capital = 1.5 * market.instrument.lot_step * market.prices[0, CLOSE]
    backtest = BookBacktest(market, config, [capital] * lanes)
    begun = time.process_time()
    backtest.replay(orders)
    return time.process_time() - begun


def report(market: BookMarket, ours: list[float], many: list[float], theirs: list[float] | None) -> int:
    """Print the medians and the RESULT line."""
    events = len(market.events)
    answer = {
        "book_events_per_s": round(events / statistics.median(ours)),
        "book_lane_events_per_s": round(LANES * events / statistics.median(many)),
    }
    if theirs is not None:
        print(f"hftbacktest {events / statistics.median(theirs):,.0f} events/s")
        answer["book_vs_hftbacktest"] = round(statistics.median(b / a for a, b in zip(ours, theirs, strict=True)), 2)
    print("RESULT " + json.dumps(answer))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args, description=__doc__)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
