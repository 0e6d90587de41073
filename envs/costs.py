"""What the bars themselves tell about the cost of trading them, bar by bar and never looking ahead."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays

DAY_MS = 86_400_000
# State of the impact model, float64.
VARIANCE, VOLUME, LAST_CLOSE = range(3)


@njit(cache=True, error_model="numpy")
def _impact_coefficients(
    close: np.ndarray, volume: np.ndarray, follows: np.ndarray, decay: float, state: np.ndarray, out: np.ndarray
) -> None:
    for t in range(len(close)):
        if follows[t] and state[LAST_CLOSE] > 0.0:
            r = np.log(close[t] / state[LAST_CLOSE])
            state[VARIANCE] += decay * (r * r - state[VARIANCE])
            state[VOLUME] += decay * (volume[t] - state[VOLUME])
        state[LAST_CLOSE] = close[t]
        out[t] = np.sqrt(state[VARIANCE] / state[VOLUME]) if state[VOLUME] > 0.0 else 0.0


@dataclass(eq=False)
class ImpactModel:
    """σ / √V for the square-root law of impact, Y σ √(Q / V) (Tóth et al. 2011; Donier & Bonart 2015 for Bitcoin).

    Both are exponential averages with a half-life of one day, so after bar t the coefficient is known. The length of
    the day cancels: √(n v) / √(n V) with v and V the variance and the volume of one bar. The two averages share their
    weights, so their ratio needs no correction for the start. Returns across a gap are left out. The coefficient is 0
    (no impact) before the first return and where volumes are unknown (NaN).
    """

    interval_ms: int = 60_000
    state: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """float64 (3,): everything that changes."""

    def update(self, open_time_ms: np.ndarray, close: np.ndarray, volume: np.ndarray, first: bool = True) -> np.ndarray:
        """Take in bars in time order; returns the coefficient known at each close, float64 (T,).

        Arrays (T,). `first` says whether the first bar follows the last one taken in.
        """
        follows = np.empty(len(close), dtype=np.bool_)
        follows[:1] = first
        follows[1:] = np.diff(open_time_ms) == self.interval_ms
        out = np.zeros(len(close))
        if not np.isnan(volume).any():
            decay = 1.0 - 0.5 ** (self.interval_ms / DAY_MS)
            prices, sizes = (np.ascontiguousarray(values, dtype=np.float64) for values in (close, volume))
            _impact_coefficients(prices, sizes, follows, decay, self.state, out)
        return out


@dataclass(frozen=True, slots=True)
class TradingCosts:
    """Costs by row, to go with bars into `Market.build`."""

    half_spread: np.ndarray | None = None
    """float64 (T,) fraction of the price around each bar's open (from recorded quotes or a model); NaN or None: the
    config's constant."""
    impact: np.ndarray | None = None
    """float64 (T,) σ / √V known at each row's close; None: by `ImpactModel` from the bars."""
    funding: np.ndarray | None = None
    """float64 (T,) funding rate settled at each bar's open, 0 where none is; None: none anywhere."""

    def columns(self, bars: BarArrays, interval_ms: int, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(half_spread, impact, funding), each float64 (T,).

        Raises InputError for another length, a negative or infinite spread or impact, and a rate beyond ±1.
        """
        rows = len(bars)
        impact = self.impact
        if impact is None:
            impact = ImpactModel(interval_ms).update(bars.open_time_ms, bars.close, bars.volume)
        filled = {
            "half_spread": np.full(rows, np.nan) if self.half_spread is None else self.half_spread,
            "impact": impact,
            "funding": np.zeros(rows) if self.funding is None else self.funding,
        }
        bounds = {"half_spread": (0.0, 1.0), "impact": (0.0, np.inf), "funding": (-1.0, 1.0)}
        for name, values in filled.items():
            if np.shape(values) != (rows,):
                raise InputError(f"{name} has shape {np.shape(values)}, not ({rows},)", where=where)
            low, high = bounds[name]
            with np.errstate(invalid="ignore"):
                wrong = ~((values >= low) & (values <= high) & (np.abs(values) < np.inf))
            if name == "half_spread":
                wrong &= ~np.isnan(values)
            if wrong.any():
                row = int(np.argmax(wrong))
                raise InputError(f"{name} {values[row]} is not in [{low:g}, {high:g}]", where=f"{where}, row {row}")
        return filled["half_spread"], filled["impact"], filled["funding"]
