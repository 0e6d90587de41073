"""`python -m scripts.train_agent`: what it writes, how it ends, and that it never looks at the test days."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tyro
from agents_market import signal_market
from test_agents_train import CONFIG, MARKET

from agents.config import EarlyStop
from agents.monitor import read_history
from data_pipeline.errors import InputError
from evaluation.tuning_config import MarketChoice
from scripts.train_agent import Args, defaults, main


def test_it_trains_stops_early_and_goes_on(tmp_path: Path) -> None:
    """Two saved markets; nothing that happens after the validation days changes a figure."""
    market = signal_market(5, seed=3)
    stop = EarlyStop(patience=2, min_improvement=10.0)  # the first validation is the best that there will be
    agent = replace(CONFIG, validate_every=1, checkpoint_every=6, early_stop=stop)
    told = []
    for name, after in (("one", 1.0), ("two", -1.0)):
        cut = int(0.8 * len(market))
        changed = replace(
            market, observations=np.concatenate([market.observations[:cut], after * market.observations[cut:]])
        )
        for symbol in ("A", "B"):
            changed.save(tmp_path / name / "markets" / symbol)
        choice = MarketChoice(market=(tmp_path / name,), train_fraction=0.6, validation_fraction=0.2)
        args = Args(choice, agent=agent, rules=MARKET, out=tmp_path / name / "agent")
        assert main(args) == 0
        told.append(json.loads((args.out / "summary.json").read_text()))
    one, two = told
    assert one["iterations"] == 3
    assert one["ended_by"] == "early_stop"
    assert one["why"].startswith("stopped after 3 of 6 iterations: 2 validations in a row")
    assert one["best"]["validation/return_log"] >= one["last"]["validation/return_log"]
    assert one["spans_ms"]["validation"][0][2] < market.open_time_ms[int(0.8 * len(market))]
    for part in ("best", "last"):
        del one[part]["checkpoint"], two[part]["checkpoint"]
    assert one == two
    history = read_history(args.out)
    assert [record["iteration"] for record in history] == [1, 2, 3]
    with pytest.raises(InputError, match="holds a run already"):
        main(args)
    on = replace(args, agent=replace(agent, early_stop=EarlyStop(patience=3, min_improvement=10.0)), resume=True)
    assert main(on) == 0  # one more validation, whose end is again the patience's
    assert read_history(args.out)[:3] == history
    assert json.loads((args.out / "summary.json").read_text())["iterations"] == 4
    assert defaults(["--config", str(args.out / "settings.json")]).agent == on.agent


def test_options_begin_with_the_preset() -> None:
    words = ["--preset=td3", "--synthetic", "no_edge", "--iterations", "7", "--scale.address", "auto"]
    args = tyro.cli(Args, args=words, default=defaults(words))
    assert (args.agent.algorithm, args.agent.iterations, args.agent.ddpg.twin_critics) == ("ddpg", 7, True)
    assert (args.rules.action_mode, args.markets.synthetic) == ("continuous", "no_edge")
    assert args.agent.scale.address == "auto"
    with pytest.raises(InputError, match="both name settings"):
        defaults(["--preset", "ppo", "--config", "there.json"])
