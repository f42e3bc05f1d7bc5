"""Ratings to padded blocks of rows of like degree. Host code, NumPy.

Ratings per row are heavy-tailed: one padded block would waste 7-15 times the work. Rows are grouped
by degree on a ladder of widths, each about `growth` times the last, and a group is cut into chunks
whose gathered panel stays in a core's L2 cache.
"""

import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array

from pmf.errors import InputError
from pmf.types import Data, Ratings, Rows

GROWTH = 1.3  # wastes 15-20 % of the cells
SMALL = 1_000_000  # up to here a sweep takes less than a second, and compilation weighs more:
SMALL_GROWTH = 2.0  # wastes 40-50 %, but has half as many widths to compile
PANEL = 1 << 19  # numbers in a chunk's gathered panel: 2 MB, about a core's L2 cache
WIDTH_STEP = 8  # widths are multiples of a SIMD register


def widths(largest: int, growth: float) -> np.ndarray:
    """The ladder of block widths, up to the first that holds `largest` ratings."""
    ladder = [WIDTH_STEP]
    while ladder[-1] < largest:
        steps = int(np.ceil(ladder[-1] * growth / WIDTH_STEP))
        ladder.append(max(ladder[-1] + WIDTH_STEP, steps * WIDTH_STEP))
    return np.array(ladder)


def room(degree: np.ndarray, num_ratings: int, growth: float | None = None) -> dict[int, int]:
    """Each block width, and how many rows of these degrees it holds; 0 where none."""
    growth = growth or (SMALL_GROWTH if num_ratings <= SMALL else GROWTH)
    ladder = widths(int(degree.max(initial=0)), growth)
    count = np.bincount(np.searchsorted(ladder, degree), minlength=len(ladder))
    return dict(zip(ladder.tolist(), count.tolist(), strict=True))


def blocks(
    row: np.ndarray,
    col: np.ndarray,
    value: np.ndarray,
    num_rows: int,
    num_cols: int,
    rank: int,
    observed: np.ndarray | None = None,
    growth: float | None = None,
    space: dict[int, int] | None = None,
) -> tuple[Rows, ...]:
    """One `Rows` a width. Every row is in exactly one block, a row without ratings too.

    Ratings not `observed` keep their cells, as padding: all subsets of a set share its shapes, and
    so one compiled program. `space` is how many rows each width makes room for (default: `room` of
    these rows): sets with the same space share their shapes too. Raises `InputError` where a
    (row, col) pair repeats.
    """
    position = np.arange(1, len(row) + 1, dtype=np.int32)  # from 1: a sparse matrix may drop zeros
    order = csr_array((position, (row, col)), (num_rows, num_cols))
    if order.nnz != len(row):
        raise InputError(
            f"{len(row) - order.nnz} ratings repeat a (user, item) pair; keep one rating a pair"
        )
    degree, start = np.diff(order.indptr), order.indptr[:-1]
    col, value = order.indices, value[order.data - 1]
    if observed is not None:
        held = observed[order.data - 1]
        col, value = np.where(held, col, num_cols), np.where(held, value, 0).astype(value.dtype)
    space = space or room(degree, len(row), growth)
    level = np.searchsorted(list(space), degree)
    return tuple(
        _block(np.flatnonzero(level == j), width, most, degree, start, col, value, num_cols, rank)
        for j, (width, most) in enumerate(space.items())
        if most
    )


def _block(rows, width, most, degree, start, col, value, num_cols, rank) -> Rows:
    d = rank + 2  # a panel's row is (factor, 1, offset)
    size = max(1, min(PANEL // (width * d), most))
    chunks = -(-most // size)
    row = np.full(chunks * size, len(degree), np.int32)
    row[: len(rows)] = rows
    cols = np.full((chunks * size, width), num_cols, np.int32)
    values = np.zeros((chunks * size, width), value.dtype)
    held = np.arange(width) < degree[rows, None]
    source = (start[rows, None] + np.arange(width))[held]
    cols[: len(rows)][held] = col[source]
    values[: len(rows)][held] = value[source]
    return Rows(
        jnp.asarray(row.reshape(chunks, size)),
        jnp.asarray(cols.reshape(chunks, size, width)),
        jnp.asarray(values.reshape(chunks, size, width)),
    )


def by_rows(
    ratings: Ratings,
    num_users: int,
    num_items: int,
    rank: int,
    observed: np.ndarray | None = None,
    growth: float | None = None,
) -> Data:
    """The two orientations that ALS and Gibbs need, of the `observed` ratings (default: all).

    Raises `InputError` where a (user, item) pair repeats.
    """
    user, item, value = (np.asarray(x) for x in ratings)
    kept = slice(None) if observed is None else observed
    shape = rank, observed, growth
    return Data(
        None,
        blocks(user, item, value, num_users, num_items, *shape),
        blocks(item, user, value, num_items, num_users, *shape),
        jnp.asarray(np.bincount(user[kept], minlength=num_users), jnp.int32),
        jnp.asarray(np.bincount(item[kept], minlength=num_items), jnp.int32),
    )


def flat(ratings: Ratings, num_users: int, num_items: int) -> Data:
    """The one flat list that gradient methods need."""
    user, item, value = (np.asarray(x) for x in ratings)
    return Data(
        Ratings(jnp.asarray(user), jnp.asarray(item), jnp.asarray(value)),
        (),
        (),
        jnp.asarray(np.bincount(user, minlength=num_users), jnp.int32),
        jnp.asarray(np.bincount(item, minlength=num_items), jnp.int32),
    )
