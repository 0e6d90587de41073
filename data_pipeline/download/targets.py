"""What a download has to fetch: the wanted range of each symbol, held against the market's life and the ledger."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.rest import Market, RestSource
from data_pipeline.errors import InputError
from data_pipeline.schema import iso_time
from data_pipeline.store.instruments import put_instrument
from data_pipeline.store.layout import Series, Span, month_span, split_by_month, subtract, to_ms
from data_pipeline.store.ledger import Ledger
from data_pipeline.venue import Venue, contract_of


@dataclass(frozen=True, slots=True)
class Target:
    """One series and the span wanted of it, inside the life [first, last) of its market (None: unknown, or no end)."""

    series: Series
    market: Market | None
    span: Span
    first_ms: int | None
    last_ms: int | None

    def life(self, span: Span) -> Span:
        """The piece of `span` in which the market lived; may be empty (start not below stop)."""
        start = span[0] if self.first_ms is None else max(span[0], self.first_ms)
        return start, span[1] if self.last_ms is None else min(span[1], self.last_ms)

    def todo(self, ledger: Ledger) -> list[Span]:
        """What of the wanted span is not stored yet, in order, cut at months."""
        left = subtract(self.span, ledger.coverage(self.series))
        return [piece for span in left for piece in split_by_month(span)]

    def whole_months(self, ledger: Ledger, now_ms: int) -> list[Span]:
        """Closed months of the wanted span of which nothing is stored yet."""
        covered = ledger.coverage(self.series)
        months = []
        for start, _ in split_by_month(self.span):
            month = month_span(start)
            if month[1] <= now_ms and subtract(month, covered) == [month]:
                months.append(month)
        return months


def venue_of(config: DownloadConfig) -> Venue:
    """The one venue of all symbols. Raises InputError when spot and perpetuals are mixed."""
    contracts = {symbol: contract_of(symbol) for symbol in config.symbols}
    if len(set(contracts.values())) > 1:
        raise InputError(
            f"{' '.join(config.symbols)} mix spot and perpetual",
            where="--symbols",
            remedy="download them in two runs; they go into the same store",
        )
    return Venue(config.exchange, next(iter(contracts.values())))


def wanted_range(config: DownloadConfig) -> tuple[int, int | None]:
    """(since, until) in milliseconds. Raises InputError when they are no dates or stand the wrong way round."""
    since, until = to_ms(config.since, "since"), to_ms(config.until, "until")
    assert since is not None
    if until is not None and until <= since:
        raise InputError(f"until {config.until} is not after since {config.since}", where="--until", remedy="swap them")
    return since, until


def clip_to_past(since: int, until: int | None, closed_before: int, step: int) -> Span:
    """The wanted range on the grid, without what has not closed yet. Raises InputError when nothing is left."""
    start = -(-since // step) * step
    stop = closed_before if until is None else min(-(-until // step) * step, closed_before)
    if start >= stop:
        raise InputError(
            f"the range from {iso_time(since)} has no closed bar yet (the last one ends {iso_time(closed_before)})",
            where="--since",
            remedy="choose an earlier date",
        )
    return start, stop


async def rest_target(rest: RestSource, ledger: Ledger, symbol: str, config: DownloadConfig) -> Target:
    """The target of one symbol by what the exchange says of it; snapshots the instrument on the way.

    Raises InputError for an unknown symbol, a range in the future, and a market that ended before the range.
    """
    market = rest.market(symbol, config.interval)
    step = market.series.interval_ms
    span = clip_to_past(*wanted_range(config), rest.closed_before(step), step)
    first, last = await rest.bounds(market, span[0])
    known, _ = ledger.bounds(market.series)
    if rest.endpoint is None and first is not None and known is not None:
        first = min(first, known)  # what the venue serves no more may be in the store
    if last is not None and last <= span[0]:
        raise InputError(
            f"{symbol} was delisted before the range: its last bar ended {iso_time(last)}",
            where="--symbols",
            remedy="choose an earlier --since, or the instrument that followed it",
        )
    if first is not None and first >= span[1]:
        raise InputError(
            f"{symbol} was listed after the range: its first bar opens {iso_time(first)}",
            where="--symbols",
            remedy="choose a later --until, or the instrument that came before it",
        )
    instrument = rest.instrument(market)
    if instrument is not None:
        name = rest.venue.name
        put_instrument(ledger, name, instrument, str(market.info["id"]), market.active, rest.now_ms())
    ledger.set_bounds(market.series, first, last)
    target = Target(market.series, market, span, first, last)
    return Target(market.series, market, target.life(span), first, last)


def pages(targets: list[Target], ledger: Ledger, page_ms: dict[Series, int]) -> deque[tuple[Target, Span]]:
    """Everything still to be read by REST in requests of at most a page, the symbols taking turns."""
    queues = []
    for target in targets:
        size = page_ms[target.series]
        spans = [
            (start, min(start + size, stop)) for low, stop in target.todo(ledger) for start in range(low, stop, size)
        ]
        queues.append(deque((target, span) for span in spans))
    order: deque[tuple[Target, Span]] = deque()
    while any(queues):
        for queue in queues:
            if queue:
                order.append(queue.popleft())
    return order
