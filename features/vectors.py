"""Sixteen float64 side by side as one value of compiled code, and operations that serve it as they serve one number.

A rule that makes its choices by `select` is one function for both: called with numbers it computes one result, called
with vectors sixteen. LLVM makes of it what the processor has: two registers of AVX-512, four of AVX2. Each operation
rounds as it does alone, so the bits are the same.

`+ - * /`, negation, `abs`, `math.sqrt` and comparisons take vectors, the binary ones also a vector and a number;
comparisons give masks, which `&` and `|` join (with booleans too) and `~` negates. `and`, `or`, `if`, `min` and `max`
want a single truth and do not compile.
"""

import math
import operator
import struct
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

WIDTH = 16
"""Numbers in a vector: twice what the widest registers hold, for two chains of arithmetic overlap where one waits."""


def _wide_registers() -> bool:
    """Whether a register of this processor holds four float64 (AVX2) or more."""
    try:
        return bool(get_host_cpu_features().get("avx2", False))
    except RuntimeError:  # LLVM does not know the processor
        return False


PAYS = _wide_registers()
"""Whether vectors are quicker than one number after another. With two numbers a register a vector
does not fit into the registers there are: under SSE a step of the market took a third more time than without."""


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"vector(float64 x {WIDTH})")


class _Mask(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"mask({WIDTH})")


VECTOR, MASK = _Vector(), _Mask()
_BIT, _INT32, _INT64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_SQRT_HALF_BITS = int.from_bytes(struct.pack("<d", math.sqrt(0.5)), "little") & ~0xFFFFFFFF
_DOUBLES, _BITS = ir.VectorType(ir.DoubleType(), WIDTH), ir.VectorType(_BIT, WIDTH)


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _DOUBLES)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BITS)


