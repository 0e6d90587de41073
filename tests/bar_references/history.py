"""The bars up to one row, as the slow references of the bar features see them: oldest first, the row itself last."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from data_pipeline.schema import BarArrays
from features.config import BarParameters

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class History:
    """A contiguous stretch of bars that ends with the row in question."""

    bars: BarArrays
    p: BarParameters

    @classmethod
    def at(cls, bars: BarArrays, row: int, age: int, p: BarParameters) -> "History":
        """The `age` bars before `row` in its stretch, and `row`."""
        return cls(BarArrays(*(getattr(bars, f.name)[row - age : row + 1] for f in fields(bars))), p)

    @cached_property
    def log_open(self) -> np.ndarray:
        return np.log(self.bars.open)

    @cached_property
    def log_high(self) -> np.ndarray:
        return np.log(self.bars.high)

    @cached_property
    def log_low(self) -> np.ndarray:
        return np.log(self.bars.low)

    @cached_property
    def log_close(self) -> np.ndarray:
        return np.log(self.bars.close)

    @cached_property
    def returns(self) -> np.ndarray:
        """Log returns of every bar but the first, which has none."""
        return np.diff(self.log_close)

    @cached_property
    def true_range(self) -> np.ndarray:
        """Of every bar but the first: highest to lowest of the bar and the close before it, in logs."""
        before = self.log_close[:-1]
        return np.maximum(self.log_high[1:], before) - np.minimum(self.log_low[1:], before)

    @cached_property
    def delta(self) -> np.ndarray:
        """Volume bought by takers minus volume sold by them."""
        return self.bars.taker_buy_volume - (self.bars.volume - self.bars.taker_buy_volume)

    @cached_property
    def imbalance(self) -> np.ndarray:
        """`delta` as a share of the volume; 0 where there is none."""
        return divide(self.delta, self.bars.volume)

    @cached_property
    def sigma(self) -> float:
        return math.sqrt(mean(last(self.returns, self.p.long) ** 2))

    @cached_property
    def sigmas(self) -> np.ndarray:
        """σ of each of the last 2n - 1 bars, n the long window, as far as the stretch has them."""
        n = self.p.long
        squares = self.returns**2
        stops = range(max(n, len(squares) - 2 * n + 2), len(squares) + 1)
        return np.array([math.sqrt(math.fsum(squares[stop - n : stop]) / n) for stop in stops])


Reference = Callable[[History], float]


def last(values: np.ndarray, count: int, back: int = 0) -> np.ndarray:
    """The last `count` values, or those `back` places before them; IndexError when the stretch is too short."""
    stop = len(values) - back
    if stop < count:
        raise IndexError(f"{count} values are needed, {stop} are there")
    return values[stop - count : stop]


def mean(values: Values) -> float:
    return math.fsum(values) / len(values)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


def ratio(a: float, b: float) -> float:
    """a / b, 0 where b is 0."""
    return a / b if b > 0 else 0.0


def balance(a: float, b: float) -> float:
    """tanh of half the log ratio; 0 when both are 0."""
    if a > 0 and b > 0:
        return math.tanh(0.5 * math.log(a / b))
    return float(np.sign(a - b))


def level(volatility: float) -> float:
    """Log of a volatility in basis points, floored at a thousandth of one."""
    return math.log(max(1e4 * volatility, 1e-3))


def correlation(x: Values, y: Values) -> float:
    """Pearson's; 0 when either side is constant, which it is when its variance is under 1e-9 of its mean square."""
    if any(np.var(v) <= 1e-9 * np.mean(np.square(v)) for v in (x, y)):
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def fading_mean(values: np.ndarray, span: int) -> float:
    """Mean with weights (1 - 1/span)^age: Wilder's average once its start is forgotten."""
    values = values[-60 * span :]  # weights before are under e^-60
    weights = (1 - 1 / span) ** np.arange(len(values))[::-1]
    return math.fsum(weights * values) / math.fsum(weights)
