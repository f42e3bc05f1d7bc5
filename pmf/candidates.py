"""Scores of all items for blocks of users, without what they have rated: for ranks and top-N.

Nothing of size users x items is formed. A block holds `CELLS` scores (64 MiB in float32), and some
three arrays of that size are alive at a time.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from pmf.data.pairs import Pairs
from pmf.errors import InputError
from pmf.types import Array, Params, Side

CELLS = 1 << 24  # scores a block
ABREAST = 8  # scores of so many pairs' users are compared at a time

Score: TypeAlias = Callable[[np.ndarray], Array]  # row numbers (b,) -> scores (b, m)


def scorer(draws: Params, items: np.ndarray) -> Score:
    """The posterior mean of the rating of every one of `items`, for blocks of users.

        E[r_ui | R] = 1/S sum_s (mu_s + b_us + c_is)  +  [U_u1 .. U_uS] [V_i1 .. V_iS]^T / S

    One matrix product, however many draws; a point estimate is a stack of one. `items` are row
    numbers, one a column of the scores, in that order. Holds one copy of the items' draws.
    """
    V, c = (jnp.asarray(x) for x in abreast(draws.item, items))

    def score(users: np.ndarray) -> Array:
        return mean_scores(*averaging(draws.user, draws.mu, users), V, c)

    return score


def abreast(side: Side, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The draws of each row's factors side by side, (rows, s k), and the mean of its bias."""
    num_draws, _, rank = side.factor.shape
    table = np.empty((len(rows), num_draws, rank), side.factor.dtype)
    for s in range(num_draws):  # draw by draw: no second copy of them all
        table[:, s] = np.asarray(side.factor[s])[rows]
    bias = np.asarray(side.bias)[:, rows].sum(-1).mean(0)
    return table.reshape(len(rows), num_draws * rank), bias


def averaging(
    user: Side, mu: Float[Array, " s"], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What makes a product with items' draws `abreast` a posterior mean: (U / S, mu + b)."""
    factor, bias = abreast(user, rows)
    return factor / len(mu), bias + np.asarray(mu).mean()


@jax.jit
def mean_scores(
    U: Float[Array, "b d"],
    b: Float[Array, " b"],
    V: Float[Array, "m d"],
    c: Float[Array, " m"],
) -> Float[Array, "b m"]:
    # Rounding to fewer bits, as accelerators may, would tie what is not tied.
    return jnp.matmul(U, V.T, precision="highest") + b[:, None] + c


class Block(NamedTuple):
    """The candidates of some users: `scores` (b, m), -inf where a user has rated an item.

    Rows from `end - begin` on repeat the first user, so that all blocks are of one shape.
    """

    begin: int
    end: int
    scores: Array


def blocks(score: Score, users: np.ndarray, num_items: int, seen: Pairs) -> Iterator[Block]:
    """Candidates of `users` (row numbers, which `score` and `seen` are asked for), by blocks.

    Raises `InputError` where a score is not finite.
    """
    size = max(1, min(len(users), CELLS // num_items))
    for begin in range(0, len(users), size):
        some = users[begin : begin + size]
        padded = np.concatenate([some, np.repeat(some[:1], size - len(some))])
        place, item = padded_pairs(*seen.of(some), size)
        scores, finite = _without(jnp.asarray(score(padded)), place, item)
        if not finite:
            raise InputError(f"a score of users {some[0]} to {some[-1]} is NaN or infinite")
        yield Block(begin, begin + len(some), scores)


@jax.jit
def _without(
    scores: Float[Array, "b m"], place: Int[Array, " p"], item: Int[Array, " p"]
) -> tuple[Float[Array, "b m"], Bool[Array, ""]]:
    unsigned = jnp.where(scores == 0, 0, scores)  # top_k puts -0.0 after 0.0; here they tie
    candidates = unsigned.at[place, item].set(-jnp.inf, mode="drop")
    return candidates, jnp.all(jnp.isfinite(scores))


def padded_pairs(place: np.ndarray, item: np.ndarray, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Filled up to a power of two with places `fill`: few compilations serve all blocks."""
    size = 1 << max(8, (len(place) - 1).bit_length())
    room = np.full(size, fill, np.int32), np.zeros(size, np.int32)
    room[0][: len(place)], room[1][: len(item)] = place, item
    return room


@partial(jax.jit, static_argnames="n")
def top(scores: Float[Array, "b m"], n: int) -> Int[Array, "b n"]:
    """Each row's n best columns, best first, of equal ones the first; -1 where none is left."""
    score, item = jax.lax.top_k(scores, n)
    return jnp.where(score > -jnp.inf, item, -1)


def ranks(scores: Float[Array, "b m"], place: np.ndarray, item: np.ndarray) -> np.ndarray:
    """The rank, from 1, of each candidate (row, column) among its row's, in the order of `top`.

    Counted by comparison, one pass over the row for each: nothing is sorted.
    """
    return np.asarray(_ranks(scores, *padded_pairs(place, item, 0), len(place)))[: len(place)]


@jax.jit
def _ranks(
    scores: Float[Array, "b m"],
    place: Int[Array, " p"],
    item: Int[Array, " p"],
    n: int | Int[Array, ""],
) -> Int[Array, " p"]:
    column = jnp.arange(scores.shape[1])

    def count(j, rank):
        row, own = (jax.lax.dynamic_slice(x, [j * ABREAST], [ABREAST]) for x in (place, item))
        others, score = scores[row], scores[row, own][:, None]
        ahead = (others > score) | ((others == score) & (column < own[:, None]))
        found = 1 + jnp.sum(ahead, 1, dtype=jnp.int32)
        return jax.lax.dynamic_update_slice(rank, found, [j * ABREAST])

    rank = jnp.zeros(place.shape, jnp.int32)
    return jax.lax.fori_loop(0, (n + ABREAST - 1) // ABREAST, count, rank)
