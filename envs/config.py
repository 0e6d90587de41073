"""Settings of the simulated market. Light on purpose: importing this module pulls in nothing compiled."""

import math
from dataclasses import dataclass
from typing import Literal

from data_pipeline.errors import InputError

ActionMode = Literal["discrete", "multi_discrete", "continuous"]
EpisodeStart = Literal["random", "sequential"]


@dataclass(frozen=True)
class MarketConfig:
    """How orders are filled, how an account starts, and how an episode is cut. Distances are in bps of the entry price.

    Fees, tick, lot and minimum notional belong to the instrument, not to this class.
    Raises InputError for a value that no market can have.
    """

    half_spread_bps: float = 0.5
    """What every market order pays against the bar's price, on each side."""
    initial_capital: float | tuple[float, float] = 10_000.0
    """Quote units an account starts with; (low, high) draws log-uniformly for each episode."""
    leverage: float = 1.0
    """Cap on position value divided by equity at entry. Spot allows 1 only."""
    ttl_bars: float = 60.0
    """Bars a position may live before it is closed at market (inf: no time-out)."""
    tp_grid_bps: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0)
    """Take-profit distances that multi_discrete actions choose from; continuous ones span the grid's ends."""
    sl_grid_bps: tuple[float, ...] = (10.0, 20.0, 30.0)
    """Stop-loss distances, likewise."""
    default_tp_bps: float = 30.0
    """Take-profit distance of discrete actions and of rules (inf: none)."""
    default_sl_bps: float = 20.0
    """Stop-loss distance of discrete actions and of rules (inf: none)."""
    action_mode: ActionMode = "discrete"
    """Which action space the env offers."""
    dead_zone: float = 0.25
    """Continuous actions of smaller magnitude mean flat."""
    episode_bars: int = 1440
    """Longest episode, in bars."""
    min_episode_bars: int = 60
    """Shortest episode; shorter tradable stretches of the data are left out."""
    episode_start: EpisodeStart = "random"
    """Where episodes begin: uniformly at random, or window after window in time order."""
    reward_scale: float = 100.0
    """The reward is this times the change in log equity (100: per cent)."""
    stop_out_fraction: float = 0.2
    """The account is closed and the episode ends at this fraction of the initial capital."""

    def __post_init__(self) -> None:
        where = "market config"
        if not 0 <= self.half_spread_bps < 1_000:
            raise InputError(f"half_spread_bps {self.half_spread_bps} is not in [0, 1000)", where=where)
        low, high = self.capital_range
        if not (0 < low <= high and math.isfinite(high)):
            raise InputError(
                f"initial_capital {self.initial_capital} is not positive", where=where, remedy="give x or (low, high)"
            )
        if not 0 < self.leverage <= 125:
            raise InputError(f"leverage {self.leverage} is not in (0, 125]", where=where)
        if not self.ttl_bars >= 1:
            raise InputError(f"ttl_bars {self.ttl_bars} is under 1", where=where, remedy="use inf for no time-out")
        for name in ("tp_grid_bps", "sl_grid_bps"):
            grid = getattr(self, name)
            if not grid or any(not 0 < value < math.inf for value in grid) or list(grid) != sorted(set(grid)):
                raise InputError(f"{name} {grid} is not a rising list of positive distances", where=where)
        for name in ("default_tp_bps", "default_sl_bps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} {getattr(self, name)} is not positive", where=where, remedy="inf means none")
        if self.action_mode not in ("discrete", "multi_discrete", "continuous"):
            raise InputError(
                f"action_mode {self.action_mode!r} is unknown",
                where=where,
                remedy="use discrete, multi_discrete or continuous",
            )
        if not 0 <= self.dead_zone < 1:
            raise InputError(f"dead_zone {self.dead_zone} is not in [0, 1)", where=where)
        if not 1 <= self.min_episode_bars <= self.episode_bars:
            raise InputError(
                f"min_episode_bars {self.min_episode_bars} is not in [1, episode_bars={self.episode_bars}]", where=where
            )
        if self.episode_start not in ("random", "sequential"):
            raise InputError(
                f"episode_start {self.episode_start!r} is unknown", where=where, remedy="use random or sequential"
            )
        if not self.reward_scale > 0:
            raise InputError(f"reward_scale {self.reward_scale} is not positive", where=where)
        if not 0 < self.stop_out_fraction < 1:
            raise InputError(f"stop_out_fraction {self.stop_out_fraction} is not in (0, 1)", where=where)

    @property
    def capital_range(self) -> tuple[float, float]:
        """(low, high) of the initial capital; equal when it is one number."""
        if isinstance(self.initial_capital, tuple):
            low, high = self.initial_capital
            return float(low), float(high)
        return float(self.initial_capital), float(self.initial_capital)