def emitted(declare: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.extending.intrinsic`, in types that leave out the context: numba passes it itself."""
    return intrinsic(declare)


def spread(context: Any, builder: Any, value: Any, kind: types.Type) -> Any:
    """LLVM's value of a vector or mask as it is; of a number or boolean in all places of one."""
    if kind in (VECTOR, MASK):
        return value
    single = context.cast(builder, value, kind, types.boolean if isinstance(kind, types.Boolean) else types.float64)
    nothing = ir.Constant(ir.VectorType(single.type, WIDTH), ir.Undefined)
    first = builder.insert_element(nothing, single, _INT32(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INT32, WIDTH), [0] * WIDTH))


def _call(builder: Any, name: str, *args: Any) -> Any:
    """Of an LLVM intrinsic whose result and arguments have one type."""
    kind = ir.FunctionType(args[0].type, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _define(operation: Any, result: types.Type, over: types.Type, single: type, emit: Callable[..., Any]) -> None:
    """Teach numba `operation` on two values, one at least of type `over`, the other may be a `single`."""

    @type_callable(operation)
    def typed(_context: Any) -> Callable[..., Any]:
        def of(one: Any, other: Any) -> Any:
            fits = all(kind == over or isinstance(kind, single) for kind in (one, other))
            return result if fits and over in (one, other) else None

        return of

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one, other = (spread(context, builder, *pair) for pair in zip(args, signature.args, strict=True))
        return emit(builder, one, other)

    for kinds in ((type(over), type(over)), (type(over), single), (single, type(over))):
        lower_builtin(operation, *kinds)(generate)


def _define_one(operation: Any, kind: types.Type, emit: Callable[..., Any]) -> None:
    """Teach numba `operation` on one value of `kind`."""

    @type_callable(operation)
    def typed(_context: Any) -> Callable[..., Any]:
        return lambda value: kind if value == kind else None

    @lower_builtin(operation, type(kind))
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return emit(builder, args[0])


def _emits(method: str) -> Callable[..., Any]:
    return lambda builder, *args: getattr(builder, method)(*args)


def _compares(symbol: str) -> Callable[..., Any]:
    if symbol == "!=":
        return lambda builder, one, other: builder.fcmp_unordered(symbol, one, other)
    return lambda builder, one, other: builder.fcmp_ordered(symbol, one, other)


def _llvm(name: str) -> Callable[..., Any]:
    return lambda builder, value: _call(builder, f"llvm.{name}.v{WIDTH}f64", value)


for _operation, _method in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _define(getattr(operator, _operation), VECTOR, VECTOR, types.Number, _emits(_method))
for _operation, _symbol in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    _define(getattr(operator, _operation), MASK, VECTOR, types.Number, _compares(_symbol))
for _operation in ("and_", "or_"):
    _define(getattr(operator, _operation), MASK, MASK, types.Boolean, _emits(_operation))
_define_one(operator.neg, VECTOR, _emits("fneg"))
_define_one(operator.invert, MASK, _emits("not_"))
_define_one(abs, VECTOR, _llvm("fabs"))
_define_one(math.sqrt, VECTOR, _llvm("sqrt"))


def select(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where `condition` holds, else `no`: numbers or vectors, for a boolean or a mask. Both are computed."""
    return yes if condition else no


@njit(error_model="numpy", fastmath=False, forceinline=True)
def smaller(one: Any, other: Any) -> Any:
    """The smaller of two numbers, or of each two; `other` where either is NaN, as `min`."""
    return select(one < other, one, other)


@njit(error_model="numpy", fastmath=False, forceinline=True)
def larger(one: Any, other: Any) -> Any:
    """The larger of two numbers, or of each two; `other` where either is NaN, as `max`."""
    return select(one > other, one, other)


@type_callable(select)
def _type_select(_context: Any) -> Callable[..., Any]:
    def of(condition: Any, yes: Any, no: Any) -> Any:
        if not (condition == MASK or isinstance(condition, types.Boolean)):
            return None
        if isinstance(yes, types.Boolean) and isinstance(no, types.Boolean) and condition != MASK:
            return types.boolean
        if not all(kind == VECTOR or isinstance(kind, types.Number) for kind in (yes, no)):
            return None
        if condition == MASK or VECTOR in (yes, no):
            return VECTOR
        whole = isinstance(yes, types.Integer) and isinstance(no, types.Integer)
        return types.int64 if whole else types.float64

    return of


@lower_builtin(select, types.Any, types.Any, types.Any)
def _select(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    condition, *choices = args
    kinds, result = signature.args[1:], signature.return_type
    if result == VECTOR:
        found = [spread(context, builder, *pair) for pair in zip(choices, kinds, strict=True)]
    else:
        found = [context.cast(builder, value, kind, result) for value, kind in zip(choices, kinds, strict=True)]
    return builder.select(condition, *found)


@emitted
def exponent_and_mantissa(_typing_context: Any, value: Any) -> Any:
    """(k, m) with value = 2^k m and √½ <= m < √2, of normal positive float64, one or a vector; k is whole."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = WIDTH if value == VECTOR else 0

        def constant(number: int) -> Any:
            return ir.Constant(whole, [number] * count if count else number)

        whole = ir.VectorType(_INT64, count) if count else _INT64
        bits = builder.bitcast(args[0], whole)
        exponent = builder.ashr(builder.sub(bits, constant(_SQRT_HALF_BITS)), constant(52))
        mantissa = builder.bitcast(builder.sub(bits, builder.shl(exponent, constant(52))), args[0].type)
        return context.make_tuple(builder, signature.return_type, (builder.sitofp(exponent, args[0].type), mantissa))

    kind = value if value == VECTOR else types.float64
    return types.UniTuple(kind, 2)(kind), generate


def floor(value: Any) -> Any:
    """Largest whole number not above a number or each number of a vector."""
    return math.floor(value)


def ceil(value: Any) -> Any:
    """Smallest whole number not below a number or each number of a vector."""
    return math.ceil(value)


def _define_rounding(function: Callable[..., Any], name: str) -> None:
    @type_callable(function)
    def typed(_context: Any) -> Callable[..., Any]:
        return lambda value: VECTOR if value == VECTOR else types.float64

    @lower_builtin(function, types.Any)
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if signature.return_type == VECTOR:
            return _llvm(name)(builder, args[0])
        return _call(builder, f"llvm.{name}.f64", context.cast(builder, args[0], signature.args[0], types.float64))


_define_rounding(floor, "floor")
_define_rounding(ceil, "ceil")


@emitted
def bits_of(_typing_context: Any, mask: Any) -> Any:
    """A mask as an integer, its first place the lowest bit."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), _INT64)

    return types.int64(mask), generate


@emitted
def any_of(_typing_context: Any, condition: Any) -> Any:
    """Whether a boolean holds, or a mask in any of its places."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        if condition != MASK:
            return args[0]
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], ir.IntType(WIDTH)), ir.IntType(WIDTH)(0))

    return types.boolean(condition), generate


@emitted
def count_of(_typing_context: Any, mask: Any) -> Any:
    """In how many places a mask holds."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(_call(builder, f"llvm.ctpop.i{WIDTH}", builder.bitcast(args[0], ir.IntType(WIDTH))), _INT64)

    return types.int64(mask), generate
