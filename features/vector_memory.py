"""Vectors (`features.vectors`) out of arrays and back. Compiled code trusts what it is told: nothing here is checked.

Arrays are C-contiguous, row and column numbers int64 or uint64 and not negative; a vector's numbers lie side by side.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.np.arrayobj import make_array

from features.vectors import VECTOR, WIDTH, emitted, spread

_INT32, _INT64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_DOUBLES, _INTEGERS = ir.VectorType(_DOUBLE, WIDTH), ir.VectorType(_INT64, WIDTH)
_EIGHT = 8
"""Rows and columns of what is transposed at once; WIDTH is a multiple."""


def _shuffled(builder: Any, one: Any, other: Any, places: Sequence[int]) -> Any:
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT32, len(places)), list(places)))


def _joined(builder: Any, one: Any, other: Any) -> Any:
    return _shuffled(builder, one, other, range(one.type.count + other.type.count))


def _address(context: Any, builder: Any, kind: Any, array: Any, indices: Sequence[Any]) -> Any:
    """Of an item."""
    item = make_array(kind)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, kind, item, list(indices), wraparound=False)


@emitted
def load(_typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """array[row, column : column + WIDTH] of a float64 or int64 array (integers below 2^53) as a vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], args[0], args[1:])
        if array.dtype == types.float64:
            return builder.load(builder.bitcast(place, _DOUBLES.as_pointer()), align=8)
        whole = builder.load(builder.bitcast(place, _INTEGERS.as_pointer()), align=8)
        return builder.sitofp(whole, _DOUBLES)

    return VECTOR(array, types.intp, types.intp), generate


@emitted
def store(_typing_context: Any, array: Any, row: Any, column: Any, value: Any) -> Any:
    """`load`'s counterpart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], args[0], args[1:3])
        whole = spread(context, builder, args[3], signature.args[3])
        if array.dtype != types.float64:
            whole = builder.fptosi(whole, _INTEGERS)
        builder.store(whole, builder.bitcast(place, whole.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns for rows in every eight places of eight vectors, by three perfect shuffles."""
    length = rows[0].type.count
    halves = [
        [base + half + k + other for base in range(0, length, 8) for k in range(4) for other in (0, length)]
        for half in (0, 4)
    ]
    for _ in range(3):
        rows = [_shuffled(builder, rows[k], rows[k + 4], half) for k in range(4) for half in halves]
    return rows


@emitted
def integers(_typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """array[row, column : column + WIDTH] of an int64 array as a tuple."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _address(context, builder, signature.args[0], args[0], args[1:])
        found = [builder.load(cgutils.gep_inbounds(builder, place, k)) for k in range(WIDTH)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.int64, WIDTH)(array, types.intp, types.intp), generate


@emitted
def following(_typing_context: Any, first: Any) -> Any:
    """The tuple (first, first + 1, ..., first + WIDTH - 1)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = [builder.add(args[0], _INT64(k)) for k in range(WIDTH)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.int64, WIDTH)(types.int64), generate


@emitted
def load_rows(_typing_context: Any, array: Any, rows: Any, ahead: Any) -> Any:
    """Columns of array[rows[k] + ahead, :8] of a float64 array as a tuple of eight vectors; `rows` WIDTH int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        line = ir.VectorType(_DOUBLE, _EIGHT).as_pointer()
        found = []
        for row in cgutils.unpack_tuple(builder, args[1], WIDTH):
            place = _address(context, builder, signature.args[0], args[0], (builder.add(row, args[2]), _INT64(0)))
            found.append(builder.load(builder.bitcast(place, line), align=8))
        columns = _transpose(builder, found[:_EIGHT])
        for first in range(_EIGHT, WIDTH, _EIGHT):
            more = _transpose(builder, found[first : first + _EIGHT])
            columns = [_joined(builder, *pair) for pair in zip(columns, more, strict=True)]
        return context.make_tuple(builder, signature.return_type, columns)

    return types.UniTuple(VECTOR, _EIGHT)(array, rows, types.intp), generate


@emitted
def gather(_typing_context: Any, array: Any, rows: Any, ahead: Any, column: Any) -> Any:
    """array[rows[k] + ahead, column] as a vector, arguments as `load_rows`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(_DOUBLES, ir.Undefined)
        for k, row in enumerate(cgutils.unpack_tuple(builder, args[1], WIDTH)):
            place = _address(context, builder, signature.args[0], args[0], (builder.add(row, args[2]), args[3]))
            value = builder.insert_element(value, builder.load(place), _INT32(k))
        return value

    return VECTOR(array, rows, types.intp, types.intp), generate


@emitted
def store_rows(_typing_context: Any, array: Any, row: Any, column: Any, vectors: Any) -> Any:
    """array[row + k, column + j] = vectors[j][k] of a float32 array, for a tuple of 9 to 16 vectors."""
    count = len(vectors)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors_given = cgutils.unpack_tuple(builder, args[3], count)
        found = [builder.fptrunc(value, ir.VectorType(ir.FloatType(), WIDTH)) for value in vectors_given]
        found += [ir.Constant(found[0].type, ir.Undefined)] * (2 * _EIGHT - count)
        lines = []
        for first in range(0, WIDTH, _EIGHT):
            eights = [_shuffled(builder, value, value, range(first, first + _EIGHT)) for value in found]
            lines += _transpose(builder, [_joined(builder, eights[k], eights[k + _EIGHT]) for k in range(_EIGHT)])
        for k, line in enumerate(lines):
            place = _address(context, builder, signature.args[0], args[0], (builder.add(args[1], _INT64(k)), args[2]))
            first, left = 0, count
            while left:  # the powers of two that `count` is made of: no store reaches beyond it
                size = 1 << (left.bit_length() - 1)
                part = _shuffled(builder, line, line, range(first, first + size))
                target = cgutils.gep_inbounds(builder, place, first)
                builder.store(part, builder.bitcast(target, part.type.as_pointer()), align=4)
                first, left = first + size, left - size
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vectors), generate


@emitted
def copy_items(_typing_context: Any, source: Any, row: Any, target: Any, place: Any, column: Any, count: Any) -> Any:
    """target[place, column : column + count] = source[row, the same] of float32 arrays; `count` is a constant."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    whole = ir.VectorType(ir.FloatType(), count.literal_value).as_pointer()

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        there = _address(context, builder, signature.args[0], args[0], (args[1], args[4]))
        here = _address(context, builder, signature.args[2], args[2], (args[3], args[4]))
        value = builder.load(builder.bitcast(there, whole), align=4)
        builder.store(value, builder.bitcast(here, whole), align=4)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp, count), generate
