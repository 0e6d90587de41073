"""Tell the processor which rows come next: gathers of random rows are bound by memory latency, not by arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from envs.aligned import CACHE_LINE_BYTES
from envs.compiled import inlined

_FLOATS_IN_LINE = CACHE_LINE_BYTES // 4


_USED_AGAIN, _USED_ONCE = 3, 0


def _prefetching(locality: int) -> Callable[..., Any]:
    """`llvm.prefetch` of array[row, column] for reading. Never faults, changes nothing.

    What is _USED_ONCE passes the larger caches by, so that it drives nothing out of them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type = signature.args[0]
        item = make_array(array_type)(context, builder, args[0])
        indices = [context.cast(builder, args[k], signature.args[k], types.intp) for k in (1, 2)]
        address = cgutils.get_item_pointer(context, builder, array_type, item, indices, wraparound=False)
        pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0i8")
        builder.call(function, [builder.bitcast(address, pointer), word(0), word(locality), word(1)])
        return context.get_dummy_value()

    def declare(_typing_context: Any, array: Any, row: Any, column: Any) -> Any:
        return types.void(array, row, column), generate

    return intrinsic(declare)


_prefetch, _prefetch_once = _prefetching(_USED_AGAIN), _prefetching(_USED_ONCE)


@inlined
def prefetch_item(array: np.ndarray, row: int, column: int) -> None:
    """Ask for the cache line of array[row, column], which need not exist."""
    _prefetch(array, row, column)


@inlined
def prefetch_row(array: np.ndarray, row: int) -> None:
    """Ask for the cache lines of one row of a C-contiguous float32 (T, C) array, T being allowed to end before `row`,
    for one reading.

    Spelled out for float32, for the size of an array's items is a number that compiled code would divide by.
    """
    source = np.uint64(row)
    for column in range(0, array.shape[1] + _FLOATS_IN_LINE - 1, _FLOATS_IN_LINE):
        _prefetch_once(array, source, column)
