"""Ratings in the fewest bytes that hold them exactly: one, two, four or eight, never rounded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

BLOCK = 1 << 20  # values decoded at a time
MOST = 256  # distinct values that a byte can tell apart

Rows = slice | np.ndarray  # which rows: a run of them, their numbers, or the truth of each


@dataclass(frozen=True)
class Coded:
    """Values of a small table, a byte each: `table[code]`. Reads like the array itself."""

    code: np.ndarray  # (n,) uint8
    table: np.ndarray  # (at most 256,) float32, or float64 where that is needed

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows: Rows) -> np.ndarray:
        return np.asarray(self.table[self.code[rows]])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.table.dtype, copy=False)


@dataclass(frozen=True)
class Mapped:
    """A function of values that stay where they are, as on disk: `of(values[rows])`."""

    values: np.ndarray  # (n,)
    of: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> np.ndarray:
        return self.of(self.values[rows])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        array = self.of(np.asarray(self.values))
        return array.astype(dtype or array.dtype, copy=False)


Stored: TypeAlias = Coded | np.ndarray  # (n,) floating-point numbers
Values: TypeAlias = Stored | Mapped


class Palette:
    """Sees values batch by batch, and knows the fewest bytes that hold them all exactly."""

    def __init__(self) -> None:
        # Bits, not numbers: -0.0 and 0.0 are two values.
        self.bits: np.ndarray | None = np.empty(0, np.uint64)  # None: more than `MOST`
        self.is_half = self.is_single = True

    def see(self, values: np.ndarray) -> None:
        """Add a batch of numbers of 32 or 64 bits."""
        for block in _blocks(values):
            self.is_single &= block.dtype == np.float32 or _is_exact(block, np.float32)
            self.is_half &= self.is_single and _is_exact(block, np.float16)
            if self.bits is not None:
                new = np.unique(_bits(block)).view(block.dtype).astype(np.float64)
                bits = np.union1d(self.bits, _bits(new))
                self.bits = bits if len(bits) <= MOST else None

    def empty(self, make: Callable[[type[np.generic]], np.ndarray]) -> Stored:
        """Room for the values: `make(dtype)` gives an array."""
        single = np.float32 if self.is_single else np.float64
        if self.bits is not None:
            return Coded(make(np.uint8), self.bits.view(np.float64).astype(single))
        return make(np.float16 if self.is_half else single)


def _is_exact(values: np.ndarray, dtype: type[np.floating]) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.all(values.astype(dtype) == values))


def _bits(values: np.ndarray) -> np.ndarray:
    return values.view(np.uint32 if values.dtype == np.float32 else np.uint64)


def _blocks(values: Values) -> Iterator[np.ndarray]:
    return (values[begin : begin + BLOCK] for begin in range(0, len(values), BLOCK))


def arrays_of(values: Stored) -> tuple[np.ndarray, ...]:
    """The arrays that the values are kept in."""
    return (values.code, values.table) if isinstance(values, Coded) else (np.asarray(values),)


def decoded(values: Values) -> np.ndarray:
    """The values as floating-point numbers of 32 bits or more."""
    array = np.asarray(values)
    return array.astype(np.promote_types(array.dtype, np.float32), copy=False)


def as_numbers(values: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits as numbers of 32 where that is exact for all."""
    is_single = all(_is_exact(block, np.float32) for block in _blocks(values))
    return values.astype(np.float32) if is_single else values


def mapped(values: Values, of: Callable[[np.ndarray], np.ndarray]) -> Values:
    """A function of each value. Where they are few, or half steps as stars are, of those alone.

    Values on disk stay there; others are replaced block by block.
    """
    if isinstance(values, Coded):
        return Coded(values.code, of(values.table))
    if isinstance(values, np.memmap):
        return Mapped(values, of)
    values = np.asarray(values)
    code = np.empty(len(values), np.uint8)
    for block, part in zip(_blocks(values), _blocks(code), strict=True):
        with np.errstate(invalid="ignore"):
            part[:] = np.clip(2 * block, 0, 255)
        if not np.array_equal(part, 2 * block):
            break
    else:
        return Coded(code, of(np.arange(256) / 2))
    results = [of(block) for block in _blocks(values)]
    return np.concatenate(results)


def mean_and_std(values: Values) -> tuple[float, float]:
    """Mean and standard deviation in float64, decoding `BLOCK` values at a time."""
    n = len(values)

    def total(of: Callable[[np.ndarray], np.ndarray]) -> float:
        return sum(float(np.sum(of(block.astype(np.float64)))) for block in _blocks(values))

    mean = total(lambda x: x) / n
    return mean, float(np.sqrt(total(lambda x: (x - mean) ** 2) / n))


def put(values: Stored, rows: slice, new: np.ndarray) -> bool:
    """Write numbers into rows; whether they are there bit for bit."""
    if isinstance(values, Coded):
        bits = _bits(values.table)
        new_bits = _bits(new.astype(values.table.dtype, copy=False))
        values.code[rows] = np.searchsorted(bits, new_bits).clip(max=len(bits) - 1)
    else:
        values[rows] = new
    stored = np.asarray(values[rows]).astype(new.dtype)
    return np.array_equal(_bits(stored), _bits(new))


def coded_values(values: np.ndarray) -> Stored:
    """Numbers in the fewest bytes that hold each exactly: a code, float16, or themselves."""
    palette = Palette()
    palette.see(values)
    coded = palette.empty(lambda dtype: np.empty(len(values), dtype))
    put(coded, slice(None), values)
    return coded
