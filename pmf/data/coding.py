"""Row numbers for integer ids, and pairs that repeat: the two steps that touch every rating.

Large integer arrays take compiled loops where numba is installed; the results are the same.
"""

import numpy as np
import pandas as pd

from pmf.data.numeric import is_worthwhile

SORTED = 1 << 24  # pairs sorted at a time: bounds the memory to 16 bytes each
SPARSE = 2  # a table of ids may have as many places a rating


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
    found = code_integers(ids, low, codes, code_of, values)
    return codes, values[:found].copy()


def has_repeats(user: np.ndarray, item: np.ndarray, num_users: int, num_items: int) -> bool:
    """Whether a (user, item) pair of codes occurs twice."""
    if is_worthwhile(user.nbytes):
        from pmf.data.kernels import repeats_in_runs

        answer = repeats_in_runs(user, item, np.full(num_items, -1, np.int32))
        if answer >= 0:
            return bool(answer)
    parts = -(-len(user) // SORTED)
    if parts <= 1:
        return _sorted_repeats(user, item, num_items)
    edges = _equal_parts(np.bincount(user, minlength=num_users), parts)
    within = ((user >= a) & (user < b) for a, b in zip(edges[:-1], edges[1:], strict=True))
    return any(_sorted_repeats(user[part], item[part], num_items) for part in within)


def _sorted_repeats(user: np.ndarray, item: np.ndarray, num_items: int) -> bool:
    pair = np.sort(user.astype(np.int64) * num_items + item)
    return bool(np.any(pair[1:] == pair[:-1]))


def _equal_parts(count: np.ndarray, parts: int) -> np.ndarray:
    """Edges that cut rows with `count` ratings each into `parts` runs of like many ratings."""
    total = np.cumsum(count)
    inner = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts)
    return np.concatenate([[0], inner, [len(count)]])
