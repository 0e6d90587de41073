"""What an order costs and how large it is; what a bracket does stands in `features.brackets`, which labels share.

`side` is +1.0 for a long and -1.0 for a short position throughout; barriers that do not exist lie at ±inf. Money is in
the currency that the contract settles in: quote for spot and linear contracts, base for inverse ones.
"""

import math

import numpy as np

from envs import lanes
from envs import terms as T
from envs.compiled import inlined
from features.brackets import bracket_exit, bracket_levels, market_price, step_down, step_up
from features.vectors import any_of, select, smaller


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
    return step_down(size, terms[T.LOT_NUMERATOR], terms[T.LOT_DENOMINATOR])


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
    fitting = smaller(fraction, terms[T.EXPOSURE] * tied_up) * equity * per_money
    quantity = whole_lots(smaller(fitting, budget), terms)
    return select((quantity > 0.0) & (quantity * unit >= terms[T.MIN_NOTIONAL]), quantity, 0.0)


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
    maintenance, never = terms[T.MAINTENANCE], select(quantity > 0.0, -np.inf, np.inf)
    if maintenance == 0.0:
        return never
    if terms[T.INVERSE] == 0.0:
        price = -cash / (quantity - maintenance * abs(quantity))
    else:
        price = (quantity + maintenance * abs(quantity)) / cash
    return select((price > 0.0) & (price < np.inf), price, never)


@inlined
def side_of(quantity: float) -> float:
    """+1.0 for a long, -1.0 for a short position."""
    return select(quantity > 0.0, 1.0, -1.0)


@inlined
def entry_size(
    cash: float, target: float, arrival: float, half_spread: float, impact: float, budget: float, terms: np.ndarray
) -> tuple[float, float, float]:
    """Units that a market order for `target` enters at `arrival`: (size, size without its impact, size without budget).

    The size that fits the price without impact sets the impact by which the final size is found, which pays its own.
    """
    side, fraction, fee_rate = side_of(target), smaller(abs(target), 1.0), terms[T.TAKER_FEE]
    worst = market_price(arrival, side, half_spread)
    alone = order_quantity(cash, fraction, worst, fee_rate, np.inf, terms)
    wanted = alone
    if terms[T.IMPACT] > 0.0:
        allowed = select(alone <= budget, alone, whole_lots(budget, terms))
        worst = market_price(arrival, side, half_spread + impact_fraction(allowed, impact, terms))
        wanted = select(alone > 0.0, order_quantity(cash, fraction, worst, fee_rate, np.inf, terms), alone)
    size = wanted
    if any_of(wanted > budget):
        size = select(wanted > budget, order_quantity(cash, fraction, worst, fee_rate, budget, terms), wanted)
    return size, alone, wanted


@inlined
def entry_fill(
    side: float, size: float, mid: float, arrival: float, half_spread: float, impact: float, terms: np.ndarray
) -> tuple[float, float, float]:
    """What entering `size` at `arrival` by market order comes to: (price, cost of spread, of impact and latency)."""
    before = market_price(arrival, side, half_spread)
    price = market_price(arrival, side, half_spread + impact_fraction(size, impact, terms))
    spread = side * size * (worth(before, terms) - worth(arrival, terms))
    total = side * size * (worth(price, terms) - worth(mid, terms))
    return price, spread, total - spread


@inlined
def opened(
    cash: float,
    side: float,
    size: float,
    price: float,
    fee_rate: float,
    tp_bps: float,
    sl_bps: float,
    terms: np.ndarray,
) -> tuple[float, float, float, float, float, float]:
    """An entry at `price`, booked: (cash left, fee, take-profit, stop-loss, liquidation price, unit of risk)."""
    quantity = side * size
    fee = size * unit_notional(price, terms) * fee_rate
    left = cash - (quantity * worth(price, terms) + fee)
    take_profit, stop_loss = bracket_levels(
        price, side, tp_bps, sl_bps, terms[T.TICK_NUMERATOR], terms[T.TICK_DENOMINATOR]
    )
    distance = side * (price - stop_loss)
    risk_unit = select(distance < np.inf, distance, 0.01 * price)
    return left, fee, take_profit, stop_loss, liquidation_price(left, quantity, terms), risk_unit


