"""What a search may choose: settings by name, and the values each may take.

A setting is named as in `AgentConfig` ("gamma", "ppo.learning_rate", "network.hidden") or, after "market.", as in
`MarketConfig`. Its values are written

    NAME=A,B,C          one of these; a tuple's items are joined by x: network.hidden=32x32,64x64
    NAME=LOW..HIGH      anything between, evenly
    NAME=log:LOW..HIGH  anything between, evenly in the logarithm
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.config import AgentConfig
from agents.config_files import from_plain, settings_json
from data_pipeline.errors import InputError
from envs.config import MarketConfig

Settings = dict[str, Any]
MARKET = "market."
CHOOSABLE = (
    *("default_tp_bps", "default_sl_bps", "tp_grid_bps", "sl_grid_bps", "ttl_bars", "trailing_bps", "break_even_bps"),
    *("limit_offset_bps", "limit_ttl_bars", "dead_zone", "episode_bars", "recency_days"),
    *("reward", "reward_scale", "reward_weight"),
)
"""Of the market's settings those that a trader chooses. Fees, spread, impact and capital are facts: a search that may
choose them finds a market without costs."""
LEARNABLE = ("gamma", "ppo.", "ddpg.")
SHAPES = ("ddpg.replay_rows", "ddpg.twin_critics", "ddpg.n_step", "ddpg.priority_exponent")
"""What PBT may change while a policy trains: what is learned how; not the shape of networks and memory, nor the market,
whose episodes are under way."""

PPO_SPACE = (
    "ppo.learning_rate=log:0.0003..0.003",
    "ppo.entropy=log:0.003..0.1",
    "ppo.epochs=2,4,8",
    "ppo.minibatch=1024,4096,16384",
    "ppo.gae_lambda=0.9,0.95,0.98",
    "gamma=0.95,0.98,0.99",
)
DDPG_SPACE = (
    "ddpg.actor_learning_rate=log:0.0001..0.003",
    "ddpg.critic_learning_rate=log:0.0001..0.003",
    "ddpg.batch=128,256,512",
    "ddpg.updates=64,128,256",
    "ddpg.tau=log:0.003..0.05",
    "ddpg.noise=0.2..0.8",
    "gamma=0.95,0.98,0.99",
)
SHAPE_SPACE = ("network.hidden=32x32,64x64,128x128", "market.reward=log_equity,drawdown,inventory")
FIXED_BRACKETS = ("market.default_tp_bps=20,30,50,80", "market.default_sl_bps=15,20,30,50")
CHOSEN_BRACKETS = ("market.tp_grid_bps=10x20x30x40x50,20x40x60x80x100", "market.sl_grid_bps=10x20x30,20x40x60")


@dataclass(frozen=True)
class Dimension:
    """One setting and its values: `choices`, or numbers in [low, high]."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False
    """Only whole numbers."""

    def draw(self, rng: np.random.Generator) -> Any:
        """A value at random."""
        if self.choices:
            return self.choices[int(rng.integers(len(self.choices)))]
        return self.at(float(rng.random()))

    def at(self, share: float) -> Any:
        """The value so far along the range, `share` in [0, 1]."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return self.held(value)

    def held(self, value: Any) -> Any:
        """`value` as one that the setting may have: within the range, whole where it must be."""
        if self.choices:
            return value
        inside = min(max(float(value), self.low), self.high)
        return round(inside) if self.whole else inside

    def points(self, count: int) -> tuple[Any, ...]:
        """Values of a grid: the choices, or `count` along the range."""
        if self.choices:
            return self.choices
        return tuple(dict.fromkeys(self.at(k / max(count - 1, 1)) for k in range(count)))


def default_space(agent: AgentConfig, market: MarketConfig, *, while_training: bool) -> tuple[str, ...]:
    """What is worth choosing for an algorithm, as text; `while_training`: what PBT may change."""
    learning = PPO_SPACE if agent.algorithm == "ppo" else DDPG_SPACE
    if while_training:
        return learning
    return learning + SHAPE_SPACE + (FIXED_BRACKETS if market.action_mode == "discrete" else CHOSEN_BRACKETS)


def parse_space(
    texts: Sequence[str], agent: AgentConfig, market: MarketConfig, *, while_training: bool = False
) -> tuple[Dimension, ...]:
    """Dimensions from text. Raises InputError for what is no setting, may not be chosen, or has values of another
    kind."""
    dimensions = tuple(_dimension(text, agent, market) for text in texts)
    for dimension in dimensions:
        name = dimension.name
        if name.startswith(MARKET) and name.removeprefix(MARKET) not in CHOOSABLE:
            raise InputError(
                f"{name} is a fact of the market, not a choice",
                where="--vary",
                remedy=f"of the market vary {' '.join(CHOOSABLE)}; --set gives facts one value",
            )
        if name in ("seed", "iterations", "device") or name.startswith("scale."):
            raise InputError(f"{name} is no setting to choose by its score", where="--vary", remedy="use --set")
        if while_training and (not name.startswith(LEARNABLE) or name in SHAPES):
            raise InputError(
                f"{name} cannot change while a policy trains",
                where="--vary",
                remedy="leave it to random, grid or optuna; PBT varies gamma and what ppo. and ddpg. hold",
            )
    names = [dimension.name for dimension in dimensions]
    if len(set(names)) < len(names) or not names:
        raise InputError("give each setting once, and at least one", where="--vary")
    return dimensions


def parse_settings(texts: Sequence[str], agent: AgentConfig, market: MarketConfig) -> Settings:
    """NAME=VALUE texts as settings. Raises InputError as `parse_space` does, and for several values."""
    found: Settings = {}
    for text in texts:
        dimension = _dimension(text, agent, market)
        if len(dimension.choices) != 1:
            raise InputError(f"{text!r} is not one value", where="--set", remedy="write NAME=VALUE")
        found[dimension.name] = dimension.choices[0]
    return found


def applied(settings: Mapping[str, Any], agent: AgentConfig, market: MarketConfig) -> tuple[AgentConfig, MarketConfig]:
    """Both configurations with the settings in them. Raises InputError for values that they refuse."""
    plain = settings_json(agent, market)
    for name, value in settings.items():
        place = plain["market"] if name.startswith(MARKET) else plain["agent"]
        *way, last = name.removeprefix(MARKET).split(".")
        for step in way:
            place = place[step]
        place[last] = list(value) if isinstance(value, tuple) else value
    return from_plain(AgentConfig, plain["agent"], "settings"), from_plain(MarketConfig, plain["market"], "settings")


def grid(dimensions: Sequence[Dimension], points: int) -> list[Settings]:
    """Every combination of the dimensions' points."""
    values = itertools.product(*(dimension.points(points) for dimension in dimensions))
    return [dict(zip((dimension.name for dimension in dimensions), each, strict=True)) for each in values]


