"""Plain numeric text, `1,296,5.0,1147880044`, to arrays by compiled loops on all cores.

A line that is anything else (a quote, a leading zero, a blank, an exponent, an empty field) makes
the whole file not plain: then `pmf.data.readers.files` reads it by pyarrow, which knows what to say
of it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pmf.process.limits import num_threads

BLOCK = 1 << 21  # bytes of text a task: about a core's L2 cache
LONGEST = 1 << 12  # bytes of a line


class Numbers(NamedTuple):
    """A row of `integers` for each column read as such, in the text's order, and the decimals."""

    integers: np.ndarray  # (i, n) int64
    decimals: np.ndarray  # (n,) float32, or float64 where that is needed


def read_numbers(path: Path, begin: int, separator: str, kinds: str) -> Numbers | None:
    """The lines from byte `begin` on, or None where one of them is not plain.

    `kinds` has a letter a column: i for an integer, d for the decimal (one at most), - for a column
    that is not read. Needs memory for the result, and for a block of text a thread.
    """
    from pmf.data import kernels

    numbers_of = {"-": kernels.SKIP, "i": kernels.INTEGER, "d": kernels.DECIMAL}
    codes = np.array([numbers_of[letter] for letter in kinds])
    size = path.stat().st_size
    starts = range(begin, size, BLOCK)
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(num_threads()) as pool:
        read = partial(_read, file.fileno(), size)
        lines = list(pool.map(partial(_count, read), starts))
        for dtype in (np.float32, np.float64):
            result = Numbers(
                np.empty((kinds.count("i"), sum(lines)), np.int64),
                np.empty(sum(lines) if "d" in kinds else 0, dtype),
            )
            parse = partial(_parse, read, ord(separator), codes, result)
            counts = list(pool.map(parse, starts, lines, accumulate(lines[:-1], initial=0)))
            if kernels.ROUNDED not in counts or kernels.NOT_PLAIN in counts:
                break
    return result if counts == lines else None


def _read(handle: int, size: int, start: int) -> tuple[bytes, int]:
    """A block with the byte before it and a line after it, and its length without that line."""
    stop = min(start + BLOCK, size)
    text = os.pread(handle, stop + LONGEST - start + 1, start - 1)
    if start - 1 + len(text) >= size and not text.endswith(b"\n"):
        text += b"\n"
    return text, stop - start


def _count(read: Callable[[int], tuple[bytes, int]], start: int) -> int:
    """The lines that begin in a block: the line ends one byte earlier."""
    from pmf.data import kernels

    text, length = read(start)
    return int(kernels.count_lines(np.frombuffer(text, np.uint8), length))


def _parse(
    read: Callable[[int], tuple[bytes, int]],
    separator: int,
    codes: np.ndarray,
    result: Numbers,
    start: int,
    lines: int,
    first: int,
) -> int:
    """Fill the `lines` from line `first` on with those that begin in a block.

    Returns how many these were, or what kept them from being read (`pmf.data.kernels`).

    The loops are not checked for the array's bounds: they stop at line ends, so the text has to end
    with one.
    """
    from pmf.data import kernels

    text, length = read(start)
    begin = text.find(b"\n") + 1
    end = text.find(b"\n", length) + 1
    if end < begin:  # a line longer than `LONGEST`, whose end is not in the text
        return kernels.NOT_PLAIN
    rows = slice(first, first + lines)
    decimals = result.decimals[rows]
    outcome: int = kernels.parse_lines(
        np.frombuffer(text, np.uint8)[begin:],
        end - begin,
        separator,
        codes,
        result.integers[:, rows],
        decimals,
        kernels.TENS,
    )
    return outcome
