"""Compressed rows: the fused CPU kernel needs no padding. Made by host code."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from pmf.data.values import Coded, Values, decoded
from pmf.inference.blocks import repeated
from pmf.inference.row_posterior import RowPosteriors
from pmf.inference.row_update import Update
from pmf.types import Array, Ratings

SHARES = 256  # runs of compressed rows that threads take in turn
ROW_WORK = 8  # a row costs the kernel about as much as this many ratings, beside its ratings


class CSR(NamedTuple):
    """Compressed sparse rows: row j has the cells start[j] to start[j + 1], in any order.

    A cell with `col` the number of columns is padding, as in `pmf.inference.blocks`. Values of type
    uint8 stand for `levels`, as few ratings as stars are: value 7 is levels[7]. `share` cuts the
    rows into runs of about equal work, share[k] to share[k + 1], which threads take in turn.
    """

    start: Int[Array, " n1"]
    col: Int[Array, " m"]
    value: Float[Array, " m"] | UInt8[Array, " m"]
    share: Int[Array, " s1"]
    levels: Float[Array, " l"]
    weight: Float[Array, " m"] | None = None  # of each cell, 1 of a padded one; None: all are 1

    def update(self, inputs: Update) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        """One call of the fused kernel, which is tested equal to the blocks."""
        from pmf.inference.fused.xla_call import update_rows  # loads numba, an optional dependency

        return update_rows(self, inputs)

    def posterior(
        self, inputs: Update, spread: Float[Array, "n1 q1"], covariance: Float[Array, "n q"]
    ) -> RowPosteriors:
        """The same kernel, in expectation."""
        from pmf.inference.fused.xla_call import update_posteriors

        return update_posteriors(self, inputs, spread, covariance)

    def weighted(self, weight: Float[Array, " n1"]) -> "CSR":
        by_cell = jnp.pad(weight, (0, 1), constant_values=1.0)[self.col]
        return self._replace(weight=by_cell if self.weight is None else by_cell * self.weight)

    def log_weight(self) -> Float[Array, ""] | None:
        return None if self.weight is None else jnp.sum(jnp.log(self.weight))


def csr_rows(
    ratings: Ratings,
    num_users: int,
    num_items: int,
    observed: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> tuple[CSR, CSR]:
    """Both orientations as compressed rows. Ratings not `observed` keep their cells, as padding.

    Values take a byte each where they come as `Coded`: a third less to hold.

    Raises `InputError` where a (user, item) pair repeats.
    """
    from pmf.inference.fused.csr import compress, count_repeats, transpose

    user, item, value = ratings
    if observed is not None:
        value = decoded(value)  # no code stands for the zero of a padded cell
    value, levels = _levels(value)
    is_plain = observed is None and weight is None
    carried = value if is_plain else np.arange(len(value), dtype=np.int32)
    by_user = compress(user, item, carried, num_users)
    if repeats := count_repeats(*by_user[:2], num_items):
        raise repeated(repeats)

    def finish(start, col, carried, num_cols: int) -> CSR:
        values = carried if is_plain else value[carried]
        weights = None if weight is None else weight[carried]
        if observed is not None:
            is_observed = observed[carried]
            col = np.where(is_observed, col, np.int32(num_cols))
            values = np.where(is_observed, values, value.dtype.type(0))
            weights = (
                None if weights is None else np.where(is_observed, weights, weights.dtype.type(1))
            )
        arrays = start, col, values, _shares(start), levels
        return CSR(*map(jnp.asarray, arrays), weights if weights is None else jnp.asarray(weights))

    by_item = transpose(*by_user, num_items)
    return finish(*by_user, num_items), finish(*by_item, num_users)


def csr_side(row: np.ndarray, col: np.ndarray, value: Values, num_rows: int) -> CSR:
    """One orientation as compressed rows."""
    from pmf.inference.fused.csr import compress

    values, levels = _levels(value)
    start, columns, values = compress(row, col, values, num_rows)
    return CSR(*map(jnp.asarray, (start, columns, values, _shares(start), levels)))


def _levels(value: Values | Array) -> tuple[np.ndarray, np.ndarray]:
    """Values as cells hold them, and what the codes among them stand for."""
    if not isinstance(value, Coded):
        return decoded(value), np.zeros(1, np.float32)
    levels = np.zeros(256, np.float32)
    levels[: len(value.table)] = value.table
    return value.code, levels


def _shares(start: np.ndarray) -> np.ndarray:
    """Boundaries of runs of rows of about equal work: many more runs than threads."""
    work = start + ROW_WORK * np.arange(len(start))
    runs = np.searchsorted(work, np.linspace(0, work[-1], SHARES + 1))
    return np.unique(runs).astype(np.int32)
