"""Golden trades: what vectorbt and backtesting.py make of bars and signals on which their rules and ours are the same.

    python -m benchmarks.peers.setup
    python -m benchmarks.peers.golden     # writes tests/golden/peer_trades.json

Three rules of peers, each with its own view of time, two brackets, long and short, reversals, exits by signal, one unit
a trade. `benchmarks.peers.shared` says what the bars are spared. Signals are spared the rest, for each rule what it
does otherwise than we do (and than exchanges do):

    vectorbt_at_close  no signal at the close of a bar that a stop ended: vectorbt ignores it
    vectorbt_at_open   no signal for the open of a bar in which a stop is hit later: vectorbt looks for stops first, in
                       the whole bar, and not at all in the bar of entry
    backtesting        no signal for the open of a bar that opens beyond the bracket: ours lapses
    these two          no trade whose take-profit a bar opens beyond: they fill at that open, better than the level

These two run on bars of which some open with a gap, so stops that gap are among the shared rules.
"""

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.peers.client import DEFAULT_FOLDER, Peer
from benchmarks.peers.shared import CONFIG, INSTRUMENT, market_of, random_bars
from envs.backtest import Backtest

FIXTURE = Path(__file__).parents[2] / "tests" / "golden" / "peer_trades.json"
BARS = 3_000
CAPITAL = 15_000.0
"""About 150 units: a hundredth of it buys one and a half, rounded down to one whatever comes of the trades."""
FEE_BPS = 2.0
BRACKETS = ((30.0, 20.0), (12.0, 40.0))
RULES = ("vectorbt_at_close", "vectorbt_at_open", "backtesting")
_LONG, _SHORT, _FLAT = 1, -1, 2
_TARGETS = {0: np.nan, _LONG: 0.01, _SHORT: -0.01, _FLAT: 0.0}


@dataclass(frozen=True)
class Case:
    """One rule of a peer under one bracket."""

    rules: str
    tp_bps: float
    sl_bps: float

    @property
    def name(self) -> str:
        return f"{self.rules} {self.tp_bps:g}/{self.sl_bps:g}"

    def bars(self) -> np.ndarray:
        """The case's bars, without gaps where the peer fills at closes: float64 (T, 4)."""
        return random_bars(BARS, seed=7, gap_bps=0.0 if self.rules == "vectorbt_at_close" else 25.0)


CASES = [Case(rules, *bracket) for rules in RULES for bracket in BRACKETS]


def our_trades(case: Case, bars: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """Rows of side, entry bar, entry price, exit bar, exit price, net result, as the peers give them, and a seventh
    column, 1 where a barrier was met, in the order of entries."""
    instrument = replace(INSTRUMENT, lot_step=1.0, maker_fee_bps=FEE_BPS, taker_fee_bps=FEE_BPS)
    market = market_of(bars, instrument)
    orders = np.tile([0.0, case.tp_bps, case.sl_bps, np.inf, np.inf], (len(bars), 1, 1))
    orders[:, 0, 0] = [_TARGETS[signal] for signal in signals.tolist()]
    trades = Backtest(market, CONFIG, (CAPITAL,)).replay(orders).trades
    bar_of = {time: row for row, time in enumerate(market.open_time_ms.tolist())}
    rows = [
        [
            float(trade["side"]),
            bar_of[trade["entry_time_ms"]],
            trade["entry_price"],
            bar_of[trade["exit_time_ms"]],
            trade["exit_price"],
            trade["net_pnl"],
            trade["exit_reason"] in ("take_profit", "stop_loss"),
        ]
        for trade in trades.to_pylist()
    ]
    return np.array(sorted(rows, key=lambda row: row[1]), dtype=np.float64)


def shared_signals(case: Case, bars: np.ndarray) -> np.ndarray:
    """Random signals, int64 (T,), less those on which the rules differ."""
    rng = np.random.default_rng(11)
    signals = np.where(rng.random(len(bars)) < 0.08, rng.choice([_LONG, _SHORT, _FLAT], len(bars)), 0)
    signals[:10] = signals[-20:] = 0
    signals[-10] = _FLAT
    if case.rules == "backtesting":  # refuses a bracket that the last close has left
        nearest = 1e-4 * min(case.tp_bps, case.sl_bps)
        signals[:-1][np.abs(bars[:-1, 3] / bars[1:, 0] - 1.0) >= nearest] = 0
    while True:
        odd = _unshared(case, bars, our_trades(case, bars, signals))
        odd = odd[signals[odd] != 0]
        if not len(odd):
            return signals
        signals[odd] = 0


def _unshared(case: Case, bars: np.ndarray, trades: np.ndarray) -> np.ndarray:
    """Rows whose signals lead to something that the peer does otherwise."""
    side, entry, out, price = trades[:, 0], trades[:, 1].astype(int), trades[:, 3].astype(int), trades[:, 4]
    met = trades[:, 6] == 1.0
    if case.rules == "vectorbt_at_close":
        return out[met]
    opens, highs, lows = bars[out, 0], bars[out, 1], bars[out, 2]
    better_open = met & (side * (opens - price) > 0.0) & (side * (price - trades[:, 2]) > 0.0) & (out > entry)
    if case.rules == "backtesting":
        before = met & (better_open | (price == opens))
    else:
        best, worst = np.where(side > 0.0, (highs, lows), (lows, highs))
        gain, loss = side * (best / trades[:, 2] - 1.0), side * (worst / trades[:, 2] - 1.0)
        before = (gain >= 1e-4 * case.tp_bps) | (loss <= -1e-4 * case.sl_bps)
    return np.unique(np.concatenate([entry[better_open] - 1, out[before] - 1]))


def peer_trades(case: Case, peer: Peer, bars: np.ndarray, signals: np.ndarray) -> list[list[float]]:
    """What the peer makes of it."""
    return peer.ask(
        "golden_runs",
        "trades",
        rules=case.rules,
        prices=bars.tolist(),
        signals=signals.tolist(),
        tp_bps=case.tp_bps,
        sl_bps=case.sl_bps,
        fee_bps=FEE_BPS,
        cash=CAPITAL,
    )


def digest(bars: np.ndarray) -> str:
    """Tells whether bars are the ones that the peers saw, to the millionth."""
    return hashlib.sha256(np.round(bars, 6).tobytes()).hexdigest()


def fixture(peer: Peer) -> dict[str, Any]:
    """Everything that the tests compare with, by case."""
    cases: dict[str, Any] = {}
    for case in CASES:
        bars = case.bars()
        signals = shared_signals(case, bars)
        rows = np.flatnonzero(signals)
        cases[case.name] = {
            "bars": digest(bars),
            "signals": [rows.tolist(), signals[rows].tolist()],
            "trades": peer_trades(case, peer, bars, signals),
        }
    return cases


@dataclass(frozen=True)
class Args:
    """Write the golden trades of the peers."""

    out: Path = FIXTURE
    """The file that the tests read."""
    peers: Path = DEFAULT_FOLDER
    """Where `benchmarks.peers.setup` put the peers."""


def main(args: Args) -> int:
    with Peer(args.peers) as peer:
        cases = fixture(peer)
    body = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    args.out.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")
    for name, case in cases.items():
        print(f"{name}: {len(case['trades'])} trades")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
