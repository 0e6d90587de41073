"""What a run is: the settings and data that a continuation must share with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import AgentConfig
from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.config import MarketConfig
from envs.market import Market

IDENTITY = "identity.json"
# What a continuation may change: none of these alters the data or what one iteration learns from it. (More iterations
# do stretch the schedules of learning rate, entropy and exploration.)
FREE_FIELDS = frozenset(
    {
        "iterations",
        "device",
        "runner_device",
        "scale.address",
        "torch_threads",
        "checkpoint_every",
        "checkpoints_kept",
        "validate_every",
        "early_stop.patience",
        "early_stop.min_improvement",
        "monitor.histogram_every",
        "monitor.picture_every",
    }
)


def record_identity(
    run_dir: Path, env_config: MarketConfig, config: AgentConfig, markets: Sequence[Market], *, resume: bool
) -> None:
    """Write `run_dir/identity.json`; when resuming, first check that it is the same run.

    Raises:
        InputError: a setting or the data differs from the interrupted run; names the first difference.
    """
    now = _flat({"agent": asdict(config), "market": asdict(env_config)})
    now |= {f"data.{number}": market_digest(market) for number, market in enumerate(markets)}
    path = run_dir / IDENTITY
    if resume and path.is_file():
        before = json.loads(path.read_text())
        for name in sorted(now.keys() | before.keys()):
            if name.removeprefix("agent.") not in FREE_FIELDS and now.get(name) != before.get(name):
                raise InputError(
                    f"{name} is {now.get(name)}, the interrupted run had {before.get(name)}",
                    where=str(run_dir),
                    remedy="resume with the same settings and data, or choose another folder",
                )
    write_json(path, now)


def market_digest(market: Market) -> str:
    """Digest of what lanes see and trade at."""
    digest = hashlib.sha256()
    for array in (market.open_time_ms, market.prices, market.observations, market.tradable):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level of dotted names with their values written out (inf has no place in JSON)."""
    out: dict[str, str] = {}
    for name, value in values.items():
        out |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return out
