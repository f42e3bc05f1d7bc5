"""Ratings in the order that an algorithm works in: by rows, or flat. Host code."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from pmf.data.row_numbers import RowNumbers
from pmf.data.values import decoded
from pmf.errors import InputError
from pmf.inference import fused as kernel
from pmf.inference.blocks import Blocks, padded_blocks
from pmf.inference.contexts import OTHERS, Contexts, Meetings, meetings_of
from pmf.inference.fused.layout import CSR, csr_rows, csr_side
from pmf.inference.row_features import Features, RowFeatures
from pmf.inference.row_update import Layout
from pmf.model.likelihood import Residuals
from pmf.types import Array, Params, Ratings, Side

NO_ROWS = Blocks()  # of data that are flat only


class SideData(NamedTuple):
    """What the update of one side needs to know of its rows."""

    rows: Layout
    count: Int[Array, " n"]
    number: Int[Array, " n"] | None  # see `Data`; None: a row's is its place
    features: dict[str, RowFeatures]


class Data(NamedTuple):
    """The ratings in the order that an algorithm works in, and how many each row has.

    ALS and Gibbs work by rows, `by_user` and `by_item`, and need no flat `ratings`; a gradient
    method is the reverse. Rows are padded blocks, or compressed where the fused kernel runs.
    `user_row` and `item_row` are the numbers that rows' random numbers are drawn by
    (`pmf.data.row_numbers`), where these are not their places. A side has features where its rows'
    prior means depend on some. With `contexts` the columns of rows are pairs.
    """

    ratings: Ratings | None
    by_user: Layout
    by_item: Layout
    user_count: Int[Array, " users"]
    item_count: Int[Array, " items"]
    user_row: Int[Array, " users"] | None = None
    item_row: Int[Array, " items"] | None = None
    features: Features = Features()
    contexts: Contexts | None = None

    def of(self, side: str) -> SideData:
        """One side's."""
        if side == "context":
            assert self.contexts is not None
            return SideData(self.contexts.rows, self.contexts.count, None, {})
        if side == "user":
            return SideData(self.by_user, self.user_count, self.user_row, self.features.user)
        return SideData(self.by_item, self.item_count, self.item_row, self.features.item)

    def facing(self, side: str, params: Params) -> Side:
        """The rows that a side's columns stand for."""
        if self.contexts is not None:
            return self.contexts.facing(side, params)
        return params.item if side == "user" else params.user

    def residuals(self, error: Float[Array, " n"], params: Params | None = None) -> Residuals:
        """The statistics of the ratings' noise, from the squared error of each row of a side.

        `params` are those whose noise precisions weigh the errors, where any do.
        """
        squares = jnp.sum(error)
        n = jnp.sum(self.user_count, dtype=error.dtype)  # more than an int32 holds, perhaps
        logs = [self.by_user.log_weight()]
        if params is not None:
            sides = (params.user, self.user_count), (params.item, self.item_count)
            logs += [
                jnp.sum(count * jnp.log(side.noise_precision))
                for side, count in sides
                if side.noise_precision is not None
            ]
        known = [x for x in logs if x is not None]
        return Residuals(squares, n, sum(known[1:], known[0]) if known else None)

    def drawn_by(self, numbers: RowNumbers) -> "Data":
        """The same on one device, its rows drawing by these numbers."""
        user_row, item_row = jnp.asarray(numbers.user), jnp.asarray(numbers.item)
        return self._replace(user_row=user_row, item_row=item_row)