def random_settings(dimensions: Sequence[Dimension], count: int, seed: int) -> list[Settings]:
    """`count` draws; more from the same seed begin with the same ones."""
    rng = np.random.default_rng(seed)
    return [{dimension.name: dimension.draw(rng) for dimension in dimensions} for _ in range(count)]


def _dimension(text: str, agent: AgentConfig, market: MarketConfig) -> Dimension:
    name, given, values = text.partition("=")
    known: Any = market if name.startswith(MARKET) else agent
    for step in name.removeprefix(MARKET).split("."):
        if not hasattr(known, "__dataclass_fields__") or step not in known.__dataclass_fields__:
            raise InputError(
                f"there is no setting {name!r}", where=text, remedy="for example ppo.learning_rate or market.ttl_bars"
            )
        known = getattr(known, step)
    if not given or not values or hasattr(known, "__dataclass_fields__"):
        raise InputError("no values", where=text, remedy="write NAME=A,B,C or NAME=LOW..HIGH or NAME=log:LOW..HIGH")
    try:
        if ".." not in values:
            return Dimension(name, tuple(_value(value, known) for value in values.split(",")))
        low, high = (float(end) for end in values.removeprefix("log:").split(".."))
    except ValueError:
        raise InputError(f"its values are such as {known!r}", where=text, remedy="write values of that kind") from None
    log, whole = values.startswith("log:"), isinstance(known, int) and not isinstance(known, bool)
    if not (low < high and math.isfinite(low) and math.isfinite(high) and (low > 0.0 or not log)):
        raise InputError(f"{low:g} to {high:g} is no range", where=text, remedy="give LOW < HIGH, for log: above 0")
    if not isinstance(known, int | float) or isinstance(known, bool):
        raise InputError(f"it is no number but such as {known!r}", where=text, remedy="list its values")
    return Dimension(name, low=low, high=high, log=log, whole=whole)


def _value(text: str, like: Any) -> Any:
    """The text as a value of the kind of `like`. Raises ValueError when it is none."""
    if isinstance(like, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if isinstance(like, str):
        return text
    if isinstance(like, tuple):
        return tuple(_value(item, like[0] if like else 0.0) for item in text.split("x"))
    if isinstance(like, int):
        return int(text)
    return tuple(float(item) for item in text.split("x")) if "x" in text else float(text)
