"""How the markets of a run reach its workers: once per machine, however many workers it has.

On one machine markets are folders that every worker maps into memory. The machines of a cluster may share no folder:
there a market becomes one object of Ray's store, which sends it to each machine once; its workers read the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ray

from envs.market import Market, open_market

Shipped = list[str | ray.ObjectRef]


def ship_markets(sources: Sequence[Market | str | Path], folder: Path, *, cluster: bool) -> Shipped:
    """What to send to workers in place of the markets; `open_markets` turns it back there.

    Args:
        sources: markets, or folders written by `Market.save`.
        folder: where markets given in memory are saved, if they go by folders.
        cluster: send them through Ray's object store. This process must stay: it owns the objects.
    """
    if cluster:
        return [ray.put(open_market(source)) for source in sources]
    shipped: Shipped = []
    for number, source in enumerate(sources):
        saved = source.save(folder / f"{number:03d}") if isinstance(source, Market) else Path(source)
        shipped.append(str(saved.resolve()))
    return shipped


def open_markets(shipped: Shipped) -> list[Market]:
    """The markets, their arrays read-only views of memory that the workers of a machine share."""
    return [open_market(each) if isinstance(each, str) else ray.get(each) for each in shipped]