def by_rows(
    ratings: Ratings,
    num_users: int,
    num_items: int,
    rank: int,
    observed: np.ndarray | None = None,
    growth: float | None = None,
    fused: bool | None = None,
    weight: np.ndarray | None = None,
) -> Data:
    """The two orientations that ALS and Gibbs need, of the `observed` ratings (default: all).

    `fused` rows are for the CPU kernel; the default is where it is available. `weight` is each
    rating's (default: 1). Raises `InputError` where a (user, item) pair repeats, a weight is not
    above 0, or the kernel is asked for and missing.
    """
    weight = None if weight is None else checked_weights(weight, len(ratings.value))
    user, item = np.asarray(ratings.user), np.asarray(ratings.item)
    if fused and not kernel.available():
        raise InputError("fused=True needs JAX on a CPU and numba: pip install 'pmf[fast]'")
    by_user: Blocks | CSR
    by_item: Blocks | CSR
    if kernel.available() and fused is not False:
        whole = Ratings(user, item, ratings.value)
        by_user, by_item = csr_rows(whole, num_users, num_items, observed, weight)
    else:
        shape, value = (rank, observed, growth), decoded(ratings.value)
        by_user = padded_blocks(user, item, value, num_users, num_items, *shape, weight=weight)
        by_item = padded_blocks(item, user, value, num_items, num_users, *shape, weight=weight)
    chosen = slice(None) if observed is None else observed
    if observed is None and isinstance(by_user, CSR) and isinstance(by_item, CSR):
        counts = [np.diff(rows.start) for rows in (by_user, by_item)]
    else:
        counts = [
            np.bincount(row[chosen], minlength=n)
            for row, n in ((user, num_users), (item, num_items))
        ]
    user_count, item_count = (jnp.asarray(x.astype(np.int32)) for x in counts)
    return Data(None, by_user, by_item, user_count, item_count)


def by_rows_in_contexts(
    ratings: Ratings,
    num_users: int,
    num_items: int,
    context: np.ndarray,
    num_contexts: int,
    rank: int,
    fused: bool | None = None,
) -> Data:
    """The three orientations of ratings of which each is given in a context."""
    if fused and not kernel.available():
        raise InputError("fused=True needs JAX on a CPU and numba: pip install 'pmf[fast]'")
    user, item = np.asarray(ratings.user), np.asarray(ratings.item)
    rows = {"user": user, "item": item, "context": np.asarray(context)}
    size = {"user": num_users, "item": num_items, "context": num_contexts}
    layouts: dict[str, Layout] = {}
    meetings: dict[str, Meetings] = {}
    counts: dict[str, Array] = {}
    for side, (first, second) in OTHERS.items():
        column, pairs = meetings_of(rows[side], rows[first], rows[second], size[second])
        shape = size[side], len(pairs.first)
        if kernel.available() and fused is not False:
            layouts[side] = csr_side(rows[side], column, ratings.value, size[side])
        else:
            layouts[side] = padded_blocks(rows[side], column, decoded(ratings.value), *shape, rank)
        meetings[side] = Meetings(*map(jnp.asarray, pairs))
        counts[side] = jnp.asarray(np.bincount(rows[side], minlength=size[side]).astype(np.int32))
    contexts = Contexts(layouts["context"], counts["context"], **meetings)
    by_side = layouts["user"], layouts["item"], counts["user"], counts["item"]
    return Data(None, *by_side, contexts=contexts)


def checked_weights(weight: np.ndarray, number: int) -> np.ndarray:
    """The weights of so many ratings. Raises `InputError` where one is not finite and above 0."""
    weight = np.asarray(weight)
    if weight.shape != (number,):
        raise InputError(f"{weight.shape} weights of {number} ratings; give one per rating")
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight > 0)))
    if len(wrong):
        raise InputError(
            f"weight {weight[wrong[0]]} of rating {wrong[0]} (of {len(wrong)} such); give finite "
            "weights above 0, and leave out ratings that should not count"
        )
    return weight


def flat(ratings: Ratings, num_users: int, num_items: int) -> Data:
    """The one flat list that gradient methods need."""
    user, item, value = np.asarray(ratings.user), np.asarray(ratings.item), decoded(ratings.value)
    return Data(
        Ratings(jnp.asarray(user), jnp.asarray(item), jnp.asarray(value)),
        NO_ROWS,
        NO_ROWS,
        jnp.asarray(np.bincount(user, minlength=num_users).astype(np.int32)),
        jnp.asarray(np.bincount(item, minlength=num_items).astype(np.int32)),
    )
