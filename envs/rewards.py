"""What one step is worth to a learner, in one of four forms (`MarketConfig.reward`). Compiled part of `envs.kernel`."""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.compiled import inlined
from envs.fills import unit_notional


@inlined
def step_reward(i: int, change: float, deeper: float, close: float, account: np.ndarray, terms: np.ndarray) -> float:
    """reward_scale × the chosen form, w being `reward_weight`:

    log_equity           r, the change in log equity net of everything
    differential_sharpe  dS/dw of the exponential Sharpe ratio (Moody & Saffell 2001, eq. 14), (B ΔA - ½ A ΔB) /
                         (B - A²)^1.5 with ΔA = r - A, ΔB = r² - B and decay w
    drawdown             r - w × `deeper`, the step's fall of equity as a fraction of the highest equity
    inventory            r - w × (position value / equity)² × 1e-4: about w basis points a bar at full exposure
    """
    mode = terms[T.REWARD_MODE]
    reward = change
    if mode == T.DIFFERENTIAL_SHARPE:
        mean, square = account[lanes.MEAN_RETURN, i], account[lanes.MEAN_SQUARE, i]
        to_mean, to_square = change - mean, change * change - square
        variance = square - mean * mean
        reward = (square * to_mean - 0.5 * mean * to_square) / variance**1.5 if variance > 1e-16 else 0.0
        account[lanes.MEAN_RETURN, i] = mean + terms[T.REWARD_WEIGHT] * to_mean
        account[lanes.MEAN_SQUARE, i] = square + terms[T.REWARD_WEIGHT] * to_square
    elif mode == T.DRAWDOWN_PENALTY:
        reward = change - terms[T.REWARD_WEIGHT] * deeper
    elif mode == T.INVENTORY_PENALTY:
        quantity, equity = account[lanes.QTY, i], account[lanes.EQUITY, i]
        if quantity != 0.0 and equity > 0.0:
            exposure = quantity * unit_notional(close, terms) / equity
            reward = change - terms[T.REWARD_WEIGHT] * 1e-4 * exposure * exposure
    return terms[T.REWARD_SCALE] * reward
