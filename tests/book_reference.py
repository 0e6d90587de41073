"""The formulas of the level-2 features, written out slowly from their sources: plain Python, one window at a time."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from features.book.catalogue import LEVELS, level_fields
from features.config import BookParameters
from features.events import Events

Level = tuple[float, float]


class Ladders(NamedTuple):
    """One book: levels that are there, best first, and best prices, which stay when a side is gone."""

    bids: list[Level]
    asks: list[Level]
    b: float
    a: float

    @property
    def m(self) -> float:
        return (self.b + self.a) / 2

    def queue(self, side: int) -> float:
        levels = self[side]
        return levels[0][1] if levels else 0.0

    def size(self) -> float:
        """Mean quantity of a level."""
        return math.fsum(q for _, q in self.bids + self.asks) / (2 * LEVELS)


def ladders(books: Events, start: int, stop: int) -> list[Ladders]:
    """The books of one stretch, from the first that has both sides."""

    def side_levels(side: str) -> list[list[Level]]:
        fields = [books.columns[name][start:stop].tolist() for name in level_fields(side)]
        pairs = zip(*[zip(fields[2 * k], fields[2 * k + 1], strict=True) for k in range(LEVELS)], strict=True)
        return [[(p, q) for p, q in levels if math.isfinite(p) and p > 0 and q > 0] for levels in pairs]

    found: list[Ladders] = []
    for bids, asks in zip(side_levels("bid"), side_levels("ask"), strict=True):
        if found or (bids and asks):
            b = bids[0][0] if bids else found[-1].b
            a = asks[0][0] if asks else found[-1].a
            found.append(Ladders(bids, asks, b, a))
    return found


def balance(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b else 0.0


class Past:
    """The books of a stretch up to one of them; index 0 is the newest."""

    def __init__(self, stretch: list[Ladders], p: BookParameters) -> None:
        self.books = stretch[::-1]
        self.p = p

    def r(self, i: int) -> float:
        if i + 1 >= len(self.books):
            return 0.0
        return math.log(self.books[i].m) - math.log(self.books[i + 1].m)

    def flow(self, i: int, level: int) -> float:
        """Order flow at one level, Xu, Gould & Howison 2019, equations (4) and (5)."""
        if i + 1 >= len(self.books):
            return 0.0
        new, old = self.books[i], self.books[i + 1]
        nothing = {0: (-math.inf, 0.0), 1: (math.inf, 0.0)}

        def at(book: Ladders, side: int) -> Level:
            return book[side][level] if level < len(book[side]) else nothing[side]

        (b, r), (b_old, r_old) = at(new, 0), at(old, 0)
        (a, q), (a_old, q_old) = at(new, 1), at(old, 1)
        bid = r if b > b_old else r - r_old if b == b_old else -r_old
        ask = -q_old if a > a_old else q - q_old if a == a_old else q
        return bid - ask

    def flows(self, i: int = 0) -> list[float]:
        """F of each level for the window that ends `i` books ago."""
        scale = math.fsum(book.size() for book in self.books[i : i + self.p.long]) / self.p.long
        return [math.fsum(self.flow(i + k, level) for k in range(self.p.short)) / scale for level in range(LEVELS)]


def near(book: Ladders, side: int, bps: float) -> float:
    return math.fsum(q for price, q in book[side] if abs(price - book.m) * 1e4 <= bps * book.m)


def near_balance(x: Past, bps: float) -> float:
    totals = [near(book, 0, bps) + near(book, 1, bps) for book in x.books[: x.p.long]]
    return balance(totals[0], math.fsum(totals) / x.p.long)


def depth_imbalance(x: Past, k: int) -> float:
    bid, ask = (math.fsum(q for _, q in x.books[0][side][:k]) for side in (0, 1))
    return balance(bid, ask)


def entropy(levels: list[Level]) -> float:
    total = math.fsum(q for _, q in levels)
    return -math.fsum(q / total * math.log(q / total) for _, q in levels) / math.log(LEVELS)


def wall(book: Ladders, side: int) -> float:
    if not book[side]:
        return 0.0
    price, _ = max(book[side], key=lambda level: level[1])
    return 1e4 * abs(price - book.m) / book.m


def cumulated(book: Ladders, side: int) -> tuple[list[float], list[float]]:
    """Distances from the mid in bps and cumulated shares of the side's levels."""
    x = [1e4 * abs(price - book.m) / book.m for price, _ in book[side]]
    total = math.fsum(q for _, q in book[side])
    return x, [y / total for y in accumulate(q for _, q in book[side])]


def slope(book: Ladders, side: int) -> float:
    if len(book[side]) < 2:
        return 0.0
    x, y = cumulated(book, side)
    return float(np.polyfit(np.array(x) - np.mean(x), y, 1)[0])


def convexity(book: Ladders, side: int) -> float:
    """Area between share and chord in the unit square that both span, doubled."""
    if len(book[side]) < 3:
        return 0.0
    x, y = (np.array(v) for v in cumulated(book, side))
    u, v = (x - x[0]) / (x[-1] - x[0]), (y - y[0]) / (y[-1] - y[0])
    return float(2 * np.trapezoid(v - u, u))


def sweep(book: Ladders, side: int, notional: float) -> float:
    """Cost in bps, by filling the order share by share."""
    left, shares, worst = notional, 0.0, (book.b, book.a)[side]
    for price, q in book[side]:
        worst = price
        taken = min(left, price * q)
        shares += taken / price
        left -= taken
    shares += left / worst
    return (1 if side else -1) * 1e4 * (notional / shares - book.m) / book.m


