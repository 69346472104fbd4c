"""Vectors of float32 for numba: registers that kernels load, combine and store by name.

Numba turns a plain loop into vector instructions only in simple cases; several
accumulators, gathers or a call inside make it fall back to single numbers, at a third
of the speed or less. Here a vector is a type of its own, of a fixed number of lanes,
and each function below becomes one or two instructions.

Indices count elements of a one-dimensional array and are not checked. Addresses need no
alignment. `lanes` and other counts must be literal numbers. Nothing is reordered:
results depend on the order in which a kernel adds, and on that alone.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

_FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_BYTE = ir.IntType(8)


class Vector(types.Type):
    """The numba type of a vector of `lanes` float32."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"Vector({lanes})")

    @property
    def ir(self):
        """The LLVM type."""
        return ir.VectorType(_FLOAT, self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.ir)


def _address(context, builder, array_type, array, index, item=None):
    """Returns a pointer to array[index], as a pointer to `item` if given."""
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(data, [index])
    return pointer if item is None else builder.bitcast(pointer, item.as_pointer())


def _filled(builder, value, lanes):
    """Returns a vector whose lanes all hold value."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(_INT32, 0))
    return _picked(builder, one, undefined, [0] * lanes)


def _picked(builder, x, y, lanes):
    """Returns the listed lanes of x and y side by side."""
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes)
    return builder.shuffle_vector(x, y, mask)


def _library(builder, name, vector, args):
    """Calls LLVM's own function `name` on vectors."""
    kind = ir.FunctionType(vector.ir, [vector.ir] * len(args))
    name = f"llvm.{name}.v{vector.lanes}f32"
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, args)


@intrinsic(prefer_literal=True)
def load(typing, array, index, lanes):
    """Returns array[index : index + lanes]."""
    vector = Vector(lanes.literal_value)

    def code(context, builder, signature, args):
        pointer = _address(
            context, builder, signature.args[0], args[0], args[1], vector.ir
        )
        return builder.load(pointer, align=4)

    return vector(array, types.intp, lanes), code


@intrinsic(prefer_literal=True)
def load_bytes(typing, array, index, lanes):
    """Returns array[index : index + lanes] of a uint8 array, as float32."""
    vector = Vector(lanes.literal_value)

    def code(context, builder, signature, args):
        item = ir.VectorType(_BYTE, vector.lanes)
        pointer = _address(context, builder, signature.args[0], args[0], args[1], item)
        return builder.uitofp(builder.load(pointer, align=1), vector.ir)

    return vector(array, types.intp, lanes), code


@intrinsic(prefer_literal=True)
def load_filled(typing, array, index, lanes):
    """Returns array[index] in every lane."""
    vector = Vector(lanes.literal_value)

    def code(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], args[0], args[1])
        return _filled(builder, builder.load(pointer, align=4), vector.lanes)

    return vector(array, types.intp, lanes), code


@intrinsic(prefer_literal=True)
def filled(typing, value, lanes):
    """Returns value in every lane."""
    vector = Vector(lanes.literal_value)

    def code(context, builder, signature, args):
        return _filled(builder, args[0], vector.lanes)

    return vector(types.float32, lanes), code


@intrinsic
def store(typing, array, index, x):
    """Writes all lanes to array[index], array[index + 1], ..."""

    def code(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], args[0], args[1], x.ir)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), code


@intrinsic
def store_integers(typing, array, index, x):
    """Writes all lanes to an int32 array; they must hold whole numbers."""

    def code(context, builder, signature, args):
        item = ir.VectorType(_INT32, x.lanes)
        pointer = _address(context, builder, signature.args[0], args[0], args[1], item)
        builder.store(builder.fptosi(args[2], item), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), code


@intrinsic
def fma(typing, x, y, z):
    """Returns x * y + z, rounded once."""

    def code(context, builder, signature, args):
        return _library(builder, "fma", x, args)

    return x(x, x, x), code


@intrinsic
def square_root(typing, x):
    """Returns the square root."""

    def code(context, builder, signature, args):
        return _library(builder, "sqrt", x, args)

    return x(x), code


