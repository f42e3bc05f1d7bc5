"""Vector instructions for numba: the inner loops of `pmf.inference.fused.kernel`, written as LLVM
IR.

Numba has no vector types, and its compiler does not keep a tile of accumulators in registers by
itself. Each function takes C-contiguous matrices of one float type and places (row, column) in
them; nothing is checked. Matrices have a multiple of `lanes(dtype)` columns.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WIDE = llvm.get_host_cpu_features().get("avx512f", False)
VECTOR_BYTES = 64 if WIDE else 32
TILE = 8 if WIDE else 4  # rows of a register tile: 2 TILE accumulators fit the register file

_INT = ir.IntType(64)
_LANE = ir.IntType(32)


def lanes(itemsize: int) -> int:
    """Numbers of `itemsize` bytes in a vector."""
    return VECTOR_BYTES // itemsize


class _Emitter:
    """Emits vector instructions for one float type into one function."""

    def __init__(self, context, builder, dtype):
        self.context, self.builder = context, builder
        self.itemsize = dtype.bitwidth // 8
        self.scalar = context.get_data_type(dtype)
        self.lanes = lanes(self.itemsize)
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.suffix = f"v{self.lanes}f{dtype.bitwidth}"

    def matrix(self, kind, value) -> tuple[ir.Value, ir.Value]:
        """The address of an array's data and the bytes from one row to the next."""
        array = self.context.make_array(kind)(self.context, self.builder, value)
        address = self.builder.ptrtoint(array.data, _INT)
        columns = cgutils.unpack_tuple(self.builder, array.shape)[-1]
        return address, self.builder.mul(columns, _INT(self.itemsize))

    def place(self, base, stride, row, column) -> ir.Value:
        """The address of entry (row, column)."""
        down = self.builder.mul(row, stride)
        along = self.builder.mul(column, _INT(self.itemsize))
        return self.builder.add(self.builder.add(base, down), along)

    def rows(self, address, stride) -> list[ir.Value]:
        """The addresses of a tile's rows."""
        addresses = [address]
        for _ in range(TILE - 1):
            addresses.append(self.builder.add(addresses[-1], stride))
        return addresses

    def after(self, address, numbers: int) -> ir.Value:
        return self.builder.add(address, _INT(numbers * self.itemsize))

    def load(self, address, kind=None) -> ir.Value:
        kind = kind or self.vector
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = self.itemsize
        return value

    def store(self, value, address) -> None:
        pointer = self.builder.inttoptr(address, value.type.as_pointer())
        self.builder.store(value, pointer).align = self.itemsize

    def splat(self, x) -> ir.Value:
        """A vector of equal numbers."""
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, x, _LANE(0))
        zeros = ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, empty, zeros)

    def fma(self, a, b, c) -> ir.Value:
        """a b + c."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.{self.suffix}"
        call = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(call, [a, b, c])

    def sum(self, v) -> ir.Value:
        """The sum of a vector's numbers, in any order."""
        kind = ir.FunctionType(self.scalar, [self.scalar, self.vector])
        name = f"llvm.vector.reduce.fadd.{self.suffix}"
        call = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(call, [self.scalar(0.0), v], fastmath=("fast",))

    def loop(self, count, start: list[ir.Value], body) -> list[ir.Value]:
        """`for t in range(count): values = body(t, values)`, the values kept in registers."""
        builder = self.builder
        before = builder.block
        inside, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.cbranch(builder.icmp_signed(">", count, _INT(0)), inside, done)
        builder.position_at_end(inside)
        t = builder.phi(_INT)
        values = [builder.phi(value.type) for value in start]
        changed = body(t, values)
        t.add_incoming(_INT(0), before)
        t.add_incoming(builder.add(t, _INT(1)), inside)
        for value, first, next_ in zip(values, start, changed, strict=True):
            value.add_incoming(first, before)
            value.add_incoming(next_, inside)
        more = builder.icmp_signed("<", t.incomings[1][0], count)
        builder.cbranch(more, inside, done)
        builder.position_at_end(done)
        last = [builder.phi(value.type) for value in start]
        for value, first, next_ in zip(last, start, changed, strict=True):
            value.add_incoming(first, before)
            value.add_incoming(next_, inside)
        return last


def _outer(sign: int, vectors: int):
    """C[i:i+TILE, j:j+vectors*lanes] += sign * A[:count, i:i+TILE]^T A[:count, j:...]."""

    @intrinsic
    def outer(typing, C, A, i, j, count):
        def generate(context, builder, signature, arguments):
            emit = _Emitter(context, builder, C.dtype)
            c, a = (emit.matrix(signature.args[k], arguments[k]) for k in (0, 1))
            i, j, count = arguments[2:]
            tile = emit.rows(emit.place(*c, i, j), c[1])
            cells = [(row, v * emit.lanes) for row in tile for v in range(vectors)]
            left, right = emit.place(*a, _INT(0), i), emit.place(*a, _INT(0), j)

            def add_rating(t, values):
                *sums, left, right = values
                y = [emit.load(emit.after(right, v * emit.lanes)) for v in range(vectors)]
                new = []
                for r in range(TILE):
                    number = emit.load(emit.after(left, r), emit.scalar)
                    x = emit.splat(builder.fneg(number) if sign < 0 else number)
                    new += [emit.fma(x, y[v], sums[r * vectors + v]) for v in range(vectors)]
                return [*new, builder.add(left, a[1]), builder.add(right, a[1])]

            sums = [emit.load(emit.after(*cell)) for cell in cells]
            *sums, _, _ = emit.loop(count, [*sums, left, right], add_rating)
            for value, cell in zip(sums, cells, strict=True):
                emit.store(value, emit.after(*cell))
            return context.get_dummy_value()

        return types.void(C, A, types.int64, types.int64, types.int64), generate

    return outer