def integrated(x: Past, component: PCA) -> float:
    """arXiv 2112.13213, equation (4): projection on the first component over its 1-norm."""
    w = component.components_[0] * np.sign(component.components_[0].sum())
    return float(w @ x.flows() / np.abs(w).sum())


def fit_component(x: Past) -> PCA:
    """scikit-learn's components of all complete buckets so far, each bucket weighted by its age.

    Rows scaled by the root of their weight, and their mirror images so that scikit-learn finds nothing to centre.
    """
    s, n = x.p.short, x.p.long
    rows = len(x.books)
    ends = [end for end in range(s - 1, rows, s) if end >= n]
    F = np.array([x.flows(rows - 1 - end) for end in ends])
    weights = 0.5 ** (np.arange(len(ends))[::-1] / x.p.component_half_life)
    centred = (F - np.average(F, axis=0, weights=weights)) * np.sqrt(weights)[:, None]
    return PCA(n_components=1, svd_solver="full").fit(np.concatenate((centred, -centred)))


def changes(x: Past, i: int, side: int) -> tuple[float, float]:
    """Quantity added and removed at prices that the book `i` events ago and the one before it both showed."""
    if i + 1 >= len(x.books):
        return 0.0, 0.0
    new, old = x.books[i][side], x.books[i + 1][side]

    def shown(price: float, levels: list[Level]) -> bool:
        if len(levels) < LEVELS:
            return True
        return price <= levels[-1][0] if side else price >= levels[-1][0]

    was, now = dict(old), dict(new)
    prices = [price for price in was.keys() | now.keys() if shown(price, old) and shown(price, new)]
    steps = [now.get(price, 0.0) - was.get(price, 0.0) for price in prices]
    return math.fsum(d for d in steps if d > 0), -math.fsum(d for d in steps if d < 0)


def total_changes(x: Past, side: int) -> tuple[float, float]:
    added, removed = zip(*[changes(x, i, side) for i in range(x.p.short)], strict=True)
    return math.fsum(added), math.fsum(removed)


def resilience(x: Past, side: int) -> float:
    n = x.p.long
    queues = [book.queue(side) for book in x.books[: 2 * n + 1]]
    pairs = []
    for i in range(n):
        mean = math.fsum(queues[i + 1 : i + 1 + n]) / n
        u, v = queues[i + 1] - mean, queues[i] - mean
        if u < 0:
            pairs.append((u, v))
    phi = math.fsum(u * v for u, v in pairs) / math.fsum(u * u for u, _ in pairs) if pairs else 0.0
    if phi <= 0:
        return 0.0
    return min(float(n), -math.log(2) / math.log(phi)) if phi < 1 else float(n)


def references(p: BookParameters) -> dict[str, Callable[[Past], float]]:
    """Formula of each feature by name, in catalogue order."""
    s, n, size = p.short, p.long, f"{p.sweep_notional:.15g}"
    sides: Sequence[tuple[int, str]] = ((0, "bid"), (1, "ask"))
    return {
        "book_spread_bps": lambda x: 1e4 * (x.books[0].a - x.books[0].b) / x.books[0].m,
        "book_imbalance": lambda x: balance(x.books[0].queue(0), x.books[0].queue(1)),
        f"book_mid_return_{s}": lambda x: 1e4 * math.log(x.books[0].m / x.books[s].m),
        f"book_mid_volatility_{n}": lambda x: 1e4 * math.sqrt(math.fsum(x.r(i) ** 2 for i in range(n))),
        **{f"depth_imbalance_{k}": (lambda x, k=k: depth_imbalance(x, k)) for k in (3, 5, 10)},
        **{
            f"near_imbalance_{bps:g}bps": (
                lambda x, bps=bps: balance(near(x.books[0], 0, bps), near(x.books[0], 1, bps))
            )
            for bps in p.near_bps
        },
        **{f"near_depth_{bps:g}bps": (lambda x, bps=bps: near_balance(x, bps)) for bps in p.near_bps},
        **{
            f"depth_entropy_{name}": (lambda x, k=k: entropy(x.books[0][k]) if x.books[0][k] else 0.0)
            for k, name in sides
        },
        **{f"wall_distance_{name}": (lambda x, k=k: wall(x.books[0], k)) for k, name in sides},
        **{f"book_slope_{name}": (lambda x, k=k: slope(x.books[0], k)) for k, name in sides},
        **{f"book_convexity_{name}": (lambda x, k=k: convexity(x.books[0], k)) for k, name in sides},
        f"sweep_buy_{size}": lambda x: sweep(x.books[0], 1, p.sweep_notional),
        f"sweep_sell_{size}": lambda x: sweep(x.books[0], 0, p.sweep_notional),
        f"sweep_asymmetry_{size}": lambda x: (
            sweep(x.books[0], 1, p.sweep_notional) - sweep(x.books[0], 0, p.sweep_notional)
        ),
        **{f"mlofi_{k}_{s}": (lambda x, k=k: x.flows()[k - 1]) for k in range(1, 6)},
        f"mlofi_sum_{s}": lambda x: math.fsum(x.flows()),
        f"integrated_ofi_{s}": lambda x: integrated(x, fit_component(x)),
        f"add_balance_{s}": lambda x: balance(total_changes(x, 0)[0], total_changes(x, 1)[0]),
        f"removal_balance_{s}": lambda x: balance(total_changes(x, 0)[1], total_changes(x, 1)[1]),
        **{f"net_add_{name}_{s}": (lambda x, k=k: balance(*total_changes(x, k))) for k, name in sides},
        **{f"resilience_{name}_{n}": (lambda x, k=k: resilience(x, k)) for k, name in sides},
    }
