"""Graphs of statistics from window sums of products, and of filters, that several families share."""

import math
from decimal import Decimal, localcontext

from features.bars.graph import Node, absolute, column, lag, product, scaled, square, total
from features.bars.ops import Op


def correlation_of_sums(x: Node, y: Node, window: int) -> Node:
    """Pearson correlation over the window from plain sums; 0 when either is constant."""
    sums = (total(product(x, y), window), total(x, window), total(y, window))
    return column(Op.CORRELATION_OF_SUMS, (*sums, total(square(x), window), total(square(y), window)), (window,))


def autocorrelation(x: Node, rows: int, window: int) -> Node:
    """Correlation of x with itself some rows before; the sums of the earlier values are earlier sums."""
    plain, squares = total(x, window), total(square(x), window)
    sums = (total(product(x, lag(x, rows)), window), plain, lag(plain, rows), squares, lag(squares, rows))
    return column(Op.CORRELATION_OF_SUMS, sums, (window,))


def correlation_with_last(x: Node, y: Node, window: int) -> Node:
    """Correlation of x with the y of the bar before."""
    sums = (total(product(x, lag(y, 1)), window), total(x, window), lag(total(y, window), 1))
    squares = (total(square(x), window), lag(total(square(y), window), 1))
    return column(Op.CORRELATION_OF_SUMS, (*sums, *squares), (window,))


def taps(x: Node, weights: list[float]) -> Node:
    """Σ weights[k] x[-k]."""
    padded = [*weights, *[0.0] * (-len(weights) % 4)]
    return column(Op.TAPS, (x,), (len(padded), *padded), len(weights) - 1, 2 * (len(padded) - 1))


def time_weights(window: int) -> list[float]:
    """u with Σ u = 0 and Σ u² = 1 that rises evenly with time, newest first."""
    norm = math.sqrt(window * (window * window - 1) / 12)
    return [((window - 1) / 2 - k) / norm for k in range(window)]


def correlation_with_time(x: Node, window: int) -> Node:
    """Correlation of x with time; 0 when x is constant."""
    sums = (taps(x, time_weights(window)), total(x, window), total(square(x), window))
    return column(Op.CORRELATION_WITH_TIME, sums, (window,))


def slope(returns: Node, window: int) -> Node:
    """Least-squares slope per row of `window` values on time, from the differences between them.

    A difference moves every later value, so its weight is the sum of theirs: no level enters.
    """
    norm = window * (window * window - 1) / 12
    weights = [(window - 1) / 2 - k for k in range(window)]
    return taps(returns, [sum(weights[: k + 1]) / norm for k in range(window - 1)])


def share(part: Node, whole: Node, window: int) -> Node:
    """Σ part / Σ whole, 0 where the latter is 0."""
    return column(Op.RATIO, (total(part, window), total(whole, window)))


def share_of_size(x: Node, window: int) -> Node:
    """Σ x / Σ |x|, 0 where that is 0."""
    return share(x, absolute(x), window)


def entropy(symbols: Node, count: int, window: int) -> Node:
    """Entropy of the last `window` symbols 0 .. count - 1 over that of equally likely ones.

    The table holds c ln c in units of 2^-40, as whole numbers; `decimal` rounds alike on every machine.
    """
    unit = 2**40
    with localcontext() as context:
        context.prec = 40
        table = [0.0] + [float(round(c * Decimal(c).ln() * unit)) for c in range(1, window + 1)]
        weight = float(1 / (window * unit * Decimal(count).ln()))
    constants = (window, count, weight, table[window] * weight, *table)
    return column(Op.SYMBOL_ENTROPY, (symbols,), constants, window - 1, 3 + count + window)


def wilder_ratio(x: Node, span: int) -> Node:
    """Wilder average of x over that of |x|; 0 when there is none."""
    return column(Op.WILDER_RATIO, (x,), (span, x.warmup), span - 1, 3)


def wilder_mean(x: Node, span: int) -> Node:
    """Wilder average of x: weights fade by 1 - 1/span a row."""
    return column(Op.WILDER_MEAN, (x,), (span, x.warmup), span - 1, 3)


def age_of_highest(x: Node, window: int) -> Node:
    """Rows since the highest x of the window, the latest of equals."""
    return column(Op.AGE_OF_HIGHEST, (x,), (window,), window - 1, window + 3)


def add_scaled(x: Node, y: Node, factor: float) -> Node:
    """x + factor · y."""
    return column(Op.ADD_SCALED, (x, y), (factor,))


def mean_of_products(x: Node, y: Node, window: int, factor: float = 1.0) -> Node:
    """factor · mean x y."""
    return scaled(total(product(x, y), window), factor / window)