add_outer_1, add_outer_2 = _outer(1, 1), _outer(1, 2)
subtract_outer_1, subtract_outer_2 = _outer(-1, 1), _outer(-1, 2)


@intrinsic
def solve_tile(typing, C, D, inverse, i, j):
    """Rows i to i+TILE of C, one vector from column j, become inv(D)^T times themselves.

    D (TILE, TILE) is upper triangular; inverse[i + r] is 1 / D[r, r].
    """

    def generate(context, builder, signature, arguments):
        emit = _Emitter(context, builder, C.dtype)
        c, d, reciprocals = (emit.matrix(signature.args[k], arguments[k]) for k in range(3))
        i, j = arguments[3:]
        rows = emit.rows(emit.place(*c, i, j), c[1])
        coefficients = emit.rows(d[0], d[1])
        pivots = emit.place(reciprocals[0], _INT(0), _INT(0), i)
        x: list[ir.Value] = []
        for r in range(TILE):
            value = emit.load(rows[r])
            for s in range(r):
                number = emit.load(emit.after(coefficients[s], r), emit.scalar)
                value = emit.fma(emit.splat(builder.fneg(number)), x[s], value)
            pivot = emit.load(emit.after(pivots, r), emit.scalar)
            x.append(builder.fmul(value, emit.splat(pivot)))
        for value, row in zip(x, rows, strict=True):
            emit.store(value, row)
        return context.get_dummy_value()

    return types.void(C, D, inverse, types.int64, types.int64), generate


@intrinsic
def dot_from(typing, A, i, x, j):
    """A[i, j:] . x[j:], j a multiple of the lanes."""

    def generate(context, builder, signature, arguments):
        emit = _Emitter(context, builder, A.dtype)
        a, i, x, j = arguments
        base, stride = emit.matrix(signature.args[0], a)
        left = emit.place(base, stride, i, j)
        right = emit.place(emit.matrix(signature.args[2], x)[0], _INT(0), _INT(0), j)
        along = builder.sub(stride, builder.mul(j, _INT(emit.itemsize)))
        count = builder.sdiv(along, _INT(VECTOR_BYTES))

        def add_vector(t, values):
            offset = builder.mul(t, _INT(VECTOR_BYTES))
            pair = [emit.load(builder.add(side, offset)) for side in (left, right)]
            return [emit.fma(*pair, values[0])]

        zero = ir.Constant(emit.vector, [0.0] * emit.lanes)
        return emit.sum(emit.loop(count, [zero], add_vector)[0])

    return A.dtype(A, types.int64, x, types.int64), generate


@intrinsic
def copy_row(typing, A, i, B, j):
    """B[j] = A[i], rows of equal width."""

    def generate(context, builder, signature, arguments):
        emit = _Emitter(context, builder, A.dtype)
        base, stride = emit.matrix(signature.args[0], arguments[0])
        source = emit.place(base, stride, arguments[1], _INT(0))
        target = emit.place(*emit.matrix(signature.args[2], arguments[2]), arguments[3], _INT(0))

        def move(t, values):
            offset = builder.mul(t, _INT(VECTOR_BYTES))
            emit.store(emit.load(builder.add(source, offset)), builder.add(target, offset))
            return []

        emit.loop(builder.sdiv(stride, _INT(VECTOR_BYTES)), [], move)
        return context.get_dummy_value()

    return types.void(A, types.int64, B, types.int64), generate


@intrinsic
def prefetch_row(typing, A, i):
    """Ask the caches for A[i]."""

    def generate(context, builder, signature, arguments):
        emit = _Emitter(context, builder, A.dtype)
        base, stride = emit.matrix(signature.args[0], arguments[0])
        row = emit.place(base, stride, arguments[1], _INT(0))
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _LANE, _LANE, _LANE])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")

        def ask(t, values):
            address = builder.add(row, builder.mul(t, _INT(VECTOR_BYTES)))
            to_read, keep, data = _LANE(0), _LANE(3), _LANE(1)
            builder.call(call, [builder.inttoptr(address, pointer), to_read, keep, data])
            return []

        emit.loop(builder.sdiv(stride, _INT(VECTOR_BYTES)), [], ask)
        return context.get_dummy_value()

    return types.void(A, types.int64), generate


@intrinsic
def fetch_add(typing, counter, amount):
    """counter[0] += amount, atomically; returns what it was."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, arguments[1], "monotonic")

    return types.int64(types.Array(types.int64, 1, "C"), types.int64), generate
