"""How large an order is; the prices that it fills at are the business of `features.brackets`."""

import numpy as np

from envs import lanes
from envs.compiled import inlined
from features.brackets import step_down


@inlined
def order_quantity(equity: float, fraction: float, price: float, terms: np.ndarray) -> float:
    """Base units to buy or sell short at `price` so that margin and entry fee fit into `fraction` of equity.

    notional / leverage + notional × taker fee <= fraction × equity, rounded down to the lot step; 0.0 (refused) when
    that leaves less than the minimum notional, or nothing.
    """
    notional = fraction * equity / (1.0 / terms[lanes.LEVERAGE] + terms[lanes.TAKER_FEE])
    quantity = step_down(notional / price, terms[lanes.LOT_NUMERATOR], terms[lanes.LOT_DENOMINATOR])
    if quantity > 0.0 and quantity * price >= terms[lanes.MIN_NOTIONAL]:
        return quantity
    return 0.0
