"""Settings: bad values are refused in one line; importing them costs nothing heavy."""

import subprocess
import sys
from dataclasses import replace

import pytest

from agents.config import AgentConfig, DDPGSettings, PPOSettings, agent_preset
from data_pipeline.errors import InputError


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "sac"},
        {"hidden": ()},
        {"hidden": (64, 0)},
        {"gamma": 1.0},
        {"lanes": 0},
        {"iterations": 0},
        {"num_env_runners": -1},
        {"ppo": PPOSettings(minibatch=0)},
        {"ddpg": DDPGSettings(noise_decay=0.0)},
        {"algorithm": "ddpg", "ddpg": DDPGSettings(replay_rows=1000)},
    ],
)
def test_bad_settings_are_refused_in_one_line(changes: dict) -> None:
    with pytest.raises(InputError) as caught:
        replace(AgentConfig(), **changes)
    assert "\n" not in str(caught.value)
    assert "AgentConfig" in str(caught.value)


def test_presets_and_their_changes() -> None:
    assert agent_preset("ppo").algorithm == "ppo"
    ddpg = agent_preset("ddpg", seed=3, lanes=64)
    assert (ddpg.algorithm, ddpg.seed, ddpg.lanes) == ("ddpg", 3, 64)
    assert ddpg.rows_per_iteration == 64 * ddpg.fragment


def test_import_is_light() -> None:
    code = "import sys, agents.config; print([m for m in ('torch', 'ray', 'numba', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
