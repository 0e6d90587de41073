"""A grid of brackets and fees over one rule, and one backtest of it, against vectorbt.

    python -m benchmarks.peers.setup     # once
    python -m benchmarks.grid --bars 2600000

5 take-profits × 5 stop-losses × 3 fees, long when the 20-bar average crosses above the 60-bar one and out when it
crosses below, on SYNTHETIC bars, one core, a hundredth of the equity a trade. First the values: trades and final equity
of every point must be vectorbt's (on rules that both share, see `benchmarks.peers.shared`), else nothing is timed. Then
both in turns, in processor time; medians over the rounds of the ratios within a round count.

    grid_vs_vectorbt       bar-evaluations a second, ours on all bars, vectorbt's on the first `peer_bars`: for every
                           point it keeps whole columns, some 7 GB a million bars for 75 points, where ours keeps none
    backtest_vs_vectorbt   bars a second of one backtest with its equity at every close and its table of trades: ours
                           `Backtest.replay`, vectorbt's `from_signals`, `value()` and trade records
    one_point_vs_vectorbt  the same without equity and table: ours a grid of one point, vectorbt's `from_signals` alone
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.peers.client import DEFAULT_FOLDER, Peer
from benchmarks.peers.shared import CONFIG, cross_signals, market_of, random_bars
from data_pipeline.errors import InputError
from envs.backtest import Backtest
from envs.grid import GridPoint, grid_points, grid_search
from envs.market import Market

TP_BPS = (10.0, 20.0, 30.0, 40.0, 50.0)
SL_BPS = (10.0, 15.0, 20.0, 25.0, 30.0)
FEE_BPS = (0.0, 2.0, 5.0)
FRACTION = 0.01


@dataclass(frozen=True)
class Args:
    """Benchmark of the grid and of one backtest."""

    bars: int = 2_600_000
    """Bars that ours walks, and both in the single backtest."""
    peer_bars: int = 200_000
    """Bars of vectorbt's grid, and of the comparison of values."""
    rounds: int = 5
    """Rounds, everything once in each."""
    peers: Path = DEFAULT_FOLDER
    """Where `benchmarks.peers.setup` put the peers."""
    without_peers: bool = False
    """Leave vectorbt out."""


def wanted(signals: np.ndarray) -> np.ndarray:
    """The wanted positions that signals stand for: float64 (T,)."""
    return np.where(signals > 0, FRACTION, np.where(signals < 0, 0.0, np.nan))


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def replay(market: Market, orders: np.ndarray, point: GridPoint) -> Any:
    """One backtest at full detail."""
    return Backtest(market, CONFIG, (point.capital,)).replay(orders)


def orders_of(sides: np.ndarray, point: GridPoint) -> np.ndarray:
    """The order rows of one point: float64 (T, 1, 5)."""
    rows = np.tile([0.0, point.tp_bps, point.sl_bps, np.inf, np.inf], (len(sides), 1, 1))
    rows[:, 0, 0] = sides
    return rows


def vectorbt(peer: Peer, folder: str, points: list[GridPoint], max_orders: int, detail: bool = False) -> dict[str, Any]:
    """What vectorbt answers on the bars and signals in `folder`."""
    return peer.ask(
        "vectorbt_runs",
        "run",
        folder=folder,
        tp_bps=[point.tp_bps for point in points],
        sl_bps=[point.sl_bps for point in points],
        fee_bps=[point.fees_bps[0] for point in points],
        capital=points[0].capital,
        fraction=FRACTION,
        max_orders=max_orders,
        detail=detail,
    )


def check_values(theirs: dict[str, Any], trades: np.ndarray, equity: np.ndarray) -> None:
    """RuntimeError unless every point made the same trades and money."""
    for k in range(len(trades)):
        if trades[k] != theirs["trades"][k] or not np.isclose(equity[k], theirs["equity"][k], rtol=1e-9, atol=0.0):
            raise RuntimeError(
                f"point {k}: {trades[k]} trades and {equity[k]} here,"
                f" {theirs['trades'][k]} and {theirs['equity'][k]} in vectorbt"
            )


def main(args: Args) -> int:
    prices = random_bars(args.bars, seed=0)
    market, signals = market_of(prices), cross_signals(prices[:, 3])
    sides = wanted(signals)
    points = grid_points(CONFIG, TP_BPS, SL_BPS, [(fee, fee) for fee in FEE_BPS])
    free = points[0]  # the first fee is none, as the instrument's
    orders = orders_of(sides, free)
    timed: dict[str, Callable[[], float]] = {
        "grid": lambda: seconds(lambda: grid_search(market, sides, CONFIG, points)),
        "one point": lambda: seconds(lambda: grid_search(market, sides, CONFIG, points[:1])),
        "backtest": lambda: seconds(lambda: replay(market, orders, free)),
    }
    evaluations = {"grid": args.bars * len(points), "one point": args.bars, "backtest": args.bars}
    peer_bars = min(args.peer_bars, args.bars)
    with ExitStack() as stack:
        if not args.without_peers:
            peer = stack.enter_context(Peer(args.peers))
            whole, part = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2))
            part_signals = cross_signals(prices[:peer_bars, 3])
            for folder, rows, found in ((whole, args.bars, signals), (part, peer_bars, part_signals)):
                np.save(f"{folder}/prices.npy", prices[:rows])
                np.save(f"{folder}/signals.npy", found)
            orders_in_part, orders_in_whole = int((part_signals != 0).sum()), int((signals != 0).sum())
            ask_grid = partial(vectorbt, peer, part, points, 2 * orders_in_part * len(points))
            ask_one = partial(vectorbt, peer, whole, points[:1], 2 * orders_in_whole)
            first = grid_search(market_of(prices[:peer_bars]), wanted(part_signals), CONFIG, points)
            check_values(ask_grid(), first["trades"].to_numpy(), first["equity"].to_numpy())
            result = replay(market, orders, free)
            check_values(ask_one(detail=True), np.array([result.trades.num_rows]), result.equity[-1])
            print(
                f"values: {len(points)} points and {result.trades.num_rows} trades of one backtest agree with vectorbt"
            )
            timed |= {
                "vectorbt grid": lambda: ask_grid()["seconds"],
                "vectorbt one point": lambda: ask_one()["seconds"],
                "vectorbt backtest": lambda: ask_one(detail=True)["seconds"],
            }
            evaluations |= {
                "vectorbt grid": peer_bars * len(points),
                "vectorbt one point": args.bars,
                "vectorbt backtest": args.bars,
            }
        for work in timed.values():
            work()
        rates: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(args.rounds):
            for name, work in timed.items():
                rates[name].append(evaluations[name] / work())
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name:20s} {medians[name] / 1e6:9.2f} M/s  [{min(values) / 1e6:.2f} .. {max(values) / 1e6:.2f}]")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    answer: dict[str, float] = {}
    for name in ("grid", "backtest", "one point") if not args.without_peers else ():
        ratios = (a / b for a, b in zip(rates[name], rates[f"vectorbt {name}"], strict=True))
        answer[f"{name.replace(' ', '_')}_vs_vectorbt"] = round(statistics.median(ratios), 2)
    answer |= {
        "grid_bar_evals_per_s": round(medians["grid"]),
        "backtest_bars_per_s": round(medians["backtest"]),
        "points": len(points),
        "bars": args.bars,
        "peer_bars": peer_bars,
    }
    print("RESULT " + json.dumps(answer))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args, description=__doc__)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
