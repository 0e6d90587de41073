"""The step of a single account for a caller who feels every argument: the arrays are found through a table.

Handing an array to compiled code costs 20 ns, and the step of one account takes 150. `step_lanes` with its ten arrays
is the plain way; this one calls the same parts.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import as_dtype

from envs.compiled import brief_kernel
from envs.kernel import measure_bar, move_lane
from envs.observation import observe_lane

_FLOATS = types.Array(types.float64, 2, "C")
_TYPES = (
    _FLOATS,
    types.Array(types.int64, 2, "C"),
    types.Array(types.float64, 3, "C"),
    *[_FLOATS] * 3,
    types.Array(types.float32, 2, "C"),
    types.Array(types.float64, 1, "C"),
    _FLOATS,
)
"""Of account, clock, trades, prices, calendar, finer, features, terms, menu."""


def array_table(*arrays: np.ndarray) -> np.ndarray:
    """Where arrays of `_TYPES` lie, as compiled code reads it: int64 (K, 4), an address and a shape filled up with 1.

    Whoever uses the table must keep the arrays. Raises TypeError for other types, which compiled code would not notice.
    """
    for array, kind in zip(arrays, _TYPES, strict=True):
        if array.ndim != kind.ndim or array.dtype != as_dtype(kind.dtype) or not array.flags.c_contiguous:
            raise TypeError(f"{array.dtype} {array.shape} with strides {array.strides} is not {kind}")
    places = [(array.ctypes.data, *array.shape, *(1,) * (3 - array.ndim)) for array in arrays]
    return np.array(places, dtype=np.int64)


@intrinsic
def _arrays_of(_typing_context: Any, table: Any) -> Any:
    """The arrays of a table of `_TYPES`, as a tuple."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = make_array(signature.args[0])(context, builder, args[0]).data
        found = []
        for k, kind in enumerate(_TYPES):
            entries = [builder.load(cgutils.gep_inbounds(builder, places, 4 * k + j)) for j in range(1 + kind.ndim)]
            array = make_array(kind)(context, builder)
            itemsize = context.get_constant(types.intp, as_dtype(kind.dtype).itemsize)
            strides, step = [itemsize], itemsize
            for extent in entries[:1:-1]:
                step = builder.mul(step, extent)
                strides.insert(0, step)
            data = builder.inttoptr(entries[0], array.data.type)
            populate_array(array, data, entries[1:], strides, itemsize, None)
            found.append(array._getvalue())
        return context.make_tuple(builder, signature.return_type, found)

    return types.Tuple(_TYPES)(table), generate


@brief_kernel
def step_alone(table: np.ndarray, choice: int, observation: np.ndarray) -> int:
    """Move the one lane one bar, as `step_lanes` would, by row `choice` of the menu; whether its episode ended.

    table        `array_table` of account, clock, trades, prices, calendar, finer, observations, terms as `step_lanes`
                 takes them, and a menu of order rows float64 (K, 5)
    observation  float32 (D,), written

    The lane must have shown its first row, by `step_lanes`.
    """
    arrays: tuple[np.ndarray, ...] = _arrays_of(table)  # type: ignore[call-arg]  # numba passes the context itself
    account, clock, trades, prices, calendar, finer, features, terms, menu = arrays
    ended = move_lane(0, account, clock, prices, calendar, finer, terms, menu[choice], trades)
    measure_bar(0, account, clock, prices, terms)
    observe_lane(0, account, clock, prices, features, terms, observation)
    return int(ended)
