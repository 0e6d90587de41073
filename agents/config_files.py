"""Settings of a training run as a JSON file: what a search found, a script trains with.

    {"agent": {... AgentConfig ...}, "market": {... MarketConfig ...}, whatever else a reader may want to know}

Fields that are left out keep their defaults; infinity, which JSON lacks, is written "inf".
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from agents.config import AgentConfig
from data_pipeline.errors import InputError
from envs.config import MarketConfig

Config = TypeVar("Config", AgentConfig, MarketConfig)


def settings_json(agent: AgentConfig, market: MarketConfig) -> dict[str, Any]:
    """Both as plain values that JSON has."""
    return {"agent": _plain(asdict(agent)), "market": _plain(asdict(market))}


def read_settings(path: Path) -> tuple[AgentConfig, MarketConfig]:
    """The settings in a file that `settings_json` was written to.

    Raises:
        InputError: the file cannot be read, names an unknown setting, or gives one a value it cannot have.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"no settings there ({error})", where=str(path), remedy="give a best.json") from error
    if not isinstance(values, dict) or not isinstance(values.get("agent"), dict):
        raise InputError("it holds no settings of an agent", where=str(path), remedy='give {"agent": {...}}')
    return from_plain(AgentConfig, values["agent"], str(path)), from_plain(
        MarketConfig, values.get("market", {}), str(path)
    )


def from_plain(config: type[Config], values: dict[str, Any], where: str) -> Config:
    """A configuration from the plain values of `settings_json`. Raises InputError, naming `where`, as its own checks do
    and for names that it does not have."""
    hints = get_type_hints(config)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise InputError(
            f"unknown setting {unknown[0]!r} of {config.__name__}",
            where=where,
            remedy=f"known: {' '.join(sorted(hints))}",
        )
    made: dict[str, Any] = {}
    for name, value in values.items():
        nested = is_dataclass(hints[name]) and isinstance(value, dict)
        made[name] = from_plain(hints[name], value, where) if nested else _back(value)
    return config(**made)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return "inf" if value == math.inf else value


def _back(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_back(item) for item in value)
    return math.inf if value == "inf" else value
