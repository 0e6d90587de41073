"""Trade by trade against vectorbt and backtesting.py, on the rules that they share with us.

`benchmarks.peers.golden` makes the fixture; the last test makes it anew where the peers are set up.
"""

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.client import DEFAULT_FOLDER, Peer
from benchmarks.peers.golden import CASES, FIXTURE, Case, digest, our_trades, peer_trades, shared_signals

RECORDED = json.loads(FIXTURE.read_text(encoding="utf-8"))


def assert_same(ours: np.ndarray, theirs: Any) -> None:
    """Side, bars, prices and net result of every trade."""
    theirs = np.array(theirs)
    assert ours.shape == (len(theirs), 7)
    np.testing.assert_array_equal(ours[:, [0, 1, 3]], theirs[:, [0, 1, 3]])
    np.testing.assert_allclose(ours[:, [2, 4]], theirs[:, [2, 4]], rtol=1e-12)
    np.testing.assert_allclose(ours[:, 5], theirs[:, 5], rtol=0.0, atol=1e-10)


def recorded_signals(case: Case, bars: np.ndarray) -> np.ndarray:
    signals = np.zeros(len(bars), dtype=np.int64)
    rows, values = RECORDED[case.name]["signals"]
    signals[rows] = values
    return signals


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_trade_is_the_one_that_the_peer_recorded(case: Case) -> None:
    bars = case.bars()
    assert digest(bars) == RECORDED[case.name]["bars"], "other bars than the peers saw: run benchmarks.peers.golden"
    ours = our_trades(case, bars, recorded_signals(case, bars))
    assert_same(ours, RECORDED[case.name]["trades"])
    met = ours[ours[:, 6] == 1.0]
    assert (met[:, 5] > 0.0).sum() > 5  # take-profits
    assert (met[:, 5] < 0.0).sum() > 5  # and stops are among them
    assert (ours[:, 6] == 0.0).sum() > 20  # and exits by signal
    assert len(set(ours[:, 0])) == 2  # of longs and shorts


@pytest.mark.parametrize("rules", ["vectorbt_at_open", "backtesting"])
def test_stops_that_gap_are_among_the_recorded_trades(rules: str) -> None:
    case = next(case for case in CASES if case.rules == rules)
    bars = case.bars()
    ours = our_trades(case, bars, recorded_signals(case, bars))
    gapped = (ours[:, 6] == 1.0) & (ours[:, 4] == bars[ours[:, 3].astype(int), 0])
    assert gapped.sum() >= 2


@pytest.mark.skipif(
    not (DEFAULT_FOLDER / "requirements.sha256").exists(), reason="needs python -m benchmarks.peers.setup"
)
def test_the_peers_still_say_what_was_recorded() -> None:
    with Peer() as peer:
        for case in CASES:
            bars = case.bars()
            np.testing.assert_array_equal(shared_signals(case, bars), recorded_signals(case, bars))
            assert peer_trades(case, peer, bars, recorded_signals(case, bars)) == RECORDED[case.name]["trades"]
