"""Padded blocks of rows with similar counts: the layout that runs anywhere. Made by host code.

Ratings per row are heavy-tailed: one padded block would waste 7-15 times the work. Rows are grouped
by degree on a ladder of widths, each about `growth` times the last, and a group is cut into chunks
whose gathered panel stays in a core's L2 cache.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from pmf.errors import InputError
from pmf.inference.row_posterior import RowPosteriors, is_whole, posterior_rows, unpacked
from pmf.inference.row_update import Update, potentials, shift, solve_rows
from pmf.model.density import joined
from pmf.types import Array

GROWTH = 1.3  # wastes 15-20 % of the cells
SMALL = 1_000_000  # up to here a sweep takes less than a second, and compilation weighs more:
SMALL_GROWTH = 2.0  # wastes 40-50 %, but has half as many widths to compile
PANEL = 1 << 19  # numbers in a chunk's gathered panel: 2 MB, about a core's L2 cache
ACCELERATOR_PANEL = 1 << 26  # the same where thousands of rows run at once: 256 MB
PADDING = 0, 1  # value and weight of a padded cell
WIDTH_STEP = 8  # widths are multiples of a SIMD register


class Block(NamedTuple):
    """Rows with similar counts, padded to one width `w` and cut into `c` chunks of `b` rows.

    A padded cell's `col` is the number of columns, where the gathered table holds an all-zero
    row, so no mask travels. A padding row's `row` is the number of rows; writes to it are dropped.
    Ratings that all weigh 1 have no `weight`; that of a padded cell is 1.
    """

    row: Int[Array, "c b"]
    col: Int[Array, "c b w"]
    value: Float[Array, "c b w"]
    weight: Float[Array, "c b w"] | None = None


# The new rows and their squared errors, so far.
Rows = tuple[Float[Array, "n d"], Float[Array, " n"]]


class Blocks(NamedTuple):
    """One side's rows, each in exactly one block."""

    blocks: tuple[Block, ...] = ()

    def update(self, inputs: Update) -> Rows:
        """A scan over each block's chunks."""
        side, prior, d = inputs.side, inputs.prior, inputs.epsilon.shape[-1]
        n = side.factor.shape[0]
        table, weight = inputs.table, inputs.weight
        epsilon = jnp.broadcast_to(inputs.epsilon, (n, d))

        def update_chunk(carry: Rows, chunk: Block) -> tuple[Rows, None]:
            w, error = carry
            panel = table.at[chunk.col].get(mode="promise_in_bounds")
            x, y = panel[..., :d], chunk.value - panel[..., d]
            row = jnp.minimum(chunk.row, n - 1)  # a padding row computes something and is dropped
            row_prior = prior if prior.mean.ndim == 1 else prior._replace(mean=prior.mean[row])
            P, h = potentials(x, y, row_prior, weight[row], inputs.tau, chunk.weight)
            new = solve_rows(P, h, epsilon[row])
            residual = y - jnp.einsum("bwk,bk->bw", x, new, precision="highest")
            w = w.at[chunk.row].set(new, mode="drop")
            squares = residual**2 if chunk.weight is None else chunk.weight * residual**2
            error = error.at[chunk.row].set(jnp.sum(squares, -1), mode="drop")
            return (w, error), None

        carry: Rows = joined(side), jnp.zeros(n, epsilon.dtype)
        for block in self.blocks:
            carry, _ = jax.lax.scan(update_chunk, carry, block)
        return carry

    def posterior(
        self, inputs: Update, spread: Float[Array, "n1 q1"], covariance: Float[Array, "n q"]
    ) -> RowPosteriors:
        """The same scan, each row's augmented Gram matrix in expectation."""
        side, prior, (n, d) = inputs.side, inputs.prior, joined(inputs.side).shape
        table, weight, shifted = inputs.table, inputs.weight, shift(inputs.prior)
        whole = is_whole(covariance, d)

        def update_chunk(carry: RowPosteriors, chunk: Block) -> tuple[RowPosteriors, None]:
            panel = table.at[chunk.col].get(mode="promise_in_bounds")
            y = chunk.value - panel[..., d]
            a = jnp.concatenate([panel[..., :d], y[..., None]], -1)
            spreads = spread.at[chunk.col].get(mode="promise_in_bounds")
            weighted_a = a
            if chunk.weight is not None:
                weighted_a, spreads = (x * chunk.weight[..., None] for x in (a, spreads))
            G = jnp.einsum("bwk,bwl->bkl", weighted_a, a, precision="highest")
            G += unpacked(jnp.sum(spreads, 1), d + 1)
            row = jnp.minimum(chunk.row, n - 1)  # a padding row computes something and is dropped
            new = posterior_rows(G, prior.precision, shifted, weight[row], inputs.tau, whole)
            return RowPosteriors(
                *(old.at[chunk.row].set(x, mode="drop") for old, x in zip(carry, new, strict=True))
            ), None

        none = jnp.zeros(n, covariance.dtype)
        carry = RowPosteriors(joined(side), covariance, none, none, none)
        for block in self.blocks:
            carry, _ = jax.lax.scan(update_chunk, carry, block)
        return carry

    def weighted(self, weight: Float[Array, " n1"]) -> "Blocks":
        by_column = jnp.pad(weight, (0, 1), constant_values=1.0)

        def weighted(block: Block) -> Block:
            by_cell = by_column[block.col]
            return block._replace(weight=by_cell * (1 if block.weight is None else block.weight))

        return Blocks(tuple(map(weighted, self.blocks)))

    def log_weight(self) -> Float[Array, ""] | None:
        parts = [jnp.sum(jnp.log(x.weight)) for x in self.blocks if x.weight is not None]
        return jnp.sum(jnp.stack(parts)) if parts else None


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


