"""Row numbers for integer ids, and pairs that repeat: the two steps that touch every rating.

Large integer arrays take compiled loops where numba is installed; the results are the same.
"""

import os
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from pmf.process.compiler import fault

LARGE = 1 << 25  # bytes of a file, or of a column, that repay the import of the compiler
SORTED = 1 << 22  # pairs looked at at a time: bounds the memory to some 40 bytes each
SPARSE = 0.25  # places a rating that a table of ids may have: bounds it to 3 bytes per rating


def is_worthwhile(num_bytes: int) -> bool:
    """Whether so many bytes repay compiled loops, and the compiler is there."""
    return num_bytes >= LARGE and fault() is None and hasattr(os, "pread")


def code_by_appearance(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int32 codes 0, 1, ... in order of first appearance, and the ids they stand for."""
    if ids.dtype.kind == "i" and len(ids) and is_worthwhile(ids.nbytes):
        low, high = int(ids.min()), int(ids.max())
        if high - low < SPARSE * len(ids):
            return _code_by_table(ids, low, high)
    codes, values = pd.factorize(ids)
    return codes.astype(np.int32), values


def _code_by_table(ids: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """A table from id to code: without hashing, for ids that lie close together."""
    from pmf.data.kernels import code_integers

    codes, code_of = np.empty(len(ids), np.int32), np.full(high - low + 1, -1, np.int32)
    values = np.empty(len(code_of), ids.dtype)
    count = code_integers(ids, low, codes, code_of, values)
    return codes, values[:count].copy()


def has_repeats(user: np.ndarray, item: np.ndarray, num_users: int, num_items: int) -> bool:
    """Whether a (user, item) pair of codes occurs twice."""
    if is_worthwhile(user.nbytes):
        from pmf.data.kernels import repeats_in_runs

        answer = repeats_in_runs(user, item, np.full(num_items, -1, np.int32))
        if answer >= 0:
            return bool(answer)
    for rows in _parts(user, num_users):
        pair = np.sort(_pairs(user[rows], item[rows], num_items))
        if np.any(pair[1:] == pair[:-1]):
            return True
    return False


def first_repeat(user: np.ndarray, item: np.ndarray, num_users: int, num_items: int) -> int:
    """The first row whose pair occurs before it, where one does."""
    first = len(user)
    for rows in _parts(user, num_users):
        pair = _pairs(user[rows], item[rows], num_items)
        order = np.argsort(pair, kind="stable")
        again = order[1:][pair[order[1:]] == pair[order[:-1]]]
        if len(again):
            row = int(again.min())
            first = min(first, row if isinstance(rows, slice) else int(rows[row]))
    return first


def _pairs(user: np.ndarray, item: np.ndarray, num_items: int) -> np.ndarray:
    return np.asarray(user.astype(np.int64) * num_items + item)


def count_rows(codes: np.ndarray, num_rows: int) -> np.ndarray:
    """How often each code occurs, int64; `np.bincount` without its copy of the codes."""
    count = np.zeros(num_rows, np.int64)
    for block in blocks(len(codes)):
        count += np.bincount(codes[block], minlength=num_rows)
    return count


def typical_count(count: np.ndarray) -> float:
    """How many ratings a row has, as a rating sees it: the geometric mean over ratings, not rows.

    `count` is each row's number.
    """
    return float(np.exp(np.average(np.log(np.maximum(count, 1)), weights=count)))


def blocks(n: int) -> Iterator[slice]:
    """Runs of `SORTED` of n rows."""
    return (slice(begin, begin + SORTED) for begin in range(0, n, SORTED))


def _parts(user: np.ndarray, num_users: int) -> Iterator[slice | np.ndarray]:
    """Rows of runs of users, about `SORTED` of them or one user's: no pair is in two parts."""
    parts = -(-len(user) // SORTED)
    if parts <= 1:
        yield slice(None)
        return
    for begin, end in pairwise(_equal_parts(count_rows(user, num_users), parts)):
        rows = [
            np.flatnonzero((user[block] >= begin) & (user[block] < end)) + block.start
            for block in blocks(len(user))
        ]
        yield np.concatenate(rows)


def _equal_parts(count: np.ndarray, parts: int) -> np.ndarray:
    """Edges that cut rows with `count` ratings each into `parts` runs of like many ratings."""
    total = np.cumsum(count)
    inner = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts)
    return np.concatenate([[0], inner, [len(count)]])
