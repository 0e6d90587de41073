"""What a policy sees: the market's row followed by its account, in units that do not depend on price or currency."""

from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from envs.market import Market

OBSERVATION_BOUND = 1_000.0
"""Market columns lie within ± this: enough for any scaled feature, far from any raw price."""

ACCOUNT_BOUND = 10.0
"""Account columns are clipped to ± this."""

ACCOUNT_COLUMNS: tuple[str, ...] = (
    "account_side",  # +1 long, -1 short, 0 flat
    "account_exposure",  # position value / (equity × leverage)
    "account_unrealised",  # move since entry in the position's favour, in units of risk
    "account_to_take_profit",  # way left to the take-profit, in the same units (0 when flat or without one)
    "account_to_stop",  # way left to the stop, in the same units (0 when flat or without one)
    "account_held",  # bars held / bars allowed (0 when there is no time-out)
    "account_log_return",  # ln(equity / initial capital)
    "account_drawdown",  # 1 - equity / highest equity of the episode
    "account_capital",  # (log10(equity) - 3.5) / 1.5: -1 at 100, +1 at 100,000 quote units
)


def observation_columns(market: "Market") -> tuple[str, ...]:
    """Names of the D columns that a policy's observation has on `market`."""
    return (*market.columns, *ACCOUNT_COLUMNS)


def observation_space(market: "Market") -> spaces.Box:
    """Box float32 (D,): market columns within ±1000, account columns within ±10."""
    high = np.full(len(market.columns) + len(ACCOUNT_COLUMNS), OBSERVATION_BOUND, dtype=np.float32)
    high[len(market.columns) :] = ACCOUNT_BOUND
    return spaces.Box(-high, high, dtype=np.float32)
