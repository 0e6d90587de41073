"""The formulas of the trade features, written out slowly from their sources: plain Python, one window at a time."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from features.config import TradeParameters
from features.events import Events
from features.trades.propagator import kernel_terms


class Tape:
    """The trades of one stretch up to one of them, as plain Python numbers; index 0 is the newest."""

    def __init__(self, trades: Events, start: int, row: int, parameters: TradeParameters) -> None:
        part = trades.slice(start, row + 1)
        self.parameters = parameters
        self.time_ns = part.time_ns[::-1].tolist()
        self.price = part.price[::-1].tolist()
        self.qty = part.qty[::-1].tolist()
        self.sign = [1 - 2 * int(flag) for flag in part.buyer_is_maker[::-1]]

    def r(self, i: int) -> float:
        return math.log(self.price[i]) - math.log(self.price[i + 1])

    def duration(self, i: int) -> float:
        return (self.time_ns[i] - self.time_ns[i + 1]) / 1e6

    def age_ms(self, i: int) -> float:
        return (self.time_ns[0] - self.time_ns[i]) / 1e6

    def volume(self, n: int, sign: int) -> float:
        return math.fsum(q for q, s in zip(self.qty[:n], self.sign[:n], strict=True) if s == sign)

    def fading(self, values: Sequence[float], tau_ms: float) -> float:
        return math.fsum(v * math.exp(-self.age_ms(i) / tau_ms) for i, v in enumerate(values) if v)


def balance(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b else 0.0


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def covariance(x: Sequence[float], y: Sequence[float]) -> float:
    mx, my = mean(x), mean(y)
    return mean([(a - mx) * (b - my) for a, b in zip(x, y, strict=True)])


def correlation(x: Sequence[float], y: Sequence[float]) -> float:
    scale = math.sqrt(covariance(x, x) * covariance(y, y))
    return covariance(x, y) / scale if scale > 0 else 0.0


def flow(tape: Tape, n: int) -> float:
    return balance(tape.volume(n, 1), tape.volume(n, -1))


def fading_flow(tape: Tape, tau_ms: float) -> float:
    sides = [[q if s == side else 0.0 for q, s in zip(tape.qty, tape.sign, strict=True)] for side in (1, -1)]
    return balance(tape.fading(sides[0], tau_ms), tape.fading(sides[1], tau_ms))


def fading_sign(tape: Tape, tau_ms: float) -> float:
    return tape.fading(tape.sign, tau_ms) / tape.fading([1.0] * len(tape.sign), tau_ms)


def large_trades(tape: Tape, n: int, signed: bool) -> float:
    """Large: above the smallest size that a share p of the window before does not exceed (inverse distribution)."""
    p = tape.parameters
    rank = next(k for k in range(1, p.long + 1) if Fraction(k, p.long) >= Fraction(str(p.large_quantile)))
    large = 0.0
    for i in range(n):
        threshold = sorted(tape.qty[i + 1 : i + 1 + p.long])[rank - 1]
        if tape.qty[i] > threshold:
            large += tape.qty[i] * (tape.sign[i] if signed else 1)
    return large / math.fsum(tape.qty[:n])


def herfindahl(tape: Tape, n: int) -> float:
    total = sum(map(Fraction, tape.qty[:n]))
    h = sum((Fraction(q) / total) ** 2 for q in tape.qty[:n])
    return float((n * h - 1) / (n - 1))


def tick_rule(tape: Tape, i: int = 0) -> int:
    """Sign of the price against the closest different price before it."""
    for before in tape.price[i + 1 :]:
        if before != tape.price[i]:
            return 1 if tape.price[i] > before else -1
    return 0


def tick_momentum(tape: Tape, n: int) -> float:
    changes = [tape.price[i] - tape.price[i + 1] for i in range(n)]
    return balance(sum(c > 0 for c in changes), sum(c < 0 for c in changes))


def sign_entropy(tape: Tape, n: int, letters: int) -> float:
    words = [tuple(tape.sign[i : i + letters]) for i in range(n)]
    shares = [words.count(word) / n for word in set(words)]
    return -math.fsum(f * math.log2(f) for f in shares) / letters


def duration(tape: Tape, n: int) -> float:
    return math.log((tape.duration(0) + 1) / (mean([tape.duration(i) for i in range(n)]) + 1))


def burstiness(tape: Tape, n: int) -> float:
    gaps = [tape.duration(i) for i in range(n)]
    return balance(math.sqrt(covariance(gaps, gaps)), mean(gaps))


def rate(tape: Tape, tau_ms: float) -> float:
    age = tape.age_ms(-1)
    return tape.fading([1.0] * len(tape.sign), tau_ms) / tau_ms / (1 - math.exp(-age / tau_ms))


def intensity(tape: Tape, side: int) -> float:
    p = tape.parameters
    jumps = [p.hawkes_self if s == side else p.hawkes_cross for s in tape.sign]
    return p.hawkes_base + tape.fading(jumps, 1000.0 / p.hawkes_decay)


def branching(tape: Tape, sides: tuple[int, ...]) -> float:
    """Hardiman & Bouchaud 2014 on the closed bins between the stretch's first trade and its last."""
    p = tape.parameters
    number = [t // (p.count_ms * 1_000_000) for t in tape.time_ns]
    closed = range(max(number[-1], number[0] - p.count_bins), number[0])
    counts = [sum(b == bin_ and s in sides for b, s in zip(number, tape.sign, strict=True)) for bin_ in closed]
    if len(counts) < 2:
        return 0.0
    m = Fraction(sum(counts), len(counts))
    variance = sum((c - m) ** 2 for c in counts) / (len(counts) - 1)
    return 1 - math.sqrt(m / variance) if variance > m else 0.0


def propagator(tape: Tape) -> float:
    p = tape.parameters
    terms = list(zip(*kernel_terms(p.propagator_exponent, p.propagator_lag, p.propagator_memory), strict=True))
    weights = [math.fsum(w * d**k for d, w in terms) for k in range(len(tape.sign))]
    return math.fsum(g * s for g, s in zip(weights, tape.sign, strict=True)) / math.fsum(weights)


def vwap_gap(tape: Tape, n: int) -> float:
    averages = []
    for side in (1, -1):
        rows = [i for i in range(n) if tape.sign[i] == side]
        total = sum(Fraction(tape.qty[i]) for i in rows)
        if not total:
            return 0.0
        averages.append(sum(Fraction(tape.qty[i]) * Fraction(tape.price[i]) for i in rows) / total)
    return float(10_000 * (averages[0] - averages[1]) / Fraction(tape.price[0]))


def volatility(tape: Tape, n: int) -> float:
    return math.log(1e4 * math.sqrt(max(math.fsum(tape.r(i) ** 2 for i in range(n)), 1e-14)))


def roll(tape: Tape, n: int) -> float:
    return 2e4 * math.sqrt(max(0.0, -covariance([tape.r(i) for i in range(n)], [tape.r(i + 1) for i in range(n)])))


def kyle(tape: Tape, n: int) -> float:
    signed = [s * q for s, q in zip(tape.sign[:n], tape.qty[:n], strict=True)]
    variance = covariance(signed, signed)
    return 1e4 * covariance(signed, [tape.r(i) for i in range(n)]) / math.sqrt(variance)


def vpin(tape: Tape) -> float:
    """Easley, Lopez de Prado & O'Hara 2012, in exact arithmetic; a bucket is full to within a billionth."""
    p = tape.parameters
    sizes = [Fraction(q) for q in reversed(tape.qty)]
    buckets: list[tuple[Fraction, Fraction]] = []
    volume, filled = Fraction(0), {1: Fraction(0), -1: Fraction(0)}
    for i, (size, sign) in enumerate(zip(sizes, reversed(tape.sign), strict=True)):
        window = sizes[max(0, i + 1 - p.long) : i + 1]
        left = size
        while left > 0:
            if not any(filled.values()):
                volume = p.vpin_trades * sum(window) / len(window)
            room = volume - sum(filled.values())
            if left < room - volume / 10**9:
                filled[sign] += left
                break
            poured = left if left <= room + volume / 10**9 else room
            filled[sign] += poured
            left -= poured
            buckets.append((abs(filled[1] - filled[-1]), sum(filled.values(), Fraction(0))))
            filled = {1: Fraction(0), -1: Fraction(0)}
    last = buckets[-p.vpin_buckets :]
    return float(sum(b for b, _ in last) / sum(v for _, v in last)) if last else 0.0


def references(p: TradeParameters) -> dict[str, Callable[[Tape], float]]:
    """Every feature's formula by name, in catalogue order."""
    s, n, fast, slow = p.short, p.long, p.fast_ms, p.slow_ms
    return {
        f"trade_flow_{s}": lambda x: flow(x, s),
        f"trade_sign_{s}": lambda x: mean(x.sign[:s]),
        f"trade_flow_{n}": lambda x: flow(x, n),
        f"trade_sign_{n}": lambda x: mean(x.sign[:n]),
        f"trade_flow_{fast}ms": lambda x: fading_flow(x, fast),
        f"trade_sign_{fast}ms": lambda x: fading_sign(x, fast),
        f"trade_flow_{slow}ms": lambda x: fading_flow(x, slow),
        f"trade_sign_{slow}ms": lambda x: fading_sign(x, slow),
        f"large_trade_share_{s}": lambda x: large_trades(x, s, signed=False),
        f"large_trade_flow_{s}": lambda x: large_trades(x, s, signed=True),
        f"size_herfindahl_{n}": lambda x: herfindahl(x, n),
        "tick_rule": tick_rule,
        f"tick_rule_agreement_{s}": lambda x: mean([x.sign[i] * tick_rule(x, i) for i in range(s)]),
        f"tick_momentum_{s}": lambda x: tick_momentum(x, s),
        **{
            f"sign_autocorrelation_{lag}_{n}": (lambda x, lag=lag: correlation(x.sign[:n], x.sign[lag : n + lag]))
            for lag in p.sign_lags
        },
        f"sign_entropy_{n}": lambda x: sign_entropy(x, n, p.sign_word),
        f"trade_duration_{n}": lambda x: duration(x, n),
        f"burstiness_{n}": lambda x: burstiness(x, n),
        f"trade_rate_{fast}_{slow}ms": lambda x: balance(rate(x, fast), rate(x, slow)),
        "hawkes_buy": lambda x: math.log(intensity(x, 1) / p.hawkes_base),
        "hawkes_sell": lambda x: math.log(intensity(x, -1) / p.hawkes_base),
        "hawkes_imbalance": lambda x: balance(intensity(x, 1), intensity(x, -1)),
        "branching_ratio": lambda x: branching(x, (1, -1)),
        "branching_asymmetry": lambda x: branching(x, (1,)) - branching(x, (-1,)),
        "propagator": propagator,
        f"vwap_gap_{n}": lambda x: vwap_gap(x, n),
        f"price_change_per_trade_{s}": lambda x: 1e4 * math.log(x.price[0] / x.price[s]) / s,
        f"trade_volatility_{n}": lambda x: volatility(x, n),
        f"trade_roll_{n}": lambda x: roll(x, n),
        f"trade_kyle_lambda_{n}": lambda x: kyle(x, n),
        "vpin": vpin,
    }
