"""Every setting that no market can have is refused in one line that names it."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from data_pipeline.errors import InputError
from envs.config import MarketConfig, RiskLimits
from envs.terms import LATENCY, trading_terms
from tests.market_tools import PERPETUAL, SPOT


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
        ({"impact": -0.1}, "impact -0.1"),
        ({"impact": math.nan}, "impact nan"),
        ({"latency_ms": 60_001.0}, "latency_ms 60001"),
        ({"latency_ms": -1.0}, "latency_ms -1"),
        ({"max_participation": 0.0}, "max_participation 0"),
        ({"max_participation": math.nan}, "max_participation nan"),
        ({"fees_bps": (-5.0, 4.0)}, "fees_bps (-5.0, 4.0)"),
        ({"fees_bps": (1.0, -1.0)}, "fees_bps (1.0, -1.0)"),
        ({"fees_bps": (1.0, 1_000.0)}, "fees_bps (1.0, 1000.0)"),
        ({"fees_bps": (math.nan, 1.0)}, "fees_bps (nan, 1.0)"),
        ({"trailing_bps": 0.0}, "trailing_bps 0"),
        ({"break_even_bps": math.nan}, "break_even_bps nan"),
        ({"limit_offset_bps": -1.0}, "limit_offset_bps -1"),
        ({"limit_offset_bps": math.nan}, "limit_offset_bps nan"),
        ({"limit_ttl_bars": 0.9}, "limit_ttl_bars 0.9"),
        ({"both_touched": "best"}, "both_touched 'best'"),
        ({"reward": "pnl"}, "reward 'pnl'"),
        ({"reward_weight": -1.0}, "reward_weight -1"),
        ({"reward_weight": math.inf}, "reward_weight inf"),
        ({"reward": "differential_sharpe", "reward_weight": 1.0}, "reward_weight 1"),
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


@pytest.mark.parametrize(
    "config",
    [
        MarketConfig(),
        MarketConfig(
            initial_capital=(100.0, 1e5),
            fees_bps=(-0.5, 3.0),
            ttl_bars=math.inf,
            tp_grid_bps=(7.0, 11.0),
            reward="inventory",
            risk=RiskLimits(daily_loss=0.02, cool_down_bars=math.inf),
        ),
    ],
)
def test_plain_values_and_json_bring_it_back(config: MarketConfig) -> None:
    assert MarketConfig.from_dict(asdict(config)) == config
    again = MarketConfig.from_dict(json.loads(json.dumps(asdict(config))))
    assert again == config
    assert again.capital_range == config.capital_range
    assert isinstance(again.risk, RiskLimits)
    assert hash(again) == hash(config)  # lists would have crept in


def test_from_dict_refuses_what_is_not_a_config() -> None:
    with pytest.raises(InputError, match="leverage 0"):
        MarketConfig.from_dict({"leverage": 0})
    with pytest.raises(InputError, match="drawdown -1"):
        MarketConfig.from_dict({"risk": {"drawdown": -1}})
    with pytest.raises(TypeError, match="spread"):
        MarketConfig.from_dict({"spread": 1.0})


def test_leverage_must_leave_the_margin() -> None:
    margined = replace(PERPETUAL, maintenance_margin=0.05)
    with pytest.raises(InputError, match=r"leverage 20 with a maintenance margin of 0\.05; use less than 20"):
        trading_terms(margined, MarketConfig(leverage=20.0))
    with pytest.raises(InputError, match="leverage 2 on a spot instrument"):
        trading_terms(SPOT, MarketConfig(leverage=2.0))


def test_bars_shorter_than_the_latency_cost_their_whole_range() -> None:
    assert trading_terms(PERPETUAL, MarketConfig(latency_ms=5_000.0), 1_000)[LATENCY] == 1.0
    assert trading_terms(PERPETUAL, MarketConfig(latency_ms=600.0))[LATENCY] == pytest.approx(0.1)


def test_importing_the_config_imports_nothing_heavy() -> None:
    code = (
        "import envs.config, sys;"
        "print([name for name in ('numba', 'pyarrow', 'gymnasium', 'numpy', 'torch') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
