"""How every bar feature is made: the graphs of all families by the names in the catalogue."""

from functools import cache

from features.bars.graph import Node
from features.bars.graph_core import flow_graphs, liquidity_graphs, price_graphs, volatility_graphs
from features.bars.graph_flow import calendar_graphs, impact_graphs, pressure_graphs, turnover_graphs
from features.bars.graph_price import (
    channel_graphs,
    complexity_graphs,
    memory_graphs,
    moment_graphs,
    momentum_graphs,
    range_graphs,
)
from features.config import BarParameters


@cache
def bar_graphs(parameters: BarParameters) -> dict[str, Node]:
    """The graph of each feature of `bar_catalogue(parameters)`, by name."""
    p = parameters
    core = price_graphs(p) | volatility_graphs(p) | flow_graphs(p) | liquidity_graphs(p)
    price = momentum_graphs(p) | channel_graphs(p) | moment_graphs(p) | range_graphs(p)
    order = memory_graphs(p) | complexity_graphs(p)
    flow = pressure_graphs(p) | turnover_graphs(p) | impact_graphs(p) | calendar_graphs()
    return core | price | order | flow
