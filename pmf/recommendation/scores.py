"""Scores of all items for blocks of users, without what they have rated: for ranks and top-N.

Nothing of size users x items is formed. A block holds `CELLS` scores (16 MiB in float32), and some
three arrays of that size are alive at a time. Larger ones leave the caches, and systems hand out
and take back their memory page by page.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from pmf.errors import InputError
from pmf.process.programs import forget, program, rung
from pmf.types import Array, Params, Side

CELLS = 1 << 22  # scores a block
GROUP = 8  # neighbouring columns, of which the best is looked at first
ABREAST = 8  # scores of so many pairs' users are compared at a time

Score: TypeAlias = Callable[[np.ndarray], Array]  # row numbers (b,) -> scores (b, m)
Seen: TypeAlias = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # -> places in b, columns


def scorer(draws: Params, items: np.ndarray) -> Score:
    """How far from mu the posterior mean of every one of `items` is, for blocks of users.

        E[r_ui | R] - mu = 1/S sum_s (b_us + c_is)  +  [U_u1 .. U_uS] [V_i1 .. V_iS]^T / S

    One matrix product, however many draws; a point estimate is a stack of one. mu changes no order,
    and may be so large that a float32 would not hold what is added. `items` are row numbers, one a
    column of the scores, in that order. Holds one copy of the items' draws.
    """
    table = jnp.asarray(item_table(draws.item, items))
    return lambda users: products(user_table(draws.user, users), table)


def user_table(user: Side, rows: np.ndarray) -> np.ndarray:
    """A row (U_u1/S .. U_uS/S, b_u, 1) per user: times an `item_table`, the means less mu."""
    table = item_table(user, rows)
    table[:-2] /= len(user.factor)
    table[-2], table[-1] = table[-1], 1
    return table.T


def item_table(side: Side, rows: np.ndarray) -> np.ndarray:
    """A column (V_i1 .. V_iS, 1, c_i) per item; rows would be transposed at each product."""
    num_draws, _, rank = side.factor.shape
    table = np.empty((num_draws * rank + 2, len(rows)), side.factor.dtype)
    for s in range(num_draws):  # draw by draw: no second copy of them all
        table[s * rank : (s + 1) * rank] = np.asarray(side.factor[s])[rows].T
    table[-2:] = np.ones(len(rows)), np.asarray(side.bias)[:, rows].sum(-1).mean(0)
    return table


@program
def products(user_rows: Float[Array, "b d"], items: Float[Array, "d m"]) -> Float[Array, "b m"]:
    """Of all rows with all columns: the scores."""
    # Rounding to fewer bits, as accelerators may, would tie what is not tied.
    return jnp.matmul(user_rows, items, precision="highest")


class Block(NamedTuple):
    """The candidates of some users: `scores` (b, m), -inf where a user has rated an item.

    Columns from `num_items` on, where the scores have any, are of no item: -inf. Rows from
    `end - begin` on repeat the first user, so that all blocks are of one shape.
    """

    begin: int
    end: int
    scores: Array


def most_users(num_items: int) -> int:
    """How many users' scores of so many items a block holds."""
    return max(1, CELLS // num_items)


def blocks(
    score: Score, users: np.ndarray, num_items: int, excluded: Seen, size: int | None = None
) -> Iterator[Block]:
    """Candidates of `users` (row numbers, which `score` and `excluded` are asked for), by blocks of
    `size` (default: of all, or as many as a block holds).

    Raises `InputError` where a score is not finite.
    """
    forget()
    size = size or max(1, min(len(users), most_users(num_items)))
    for begin in range(0, len(users), size):
        some = users[begin : begin + size]
        padded = np.concatenate([some, np.repeat(some[:1], size - len(some))])
        place, item = padded_pairs(*excluded(some), size)
        scores = jnp.asarray(score(padded))
        finite = _finite(scores)
        if scores.shape[1] > num_items:
            scores = _first(scores, num_items)
        yield Block(begin, begin + len(some), _without(scores, place, item))
        if not finite:  # looked at last, as that waits for the device
            raise InputError(f"a score of users {some[0]} to {some[-1]} is NaN or infinite")


@program
def _finite(scores: Float[Array, "b m"]) -> Bool[Array, ""]:
    return jnp.all(jnp.isfinite(scores))


def _set_first(scores: Float[Array, "b m"], n: int | Int[Array, ""]) -> Float[Array, "b m"]:
    return jnp.where(jnp.arange(scores.shape[1]) < n, scores, -jnp.inf)


def _set_without(
    scores: Float[Array, "b m"], place: Int[Array, " p"], item: Int[Array, " p"]
) -> Float[Array, "b m"]:
    return scores.at[place, item].set(-jnp.inf, mode="drop")


_first = program(_set_first, donate_argnums=0)
_without = program(_set_without, donate_argnums=0)


def padded_pairs(place: np.ndarray, item: np.ndarray, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Filled up with places `fill`: few programs serve all blocks."""
    size = rung(len(place), 1024, 8)
    padded = np.full(size, fill, np.int32), np.zeros(size, np.int32)
    padded[0][: len(place)], padded[1][: len(item)] = place, item
    return padded


def _top(scores: Float[Array, "b m"], n: int) -> tuple[Int[Array, "b n"], Float[Array, "b n"]]:
    """Each row's n best columns, best first, of equal ones the first, and their scores.

    Where none is left, column -1 with score -inf.

    The n best are in the n groups of `GROUP` neighbours whose best are the best: each of these has
    one at least as good as any that is outside, and of equal ones comes first. So most of the work
    is one pass over the scores.
    """
    b, m = scores.shape
    columns = jnp.arange(m)[None]
    if m > 4 * n * GROUP:
        whole = m - m % GROUP
        best = _unsigned(scores[:, :whole]).reshape(b, -1, GROUP).max(-1)
        _, group = jax.lax.top_k(best, n)
        within = jnp.sort(group, 1)[:, :, None] * GROUP + jnp.arange(GROUP)
        rest = jnp.broadcast_to(columns[:, whole:], (b, m - whole))
        columns = jnp.concatenate([within.reshape(b, -1), rest], 1)
        scores = jnp.take_along_axis(scores, columns, 1)
    score, place = jax.lax.top_k(_unsigned(scores), n)
    item = jnp.take_along_axis(jnp.broadcast_to(columns, scores.shape), place, 1)
    return jnp.where(score > -jnp.inf, item, -1), score


top = program(_top, static_argnames="n")


def _unsigned(scores: Float[Array, "b m"]) -> Float[Array, "b m"]:
    return jnp.where(scores == 0, 0, scores)  # top_k puts -0.0 after 0.0; here they tie


def ranks(scores: Float[Array, "b m"], place: np.ndarray, item: np.ndarray) -> np.ndarray:
    """The rank, from 1, of each candidate (row, column) among its row's, in the order of `top`.

    Counted by comparison, one pass over the row for each: nothing is sorted.
    """
    return np.asarray(_ranks(scores, *padded_pairs(place, item, 0), len(place)))[: len(place)]


@program
def _ranks(
    scores: Float[Array, "b m"],
    place: Int[Array, " p"],
    item: Int[Array, " p"],
    n: int | Int[Array, ""],
) -> Int[Array, " p"]:
    column = jnp.arange(scores.shape[1])

    def count(j: Int[Array, ""], rank: Int[Array, " p"]) -> Int[Array, " p"]:
        row, item_rated = (
            jax.lax.dynamic_slice(x, [j * ABREAST], [ABREAST]) for x in (place, item)
        )
        others, score = scores[row], scores[row, item_rated][:, None]
        ahead = (others > score) | ((others == score) & (column < item_rated[:, None]))
        positions = 1 + jnp.sum(ahead, 1, dtype=jnp.int32)
        return jax.lax.dynamic_update_slice(rank, positions, [j * ABREAST])

    rank = jnp.zeros(place.shape, jnp.int32)
    return jax.lax.fori_loop(0, (n + ABREAST - 1) // ABREAST, count, rank)
