"""Small arrays on the stack of compiled code, which has no other memory of its own.

LLVM sees where each begins and ends and that nothing else points there, so loops over them become vector instructions
without a proof at run time that rows lie apart.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


def _stack_array(dtype: types.Type, item: ir.Type) -> Callable[..., Any]:
    """Compiled function (rows, columns) -> 2-d array of 8-byte items, uninitialised, gone when its caller returns."""

    def declare(_typing_context: Any, rows: Any, columns: Any) -> Any:
        if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
            raise RequireLiteralValue(rows)
        array_type = types.Array(dtype, 2, "C")
        shape = rows.literal_value, columns.literal_value

        def generate(context: Any, builder: Any, _: Any, __: Any) -> Any:
            with builder.goto_entry_block():  # numba's own way would also fill it with zeros, at every call
                place = builder.alloca(ir.ArrayType(item, shape[0] * shape[1]))
            array = make_array(array_type)(context, builder)
            extents = [context.get_constant(types.intp, extent) for extent in shape]
            strides = [context.get_constant(types.intp, stride) for stride in (8 * shape[1], 8)]
            populate_array(array, builder.bitcast(place, array.data.type), extents, strides, strides[1], None)
            return array._getvalue()

        return array_type(rows, columns), generate

    return intrinsic(declare)


stack_floats = _stack_array(types.float64, ir.DoubleType())
