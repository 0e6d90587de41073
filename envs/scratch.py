"""A small array on the stack of compiled code, which has no other memory of its own.

LLVM sees where it begins and ends and that nothing else points there: what was read once need not be read again after a
store to some other array.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


@intrinsic
def stack_floats(_typing_context: Any, count: Any) -> Any:
    """float64 (count,), uninitialised, gone when its caller returns; `count` is a constant."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    array_type, size = types.Array(types.float64, 1, "C"), count.literal_value

    def generate(context: Any, builder: Any, _: Any, __: Any) -> Any:
        with builder.goto_entry_block():  # numba's own way would also fill it with zeros, at every call
            place = builder.alloca(ir.ArrayType(ir.DoubleType(), size))
        array = make_array(array_type)(context, builder)
        extent, itemsize = context.get_constant(types.intp, size), context.get_constant(types.intp, 8)
        populate_array(array, builder.bitcast(place, array.data.type), [extent], [itemsize], itemsize, None)
        return array._getvalue()

    return array_type(count), generate
