"""Features as graphs: what each column is made from, down to the fields of a bar.

A `Node` is a column: an operation, the columns it reads, and its constants. From the graph follow, without anybody
writing it down, which fields a feature reads, how many rows it must wait (`warmup`), and what can be left out when it
is not selected. Equal columns are one node and are computed once, whoever asks for them. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from features.bars.ops import Op
from features.column_tables import LONGEST_WINDOW


@dataclass(frozen=True, eq=False)
class Node:
    """One column, made by `bar_field` or `column`; two of the same make are the same object."""

    op: Op | None
    """None: a field of the bar, `name`."""
    inputs: tuple[Node, ...]
    constants: tuple[float, ...]
    """What the operation is told besides its inputs: windows, shifts, weights."""
    state: int
    """Floats that the operation remembers; all 0 when a stretch begins."""
    warmup: int
    """Leading rows of a stretch in which the column means nothing."""
    fields: frozenset[str]
    """Fields of the bar that it is made from; `open_time_ms` where it reads the clock."""
    name: str = ""
    """Of the field."""


@cache
def bar_field(name: str) -> Node:
    """The column of one of `BAR_FIELDS`."""
    return Node(None, (), (), 0, 0, frozenset({name}), name)


@cache
def column(op: Op, inputs: tuple[Node, ...], constants: tuple[float, ...] = (), reach: int = 0, state: int = 0) -> Node:
    """The column that `op` makes; it looks `reach` rows further back than its inputs and remembers `state` floats."""
    fields = frozenset({"open_time_ms"} if op is Op.CLOCK else ()).union(*(node.fields for node in inputs))
    return Node(op, inputs, constants, state, max((node.warmup for node in inputs), default=0) + reach, fields)


def lag(x: Node, rows: int) -> Node:
    """x of `rows` bars ago."""
    return column(Op.LAG, (x,), (rows,), rows, rows)


def change(x: Node, rows: int) -> Node:
    """x less x of `rows` bars ago."""
    return column(Op.CHANGE, (x,), (rows,), rows, rows)


def total(x: Node, window: int) -> Node:
    """Σ x over the last `window` rows."""
    if window > LONGEST_WINDOW:  # by doubling, a live row would move too much state
        return column(Op.LONG_TOTAL, (x,), (window,), window - 1, window + 1)
    return column(Op.TOTAL, (x,), (window,), window - 1)


def deviation(x: Node, window: int) -> Node:
    """x - mean x over the last `window` rows."""
    return column(Op.DEVIATION, (x,), (window,), window - 1)


def scatter(x: Node, window: int) -> Node:
    """Σ (x - mean x)² over the last `window` rows."""
    return column(Op.SCATTER, (x,), (window,), window - 1)


def scatters(x: Node, y: Node, window: int) -> tuple[Node, Node, Node]:
    """Centred sums of x², x y and y² over the last `window` rows."""
    xx, xy, yy = (column(op, (x, y), (window,), window - 1) for op in (Op.SCATTER_X, Op.COSCATTER, Op.SCATTER_Y))
    return xx, xy, yy


def highest(x: Node, window: int) -> Node:
    """Largest x of the last `window` rows."""
    return column(Op.HIGHEST, (x,), (window,), window - 1)


def lowest(x: Node, window: int) -> Node:
    """Smallest x of the last `window` rows."""
    return negative(highest(negative(x), window))


def log(x: Node) -> Node:
    """ln x, x > 0."""
    return column(Op.LOG, (x,))


def difference(x: Node, y: Node) -> Node:
    """x - y."""
    return column(Op.DIFFERENCE, (x, y))


def negative(x: Node) -> Node:
    """-x."""
    return column(Op.NEGATIVE, (x,))


def absolute(x: Node) -> Node:
    """|x|."""
    return column(Op.ABSOLUTE, (x,))


def product(x: Node, y: Node) -> Node:
    """x y."""
    return column(Op.PRODUCT, (x, y))


def square(x: Node) -> Node:
    """x²."""
    return product(x, x)


def scaled(x: Node, factor: float) -> Node:
    """factor · x."""
    return column(Op.SCALED, (x,), (factor,))


def mean(x: Node, window: int) -> Node:
    """Mean of x over the last `window` rows."""
    return scaled(total(x, window), 1.0 / window)


def root_mean_square(x: Node, window: int) -> Node:
    """√ of the mean of x² over the last `window` rows."""
    return column(Op.ROOT_MEAN, (total(square(x), window),), (window,))


def balance(x: Node, y: Node) -> Node:
    """(x - y) / (x + y) of x, y >= 0; 0 when both are 0."""
    return column(Op.BALANCE, (x, y))


def ratio(x: Node, y: Node) -> Node:
    """x / y; 0 where y is not above 0."""
    return column(Op.RATIO, (x, y))


def correlation(x: Node, y: Node, window: int) -> Node:
    """Pearson correlation over the last `window` rows; 0 when either is constant."""
    return column(Op.CORRELATION, scatters(x, y, window))


def zscore(x: Node, window: int) -> Node:
    """(x - mean) / sd over the last `window` rows, sd with n - 1; 0 when sd = 0."""
    return column(Op.ZSCORE, (deviation(x, window), scatter(x, window)), (window,))
