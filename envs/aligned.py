"""Arrays that begin at a cache line, so that what is read together lies in one line and not in two."""

import numpy as np

CACHE_LINE_BYTES = 64


def aligned_empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """`np.empty` of an 8-byte or smaller dtype whose first item begins a cache line."""
    itemsize = np.dtype(dtype).itemsize
    count = int(np.prod(shape))
    memory: np.ndarray = np.empty(count + CACHE_LINE_BYTES // itemsize - 1, dtype=dtype)
    skip = -memory.ctypes.data % CACHE_LINE_BYTES // itemsize
    return memory[skip : skip + count].reshape(shape)


def aligned_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """`aligned_empty`, filled with zeros."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array