@intrinsic
def magnitude(typing, x):
    """Returns |x|."""

    def code(context, builder, signature, args):
        return _library(builder, "fabs", x, args)

    return x(x), code


@intrinsic
def with_sign(typing, x, y):
    """Returns |x| with the sign of y."""

    def code(context, builder, signature, args):
        return _library(builder, "copysign", x, args)

    return x(x, x), code


@intrinsic
def as_exponent(typing, x):
    """Returns the number whose sign and exponent are the 9 lowest bits of x."""

    def code(context, builder, signature, args):
        integers = ir.VectorType(_INT32, x.lanes)
        places = ir.Constant(integers, [23] * x.lanes)
        bits = builder.shl(builder.bitcast(args[0], integers), places)
        return builder.bitcast(bits, x.ir)

    return x(x), code


@intrinsic
def where_greater(typing, a, b, x, y):
    """Returns x where a > b, else y."""

    def code(context, builder, signature, args):
        a, b, x, y = args
        return builder.select(builder.fcmp_ordered(">", a, b), x, y)

    return x(a, a, x, x), code


@intrinsic
def where_equal(typing, a, b, x, y):
    """Returns x where a == b, else y."""

    def code(context, builder, signature, args):
        a, b, x, y = args
        return builder.select(builder.fcmp_ordered("==", a, b), x, y)

    return x(a, a, x, x), code


@intrinsic(prefer_literal=True)
def part(typing, x, first, lanes):
    """Returns x[first : first + lanes]."""
    chosen = [first.literal_value + i for i in range(lanes.literal_value)]

    def code(context, builder, signature, args):
        return _picked(builder, args[0], args[0], chosen)

    return Vector(len(chosen))(x, first, lanes), code


@intrinsic(prefer_literal=True)
def folded(typing, x, y, block):
    """Halves blocks of lanes: adds the upper half of each block to the lower half.

    Returns the halves from x, then those from y: as many lanes as x has. Repeated on
    2**n vectors, pair by pair, it ends with the sum of every vector in a lane of one.
    """
    half = block.literal_value // 2
    starts = range(0, 2 * x.lanes, 2 * half)
    lower = [start + i for start in starts for i in range(half)]
    upper = [lane + half for lane in lower]

    def code(context, builder, signature, args):
        return builder.fadd(
            _picked(builder, args[0], args[1], lower),
            _picked(builder, args[0], args[1], upper),
        )

    return x(x, x, block), code


@intrinsic(prefer_literal=True)
def every(typing, x, first, step, lanes):
    """Returns x[first : : step], as many lanes."""
    count = lanes.literal_value
    chosen = [first.literal_value + step.literal_value * i for i in range(count)]

    def code(context, builder, signature, args):
        return _picked(builder, args[0], args[0], chosen)

    return Vector(count)(x, first, step, lanes), code


@intrinsic
def joined(typing, x, y):
    """Returns x and y side by side."""

    def code(context, builder, signature, args):
        return _picked(builder, args[0], args[1], list(range(2 * x.lanes)))

    return Vector(2 * x.lanes)(x, x), code


@intrinsic(prefer_literal=True)
def paired(typing, x, y, block, odd):
    """Puts every second block of lanes of x beside the one of y.

    The even blocks (odd = 0), or the odd ones (odd = 1). With blocks of 4, 2 and 1 it
    turns rows into columns.
    """
    size = block.literal_value
    starts = range(odd.literal_value * size, x.lanes, 2 * size)
    lanes = [
        start + i + other
        for start in starts
        for other in (0, x.lanes)
        for i in range(size)
    ]

    def code(context, builder, signature, args):
        return _picked(builder, args[0], args[1], lanes)

    return x(x, x, block, odd), code


def _define(symbol, instruction):
    """Lets `symbol` work on two vectors of equal length."""

    @infer_global(symbol)
    class _Typing(AbstractTemplate):
        def generic(self, args, keywords):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    @lower_builtin(symbol, Vector, Vector)
    def lower(context, builder, signature, args):
        return getattr(builder, instruction)(*args)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