@inlined
def exit_fill(
    side: float,
    size: float,
    entry_mid: float,
    mid: float,
    arrival: float,
    half_spread: float,
    impact: float,
    reason: int,
    terms: np.ndarray,
) -> tuple[float, float, float, float, float, float]:
    """What leaving `size` comes to: (price, change of cash, fee, cost of spread, of impact and latency, gross gain).

    A take-profit fills at `mid` itself, as maker; anything else at `arrival` moved by half-spread and impact, as taker.
    """
    taker = reason != lanes.BY_TAKE_PROFIT
    taker_fee = terms[T.TAKER_FEE] + select(reason == lanes.BY_LIQUIDATION, terms[T.LIQUIDATION_FEE], 0.0)
    fee_rate = select(taker, taker_fee, terms[T.MAKER_FEE])
    price = mid
    spread = impact_cost = select(taker, 0.0, 0.0)
    if any_of(taker):
        before = market_price(arrival, -side, half_spread)
        moved = market_price(arrival, -side, half_spread + impact_fraction(size, impact, terms))
        price = select(taker, moved, mid)
        spread = select(taker, side * size * (worth(arrival, terms) - worth(before, terms)), 0.0)
        impact_cost = select(taker, side * size * (worth(mid, terms) - worth(price, terms)) - spread, 0.0)
    fee = size * unit_notional(price, terms) * fee_rate
    gross = side * size * (worth(mid, terms) - worth(entry_mid, terms))
    return price, side * size * worth(price, terms) - fee, fee, spread, impact_cost, gross


@inlined
def is_win(gross: float, fees: float, spread: float, impact: float, funding: float) -> bool:
    """Whether an exit left a profit after all costs."""
    return gross - fees - spread - impact - funding > 0.0


@inlined
def nearer_level(side: float, stop_loss: float, liquidation: float) -> float:
    """The level that an adverse move meets first: the stop, or the liquidation price where that is nearer."""
    return select(side * (stop_loss - liquidation) > 0.0, stop_loss, liquidation)


@inlined
def liquidates(reason: int, side: float, mid: float, liquidation: float) -> bool:
    """Whether a stop at `mid` is the exchange's: it lies at or beyond the liquidation price."""
    return (reason == lanes.BY_STOP_LOSS) & (side * (mid - liquidation) <= 0.0)


@inlined
def exit_at_open(
    side: float,
    open_: float,
    extreme: float,
    take_profit: float,
    stop_loss: float,
    closing: int,
    wanted: float,
    target: float,
    allowed: bool,
    held: int,
    ttl: float,
    terms: np.ndarray,
) -> tuple[int, float, float, bool]:
    """Why a position ends at a bar's open: (reason, its price, the price its order meets, whether no entry may follow).

    extreme    the bar's adverse extreme
    closing    reason of an exit that is only partly filled, or NO_EXIT
    wanted     the position that the order and the breakers let be; `target` without breakers; `allowed` to trade at all
    """
    at_once, mid, _ = bracket_exit(side, open_, open_, open_, take_profit, stop_loss)
    arrival = arrival_price(open_, extreme, terms[T.LATENCY])
    by_bracket, by_rest, kept, late = (
        at_once != lanes.NO_EXIT,
        closing != lanes.NO_EXIT,
        side * wanted > 0.0,
        held >= ttl,
    )
    unwanted = select(allowed, select(side * target > 0.0, lanes.BY_RISK, lanes.BY_SIGNAL), lanes.BY_FORCE)
    reason = select(kept, select(late, lanes.BY_TIME_OUT, lanes.NO_EXIT), unwanted)
    reason = select(by_bracket, at_once, select(by_rest, closing, reason))
    return reason, mid, select(by_bracket, mid, arrival), by_bracket | by_rest | (late & kept)


@inlined
def exit_inside(reason: int, mid: float, take_profit: float, unclear: bool, terms: np.ndarray) -> tuple[int, float]:
    """(reason, price) of an exit inside a bar; where nothing told which barrier came first, the setting does."""
    target_first = unclear & (terms[T.TARGET_FIRST] != 0.0)
    return select(target_first, lanes.BY_TAKE_PROFIT, reason), select(target_first, take_profit, mid)
