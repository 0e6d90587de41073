"""Settings of the simulated market. Light on purpose: importing this module pulls in nothing compiled."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from data_pipeline.errors import InputError

ActionMode = Literal["discrete", "multi_discrete", "continuous"]
EpisodeStart = Literal["random", "sequential"]
RewardMode = Literal["log_equity", "differential_sharpe", "drawdown", "inventory"]
BothTouched = Literal["stop_first", "target_first"]


@dataclass(frozen=True)
class RiskLimits:
    """Circuit breakers of one account, the same in training, backtest and live (`envs.risk`). inf switches one off.

    Raises InputError for a limit that could never be met.
    """

    daily_loss: float = math.inf
    """Fraction of the equity at the start of the UTC day; beyond it the account is flat until the next day."""
    drawdown: float = math.inf
    """Fraction of the highest equity, marked at closes; beyond it the account is flat until a human re-arms it."""
    losing_streak: float = math.inf
    """Losing exits in a row after which nothing is entered for `cool_down_bars`."""
    cool_down_bars: float = 60.0
    """Bars without entries after a losing streak or a burst of volatility."""
    entries_per_day: float = math.inf
    """Entries in one UTC day; after them nothing is entered until the next."""
    exposure: float = math.inf
    """Position value over equity that an entry may reach, whatever the leverage; a larger order is cut to it."""
    price_collar_bps: float = math.inf
    """A market entry is refused when the price has jumped farther than this from the close it was decided at."""
    volatility_multiple: float = math.inf
    """A bar's range over the usual one beyond which nothing is entered for `cool_down_bars`."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if not getattr(self, limit.name) > 0:
                raise InputError(
                    f"{limit.name} {getattr(self, limit.name)} is not positive",
                    where="risk limits",
                    remedy="inf means no limit",
                )

    @property
    def any_set(self) -> bool:
        """Whether any limit can bite."""
        limits = (getattr(self, limit.name) for limit in fields(self) if limit.name != "cool_down_bars")
        return any(map(math.isfinite, limits))


@dataclass(frozen=True)
class MarketConfig:
    """How orders are filled, how an account starts, and how an episode is cut. Distances are in bps of the entry price.

    Fees, tick, lot and minimum notional belong to the instrument, not to this class.
    Raises InputError for a value that no market can have.
    """

    half_spread_bps: float = 0.5
    """What every market order pays against the bar's price, on each side, where the market's rows give none."""
    impact: float = 1.0
    """Y of the square-root impact Y σ √(Q / V): what an order of Q costs against a day's volatility and volume."""
    latency_ms: float = 100.0
    """Time from decision to exchange: market orders meet the price that is worst on average by then."""
    max_participation: float = 0.1
    """Largest share of a bar's volume that one account can fill; the rest of an order lapses (inf: no cap)."""
    fees_bps: tuple[float, float] | None = None
    """(maker, taker) of the account's fee tier, in place of the instrument's; see `data_pipeline.fees`."""
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
    both_touched: BothTouched = "stop_first"
    """Which barrier a bar that touched both counts as where no finer bars tell; the other choice gives the bound."""
    trailing_bps: float = math.inf
    """Distance at which the stop follows the best price since the entry, moved at closes (inf: it stays)."""
    break_even_bps: float = math.inf
    """Gain, seen at a close, after which the stop lies at the entry price or better (inf: never)."""
    limit_offset_bps: float = math.inf
    """Entries rest as limit orders this far behind the last close (inf: they are market orders)."""
    limit_ttl_bars: float = 5.0
    """Bars after which a limit entry expires."""
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
    recency_days: float = math.inf
    """Random starts are half as likely for every so many days of tradable bars before the end (inf: uniform)."""
    reward: RewardMode = "log_equity"
    """What a step is worth; docs/fills.md names the failing of each."""
    reward_scale: float = 100.0
    """The reward is this times the change in log equity (100: per cent), before any penalty's weight."""
    reward_weight: float = 0.5
    """Weight of the drawdown or inventory penalty; decay per bar of the differential Sharpe ratio (try 0.01)."""
    stop_out_fraction: float = 0.2
    """The account is closed and the episode ends at this fraction of the initial capital."""
    risk: RiskLimits = field(default_factory=RiskLimits)
    """Circuit breakers."""

    def __post_init__(self) -> None:
        where = "market config"
        if not 0 <= self.half_spread_bps < 1_000:
            raise InputError(f"half_spread_bps {self.half_spread_bps} is not in [0, 1000)", where=where)
        for name, ceiling in (("impact", 100.0), ("latency_ms", 60_000.0)):
            if not 0 <= getattr(self, name) <= ceiling:
                raise InputError(f"{name} {getattr(self, name)} is not in [0, {ceiling:g}]", where=where)
        if not self.max_participation > 0:
            raise InputError(
                f"max_participation {self.max_participation} is not positive", where=where, remedy="inf means no cap"
            )
        if self.fees_bps is not None and not (
            0 <= self.fees_bps[1] < 1_000 and -self.fees_bps[1] <= self.fees_bps[0] < 1_000
        ):
            raise InputError(
                f"fees_bps {self.fees_bps} are not (maker, taker) with maker >= -taker, both under 1000", where=where
            )
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
        for name in ("default_tp_bps", "default_sl_bps", "trailing_bps", "break_even_bps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} {getattr(self, name)} is not positive", where=where, remedy="inf means none")
        if not self.limit_offset_bps >= 0:
            raise InputError(f"limit_offset_bps {self.limit_offset_bps} is under 0", where=where, remedy="inf: market")
        if not self.limit_ttl_bars >= 1:
            raise InputError(f"limit_ttl_bars {self.limit_ttl_bars} is under 1", where=where)
        for name, known in (("both_touched", BothTouched), ("reward", RewardMode)):
            if getattr(self, name) not in get_args(known):
                raise InputError(
                    f"{name} {getattr(self, name)!r} is unknown",
                    where=where,
                    remedy=f"use one of {', '.join(get_args(known))}",
                )
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
        if not self.recency_days > 0:
            raise InputError(f"recency_days {self.recency_days} is not positive", where=where, remedy="inf is uniform")
        if not self.reward_scale > 0:
            raise InputError(f"reward_scale {self.reward_scale} is not positive", where=where)
        if not 0 <= self.reward_weight < math.inf or (self.reward == "differential_sharpe" and self.reward_weight >= 1):
            raise InputError(f"reward_weight {self.reward_weight} does not fit {self.reward}", where=where)
        if not 0 < self.stop_out_fraction < 1:
            raise InputError(f"stop_out_fraction {self.stop_out_fraction} is not in (0, 1)", where=where)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MarketConfig":
        """The config that `dataclasses.asdict` made into plain values. Raises InputError and TypeError as usual."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        if isinstance(known.get("risk"), dict):
            known["risk"] = RiskLimits(**known["risk"])
        return cls(**known)

    def without_barriers(self) -> "MarketConfig":
        """The same market with neither take-profit, stop-loss nor time-out on discrete actions: for buy-and-hold."""
        return replace(
            self,
            action_mode="discrete",
            default_tp_bps=math.inf,
            default_sl_bps=math.inf,
            ttl_bars=math.inf,
            trailing_bps=math.inf,
            break_even_bps=math.inf,
        )

    @property
    def capital_range(self) -> tuple[float, float]:
        """(low, high) of the initial capital; equal when it is one number."""
        if isinstance(self.initial_capital, tuple | list):  # a list where the config came from JSON
            low, high = self.initial_capital
            return float(low), float(high)
        return float(self.initial_capital), float(self.initial_capital)
