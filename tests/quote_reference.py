"""The formulas of the level-1 features, written out slowly from their sources: plain Python, one window at a time."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from features.config import QuoteParameters
from features.events import Events


class Touch(NamedTuple):
    """One quote; a side that is missing has the price it had last, and quantity 0."""

    time_ns: int
    b: float
    qb: float
    a: float
    qa: float

    @property
    def m(self) -> float:
        return (self.b + self.a) / 2

    @property
    def spread(self) -> float:
        return 1e4 * (self.a - self.b) / self.m

    @property
    def abnormal(self) -> float:
        return float(self.qb == 0 or self.qa == 0 or self.a <= self.b)

    @property
    def depth(self) -> float:
        return (self.qb + self.qa) / 2


def touches(quotes: Events, start: int, stop: int) -> list[Touch]:
    """The quotes of one stretch, from the first that has both sides."""
    found: list[Touch] = []
    fields = [quotes.columns[name][start:stop].tolist() for name in ("bid_px", "bid_sz", "ask_px", "ask_sz")]
    for time_ns, b, qb, a, qa in zip(quotes.time_ns[start:stop].tolist(), *fields, strict=True):
        bid_there = b > 0 and qb > 0 and math.isfinite(b)
        ask_there = a > 0 and qa > 0 and math.isfinite(a)
        if found or (bid_there and ask_there):
            last = found[-1] if found else None
            bid = (b, qb) if bid_there or last is None else (last.b, 0.0)
            ask = (a, qa) if ask_there or last is None else (last.a, 0.0)
            found.append(Touch(time_ns, *bid, *ask))
    return found


class Past:
    """The quotes of a stretch up to one of them; index 0 is the newest."""

    def __init__(self, stretch: list[Touch], parameters: QuoteParameters) -> None:
        self.q = stretch[::-1]
        self.p = parameters

    def r(self, i: int) -> float:
        """Log return of the mid; the first quote of a stretch has none."""
        return math.log(self.q[i].m) - math.log(self.q[i + 1].m) if i + 1 < len(self.q) else 0.0

    def e(self, i: int) -> float:
        """Cont, Kukanov & Stoikov 2014, equation (4)."""
        if i + 1 == len(self.q):
            return 0.0
        new, old = self.q[i], self.q[i + 1]
        return (
            (new.b >= old.b) * new.qb
            - (new.b <= old.b) * old.qb
            - (new.a <= old.a) * new.qa
            + (new.a >= old.a) * old.qa
        )

    def weight(self, i: int, tau_ms: float) -> float:
        return math.exp(-(self.q[0].time_ns - self.q[i].time_ns) / 1e6 / tau_ms)

    def fading(self, value: Callable[[int], float], tau_ms: float) -> float:
        return math.fsum(value(i) * self.weight(i, tau_ms) for i in range(len(self.q)))

    def seconds(self, tau_ms: float) -> float:
        """Time in the exponential window: all of it, less what lies before the stretch."""
        return tau_ms / 1e3 * (1 - self.weight(len(self.q) - 1, tau_ms))

    def mean_depth(self, n: int) -> float:
        return math.fsum(q.depth for q in self.q[:n]) / n


def imbalance(q: Touch) -> float:
    return (q.qb - q.qa) / (q.qb + q.qa) if q.qb + q.qa else 0.0


def standing_imbalance(x: Past, tau_ms: float) -> float:
    """Each imbalance weighted by the exponential weight of the time it stood; the first one for all time before."""
    total = imbalance(x.q[-1]) * x.weight(len(x.q) - 1, tau_ms)
    stood = [x.weight(i, tau_ms) - x.weight(i + 1, tau_ms) for i in range(len(x.q) - 1)]
    return total + math.fsum(w * imbalance(x.q[i + 1]) for i, w in enumerate(stood))


def log_ratio(q: Touch) -> float:
    if q.qb == 0 or q.qa == 0:
        return 10.0 * ((q.qb > 0) - (q.qa > 0))
    return min(10.0, max(-10.0, math.log(q.qb / q.qa)))


def size_change(x: Past, n: int) -> float:
    net, gross = [], []
    for new, old in zip(x.q[:n], x.q[1 : n + 1], strict=True):
        bid = new.qb - old.qb if new.b == old.b else 0.0
        ask = new.qa - old.qa if new.a == old.a else 0.0
        net.append(bid - ask)
        gross.append(abs(bid) + abs(ask))
    return math.fsum(net) / math.fsum(gross) if any(gross) else 0.0


def over(a: float, b: float) -> float:
    return a / b if b else 0.0


def flicker(x: Past, n: int) -> float:
    """Correlation about 0 of each move of the mid among the last n quotes with the move before it, in the stretch."""
    moves = [(i, x.r(i)) for i in range(len(x.q)) if x.r(i) != 0.0]
    pairs = [(now, before) for (i, now), (_, before) in pairwise(moves) if i < n]
    if not pairs:
        return 0.0
    norm = math.sqrt(math.fsum(a * a for a, _ in pairs) * math.fsum(b * b for _, b in pairs))
    return math.fsum(a * b for a, b in pairs) / norm


def since_move(x: Past) -> float:
    moved = next((i for i in range(len(x.q)) if x.r(i) != 0.0), len(x.q) - 1)
    return math.log(1 + (x.q[0].time_ns - x.q[moved].time_ns) / 1e6)


def zscore(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    ss = math.fsum((v - mean) ** 2 for v in values)
    return (values[0] - mean) / math.sqrt(ss / (len(values) - 1)) if ss else 0.0


def microprice(stretch: list[Touch], p: QuoteParameters) -> float:
    """Micro-price minus mid in bps at the last of these quotes, by the author's notebook (sstoikov/microprice).

    Transcribed from `prep_data_sym`, `estimate` and `plot_Gstar` with four changes: buckets of equal width for
    quantiles, tables filled up with zeros where a combination never occurs, no assumption of a cent tick, and states
    from which no move was ever reached at 0, where the author's matrix would be singular. Only quotes up to the last
    multiple of `microprice_refit` are used.
    """
    now, fitted = stretch[-1], stretch[: len(stretch) - len(stretch) % p.microprice_refit]
    if now.abnormal:
        return 0.0
    n_imb, n_spread = p.imbalance_buckets, p.spread_ticks
    T = pd.DataFrame(fitted, columns=["time", "bid", "bs", "ask", "as"])
    T = T[(T["bs"] > 0) & (T["as"] > 0) & (T["ask"] > T["bid"])].reset_index(drop=True)
    seen = [q for q in stretch if not q.abnormal]
    tick = min(q.a - q.b for q in seen)
    # A quote narrower than three quarters of all before it shows a finer tick, and what came before does not count.
    narrowest = T["ask"] - T["bid"]
    T = T[int((narrowest <= tick / 0.75).to_numpy().argmax()) :]
    T = T.assign(spread=np.round((T["ask"] - T["bid"]) / tick), mid=(T["bid"] + T["ask"]) / 2)
    T = T[(T["spread"] <= n_spread) & (T["spread"] > 0)]
    imb = T["bs"] / (T["bs"] + T["as"])
    T = T.assign(imb_bucket=np.minimum(np.floor(imb * n_imb), n_imb - 1))
    T = T.assign(next_spread=T["spread"].shift(-1), next_imb_bucket=T["imb_bucket"].shift(-1))
    T = T.assign(dM=np.round((T["mid"].shift(-1) - T["mid"]) / tick * 2) / 2)
    T = T[(T["dM"] <= 1.1) & (T["dM"] >= -1.1)]
    T2 = T.copy()
    T2["imb_bucket"] = n_imb - 1 - T2["imb_bucket"]
    T2["next_imb_bucket"] = n_imb - 1 - T2["next_imb_bucket"]
    T2["dM"] = -T2["dM"]
    T = pd.concat([T, T2])
    states = pd.MultiIndex.from_product([range(1, n_spread + 1), range(n_imb)])
    K = np.array([-1.0, -0.5, 0.5, 1.0])

    def counts(rows: pd.DataFrame, columns: list[str], grid: pd.Index) -> np.ndarray:
        here = [rows["spread"].astype(int), rows["imb_bucket"].astype(int)]
        there = rows[columns[0]] if len(columns) == 1 else [rows[name].astype(int) for name in columns]
        table = pd.crosstab(here, there)
        return table.reindex(index=states, columns=grid, fill_value=0).to_numpy(dtype=float)

    following = ["next_spread", "next_imb_bucket"]
    Q = counts(T[T["dM"] == 0], following, states)
    R1 = counts(T[T["dM"] != 0], ["dM"], pd.Index(K))
    R2 = counts(T[T["dM"] != 0], following, states)
    total = np.maximum((Q.sum(axis=1) + R1.sum(axis=1))[:, None], 1.0)
    moving = R1.sum(axis=1) > 0
    for _ in states:
        moving |= (Q[:, moving] > 0).any(axis=1)
    inverse = np.linalg.inv(np.eye(len(states)) - np.where(moving[:, None], Q, 0.0) / total)
    G1 = inverse @ (R1 / total) @ K
    B = inverse @ (R2 / total)
    G6 = sum(np.linalg.matrix_power(B, k) @ G1 for k in range(6))
    bucket = min(math.floor(n_imb * now.qb / (now.qb + now.qa)), n_imb - 1)
    spread = min(round((now.a - now.b) / tick), n_spread)
    return 1e4 * tick * G6[(spread - 1) * n_imb + bucket] / now.m


def references(p: QuoteParameters) -> dict[str, Callable[[Past], float]]:
    """Formula of each feature by name, in catalogue order; the micro-price apart (`microprice`)."""
    s, n = p.short, p.long
    taus = (p.fast_ms, p.slow_ms)

    def moved(x: Past, i: int) -> float:
        return float(x.r(i) != 0.0)

    return {
        "spread_bps": lambda x: x.q[0].spread,
        f"spread_zscore_{n}": lambda x: zscore([q.spread for q in x.q[:n]]),
        "abnormal_quote": lambda x: x.q[0].abnormal,
        f"abnormal_share_{n}": lambda x: math.fsum(q.abnormal for q in x.q[:n]) / n,
        "queue_imbalance": lambda x: imbalance(x.q[0]),
        **{f"queue_imbalance_{tau}ms": (lambda x, tau=tau: standing_imbalance(x, tau)) for tau in taus},
        "size_log_ratio": lambda x: log_ratio(x.q[0]),
        f"size_change_balance_{s}": lambda x: size_change(x, s),
        "weighted_mid_bps": lambda x: (
            1e4 * ((x.q[0].b * x.q[0].qa + x.q[0].a * x.q[0].qb) / (x.q[0].qb + x.q[0].qa) / x.q[0].m - 1)
            if x.q[0].qb + x.q[0].qa
            else 0.0
        ),
        "microprice_bps": lambda x: microprice(x.q[::-1], p),
        "ofi": lambda x: x.e(0),
        **{f"ofi_{k}": (lambda x, k=k: over(math.fsum(x.e(i) for i in range(k)), x.mean_depth(k))) for k in (s, n)},
        **{f"ofi_{tau}ms": (lambda x, tau=tau: over(x.fading(x.e, tau), x.mean_depth(n))) for tau in taus},
        **{f"mid_return_{k}": (lambda x, k=k: 1e4 * math.log(x.q[0].m / x.q[k].m)) for k in (s, n)},
        f"mid_volatility_{n}": lambda x: 1e4 * math.sqrt(math.fsum(x.r(i) ** 2 for i in range(n))),
        **{
            f"mid_volatility_{tau}ms": (
                lambda x, tau=tau: 1e4 * math.sqrt(over(x.fading(lambda i: x.r(i) ** 2, tau), x.seconds(tau)))
            )
            for tau in taus
        },
        f"mid_autocorrelation_{n}": lambda x: flicker(x, n),
        "last_mid_move": lambda x: next((math.copysign(1, x.r(i)) for i in range(len(x.q)) if x.r(i) != 0.0), 0.0),
        **{
            f"quote_rate_{tau}ms": (
                lambda x, tau=tau: over(x.fading(lambda i: float(i + 1 < len(x.q)), tau), x.seconds(tau))
            )
            for tau in taus
        },
        **{
            f"mid_move_rate_{tau}ms": (lambda x, tau=tau: over(x.fading(lambda i: moved(x, i), tau), x.seconds(tau)))
            for tau in taus
        },
        f"mid_move_count_{n}": lambda x: math.fsum(moved(x, i) for i in range(n)),
        "time_since_move": since_move,
    }
