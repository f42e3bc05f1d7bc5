"""The kernel as an XLA custom call: no copy, no Python and no lock between XLA and `sweep`.

XLA calls a C function with one frame that points at the buffers. The frame is read here as 64-bit
words, by the layout of XLA's C interface (xla/ffi/api/c_api.h, version 0.1 and later).
"""

import ctypes
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np
from jaxtyping import Array, Float
from numba import carray, types
from numba.extending import intrinsic, overload

from pmf.inference.fused.kernel import padded, sweep
from pmf.inference.row_posterior import RowPosteriors
from pmf.inference.row_update import Update, shift
from pmf.process.numba_cache import callback, compiled

# Words of XLA_FFI_CallFrame, _Extension_Base, _Metadata_Extension, _Metadata and _Buffer.
FRAME_EXTENSION, FRAME_ARGUMENTS, FRAME_RESULTS = 1, 9, 14
EXTENSION_KIND, EXTENSION_METADATA, KIND_METADATA = 1, 3, 1
METADATA_VERSION, METADATA_TRAITS = 3, 4
BUFFER_DATA, BUFFER_DIMENSIONS = 3, 5
STEP = 16  # numbers that a row of a spread is padded to a multiple of
VERSION = 1 << 32  # two 32-bit numbers: major 0, minor 1


@intrinsic
def _pointer(typing, address, dtype):
    """An address as a pointer to numbers of a NumPy type."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(dtype.instance_type)(types.int64, dtype), generate


@compiled()
def _words(address):
    return _pointer(address, np.int64)


@compiled()
def _vector(buffers, k, dtype):
    """Buffer k as an array (n,)."""
    buffer = _words(_words(buffers)[k])
    return carray(_pointer(buffer[BUFFER_DATA], dtype), (_words(buffer[BUFFER_DIMENSIONS])[0],))


@compiled()
def _matrix(buffers, k, dtype):
    """Buffer k as an array (n, d)."""
    buffer = _words(_words(buffers)[k])
    n, d = _words(buffer[BUFFER_DIMENSIONS])[0], _words(buffer[BUFFER_DIMENSIONS])[1]
    return carray(_pointer(buffer[BUFFER_DATA], dtype), (n, d))


def _optional(read, buffers, k, dtype):
    """Buffer k as `read` reads it, or None where it has no type: it is not there, or of no use."""


@overload(_optional)
def _array_or_none(read, buffers, k, dtype):
    # By type: a test in the code would give an optional array, and leave tests to the kernel.
    if isinstance(dtype, types.NoneType):
        return lambda read, buffers, k, dtype: None
    return lambda read, buffers, k, dtype: read(buffers, k, dtype)


@compiled()
def _is_query(frame):
    """Whether XLA only asks for the interface's version, and the answer."""
    extension = _words(frame)[FRAME_EXTENSION]
    if extension == 0 or _words(extension)[EXTENSION_KIND] & 0xFFFFFFFF != KIND_METADATA:
        return False
    metadata = _words(_words(extension)[EXTENSION_METADATA])
    metadata[METADATA_VERSION] = VERSION
    metadata[METADATA_TRAITS] = 0
    return True


def _handler(dtype, value_type, is_weighted: bool, is_expected: bool):
    # Only what pickles alike in every process may be closed over: it is in the cache's key.
    level_type = np.float32 if value_type is np.uint8 else None
    weight_type = dtype if is_weighted else None
    spread_type = dtype if is_expected else None

    @callback(types.int64(types.int64))
    def handler(frame):
        if not _is_query(frame):
            arguments, results = _words(frame)[FRAME_ARGUMENTS], _words(frame)[FRAME_RESULTS]
            sweep(
                _vector(arguments, 0, np.int32)[0],
                _vector(arguments, 1, np.int32),
                _vector(arguments, 2, np.int32),
                _vector(arguments, 3, value_type),
                _vector(arguments, 4, np.int32),
                _optional(_vector, arguments, 5, level_type),
                _optional(_vector, arguments, 6, weight_type),
                _optional(_matrix, arguments, 7, spread_type),
                _matrix(arguments, 8, dtype),
                _matrix(arguments, 9, dtype),
                _matrix(arguments, 10, dtype),
                _vector(arguments, 11, dtype),
                _matrix(arguments, 12, dtype),
                _vector(arguments, 13, dtype)[0],
                _matrix(results, 0, dtype),
                _vector(results, 1, dtype),
                _optional(_matrix, results, 2, spread_type),
                _optional(_vector, results, 3, spread_type),
                _optional(_vector, results, 4, spread_type),
            )
        return 0  # no error

    return handler


