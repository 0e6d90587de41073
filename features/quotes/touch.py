"""The best bid and ask: what counts as a side that is there, and the formulas that level 1 and level 2 share."""

import math

from numba import njit


@njit(error_model="numpy", forceinline=True)
def side_stands(price: float, qty: float) -> bool:
    """Whether a side of the book is there: a price and a quantity, both finite and positive.

    Everything else means an empty side: quantity 0, NaN, and the ±9999999999 that LOBSTER writes with quantity 0.
    """
    return 0.0 < price < math.inf and 0.0 < qty < math.inf


@njit(error_model="numpy", forceinline=True)
def ratio(a: float, b: float) -> float:
    """a / b, 0 where b is not positive."""
    return a / b if b > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def bid_flow(price: float, qty: float, last_price: float, last_qty: float) -> float:
    """Change of the queue at a bid level (Cont, Kukanov & Stoikov 2014): what is there now minus what was.

    A higher price is a new queue, a lower one the loss of the old queue, the same price the difference of the two.
    """
    flow = 0.0
    if price >= last_price:
        flow += qty
    if price <= last_price:
        flow -= last_qty
    return flow


@njit(error_model="numpy", forceinline=True)
def ask_flow(price: float, qty: float, last_price: float, last_qty: float) -> float:
    """The same at an ask level, where a lower price is a new queue; order flow imbalance is `bid_flow` - `ask_flow`."""
    return bid_flow(-price, qty, -last_price, last_qty)
