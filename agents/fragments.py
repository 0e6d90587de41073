"""Putting the fragments of several runners together, when some of the runners may have died."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from agents.runner import Rollout


def side_by_side(found: Mapping[int, Rollout], runners: int) -> Rollout:
    """The lanes of all `runners` in their order (runners count from 1), so that every lane stays where it was.

    Lanes of a runner that is not among `found` hold zeros, of which nothing is valid.
    """
    if len(found) >= runners:
        return Rollout.joined([*found.values()])
    empty = _emptied(next(iter(found.values())))
    return Rollout.joined([found.get(index, empty) for index in range(1, runners + 1)])


def equal_shares(found: Mapping[int, Rollout], learners: int) -> Rollout:
    """The lanes of the runners in `found`, without those that would be too many for equal shares of `learners`."""
    rollout = Rollout.joined([*found.values()])
    lanes = len(rollout.rewards)
    if lanes % learners == 0:
        return rollout
    fewer: dict[str, Any] = {name: values[: lanes - lanes % learners] for name, values in rollout.columns().items()}
    return replace(rollout, **fewer)


def _emptied(rollout: Rollout) -> Rollout:
    zeros: dict[str, Any] = {name: np.zeros_like(values) for name, values in rollout.columns().items()}
    return replace(rollout, **zeros, episodes={})
