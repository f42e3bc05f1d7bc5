"""Ratings to compressed rows by counting sort, on all threads."""

import numba
import numpy as np
from numba import prange

from pmf.process.numba_cache import compiled

_COMPILED = {"nogil": True}


def compress(
    row: np.ndarray, col: np.ndarray, value: np.ndarray, num_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, col, value) of the rows; within each, cells in their given order."""
    if _ascends(row):  # as files of ratings mostly are: nothing moves
        return np.searchsorted(row, np.arange(num_rows + 1)).astype(np.int32), col, value
    return _group(numba.get_num_threads(), row, col, value, num_rows)


def transpose(
    start: np.ndarray, col: np.ndarray, value: np.ndarray, num_cols: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The compressed columns of compressed rows, rows ascending within each."""
    row = np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start))
    return _group(numba.get_num_threads(), col, row, value, num_cols)


def count_repeats(start: np.ndarray, col: np.ndarray, num_cols: int) -> int:
    """How many cells have their column's number before them in their row."""
    return _count_repeats(numba.get_num_threads(), start, col, num_cols)


@compiled(parallel=True, **_COMPILED)
def _ascends(row):
    falls = 0
    for k in prange(1, len(row)):
        falls += row[k] < row[k - 1]
    return falls == 0


@compiled(parallel=True, **_COMPILED)
def _group(threads, key, other, value, num_keys):
    """A stable counting sort by key: each thread counts, then places, one run of the ratings."""
    edges = np.linspace(0, len(key), threads + 1).astype(np.int64)
    place = np.zeros((threads, num_keys), np.int64)
    for t in prange(threads):
        for k in range(edges[t], edges[t + 1]):
            place[t, key[k]] += 1
    start = np.zeros(num_keys + 1, np.int32)
    total = 0
    for j in range(num_keys):
        for t in range(threads):
            place[t, j], total = total, total + place[t, j]
        start[j + 1] = total
    others, values = np.empty_like(other), np.empty_like(value)
    for t in prange(threads):
        for k in range(edges[t], edges[t + 1]):
            at = place[t, key[k]]
            place[t, key[k]] += 1
            others[at], values[at] = other[k], value[k]
    return start, others, values


@compiled(parallel=True, **_COMPILED)
def _count_repeats(threads, start, col, num_cols):
    rows = len(start) - 1
    repeats = 0
    for t in prange(threads):
        last_row = np.full(num_cols, -1, np.int32)  # the last row with this column
        for j in range(rows * t // threads, rows * (t + 1) // threads):
            for k in range(start[j], start[j + 1]):
                repeats += last_row[col[k]] == j
                last_row[col[k]] = j
    return repeats
