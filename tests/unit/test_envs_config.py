"""Every setting that no market can have is refused in one line that names it."""

import math
import subprocess
import sys

import pytest

from data_pipeline.errors import InputError
from envs.config import MarketConfig


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"half_spread_bps": -1.0}, "half_spread_bps -1"),
        ({"half_spread_bps": math.nan}, "half_spread_bps nan"),
        ({"initial_capital": 0.0}, "initial_capital 0"),
        ({"initial_capital": (10.0, 5.0)}, "initial_capital"),
        ({"initial_capital": (10.0, math.inf)}, "initial_capital"),
        ({"leverage": 0.0}, "leverage 0"),
        ({"leverage": 500.0}, "leverage 500"),
        ({"ttl_bars": 0.5}, "ttl_bars 0.5"),
        ({"ttl_bars": math.nan}, "ttl_bars nan"),
        ({"tp_grid_bps": ()}, "tp_grid_bps"),
        ({"tp_grid_bps": (20.0, 10.0)}, "tp_grid_bps"),
        ({"sl_grid_bps": (0.0, 10.0)}, "sl_grid_bps"),
        ({"sl_grid_bps": (10.0, math.inf)}, "sl_grid_bps"),
        ({"default_tp_bps": 0.0}, "default_tp_bps 0"),
        ({"default_sl_bps": math.nan}, "default_sl_bps nan"),
        ({"action_mode": "box"}, "action_mode 'box'"),
        ({"dead_zone": 1.0}, "dead_zone 1"),
        ({"min_episode_bars": 0}, "min_episode_bars 0"),
        ({"min_episode_bars": 100, "episode_bars": 50}, "min_episode_bars 100"),
        ({"episode_start": "last"}, "episode_start 'last'"),
        ({"reward_scale": 0.0}, "reward_scale 0"),
        ({"stop_out_fraction": 1.0}, "stop_out_fraction 1"),
    ],
)
def test_impossible_settings_are_refused(setting: dict, named: str) -> None:
    with pytest.raises(InputError, match=r"^market config: ") as caught:
        MarketConfig(**setting)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_capital_range() -> None:
    assert MarketConfig(initial_capital=250.0).capital_range == (250.0, 250.0)
    assert MarketConfig(initial_capital=(100.0, 1e5)).capital_range == (100.0, 1e5)


def test_without_barriers_keeps_the_costs() -> None:
    config = MarketConfig(half_spread_bps=3.0, action_mode="continuous").without_barriers()
    assert (config.half_spread_bps, config.action_mode) == (3.0, "discrete")
    assert config.default_tp_bps == config.default_sl_bps == config.ttl_bars == math.inf


def test_importing_the_config_imports_nothing_heavy() -> None:
    code = (
        "import envs.config, sys;"
        "print([name for name in ('numba', 'pyarrow', 'gymnasium', 'numpy', 'torch') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
