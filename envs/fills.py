"""What an order costs and how large it is; what a bracket does stands in `features.brackets`, which labels share.

`side` is +1.0 for a long and -1.0 for a short position throughout; barriers that do not exist lie at ±inf. Money is in
the currency that the contract settles in: quote for spot and linear contracts, base for inverse ones.
"""

import math

import numpy as np

from envs import terms as T
from envs.compiled import inlined
from features.brackets import step_down, step_up


@inlined
def worth(price: float, terms: np.ndarray) -> float:
    """Value of one unit of position in settlement currency, up to a constant: gains are differences of it.

    An inverse contract of one quote unit gains 1 / entry - 1 / exit base units, the difference of -1 / price; so it
    behaves as a linear contract in that "price".
    """
    return price if terms[T.INVERSE] == 0.0 else -1.0 / price


@inlined
def unit_notional(price: float, terms: np.ndarray) -> float:
    """Notional of one unit of position in settlement currency."""
    return price if terms[T.INVERSE] == 0.0 else 1.0 / price


@inlined
def arrival_price(open_: float, extreme: float, latency: float) -> float:
    """Price that a market order meets when it arrives `latency` (root of the share of the bar) after the open.

    The expected extreme of a random walk up to a time grows with its root; taking that share of the way from the open
    to the bar's adverse `extreme` is as bad as it gets on average, and never leaves the bar's range.
    """
    return open_ + latency * (extreme - open_)


@inlined
def impact_fraction(size: float, coefficient: float, terms: np.ndarray) -> float:
    """Square-root impact of taking `size`: Y σ √(Q / V), `coefficient` being σ / √V of a day (Tóth et al. 2011)."""
    return terms[T.IMPACT] * coefficient * math.sqrt(size)


@inlined
def whole_lots(size: float, terms: np.ndarray) -> float:
    """`size` rounded down to the lot step; inf stays inf."""
    if size < np.inf:
        return step_down(size, terms[T.LOT_NUMERATOR], terms[T.LOT_DENOMINATOR])
    return size


@inlined
def order_quantity(equity: float, fraction: float, price: float, fee: float, budget: float, terms: np.ndarray) -> float:
    """Units to buy or sell short at `price` so that margin and entry fee fit into `fraction` of equity.

    notional / leverage + notional × fee <= fraction × equity and notional <= exposure limit × equity, at most `budget`
    units, rounded down to the lot step; 0.0 (refused) when that leaves less than the minimum notional, or nothing.
    """
    unit = unit_notional(price, terms)
    # The one division does not wait for the equity, which is known last.
    tied_up = terms[T.MARGIN] + fee
    per_money = 1.0 / (tied_up * unit)
    quantity = whole_lots(min(min(fraction, terms[T.EXPOSURE] * tied_up) * equity * per_money, budget), terms)
    if quantity > 0.0 and quantity * unit >= terms[T.MIN_NOTIONAL]:
        return quantity
    return 0.0


@inlined
def limit_level(close: float, side: float, offset_bps: float, terms: np.ndarray) -> float:
    """Price of a limit entry `offset_bps` behind `close`, rounded to the tick away from the market."""
    price = close * (1.0 - side * 1e-4 * offset_bps)
    numerator, denominator = terms[T.TICK_NUMERATOR], terms[T.TICK_DENOMINATOR]
    return step_down(price, numerator, denominator) if side > 0.0 else step_up(price, numerator, denominator)


@inlined
def liquidation_price(cash: float, quantity: float, terms: np.ndarray) -> float:
    """Price at which equity is down to the maintenance margin: ±inf, on the far side, where that cannot happen.

    cash + q w(P) = m |q| n(P), with w and n the worth and notional of a unit: for linear contracts
    P = -cash / (q - m |q|), for inverse ones P = (q + m |q|) / cash.
    """
    maintenance = terms[T.MAINTENANCE]
    price = 0.0
    if maintenance > 0.0:
        if terms[T.INVERSE] == 0.0:
            price = -cash / (quantity - maintenance * abs(quantity))
        else:
            price = (quantity + maintenance * abs(quantity)) / cash
    if price > 0.0 and price < np.inf:
        return price
    return -np.inf if quantity > 0.0 else np.inf
