"""Ratings to rows: padded blocks of rows of like degree, or compressed rows. Host code.

Ratings per row are heavy-tailed: one padded block would waste 7-15 times the work. Rows are grouped
by degree on a ladder of widths, each about `growth` times the last, and a group is cut into chunks
whose gathered panel stays in a core's L2 cache. The fused CPU kernel needs no padding: it takes
compressed rows.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array

from pmf.data.values import Coded, decoded
from pmf.errors import InputError
from pmf.inference import fused as kernel
from pmf.types import CSR, Data, Ratings, Rows

GROWTH = 1.3  # wastes 15-20 % of the cells
SMALL = 1_000_000  # up to here a sweep takes less than a second, and compilation weighs more:
SMALL_GROWTH = 2.0  # wastes 40-50 %, but has half as many widths to compile
PANEL = 1 << 19  # numbers in a chunk's gathered panel: 2 MB, about a core's L2 cache
ACCELERATOR_PANEL = 1 << 26  # the same where thousands of rows run at once: 256 MB
WIDTH_STEP = 8  # widths are multiples of a SIMD register
SHARES = 256  # runs of compressed rows that threads take in turn
ROW_WORK = 8  # a row costs the kernel about as much as this many ratings, beside its ratings


def panel_numbers() -> int:
    """Numbers in a chunk's gathered panel, for the device that JAX computes on."""
    return PANEL if jax.default_backend() == "cpu" else ACCELERATOR_PANEL


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
        raise _repeated(len(row) - order.nnz)
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


def _repeated(count: int) -> InputError:
    return InputError(f"{count} ratings repeat a (user, item) pair; keep one rating a pair")


def _block(rows, width, most, degree, start, col, value, num_cols, rank) -> Rows:
    d = rank + 2  # a panel's row is (factor, 1, offset)
    size = max(1, min(panel_numbers() // (width * d), most))
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


def compressed(
    ratings: Ratings, num_users: int, num_items: int, observed: np.ndarray | None = None
) -> tuple[CSR, CSR]:
    """Both orientations as compressed rows. Ratings not `observed` keep their cells, as padding.

    Values take a byte each where they come as `Coded`: a third less to hold.

    Raises `InputError` where a (user, item) pair repeats.
    """
    from pmf.inference.fused.csr import compress, count_repeats, transpose

    user, item, value = ratings
    levels = np.zeros(1, np.float32)  # of values that are no codes
    if isinstance(value, Coded) and observed is None:
        levels = np.zeros(256, np.float32)
        levels[: len(value.table)] = value.table
        value = value.code
    else:  # no code stands for the zero of a padded cell
        value = decoded(value)
    carried = value if observed is None else np.arange(len(value), dtype=np.int32)
    by_user = compress(user, item, carried, num_users)
    if repeats := count_repeats(*by_user[:2], num_items):
        raise _repeated(repeats)

    def finish(start, col, carried, num_cols: int) -> CSR:
        values = carried
        if observed is not None:
            held = observed[carried]
            col = np.where(held, col, np.int32(num_cols))
            values = np.where(held, value[carried], value.dtype.type(0))
        return CSR(*map(jnp.asarray, (start, col, values, _shares(start), levels)))

    by_item = transpose(*by_user, num_items)
    return finish(*by_user, num_items), finish(*by_item, num_users)


def _shares(start: np.ndarray) -> np.ndarray:
    """Boundaries of runs of rows of about equal work: many more runs than threads."""
    work = start + ROW_WORK * np.arange(len(start))
    runs = np.searchsorted(work, np.linspace(0, work[-1], SHARES + 1))
    return np.unique(runs).astype(np.int32)


def by_rows(
    ratings: Ratings,
    num_users: int,
    num_items: int,
    rank: int,
    observed: np.ndarray | None = None,
    growth: float | None = None,
    fused: bool | None = None,
) -> Data:
    """The two orientations that ALS and Gibbs need, of the `observed` ratings (default: all).

    `fused` rows are for the CPU kernel; the default is where it is available. Raises `InputError`
    where a (user, item) pair repeats, or the kernel is asked for and missing.
    """
    user, item = np.asarray(ratings.user), np.asarray(ratings.item)
    if fused and not kernel.available():
        raise InputError("fused=True needs JAX on a CPU and numba: pip install 'pmf[fast]'")
    by_user: tuple[Rows, ...] | CSR
    by_item: tuple[Rows, ...] | CSR
    if kernel.available() and fused is not False:
        whole = Ratings(user, item, ratings.value)
        by_user, by_item = compressed(whole, num_users, num_items, observed)
    else:
        shape, value = (rank, observed, growth), decoded(ratings.value)
        by_user = blocks(user, item, value, num_users, num_items, *shape)
        by_item = blocks(item, user, value, num_items, num_users, *shape)
    kept = slice(None) if observed is None else observed
    if observed is None and isinstance(by_user, CSR) and isinstance(by_item, CSR):
        counts = [np.diff(rows.start) for rows in (by_user, by_item)]
    else:
        counts = [
            np.bincount(row[kept], minlength=n) for row, n in ((user, num_users), (item, num_items))
        ]
    return Data(None, by_user, by_item, *(jnp.asarray(x, jnp.int32) for x in counts))


def flat(ratings: Ratings, num_users: int, num_items: int) -> Data:
    """The one flat list that gradient methods need."""
    user, item, value = np.asarray(ratings.user), np.asarray(ratings.item), decoded(ratings.value)
    return Data(
        Ratings(jnp.asarray(user), jnp.asarray(item), jnp.asarray(value)),
        (),
        (),
        jnp.asarray(np.bincount(user, minlength=num_users), jnp.int32),
        jnp.asarray(np.bincount(item, minlength=num_items), jnp.int32),
    )
