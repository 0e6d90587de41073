"""Sessions that are refused, stopped, killed, damaged and resumed, and what they leave on disk."""

import io
import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from data_pipeline.errors import InputError
from live.config import PaperConfig
from live.feed import ReplayFeed
from live.paper import paper_trade
from live.runner import run_session
from live.session import PaperSession
from live.session_folder import JOURNAL, STATE, SUMMARY, SessionFolder
from live.trained_run import TrainedRun, load_run
from tests.live_tools import ROWS, SECOND_GAP, TEST_BEGINS, LiveRun

SOME = 260  # bars: enough for the warm-up and some trades


@pytest.fixture(scope="module")
def run(live_run: LiveRun) -> TrainedRun:
    return load_run(live_run.path, policy=live_run.policy)


def feed(live_run: LiveRun, **options) -> ReplayFeed:
    return ReplayFeed([live_run.bars_file], symbol=live_run.symbol.symbol, interval_ms=60_000, **options)


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_bars_that_cannot_come_next_are_refused_and_change_nothing(run: TrainedRun, live_run: LiveRun) -> None:
    bars = live_run.bars(stop=TEST_BEGINS + 130)
    session, other = PaperSession(run), PaperSession(run)
    for bar in bars[:120]:
        session.on_bar(bar)
        other.on_bar(bar)
    last = bars[119].open_time_ms
    with pytest.raises(InputError, match=r"\(2020-01-02T08:29:00Z\): the bar is not later than the last one"):
        session.on_bar(bars[119])
    with pytest.raises(InputError, match=r"\(2020-01-02T07:40:00Z\): the bar is not later"):
        session.on_bar(bars[70])
    with pytest.raises(InputError, match=f"{last + 30_000} ms is off the 60 s grid"):
        session.on_bar(replace(bars[119], open_time_ms=last + 30_000))
    with pytest.raises(InputError, match="taker_buy_volume is nan"):
        session.on_bar(replace(bars[120], taker_buy_volume=float("nan")))
    with pytest.raises(InputError, match="are not a bar"):
        session.on_bar(replace(bars[120], high=bars[120].low / 2))
    for bar in bars[120:]:
        assert session.on_bar(bar) == other.on_bar(bar)


def test_a_restored_session_goes_on_bit_for_bit(run: TrainedRun, live_run: LiveRun, tmp_path: Path) -> None:
    bars = live_run.bars(SECOND_GAP - 200, SECOND_GAP + 20)
    straight = PaperSession(run)
    wanted = [straight.on_bar(bar) for bar in bars]
    assert sum(len(step.trades) for step in wanted) > 3
    session, steps = PaperSession(run), []
    for number, bar in enumerate(bars):
        if number in (0, 1, 50, 170, 199, 200, 201):  # nothing seen, one bar, warm-up, trading, around the gap
            session.save(tmp_path / STATE, {"number": number})
            session, extra = PaperSession.restore(run, tmp_path / STATE)
            assert extra == {"number": number}
        steps.append(session.on_bar(bar))
    assert steps == wanted
    assert session.counts == straight.counts
    for name, array in straight.predictor.state().items():
        np.testing.assert_array_equal(session.predictor.state()[name], array)


def test_a_journal_ahead_of_its_state_is_cut_back(run: TrainedRun, live_run: LiveRun, tmp_path: Path) -> None:
    straight = SessionFolder.start(tmp_path / "straight", PaperSession(run))
    bars = live_run.bars(stop=TEST_BEGINS + SOME)
    for bar in bars:
        straight.record(straight.session.on_bar(bar))
    straight.commit()
    straight.close()

    killed = SessionFolder.start(tmp_path / "killed", PaperSession(run))
    for number, bar in enumerate(bars[:200]):
        killed.record(killed.session.on_bar(bar))
        if number == 150:
            killed.commit()
    killed.close()  # written to disk after the commit, as by a kill between journal and state
    resumed = SessionFolder.resume(tmp_path / "killed", run)
    assert resumed.session.counts.bars == 151
    for bar in bars[151:]:
        resumed.record(resumed.session.on_bar(bar))
    resumed.commit()
    resumed.close()
    journal = (tmp_path / "killed" / JOURNAL).read_bytes()
    assert journal == (tmp_path / "straight" / JOURNAL).read_bytes()
    assert journal.count(b"\n") == SOME
    assert list(tmp_path.glob("*/.*")) == []


def test_sessions_that_cannot_be_opened(run: TrainedRun, live_run: LiveRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no session to go on with"):
        SessionFolder.resume(tmp_path / "none", run)
    folder = SessionFolder.start(tmp_path / "one", PaperSession(run))
    for bar in live_run.bars(stop=TEST_BEGINS + 5):
        folder.record(folder.session.on_bar(bar))
    folder.commit()
    folder.close()
    with pytest.raises(InputError, match="already holds a session; pass --resume"):
        SessionFolder.start(tmp_path / "one", PaperSession(run))
    other = replace(run, identity=run.identity | {"policy": "another"})
    with pytest.raises(InputError, match="started with another policy"):
        SessionFolder.resume(tmp_path / "one", other)
    journal = tmp_path / "one" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-10])
    with pytest.raises(InputError, match="the journal has"):
        SessionFolder.resume(tmp_path / "one", run)
    state = tmp_path / "one" / STATE
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="no session to go on with"):
        SessionFolder.resume(tmp_path / "one", run)


