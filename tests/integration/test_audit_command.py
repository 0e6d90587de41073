"""The audit command: every kind is clean, planted leaks end with 1 and are named, unusable input ends with 2."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.synthetic import synthetic_market
from features.catalogue import KINDS
from scripts.audit_features import Args, main

SIGNALS = '''
import numpy as np

def trailing(bars):
    return np.convolve(bars.close, np.ones(5) / 5)[: len(bars)]

def centred(bars):
    return np.convolve(bars.close, np.ones(5) / 5, mode="same")

def whole_sample(bars):
    return (bars.close - bars.close.mean()) / bars.close.std()

def position(bars):
    """Held from the open of its bar on, by the bar before."""
    return np.concatenate(([0.0], np.sign(bars.close - bars.open)[:-1]))

def hindsight(bars):
    return np.sign(bars.close - bars.open)

def five_minutes(bars, label):
    opens, first = np.unique(bars.open_time_ms // 300_000, return_index=True)
    return opens * 300_000 + label, bars.close[np.append(first[1:], len(bars)) - 1]

def left(bars):
    return five_minutes(bars, 0)

def right(bars):
    return five_minutes(bars, 300_000)

def volume_of_seconds(trades, clock):
    seconds, source = np.unique(clock // 10**9, return_inverse=True)
    return (seconds + 1) * 10**9, np.bincount(source, trades.qty, len(seconds))

def by_exchange(trades):
    return volume_of_seconds(trades, trades.time_ns)

def by_arrival(trades):
    return volume_of_seconds(trades, trades.local_time_ns)

def nothing(bars):
    return np.full(len(bars), np.nan)

def broken(bars):
    return 1 / 0

number = 3
'''


@pytest.fixture(autouse=True)
def signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_signals.py").write_text(SIGNALS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bars"])
@pytest.mark.parametrize("normalise", [False, True])
def test_every_kind_is_clean(kind: str, normalise: bool, capsys: pytest.CaptureFixture) -> None:
    assert main(Args(kind=(kind,), rows=2_500, cuts=4, normalise=normalise)) == 0
    printed = capsys.readouterr().out
    assert printed.count("clean") == 3
    assert "LEAK" not in printed


def test_all_bar_features_are_clean_and_named_ones_on_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(Args(kind=("bars",), cuts=3)) == 0
    table = synthetic_market(SyntheticConfig(bars=900, seed=5)).bars
    pq.write_table(table, tmp_path / "SYNUSDT.parquet")
    assert main(Args(kind=("bars",), select=("body", "return_1"), bars=tmp_path / "SYNUSDT.parquet", cuts=3)) == 0
    assert "bars: 2 features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("honest", "leak", "options"),
    [
        ("trailing", "centred", {}),
        ("trailing", "whole_sample", {}),
        ("position", "hindsight", {"acts_at": "open"}),
        ("right", "left", {}),
        ("by_arrival", "by_exchange", {"kind": ("trades",)}),
    ],
)
def test_planted_leaks_end_with_1_and_their_honest_twins_with_0(
    honest: str, leak: str, options: dict, capsys: pytest.CaptureFixture
) -> None:
    assert main(Args(function=f"my_signals:{honest}", **options)) == 0
    assert "LEAK" not in capsys.readouterr().out
    assert main(Args(function=f"my_signals:{leak}", **options)) == 1
    printed = capsys.readouterr().out
    assert "LEAK" in printed
    assert f"my_signals:{leak}, " in printed.splitlines()[-1]
    assert "changed row" in printed.splitlines()[-1]


BAD: dict[str, dict] = {
    "kind 'candles' is unknown": {"kind": ("candles",)},
    "'nonsense' is unknown": {"kind": ("trades",), "select": ("nonsense",)},
    "not there": {"function": "my_signals:missing"},
    "not there .No module": {"function": "no_such_module:x"},
    "no function": {"function": "my_signals:number"},
    "raised ZeroDivisionError": {"function": "my_signals:broken"},
    "nothing was compared": {"function": "my_signals:nothing"},
    "one kind of input": {"function": "my_signals:trailing", "kind": ("bars", "trades")},
    "one file of events": {"kind": ("trades", "book"), "events": Path("x.parquet")},
    "leader's bars are missing": {"kind": ("cross",), "bars": Path("x.parquet")},
    "x.parquet": {"kind": ("trades",), "events": Path("x.parquet")},
    "interval '7m'": {"interval": "7m"},
    "0 cuts": {"cuts": 0},
    "50 rows are too few": {"rows": 50},
    "too few for a warm-up": {"kind": ("trades",), "rows": 400},
}


@pytest.mark.parametrize("message", BAD)
def test_unusable_input_is_named(message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(Args(**BAD[message]))
