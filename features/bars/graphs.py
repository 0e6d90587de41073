"""How every bar feature is made: the graphs of all families by the names in the catalogue."""

from functools import cache

from features.bars.graph import Node
from features.bars.graph_core import flow_graphs, liquidity_graphs, price_graphs, volatility_graphs
from features.config import BarParameters


@cache
def bar_graphs(parameters: BarParameters) -> dict[str, Node]:
    """The graph of each feature of `bar_catalogue(parameters)`, by name."""
    p = parameters
    return price_graphs(p) | volatility_graphs(p) | flow_graphs(p) | liquidity_graphs(p)
