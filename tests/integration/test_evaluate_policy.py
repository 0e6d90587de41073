"""`scripts.evaluate_policy`: any policy over saved, new and raw bars; the same numbers as the backtest; honest about
days that the policy knows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from agents.policy import TorchPolicy, load_policy
from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.synthetic import synthetic_market
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.observation import observation_columns
from envs.rules import ThresholdRule
from evaluation.policy_days import UNKNOWN
from evaluation.policy_run import check_columns, rule_of
from evaluation.trials import TrialLog
from scripts import evaluate_policy as command
from tests.browser import BROWSER, in_browser, text_of

if TYPE_CHECKING:
    from tests.live_tools import LiveRun


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command; returns its exit code and summary.json."""

    def run(*words: object) -> tuple[int, dict[str, Any]]:
        out = tmp_path / "out"
        monkeypatch.setattr(sys, "argv", ["evaluate_policy", *map(str, words), "--out", str(out)])
        code = command.main_cli()
        return code, json.loads((out / "summary.json").read_text()) if code == 0 else {}

    return run


def with_days(policy: Path, target: Path, seen: dict[str, Any]) -> Path:
    """The policy with days that it has seen."""
    trained = load_policy(policy)
    assert isinstance(trained, TorchPolicy)
    target.mkdir()
    TorchPolicy(replace(trained.spec, seen=seen), trained._weights).save(target)
    return target


def test_a_policy_on_its_run_s_market(live_run: LiveRun, evaluate: Any, tmp_path: Path) -> None:
    market, times = live_run.market, live_run.market.open_time_ms
    day = int(times[0]) // 86_400_000 * 86_400_000 + 86_400_000
    policy = with_days(live_run.policy, tmp_path / "told", {"trained": [[market.symbol, int(times[0]), day - 1]]})
    log = tmp_path / "trials.jsonl"
    where = ("--policy", policy, "--market", live_run.path / "markets" / live_run.symbol.slug, "--trials", log)
    code, told = evaluate(*where, "--initial-capital", 5000)
    assert code == 0
    judged = market.slice(int(np.searchsorted(times, day)), len(market))  # what it has not seen
    rules = replace(MarketConfig.from_dict(load_policy(policy).spec.market), initial_capital=5000.0)
    result = Backtest(judged, rules).run(load_policy(policy))
    assert told["overall"]["policy"]["net_return"]["value"] == result.equity[-1, 0] / 5000.0 - 1.0
    assert told["overall"]["policy"]["trades"] == result.trades.num_rows > 0
    assert told["seen"] is None
    assert set(told["overall"]["baselines"]) == {"Flat", "Buy and hold", "Perfect foresight"}
    assert told["trials"]["trials"] == 1
    assert evaluate(*where, "--initial-capital", 5000)[1]["trials"]["trials"] == 1  # the same again is no other trial
    code, told = evaluate(*where, "--share", 1, "--fees-bps", 0, 1)
    assert told["trials"]["trials"] == 2
    assert "it was trained on" in told["seen"]
    assert told["verdict"]["level"] == "none"
    assert "Do not take this for evidence: 1 of these" in text_of((tmp_path / "out" / "report.html").read_text())
    assert TrialLog(log).read()[0][0].subject == market.symbol
    code, told = evaluate("--policy", live_run.policy, *where[2:4])
    assert told["seen"] == UNKNOWN
    if BROWSER:
        found = in_browser((tmp_path / "out" / "report.html").read_text(), 400, tmp_path)
        assert found["errors"] == []
        assert found["needed"] <= found["width"]


