"""The most that trading the synthetic market's hidden state can earn after costs.

A risk-neutral trader of at most one unit, who pays `cost_bps` per unit traded and knows the filtered state m_t, earns
kappa sigma m_t per bar and unit. Reward and cost are linear in the position, so the best rule is to switch: long above
a threshold q, short below -q, in between keep what is held. With x = m_t and D(x) the worth of being long, not short,

    D(x) = clip(2 kappa sigma x + E[D(x') | x], -2 cost, +2 cost),    x' = phi x + N(0, (1 - phi^2)(1 - P)),

whose fixed point gives q as the x at which the unclipped side reaches 2 cost.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.synthetic_truth import posterior_variance

_GRID_SDS = 5.0
_GRID_POINTS = 401
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class BestRule:
    """The best switching rule and what it is worth.

    `threshold` is on the filtered state (inf where no trade pays); `profit_bps` is the expected net profit per bar,
    `switches` the expected reversals (a close and an opposite entry, twice the cost per side) per bar.
    """

    threshold: float
    profit_bps: float
    switches: float


def best_rule(config: SyntheticConfig, mean_sigma: float, cost_bps: float) -> BestRule:
    """Solve for the best threshold on the filtered state and its expected profit.

    `mean_sigma` is E[sigma_t] as a fraction. Volatility is independent of the state, so the expected profit of this
    rule is exact although sigma_t varies; a rule that also watches sigma_t can earn somewhat more. The grid holds the
    state in 401 points over +-5 standard deviations.
    """
    if not cost_bps >= 0:
        raise InputError(f"cost_bps {cost_bps} is negative", where="synthetic market", remedy="use 0 or above")
    if config.kappa == 0.0:
        return BestRule(math.inf, 0.0, 0.0)
    phi = config.state_memory
    spread = math.sqrt(1.0 - posterior_variance(config))
    grid = np.linspace(-_GRID_SDS * spread, _GRID_SDS * spread, _GRID_POINTS)
    move = _transition(grid, phi, spread * math.sqrt(1.0 - phi**2))
    drift = 1e4 * config.kappa * mean_sigma * grid
    worth = np.zeros(_GRID_POINTS)
    while True:
        unclipped = 2.0 * drift + move @ worth
        updated = np.clip(unclipped, -2.0 * cost_bps, 2.0 * cost_bps)
        if np.max(np.abs(updated - worth)) <= _TOLERANCE * max(cost_bps, 1.0):
            break
        worth = updated
    # `unclipped` rises with x; between grid points it is close to linear.
    threshold = float(np.interp(2.0 * cost_bps, unclipped, grid, right=math.inf))
    if math.isinf(threshold):
        return BestRule(math.inf, 0.0, 0.0)
    return _value(grid, move, drift, threshold, cost_bps)


def _transition(grid: np.ndarray, phi: float, noise: float) -> np.ndarray:
    """Row i: probabilities of the grid cells after one bar from grid[i]; the outer cells take the tails."""
    edges = np.concatenate(([-np.inf], 0.5 * (grid[1:] + grid[:-1]), [np.inf]))
    return np.diff(ndtr((edges[None, :] - phi * grid[:, None]) / noise), axis=1)


def _value(grid: np.ndarray, move: np.ndarray, drift: np.ndarray, threshold: float, cost_bps: float) -> BestRule:
    """Expected profit of switching at `threshold`, from the stationary law of (state, side held)."""
    # Cells are points; the share of a cell that lies beyond the threshold keeps the value smooth in the threshold.
    width = grid[1] - grid[0]
    to_long = np.clip((grid - threshold) / width + 0.5, 0.0, 1.0)
    to_short = to_long[::-1]
    long_mass = np.full(len(grid), 0.5 / len(grid))  # by symmetry the short side is the mirror image
    while True:
        arriving = long_mass @ move
        updated = arriving * (1.0 - to_short) + arriving[::-1] * to_long
        if np.max(np.abs(updated - long_mass)) <= _TOLERANCE / len(grid):
            break
        long_mass = updated
    switches = 2.0 * float(np.sum(arriving * to_short))
    profit = 2.0 * float(np.sum(updated * drift)) - 2.0 * cost_bps * switches
    return BestRule(threshold, profit, switches)


def realised_profit(
    filtered: np.ndarray, open_: np.ndarray, threshold: float, cost_bps: float, start: int, stop: int | None
) -> float:
    """Mean net log return per bar, bps, of the switching rule decided on rows [start, stop), flat before the first.

    Decided at the close of bar t, filled at open[t+1], marked at open[t+2]; the last position is closed at cost.
    """
    last = len(open_) - 2
    rows = np.arange(start, last if stop is None else min(stop, last))
    if len(rows) == 0:
        raise InputError(f"rows {start}-{stop} hold no trade", where="synthetic market", remedy="add bars")
    wanted = np.where(filtered[rows] > threshold, 1.0, np.where(filtered[rows] < -threshold, -1.0, 0.0))
    decided = np.maximum.accumulate(np.where(wanted != 0.0, np.arange(len(rows)), -1))
    position = np.where(decided >= 0, wanted[decided], 0.0)
    traded = np.abs(np.diff(position, prepend=0.0, append=0.0)).sum()
    gross = float(np.sum(position * 1e4 * np.log(open_[rows + 2] / open_[rows + 1])))
    return (gross - cost_bps * traded) / len(rows)
