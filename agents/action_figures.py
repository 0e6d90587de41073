"""What the policy wanted in one fragment of experience: as orders, which mean the same in every action mode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.heads import ActionHead
from agents.runner import Rollout
from envs.actions import ORDER_WIDTH, ActionDecoder
from envs.config import MarketConfig

Histogram = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Values (n,) and the edges of the bins (k + 1,)."""
BINS = 40


class ActionFigures:
    """Shares and histograms of the decisions of one rollout.

    Args:
        rollout: what was sampled.
        head: what its actions mean to the environment.
        config: what the environment's actions mean as orders.
        side_column: observation column that tells the held side.
    """

    def __init__(self, rollout: Rollout, head: ActionHead, config: MarketConfig, side_column: int) -> None:
        decoder, actions = ActionDecoder(config), head.to_env(rollout.actions[rollout.valid])
        self._config = config
        self.orders = np.zeros((len(actions), ORDER_WIDTH))
        decoder.decode(decoder.as_batch(actions, len(actions)), self.orders)
        self.held = rollout.observations[:, :-1, side_column][rollout.valid]

    def shares(self) -> dict[str, float]:
        """`actions/*_share` of the decisions that wanted each side, and `episode/time_in_market`, the share of the
        bars at whose close a position was held."""
        target = self.orders[:, 0]
        return {
            "actions/long_share": float(np.mean(target > 0.0)),
            "actions/short_share": float(np.mean(target < 0.0)),
            "actions/flat_share": float(np.mean(target == 0.0)),
            "episode/time_in_market": float(np.mean(self.held != 0.0)),
        }

    def histograms(self) -> dict[str, Histogram]:
        """What the policy chooses beside sides: `actions/target` (side × size) of all decisions, and the brackets of
        those that would open a position, `actions/take_profit_bps`, `actions/stop_loss_bps`. Empty for discrete
        actions, which `shares` tell in full."""
        config, target = self._config, self.orders[:, 0]
        continuous = config.action_mode == "continuous"
        found: dict[str, Histogram] = {}
        if continuous:
            found["actions/target"] = (target, np.linspace(-1.0, 1.0, BINS + 1))
        opening = (target != 0.0) & (np.sign(target) != self.held)
        if config.action_mode != "discrete" and opening.any():
            for column, name in ((1, "take_profit"), (2, "stop_loss")):
                grid = np.array(config.tp_grid_bps if column == 1 else config.sl_grid_bps)
                found[f"actions/{name}_bps"] = (self.orders[opening, column], _edges(grid, continuous))
        return found


def _edges(grid: NDArray[np.float64], continuous: bool) -> NDArray[np.float64]:
    """Bins across the grid's range, or a narrow one around each of its values: TensorBoard spreads a bin's count evenly
    over its width, which for wide ones shows choices that do not exist."""
    if continuous and grid[-1] > grid[0]:
        return np.linspace(grid[0], grid[-1], BINS + 1)
    reach = 0.1 * float(np.min(np.diff(grid), initial=10.0))
    return np.stack([grid - reach, grid + reach], 1).ravel()
