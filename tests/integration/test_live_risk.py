"""Circuit breakers of a paper session: tripped by money, data, models and people; kept over restarts."""

import io
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from data_pipeline.errors import InputError
from envs.config import RiskLimits
from live.config import PaperConfig, SessionLimits
from live.feed import ClosedBar
from live.kill_switch import KILL_FILE, KillSwitch
from live.paper import paper_trade
from live.runner import run_session
from live.session import PaperSession
from live.session_folder import JOURNAL, RISK_LOG, STATE, SUMMARY, SessionFolder
from live.trained_run import TrainedRun, load_run
from tests.live_tools import TEST_BEGINS, LiveRun

FIRST = 300  # bars of the first of three files; the others have 100 each


@pytest.fixture(scope="module")
def run(live_run: LiveRun) -> TrainedRun:
    return load_run(live_run.path, policy=live_run.policy)


@pytest.fixture(scope="module")
def files(live_run: LiveRun, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The test days in three pieces, for a session that is stopped and resumed in between."""
    table = pq.read_table(live_run.bars_file)
    folder = tmp_path_factory.mktemp("bars")
    for number, start in enumerate((0, FIRST, FIRST + 100)):
        piece = table.slice(start, FIRST if number == 0 else 100)
        pq.write_table(piece, folder / f"{live_run.symbol.slug}-{number}.parquet")
    return sorted(folder.iterdir())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def entries(journal: list[dict]) -> int:
    return sum(fill["kind"] == "entry" for line in journal for fill in line["fills"])


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_a_halt_outlives_the_process_and_waits_for_a_human(
    live_run: LiveRun, files: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "session"
    limits = SessionLimits(drawdown=0.004)
    first = PaperConfig(live_run.path, files[:1], policy=live_run.policy, out=out, limits=limits)
    assert paper_trade(first, quiet()) == 1
    tripped = next(n for n, line in enumerate(lines(out / JOURNAL)) if line["risk_state"] == "stopped")
    before, after = lines(out / JOURNAL)[: tripped + 1], lines(out / JOURNAL)[tripped + 1 :]
    assert entries(before) > 1
    # What it held is closed at once, whatever the policy wanted by then.
    assert [fill["kind"] for fill in after[0]["fills"]] == (["exit"] if before[-1]["position"] else [])
    assert entries(after) == 0
    assert {line["position"] for line in after} == {0.0}
    summary = json.loads((out / SUMMARY).read_text())
    assert (summary["risk_state"], summary["risk_reason"], summary["needs_rearm"]) == ("stopped", "drawdown", True)

    again = replace(first, bars=files[1:2], resume=True, limits=SessionLimits())
    assert paper_trade(again, quiet()) == 1
    assert entries(lines(out / JOURNAL)[FIRST:]) == 0

    last = replace(again, bars=files[2:], rearm="the risk desk: the model was put right")
    assert paper_trade(last, quiet()) == 1  # its limits are still those of the start, and trip again
    assert entries(lines(out / JOURNAL)[FIRST + 100 :]) > 0
    events = [(line["event"], line["reason"], line.get("lifted"), line.get("note")) for line in lines(out / RISK_LOG)]
    assert events == [
        ("limits", "none", None, None),
        ("tripped", "drawdown", None, None),
        ("rearmed", "none", "drawdown", "the risk desk: the model was put right"),
        ("tripped", "drawdown", None, None),
    ]
    assert lines(out / RISK_LOG)[0]["limits"] == {"drawdown": 0.004}
    assert lines(out / RISK_LOG)[1]["bar_open_time_ms"] == before[-1]["open_time_ms"]


def test_the_kill_switch_in_the_folder(live_run: LiveRun, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "session"
    first = PaperConfig(live_run.path, files[:1], policy=live_run.policy, out=out)
    assert paper_trade(first, quiet()) == 0
    held = lines(out / JOURNAL)[-1]["position"]
    (out / KILL_FILE).touch()
    again = replace(first, bars=files[1:2], resume=True)
    assert paper_trade(again, quiet()) == 1
    journal = lines(out / JOURNAL)[FIRST:]
    # The order of the last close is filled before the switch is seen; the bar after that is flat for good.
    assert journal[0]["risk_reason"] == "kill_switch"
    assert {line["position"] for line in journal[1:]} == {0.0}
    assert entries(journal[1:]) == 0
    assert held == 0.0 or "exit" in {fill["kind"] for line in journal[:2] for fill in line["fills"]}
    last = replace(again, bars=files[2:], rearm="nobody")
    with pytest.raises(InputError, match=r"the kill switch is pulled by .*KILL; remove it first"):
        paper_trade(last, quiet())
    (out / KILL_FILE).unlink()
    assert paper_trade(last, quiet()) == 0
    assert entries(lines(out / JOURNAL)[FIRST + 100 :]) > 0
    with pytest.raises(InputError, match="have been traded already"):
        paper_trade(last, quiet())


class Dying:
    """Sends the kill signal at bar 150, and breaks three bars later."""

    def __init__(self, bars: list[ClosedBar]) -> None:
        self.symbol, self.synthetic, self._bars = "SYN/USDT", True, bars

    def bars(self, _stop: Callable[[], bool]) -> Iterator[ClosedBar]:
        for number, bar in enumerate(self._bars):
            if number == 150:
                os.kill(os.getpid(), signal.SIGUSR1)
            if number == 153:
                raise OSError("the feed is gone")
            yield bar


def test_a_signal_halts_and_the_halt_is_on_disk_at_once(run: TrainedRun, live_run: LiveRun, tmp_path: Path) -> None:
    folder = SessionFolder.start(tmp_path, PaperSession(run, limits=SessionLimits(drawdown=0.5)))
    with KillSwitch(tmp_path) as kill, pytest.raises(OSError, match="the feed is gone"):
        run_session(
            folder,
            Dying(live_run.bars(stop=TEST_BEGINS + 160)),
            killed=lambda: kill.pulled_by() is not None,
            commit_every_s=math.inf,
        )
    folder.close()
    assert [line["reason"] for line in lines(tmp_path / RISK_LOG)] == ["kill_switch"]
    restored, _ = PaperSession.restore(run, tmp_path / STATE)
    assert restored.counts.bars == 151  # nothing else was committed
    assert (restored.account.risk.state, restored.account.risk.reason) == ("stopped", "kill_switch")
    assert restored.limits == SessionLimits(drawdown=0.5)


class Stubborn:
    """Always long, until it answers with something that is no action."""

    def __init__(self) -> None:
        self.answer = [1, 4, 2]

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.array([self.answer])


def crossed(bar: ClosedBar) -> ClosedBar:
    return replace(bar, bid=bar.close, ask=bar.close)


def late(bar: ClosedBar) -> ClosedBar:
    return replace(bar, received_ms=bar.open_time_ms + 60_000 + 91_000.0)


@pytest.mark.parametrize("reason", ["crossed_data", "stale_data", "bad_output", "kill_switch"])
def test_what_bars_cannot_show_halts_and_closing_is_always_allowed(
    run: TrainedRun, live_run: LiveRun, reason: str
) -> None:
    policy = Stubborn()
    session = PaperSession(replace(run, policy=policy), limits=SessionLimits(stale_after_s=90.0))
    bars = live_run.bars(stop=TEST_BEGINS + 130)
    fine = {"bid": bars[0].close * 0.99, "ask": bars[0].close * 1.01}
    for bar in bars[:115]:
        step = session.on_bar(replace(bar, **fine, received_ms=bar.open_time_ms + 150_000.0))
    while step.position == 0.0:  # a bracket may just have been met
        bars.pop(0)
        step = session.on_bar(bars[114])
    assert step.risk_state == "active"
    now = bars[115]
    if reason == "crossed_data":
        now = crossed(now)
    elif reason == "stale_data":
        now = late(now)
    elif reason == "bad_output":
        policy.answer = [1, 99, 2]
    step = session.on_bar(now, killed=reason == "kill_switch")
    assert (step.risk_state, step.risk_reason) == ("stopped", reason)
    policy.answer = [1, 4, 2]
    held = step.position
    step = session.on_bar(bars[116])
    if held:
        wanted = "signal" if reason == "bad_output" else "risk"
        assert [fill.kind for fill in step.fills] == ["exit"]
        assert step.fills[0].reason in (wanted, "take_profit", "stop_loss")
    for bar in bars[117:122]:
        step = session.on_bar(bar)
        assert (step.position, step.fills, step.risk_reason) == (0.0, (), reason)
    session.account.risk.rearm()
    assert session.on_bar(bars[122]).position != 0.0


def test_missing_bars_are_silence(run: TrainedRun, live_run: LiveRun) -> None:
    bars = live_run.bars(stop=TEST_BEGINS + 10)
    for missing, state in ((1, "active"), (2, "stopped")):
        session = PaperSession(run, limits=SessionLimits(stale_after_s=60.0))
        session.on_bar(bars[0])
        assert session.on_bar(bars[1 + missing]).risk_state == state


def test_limits_that_are_left_out_are_those_of_the_training() -> None:
    trained = RiskLimits(daily_loss=0.02, losing_streak=5)
    limits = SessionLimits(daily_loss=0.01, exposure=0.5, stale_after_s=9.0)
    assert limits.risk(trained) == RiskLimits(daily_loss=0.01, losing_streak=5, exposure=0.5)
    later = SessionLimits(daily_loss=float("inf"), drawdown=0.1)
    assert later.over(limits) == SessionLimits(float("inf"), 0.1, exposure=0.5, stale_after_s=9.0)
    with pytest.raises(InputError, match=r"drawdown -0\.1 is not positive"):
        SessionLimits(drawdown=-0.1).risk(trained)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rearm": "me"}, "--rearm needs --resume"),
        ({"rearm": " ", "resume": True}, "--rearm needs --resume and a note"),
        ({"limits": SessionLimits(stale_after_s=0.0)}, "--stale-after-s 0.0 is not above 0"),
    ],
)
def test_options_that_cannot_be_used(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        PaperConfig(tmp_path, (tmp_path,), **options).check()
