"""Which actions can do anything at all, for policies that mask the others."""

import numpy as np

from data_pipeline.errors import InputError
from envs import lanes
from envs import terms as T
from envs.batch import LaneBatch
from envs.columns import DAY, TRADABLE
from envs.config import MarketConfig
from envs.risk import ACTIVE, REDUCING, next_states


def action_masks(batch: LaneBatch, config: MarketConfig) -> np.ndarray:
    """bool (N, A) for the N lanes of `batch`, where they stand: A = 3 (flat, long, short) for discrete actions,
    3 + n_tp + n_sl for multi_discrete ones, whose brackets are always allowed.

    A side is masked where wanting it means wanting to be flat: shorts on spot, everything on a row that cannot be
    traded or under a breaker that stops the account in the next bar, and what is not held under one that only reduces.
    Flat is always allowed. Raises InputError for continuous actions, which have no finite set to mask.
    """
    if config.action_mode == "continuous":
        raise InputError("continuous actions have no mask", where="action_masks", remedy="use a discrete action_mode")
    state, market = batch.state, batch.market
    quantity, risk, rows = state.money(lanes.QTY), state.count(lanes.RISK_STATE), state.count(lanes.ROW)
    if batch.terms[T.RISK] != 0.0:  # breakers of the config lift by themselves, as the next bar begins
        following = np.minimum(rows + 1, len(market) - 1)
        risk = next_states(state, market.calendar[following, DAY])
    open_ = (market.prices[rows, TRADABLE] != 0.0) & (state.count(lanes.PHASE) != lanes.HALTED)
    sides = np.empty((len(rows), 3), dtype=np.bool_)
    sides[:, 0] = True
    for column, side in ((1, 1.0), (2, -1.0)):
        held = quantity * side > 0.0
        sides[:, column] = open_ & ((risk == ACTIVE) | ((risk == REDUCING) & held))
    sides[:, 2] &= market.instrument.shortable
    if config.action_mode == "discrete":
        return sides
    brackets = np.ones((len(rows), len(config.tp_grid_bps) + len(config.sl_grid_bps)), dtype=np.bool_)
    return np.concatenate([sides, brackets], axis=1)