def capacity(degree: np.ndarray, num_ratings: int, growth: float | None = None) -> dict[int, int]:
    """The number of rows of these degrees that each block width has to hold; 0 where none."""
    growth = growth or (SMALL_GROWTH if num_ratings <= SMALL else GROWTH)
    ladder = widths(int(degree.max(initial=0)), growth)
    count = np.bincount(np.searchsorted(ladder, degree), minlength=len(ladder))
    return dict(zip(ladder.tolist(), count.tolist(), strict=True))


def padded_blocks(
    row: np.ndarray,
    col: np.ndarray,
    value: np.ndarray,
    num_rows: int,
    num_cols: int,
    rank: int,
    observed: np.ndarray | None = None,
    growth: float | None = None,
    rows_by_width: dict[int, int] | None = None,
    weight: np.ndarray | None = None,
) -> Blocks:
    """One `Block` per width. Every row is in exactly one block, even without ratings.

    Ratings not `observed` keep their cells, as padding: all subsets of a set share its shapes, and
    so one compiled program. `rows_by_width` is how many rows each width holds at the most (default:
    the `capacity` that these need): sets with the same share their shapes too. Raises `InputError`
    where a (row, col) pair repeats.
    """
    position = np.arange(1, len(row) + 1, dtype=np.int32)  # from 1: a sparse matrix may drop zeros
    order = csr_array((position, (row, col)), (num_rows, num_cols))
    if order.nnz != len(row):
        raise repeated(len(row) - order.nnz)
    degree, start = np.diff(order.indptr), order.indptr[:-1]
    cell = order.data - 1
    col, cells = order.indices, [value[cell]]
    if weight is not None:
        cells.append(weight[cell].astype(value.dtype))
    if observed is not None:
        is_observed = observed[cell]
        col = np.where(is_observed, col, num_cols)
        cells = [
            np.where(is_observed, x, x.dtype.type(p)) for x, p in zip(cells, PADDING, strict=False)
        ]
    most_rows = rows_by_width or capacity(degree, len(row), growth)
    level = np.searchsorted(list(most_rows), degree)
    return Blocks(
        tuple(
            _block(
                np.flatnonzero(level == j), width, most, degree, start, col, cells, num_cols, rank
            )
            for j, (width, most) in enumerate(most_rows.items())
            if most
        )
    )


def repeated(count: int) -> InputError:
    return InputError(f"{count} ratings repeat a (user, item) pair; keep one rating per pair")


def _block(
    rows: np.ndarray,
    width: int,
    most: int,
    degree: np.ndarray,
    start: np.ndarray,
    col: np.ndarray,
    cells: list[np.ndarray],
    num_cols: int,
    rank: int,
) -> Block:
    d = rank + 2  # a panel's row is (factor, 1, offset)
    size = max(1, min(panel_numbers() // (width * d), most))
    chunks = -(-most // size)
    row = np.full(chunks * size, len(degree), np.int32)
    row[: len(rows)] = rows
    is_cell = cells_held(degree[rows], len(row), width)
    source = (start[rows, None] + np.arange(width))[is_cell[: len(rows)]]

    def laid_out(x: np.ndarray, padding: int) -> jax.Array:
        return jnp.asarray(padded(x[source], is_cell, padding).reshape(chunks, size, width))

    cols = laid_out(col.astype(np.int32), num_cols)
    numbers = (laid_out(x, padding) for x, padding in zip(cells, PADDING, strict=False))
    return Block(jnp.asarray(row.reshape(chunks, size)), cols, *numbers)


def cells_held(count: np.ndarray, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Which cells of a panel hold something: the first `count` of each row; of more rows none."""
    return np.arange(width) < np.pad(count, (0, height - len(count)))[:, None]


def padded(x: np.ndarray, is_cell: Bool[np.ndarray, "h w"], padding: float) -> np.ndarray:
    """A panel of numbers that stand row by row in `x`."""
    panel = np.full(is_cell.shape, padding, x.dtype)
    panel[is_cell] = x
    return panel
