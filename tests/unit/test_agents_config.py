"""Settings: bad values are refused in one line; importing them costs nothing heavy."""

import subprocess
import sys
from dataclasses import replace

import pytest

from agents.config import AgentConfig, DDPGSettings, NetworkConfig, PPOSettings, agent_preset
from data_pipeline.errors import InputError


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "sac"},
        {"gamma": 1.0},
        {"lanes": 0},
        {"iterations": 0},
        {"num_env_runners": -1},
        {"ppo": PPOSettings(minibatch=0)},
        {"algorithm": "ddpg", "ddpg": DDPGSettings(replay_rows=1000)},
    ],
)
def test_bad_settings_are_refused_in_one_line(changes: dict) -> None:
    with pytest.raises(InputError) as caught:
        replace(AgentConfig(), **changes)
    assert "\n" not in str(caught.value)
    assert "AgentConfig" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_decay": 0.0},
        {"tau": 1.5},
        {"n_step": 0},
        {"priority_exponent": -0.1},
        {"importance_exponent": 1.1},
        {"replay_megabytes": -1},
        {"noise_kind": "pink"},
        {"noise_reversion": 0.0},
    ],
)
def test_bad_settings_of_ddpg_are_refused_in_one_line(changes: dict) -> None:
    with pytest.raises(InputError, match=f"ddpg.{next(iter(changes))}"):
        DDPGSettings(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"hidden": ()}, {"hidden": (64, 0)}, {"encoder": "cnn"}, {"encoder_width": 0}, {"window": 12}, {"window": 1}],
)
def test_bad_networks_are_refused_in_one_line(changes: dict) -> None:
    with pytest.raises(InputError, match=f"network.{next(iter(changes))}"):
        NetworkConfig(**changes)


def test_presets_and_their_changes() -> None:
    assert agent_preset("ppo").algorithm == "ppo"
    ddpg = agent_preset("ddpg", seed=3, lanes=64)
    assert (ddpg.algorithm, ddpg.seed, ddpg.lanes) == ("ddpg", 3, 64)
    assert ddpg.rows_per_iteration == 64 * ddpg.fragment
    td3 = agent_preset("td3").ddpg
    assert (td3.twin_critics, td3.policy_delay, td3.target_noise) == (True, 2, 0.2)


def test_import_is_light() -> None:
    code = "import sys, agents.config; print([m for m in ('torch', 'ray', 'numba', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
