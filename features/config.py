"""Windows of the bar features. Imports nothing heavy."""

from dataclasses import dataclass
from itertools import pairwise

from data_pipeline.errors import InputError


@dataclass(frozen=True)
class BarParameters:
    """Windows, in bars, of the bar features; every feature's name carries the window it was made with."""

    horizons: tuple[int, ...] = (1, 2, 5, 15, 60)
    """Look-backs of the returns, increasing."""
    short: int = 15
    """Short window."""
    long: int = 60
    """Long window; also the window of the volatility that scales returns and spreads."""
    aggregation: int = 5
    """q of the variance ratio: the q-bar return whose variance is compared with q one-bar variances."""
    fast_span: int = 5
    """Span of the fast exponential average of taker flow; its weight on the newest bar is 2 / (span + 1)."""
    slow_span: int = 30
    """Span of the slow exponential average of taker flow."""

    def __post_init__(self) -> None:
        def refuse(what: str, remedy: str) -> None:
            raise InputError(what, where="BarParameters", remedy=remedy)

        horizons = self.horizons
        if not horizons or horizons[0] < 1 or any(a >= b for a, b in pairwise(horizons)):
            refuse(f"horizons {horizons} do not increase from 1 or more", "for example (1, 5, 15)")
        if not 8 <= self.short < self.long:
            refuse(f"short {self.short} and long {self.long} do not fit", "use 8 <= short < long")
        if not 2 <= self.aggregation <= self.long // 4:
            refuse(f"aggregation {self.aggregation} is not in 2 .. long / 4", f"use at most {self.long // 4}")
        if not 1 <= self.fast_span < self.slow_span:
            refuse(f"fast_span {self.fast_span} and slow_span {self.slow_span} do not fit", "use 1 <= fast < slow")
