"""Ratings to compressed rows by counting sort, on all threads."""

import numba
import numpy as np
from numba import njit, prange

_COMPILED = {"cache": True, "nogil": True}


def compress(
    row: np.ndarray, col: np.ndarray, value: np.ndarray, num_rows: int, num_cols: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, col, value) of the rows, columns ascending within each."""
    threads = numba.get_num_threads()
    if _is_sorted(row, col):
        degree = np.bincount(row, minlength=num_rows)
        return np.concatenate([[0], np.cumsum(degree)]).astype(np.int32), col, value
    rows = _group(threads, col, row, value, num_cols)
    return transpose(*rows, num_rows)


def transpose(
    start: np.ndarray, col: np.ndarray, value: np.ndarray, num_cols: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The compressed columns of compressed rows, rows ascending within each."""
    row = np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start))
    return _group(numba.get_num_threads(), col, row, value, num_cols)


@njit(parallel=True, **_COMPILED)
def _is_sorted(row, col):
    """Whether (row, col) ascends, equal pairs included."""
    falls = 0
    for k in prange(1, len(row)):
        falls += row[k] < row[k - 1] or (row[k] == row[k - 1] and col[k] < col[k - 1])
    return falls == 0


@njit(parallel=True, **_COMPILED)
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


@njit(parallel=True, **_COMPILED)
def count_repeats(start, col):
    """How many cells have their row's column before them, columns ascending."""
    repeats = 0
    for j in prange(len(start) - 1):
        for k in range(start[j] + 1, start[j + 1]):
            repeats += col[k] == col[k - 1]
    return repeats
