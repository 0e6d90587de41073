"""Simple policies to compare with. They act on observations alone, so they serve the backtest and the envs alike."""

import numpy as np

from data_pipeline.errors import InputError
from envs.actions import encode_sides
from envs.config import MarketConfig


class FlatRule:
    """Never trades."""

    def __init__(self, config: MarketConfig) -> None:
        self._config = config

    def act(self, observations: np.ndarray) -> np.ndarray:
        return encode_sides(np.zeros(len(observations)), self._config)


class BuyAndHoldRule:
    """Always wants to be long. For the usual benchmark run it under `config.without_barriers()`."""

    def __init__(self, config: MarketConfig) -> None:
        self._config = config

    def act(self, observations: np.ndarray) -> np.ndarray:
        return encode_sides(np.ones(len(observations)), self._config)


class ThresholdRule:
    """Follows one observation column x, centred: enters at |x - center| > enter, leaves when it falls to `exit`.

    Long when x - center > enter, short when it is < -enter; a position is held while x - center, counted in its
    favour, stays above `exit` (and a signal beyond -enter reverses it). Without state of its own: the position is read
    from the observation's account_side. `columns` is `observation_columns(market)`.
    """

    def __init__(
        self,
        column: str,
        enter: float,
        exit: float = 0.0,
        *,
        columns: tuple[str, ...],
        config: MarketConfig,
        center: float = 0.0,
    ) -> None:
        """Raises InputError for an unknown column and for enter < exit."""
        if column not in columns:
            raise InputError(f"unknown column {column!r}", where="threshold rule", remedy=f"known: {' '.join(columns)}")
        if not (enter >= exit and enter >= 0):
            raise InputError(f"enter {enter} is under exit {exit} or 0", where="threshold rule")
        self._signal = columns.index(column)
        self._side = columns.index("account_side")
        self._enter, self._exit, self._center = enter, exit, center
        self._config = config

    def act(self, observations: np.ndarray) -> np.ndarray:
        signal = observations[:, self._signal].astype(np.float64) - self._center
        held = observations[:, self._side]
        keep = np.where(held * signal > self._exit, held, 0.0)
        wanted = np.where(signal > self._enter, 1.0, np.where(signal < -self._enter, -1.0, keep))
        return encode_sides(wanted, self._config)