def test_runs_that_cannot_be_traded(live_run: LiveRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="'BTCUSDT' is not in the run; pass --symbol, one of SYN/USDT"):
        load_run(live_run.path, symbol="BTCUSDT", policy=live_run.policy)
    with pytest.raises(InputError, match=r"policy\.onnx: no such file"):
        load_run(live_run.path)
    spec = json.loads((live_run.policy / "policy.json").read_text())
    spec["observation_columns"][0] = "another"
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text(json.dumps(spec))
    (tmp_path / "policy" / "policy.npz").write_bytes((live_run.policy / "policy.npz").read_bytes())
    with pytest.raises(InputError, match="observes other columns"):
        load_run(live_run.path, policy=tmp_path / "policy")
    with pytest.raises(InputError, match="is of symbol SYN/USDT, not BTCUSDT"):
        ReplayFeed([live_run.bars_file], symbol="BTCUSDT", interval_ms=60_000)
    with pytest.raises(InputError, match="have been traded already"):
        feed(live_run, after_ms=live_run.bars()[-1].open_time_ms)


def test_replay_keeps_its_pace_and_stops(live_run: LiveRun) -> None:
    begun, taken = time.monotonic(), []
    taken.extend(itertools.islice(feed(live_run, speed=3_000).bars(lambda: False), 21))  # 20 ms a bar
    assert taken == live_run.bars(stop=TEST_BEGINS + 21)
    assert time.monotonic() - begun >= 0.40
    begun, slow = time.monotonic(), feed(live_run, speed=1.0)  # a minute a bar
    assert len(list(slow.bars(lambda: time.monotonic() > begun + 0.2))) == 1
    assert time.monotonic() - begun < 5.0


def test_ctrl_c_and_kill_leave_a_session_that_goes_on_as_if_nothing_had_been(live_run: LiveRun, tmp_path: Path) -> None:
    """One process is killed, the next gets Ctrl-C, the third goes to the end: the journal is that of one session."""
    out, straight = tmp_path / "interrupted", tmp_path / "straight"
    common = ["--run", str(live_run.path), "--policy", str(live_run.policy), "--bars", str(live_run.bars_file)]
    command = [sys.executable, "-m", "scripts.paper_trade", *common, "--out", str(out), "--speed", "1200"]

    def go(*options: str, until: int, how: signal.Signals) -> tuple[int, str]:
        """Run until the journal on disk has `until` bytes, then send a signal."""
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
            while not ((out / STATE).exists() and (out / JOURNAL).stat().st_size > until):
                assert job.poll() is None, job.stdout.read()
                time.sleep(0.05)
            job.send_signal(how)
            output, _ = job.communicate(timeout=60)
        return job.returncode, output

    assert go(until=0, how=signal.SIGKILL)[0] == -signal.SIGKILL
    size = (out / JOURNAL).stat().st_size
    code, output = go("--resume", until=size, how=signal.SIGINT)
    assert code == 130
    assert "--resume goes on" in output
    assert "SYNTHETIC" in output
    assert json.loads((out / SUMMARY).read_text())["bars"] < ROWS - TEST_BEGINS

    config = PaperConfig(live_run.path, (live_run.bars_file,), policy=live_run.policy, out=out, resume=True)
    assert paper_trade(config, quiet()) == 0
    assert paper_trade(replace(config, out=straight, resume=False), quiet()) == 0
    assert (out / JOURNAL).read_bytes() == (straight / JOURNAL).read_bytes()
    summary = json.loads((out / SUMMARY).read_text())
    assert summary == json.loads((straight / SUMMARY).read_text())
    assert summary["bars"] == summary["bars_known_to_the_run"] == ROWS - TEST_BEGINS
    assert summary["gaps"] == 1
    assert summary["synthetic"] is True
    lines = [json.loads(line) for line in (straight / JOURNAL).read_text().splitlines()]
    trades = [trade for line in lines for trade in line["trades"]]
    assert summary["trades"] == len(trades) > 20
    # The books balance: what the closed trades earned, and nothing else, moved the equity of a flat account.
    flat = max(number for number, line in enumerate(lines) if line["position"] == 0.0)
    earned = sum(trade["net_pnl"] for line in lines[: flat + 1] for trade in line["trades"])
    assert lines[flat]["equity"] == pytest.approx(10_000.0 + earned, abs=1e-6)


def test_a_bus_that_fails_does_not_stop_a_session(run: TrainedRun, live_run: LiveRun, tmp_path: Path) -> None:
    class Deaf:
        lost = 0

        def publish(self, step) -> None:
            self.lost += 1

    bus, folder = Deaf(), SessionFolder.start(tmp_path, PaperSession(run))
    run_session(folder, feed(live_run), stop=lambda: bus.lost == 30, bus=bus)
    assert folder.session.counts.bars == 30
    folder.close()