@cache
def _target(dtype: type, value_type: type, is_weighted: bool, is_expected: bool) -> str:
    """The name under which XLA knows the kernel for these types of numbers and of values.

    Compiled at the first call.
    """
    name = f"pmf_half_sweep_{np.dtype(dtype).name}_{np.dtype(value_type).name}"
    name += "_weighted" * is_weighted + "_expected" * is_expected
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    handler = _handler(dtype, value_type, is_weighted, is_expected)
    jax.ffi.register_ffi_target(name, capsule(handler.address, None, None), platform="cpu")
    _KEPT.append(handler)
    return name


_KEPT: list = []  # handlers own the code that XLA calls


def update_rows(rows: Any, inputs: Update) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """The new rows and their squared errors, of compressed `rows` (`CSR`)."""
    n, d = len(inputs.weight), inputs.epsilon.shape[-1]
    w, error = _call(rows, inputs, ((n, d), (n,)), None)
    return w, error / inputs.tau


def update_posteriors(
    rows: Any, inputs: Update, spread: Float[Array, "n1 q1"], covariance: Float[Array, "n q"]
) -> RowPosteriors:
    """The same in expectation (`pmf.inference.row_posterior`)."""
    n, d = len(inputs.weight), inputs.epsilon.shape[-1]
    shapes = (n, d), (n,), covariance.shape, (n,), (n,)
    _, width = padded(d, spread.dtype.itemsize)
    size = spread.shape[-1]
    # Whole vectors; a triangle is told from a diagonal by its width.
    columns = width if size == d + 1 else -(-max(size, width + 1) // STEP) * STEP
    table = jnp.pad(inputs.tau * spread, ((0, 0), (0, columns - size)))
    w, error, covariance, trace, log_det = _call(rows, inputs, shapes, table)
    return RowPosteriors(w, covariance, error / inputs.tau, trace / inputs.tau, log_det)


def _call(rows: Any, inputs: Update, shapes, spread: Float[Array, "n1 q1"] | None) -> Any:
    prior, dtype = inputs.prior, inputs.epsilon.dtype
    d = inputs.epsilon.shape[-1]
    scale = jnp.sqrt(inputs.tau)
    height, width = padded(d, dtype.itemsize)
    sign = jnp.where(jnp.arange(d + 1) < d, scale, -scale)  # y = r - (mu + c)
    signed = jnp.pad(sign * inputs.table, ((0, 0), (0, width - d - 1)))
    precision = jnp.pad(prior.precision, ((0, height - d), (0, width - d)))
    nothing = jnp.zeros(1, dtype)
    weight = nothing if rows.weight is None else jnp.sqrt(rows.weight).astype(dtype)
    results = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    kinds = dtype.type, rows.value.dtype.type, rows.weight is not None, spread is not None
    call = jax.ffi.ffi_call(_target(*kinds), results, vmap_method="sequential")
    return call(
        np.full(1, numba.get_num_threads(), np.int32),
        rows.start,
        rows.col,
        rows.value,
        rows.share,
        rows.levels,
        weight,
        nothing[None] if spread is None else spread,
        signed,
        precision,
        jnp.atleast_2d(shift(prior)),
        inputs.weight,
        inputs.epsilon,
        scale[None],
    )
