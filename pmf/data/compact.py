"""Ratings in fewer bytes: one or two each where that is exact, never rounded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

BLOCK = 1 << 20  # values decoded at a time
MOST = 256  # distinct values that a byte can tell apart


@dataclass(frozen=True)
class Coded:
    """Float32 values of a small table, a byte each: `table[code]`. Reads like the array itself."""

    code: np.ndarray  # (n,) uint8
    table: np.ndarray  # (at most 256,) float32

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows) -> np.ndarray:
        return self.table[self.code[rows]]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.table[self.code].astype(dtype or np.float32, copy=False)


Values: TypeAlias = Coded | np.ndarray  # (n,); an array is float16 or float32


class Palette:
    """Sees values batch by batch, and knows the fewest bytes that hold them all exactly."""

    def __init__(self) -> None:
        # Bits, not numbers: -0.0 and 0.0 are two values.
        self.bits: np.ndarray | None = np.empty(0, np.uint32)  # None: more than `MOST`
        self.is_half = True

    def see(self, values: np.ndarray) -> None:
        """Add a batch of float32 values."""
        if self.bits is not None:
            bits = np.union1d(self.bits, values.view(np.uint32))
            self.bits = bits if len(bits) <= MOST else None
        with np.errstate(over="ignore"):
            self.is_half &= bool(np.all(values.astype(np.float16) == values))

    def empty(self, make) -> Values:
        """Room for the values: `make(dtype)` gives an array."""
        if self.bits is not None:
            return Coded(make(np.uint8), self.bits.view(np.float32))
        return make(np.float16 if self.is_half else np.float32)


def stored(values: Values) -> tuple[np.ndarray, ...]:
    """The arrays that the values are kept in."""
    return (values.code, values.table) if isinstance(values, Coded) else (np.asarray(values),)


def decoded(values: Values) -> np.ndarray:
    """The values as floating-point numbers of 32 bits or more."""
    array = np.asarray(values)
    return array.astype(np.promote_types(array.dtype, np.float32), copy=False)


def mean_and_std(values: Values) -> tuple[float, float]:
    """Mean and standard deviation in float64, decoding `BLOCK` values at a time."""
    n = len(values)

    def total(of: Callable[[np.ndarray], np.ndarray]) -> float:
        blocks = (values[begin : begin + BLOCK] for begin in range(0, n, BLOCK))
        return sum(float(np.sum(of(block.astype(np.float64)))) for block in blocks)

    mean = total(lambda x: x) / n
    return mean, float(np.sqrt(total(lambda x: (x - mean) ** 2) / n))


def put(values: Values, rows: slice, new: np.ndarray) -> bool:
    """Write float32 values into rows; whether they are there bit for bit."""
    if isinstance(values, Coded):
        bits = values.table.view(np.uint32)
        values.code[rows] = np.searchsorted(bits, new.view(np.uint32)).clip(max=len(bits) - 1)
    else:
        values[rows] = new
    there = np.asarray(values[rows], np.float32)
    return np.array_equal(there.view(np.uint32), new.view(np.uint32))


def compressed(values: np.ndarray) -> Values:
    """Float32 values in the fewest bytes that hold each exactly: a code, float16, or themselves."""
    palette = Palette()
    palette.see(values)
    room = palette.empty(lambda dtype: np.empty(len(values), dtype))
    put(room, slice(None), values)
    return room
