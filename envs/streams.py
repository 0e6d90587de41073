"""Random numbers per lane: SplitMix64 (Steele, Lea & Flood 2014), one 64-bit state for each.

A lane's stream depends on its number and the seed's key alone, so it is the same in any batch.
"""

import numpy as np

from envs.compiled import inlined

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


def first_streams(key: int, numbers: np.ndarray) -> np.ndarray:
    """First states uint64 (N,) of the streams of lanes `numbers` uint64 (N,).

    Numbers are mixed before they meet the stream, so neighbouring lanes start far apart on the generator's cycle.
    """
    bits = np.asarray(numbers, dtype=np.uint64) + np.uint64(key)
    bits = (bits ^ (bits >> _S30)) * _MIX_1
    bits = (bits ^ (bits >> _S27)) * _MIX_2
    return bits ^ (bits >> _S31)


def next_randoms(streams: np.ndarray) -> np.ndarray:
    """The next number of each of the streams uint64 (N,), float64 (N,) as `next_random` draws them; advances them."""
    streams += _GOLDEN
    bits = (streams ^ (streams >> _S30)) * _MIX_1
    bits = (bits ^ (bits >> _S27)) * _MIX_2
    return ((bits ^ (bits >> _S31)) >> _S11) * 2.0**-53


@inlined
def next_random(streams: np.ndarray, i: int) -> float:
    """The next number of lane i's stream, uniform in [0, 1) with 53 bits; advances the stream."""
    streams[i] += _GOLDEN
    bits = streams[i]
    bits = (bits ^ (bits >> _S30)) * _MIX_1
    bits = (bits ^ (bits >> _S27)) * _MIX_2
    return np.float64((bits ^ (bits >> _S31)) >> _S11) * 2.0**-53
