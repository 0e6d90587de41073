"""A market's bars beside its leader's: the input rows of the kind "cross"."""

from dataclasses import dataclass

import numpy as np

from data_pipeline.schema import BarArrays


@dataclass(frozen=True, slots=True)
class PairedBars:
    """The bars that both have, as arrays (T,): the key int64, every other field float64. See `align_bars`."""

    open_time_ms: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    taker_buy_volume: np.ndarray
    leader_close: np.ndarray
    leader_volume: np.ndarray
    leader_taker_buy_volume: np.ndarray

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def slice(self, start: int, stop: int) -> "PairedBars":
        """Rows [start, stop) as views."""
        return PairedBars(*[getattr(self, name)[start:stop] for name in self.__slots__])


def align_bars(own: BarArrays, leader: BarArrays) -> PairedBars:
    """The bars of both markets that open at the same time, in order; a minute that either lacks is left out.

    So a missing bar of the leader is a gap for the features like a missing bar of the market's own: nothing is filled
    in, and they start afresh after it. Both must hold closed bars of one interval, sorted and without repetition, as
    `data_pipeline.readers.read_bars` gives them.

    >>> from features.batch import compute_features
    >>> from features.config import CrossParameters
    >>> X = compute_features(align_bars(eth, btc), parameters=CrossParameters(leader="btc"), kind="cross")
    ... # doctest: +SKIP
    """
    times, ours, theirs = np.intersect1d(own.open_time_ms, leader.open_time_ms, assume_unique=True, return_indices=True)
    return PairedBars(
        times,
        own.close[ours],
        own.volume[ours],
        own.taker_buy_volume[ours],
        leader.close[theirs],
        leader.volume[theirs],
        leader.taker_buy_volume[theirs],
    )
