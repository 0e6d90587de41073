"""Settings in files: what is written is read back, and nothing unknown passes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from agents.config import agent_preset
from agents.config_files import read_settings, settings_json
from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.config import MarketConfig, RiskLimits


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    agent = agent_preset("ddpg", lanes=32, seed=4)
    agent = replace(agent, ddpg=replace(agent.ddpg, tau=0.007))
    market = MarketConfig(
        tp_grid_bps=(5.0, 7.5), default_sl_bps=math.inf, initial_capital=(1e3, 1e4), risk=RiskLimits(losing_streak=4)
    )
    write_json(tmp_path / "best.json", settings_json(agent, market) | {"score": 0.1})
    assert read_settings(tmp_path / "best.json") == (agent, market)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no settings there"),
        ('{"market": {}}', "no settings of an agent"),
        (json.dumps({"agent": {"ppo": {"learning_rte": 1}}}), "unknown setting 'learning_rte' of PPOSettings"),
        (json.dumps({"agent": {}, "market": {"ttl_bars": 0}}), "ttl_bars 0 is under 1"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "best.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_settings(path)