def test_later_bars_are_shown_as_the_run_would_have_shown_them(
    live_run: LiveRun, evaluate: Any, tmp_path: Path
) -> None:
    known = pq.read_table(live_run.bars_file)
    fresh = synthetic_market(SyntheticConfig(bars=900, seed=8)).bars
    shift = int(live_run.market.open_time_ms[-1]) + 60_000 - pc.min(fresh["open_time"].cast(pa.int64())).as_py()
    moved = pa.array(fresh["open_time"].cast(pa.int64()).to_numpy() + shift).cast(known.schema.field("open_time").type)
    fresh = fresh.set_column(fresh.schema.get_field_index("open_time"), known.schema.field("open_time"), moved)
    later = pa.concat_tables([known, fresh.cast(known.schema)]).replace_schema_metadata(known.schema.metadata)
    path = tmp_path / "SYNUSDT.parquet"
    pq.write_table(later, path)
    whole, begin, _ = command._market(
        command.Args(policy="", bars=command.BarsConfig(files=(path,)), run=live_run.path), live_run.policy
    )
    assert begin == 0
    assert len(whole) == 900  # none that the run has seen
    assert whole.columns == live_run.market.columns
    assert whole.tradable[:-1].mean() > 0.9
    column = whole.columns.index(live_run.predictions.columns[0])
    assert np.ptp(whole.observations[whole.tradable, column]) > 0.0
    code, told = evaluate("--policy", live_run.policy, "--files", path, "--run", live_run.path)
    assert code == 0
    assert told["overall"]["policy"]["bars"] == 900
    pq.write_table(known, path)
    assert evaluate("--policy", live_run.policy, "--files", path, "--run", live_run.path)[0] == 2  # nothing is later


def test_rules_on_raw_bars(evaluate: Any) -> None:
    code, told = evaluate("--policy", "threshold:return_1:0.8:0.1", "--synthetic", "no_edge", "--days", 6)
    assert code == 0
    assert told["overall"]["policy"]["trades"] > 0
    assert told["synthetic"] == "no_edge"
    assert told["seen"] is None


def test_what_does_not_fit_is_refused(
    live_run: LiveRun, evaluate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = live_run.path / "markets" / live_run.symbol.slug
    market = live_run.market
    fewer = replace(market, observations=market.observations[:, 1:], columns=market.columns[1:]).save(
        tmp_path / "fewer"
    )
    outside = with_days(live_run.policy, tmp_path / "outside", {})
    for words, message in (
        (("--policy", "flat"), "give one of --market"),
        (("--policy", "flat", "--market", saved, "--synthetic", "no_edge"), "give one of --market"),
        (("--policy", "threshold:return_1", "--market", saved), "cannot be read"),
        (("--policy", "threshold:nothing:1", "--market", saved), "unknown column 'nothing'"),
        (("--policy", live_run.policy, "--market", fewer), "it observes 1 columns that the market does not have"),
        (("--policy", outside, "--synthetic", "no_edge", "--days", "3"), "new bars need the scaling"),
        (("--policy", live_run.policy, "--market", saved, "--default-tp-bps", "5"), "choose take-profit"),
        (("--policy", "flat", "--market", saved, "--share", "2"), "share 2.0 is not in"),
        (("--policy", "flat", "--market", saved, "--from", "2100-01-01"), "0 bars are left"),
    ):
        assert evaluate(*words)[0] == 2
        assert message in capsys.readouterr().err


def test_names_mean_rules(live_run: LiveRun) -> None:
    config = MarketConfig()
    rule = rule_of("threshold:return_1:0.5:0.2:-0.1", live_run.market, config)
    columns = observation_columns(live_run.market)
    rows = np.random.default_rng(0).normal(size=(50, len(columns))).astype(np.float32)
    same = ThresholdRule("return_1", 0.5, 0.2, columns=columns, config=config, center=-0.1)
    assert rule is not None
    assert (rule.act(rows) == same.act(rows)).all()
    assert rule_of("runs/btc", live_run.market, config) is None
    with pytest.raises(InputError, match="in another order"):
        check_columns(columns[::-1], live_run.market, "policy")
    with pytest.raises(InputError, match="1 columns that it does not observe, such as 'return_1'"):
        check_columns(tuple(name for name in columns if name != "return_1"), live_run.market, "policy")
