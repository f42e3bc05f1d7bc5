"""What to recommend, to whom, and what is like what: lists from any fitted model.

Lists are exact: all items are scored for blocks of users, and nothing of size users x items is
formed (`pmf.candidates`: three blocks of 64 MiB at a time).
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from pmf.answers import Model, UnknownIdWarning, stored
from pmf.candidates import Score, blocks, scorer, top
from pmf.data.pairs import Pairs, by_user
from pmf.errors import InputError
from pmf.fit import Fitted
from pmf.folded import Folded
from pmf.types import Params

Rule = Literal["mean", "lower", "upper", "thompson"]
Z = 1.0  # standard deviations of a bound
POOL = 10  # a diverse list is chosen from so many times its length


def recommend(
    model: Model,
    users: Sequence[Any] | None = None,
    n: int = 10,
    filter_seen: bool = True,
    candidates: Sequence[Any] | None = None,
    rule: Rule = "mean",
    diversity: float = 0.0,
    p_top_n: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """The n best items of each user: columns `user_id, item_id, rank, score, std`.

    `users` are raw ids (default: all); an unknown one gets the list of somebody who has rated
    nothing. `filter_seen` leaves out what a user rated in training; `candidates` are the only items
    considered. `score` is what the rule ranks by, in rating units:

        mean       the posterior mean of the rating
        lower      it, less a posterior standard deviation: what is surely good
        upper      it, plus one: what may be very good (UCB; Auer, JMLR 2002)
        thompson   one draw of the posterior a user, by `seed` (Thompson 1933)

    All but `mean` need a posterior: Gibbs, or folded-in users. `std` is that of the rating itself,
    noise included. With `p_top_n` a column of that name says how probable it is that the item is
    among the user's n best. `diversity` is how many rating units an item loses that is just like
    one above it in the list: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998), chosen
    from the 10 n best. Equal scores rank in the order of the training ratings.

    Raises `InputError` for unknown candidates, and where the model does not support what is asked.
    """
    _check(n, rule, diversity)
    fitted = model.require_fitted()
    rows = _rows(fitted, users)
    items = _items(fitted, candidates)
    seen = _seen(fitted, rows, items) if filter_seen else by_user(rows[:0], rows[:0], len(rows))
    wanted = min(POOL * n if diversity else n, len(items))
    score = _scorer(model, rule, items, seed, len(rows))
    lists, scores = _best(lambda some: score(rows[some], some), len(rows), len(items), seen, wanted)
    if diversity:
        lists, scores = _diverse(stored(fitted).draws, items, lists, scores, n, diversity)
    names = fitted.users.values if users is None else np.asarray(list(users))
    table = _frame(model, names, rows, items, lists, scores)
    if p_top_n:
        table["p_top_n"] = _p_top_n(model, rows, items, seen, lists, seed)[lists >= 0]
    return table


def similar_items(model: Model, item_id: Any, n: int = 10) -> pd.DataFrame:
    """The n items whose factors point most nearly the same way: columns `item_id, similarity`.

    The cosine of the factors, averaged over draws; rotations between draws cancel. Raises
    `InputError` for an unknown item and a model without factors.
    """
    fitted = model.require_fitted()
    row = int(fitted.items.codes(pd.Series([item_id], name="item_id"))[0])
    if row == len(fitted.items):
        raise InputError(f"item {item_id!r}: the model knows nothing of it")
    factor = stored(fitted).draws.item.factor
    if not factor.shape[-1]:
        raise InputError("a model without factors (rank 0) has no similar items")
    everyone = np.arange(len(fitted.items))
    cosine = _cosines(factor, np.array([row]), everyone)[0]
    cosine[row] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(n, len(everyone) - 1)]
    return pd.DataFrame({"item_id": fitted.items.values[best], "similarity": cosine[best]})


def _check(n: int, rule: str, diversity: float) -> None:
    if n < 1:
        raise InputError(f"n={n}: at least one item a list")
    if rule not in get_args(Rule):
        raise InputError(f"rule={rule!r}: say one of {', '.join(get_args(Rule))}")
    if not diversity >= 0:
        raise InputError(f"diversity={diversity}: rating units, 0 or more")


def _rows(fitted: Fitted, users: Sequence[Any] | None) -> np.ndarray:
    if users is None:
        return np.arange(len(fitted.users))
    rows = fitted.users.codes(pd.Series(list(users), name="user_id"), "users")
    if unknown := int(fitted.users.unknown(rows).sum()):
        warnings.warn(
            f"{unknown} of {len(rows)} users are unknown; they get the list of somebody who has "
            "rated nothing (fold_in takes their ratings without a refit)",
            UnknownIdWarning,
            stacklevel=3,
        )
    return rows


def _items(fitted: Fitted, candidates: Sequence[Any] | None) -> np.ndarray:
    if candidates is None:
        return np.arange(len(fitted.items))
    rows = fitted.items.codes(pd.Series(list(candidates), name="item_id"), "candidates")
    if (unknown := fitted.items.unknown(rows)).any():
        first = list(candidates)[int(np.argmax(unknown))]
        raise InputError(f"candidates: {unknown.sum()} items are unknown, {first!r} the first")
    if not len(rows):
        raise InputError("candidates: no item at all")
    return np.unique(rows)


def _seen(fitted: Fitted, rows: np.ndarray, items: np.ndarray) -> Pairs:
    """What each of the rows rated, by columns of `items`."""
    if fitted.rated is None:
        raise InputError(
            "the model did not keep its ratings (store_ratings=False, or on_disk); say "
            "filter_seen=False"
        )
    column = np.full(len(fitted.items) + 1, -1)
    column[items] = np.arange(len(items))
    place, item = fitted.rated.pairs.of(rows)
    known = column[item] >= 0
    return by_user(place[known], column[item[known]], len(rows))


# --- rules ----------------------------------------------------------------------------------------


def _scorer(model: Model, rule: Rule, items: np.ndarray, seed: int, num_rows: int):
    """`score(rows, places) -> (b, m)`: by row numbers, and by where they are among all asked."""
    if rule == "mean":
        mean = scorer(stored(model.require_fitted()).draws, items)
        return lambda rows, places: mean(rows)
    draws = _posterior(model, rule, seed)
    if rule == "thompson":
        chosen = np.random.default_rng(seed).integers(len(draws.mu), size=num_rows)
        return lambda rows, places: _one_draw_each(draws, items, rows, chosen[places])
    bound = _bound_scorer(draws, items, Z if rule == "upper" else -Z)
    return lambda rows, places: bound(rows)


def _posterior(model: Model, rule: str, seed: int) -> Params:
    """Draws of the users' and items' rows."""
    if isinstance(model, Folded):
        return model.sampled(seed)
    draws = stored(model.require_fitted()).draws
    if len(draws.mu) < 2:
        raise InputError(
            f"{rule}: a point estimate has no posterior; fit with method='gibbs', or fold users in"
        )
    return draws


def _bound_scorer(draws: Params, items: np.ndarray, z: float) -> Score:
    item = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[:, items]), draws.item)
    mu = jnp.asarray(draws.mu)

    def score(rows: np.ndarray) -> Array:
        user = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[:, rows]), draws.user)
        return _bound(user.factor, user.bias.sum(-1) + mu[:, None], *item, z)

    return score


@jax.jit
def _bound(
    U: Float[Array, "s b k"],
    b: Float[Array, "s b"],
    V: Float[Array, "s m k"],
    c: Float[Array, "s m w"],
    z: float | Float[Array, ""],
) -> Float[Array, "b m"]:
    """Mean + z standard deviations over draws (Welford 1962: nothing of size s b m)."""

    def add(carry, draw):
        seen, mean, deviation = carry
        U, b, V, c = draw
        delta = jnp.matmul(U, V.T, precision="highest") + b[:, None] + c.sum(-1) - mean
        seen = seen + 1
        mean = mean + delta / seen
        return (seen, mean, deviation + delta**2 * (seen - 1) / seen), None

    zero = jnp.zeros((U.shape[1], V.shape[1]), U.dtype)
    start = jnp.zeros((), U.dtype), zero, zero
    (seen, mean, deviation), _ = jax.lax.scan(add, start, (U, b, V, c))
    return mean + z * jnp.sqrt(deviation / (seen - 1))


def _one_draw_each(
    draws: Params, items: np.ndarray, rows: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    scores = np.empty((len(rows), len(items)), np.asarray(draws.mu).dtype)
    for s in np.unique(chosen):
        one = jax.tree.map(lambda x, s=s: x[s : s + 1], draws)
        scores[chosen == s] = scorer(one, items)(rows[chosen == s])
    return scores


# --- lists ----------------------------------------------------------------------------------------


def _best(
    score: Score, num_rows: int, num_items: int, seen: Pairs, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """The n best columns of each row, -1 where none is left, and their scores."""
    lists = np.full((num_rows, n), -1)
    scores = np.zeros((num_rows, n))
    for block in blocks(score, np.arange(num_rows), num_items, seen) if num_rows else ():
        best = top(block.scores, n)
        found = jnp.take_along_axis(block.scores, jnp.maximum(best, 0), 1)
        rows, size = slice(block.begin, block.end), block.end - block.begin
        lists[rows], scores[rows] = best[:size], found[:size]
    return lists, scores


def _cosines(factor: Array, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mean over draws of the cosines of two sets of rows."""
    total = np.zeros((len(one), len(other)))
    for draw in factor:  # draw by draw: no second copy of them all
        V = np.asarray(draw, np.float64)
        V = V / np.maximum(np.linalg.norm(V, axis=1, keepdims=True), np.finfo(float).tiny)
        total += V[one] @ V[other].T
    return total / len(factor)


def _diverse(draws: Params, items, lists, scores, n: int, price: float):
    """Greedily the item of the greatest score less `price` times its likeness to one chosen."""
    chosen = np.full((len(lists), n), -1)
    worth = np.zeros((len(lists), n))
    for j, (columns, values) in enumerate(zip(lists, scores, strict=True)):
        there = np.flatnonzero(columns >= 0)
        rows = items[columns[there]]
        alike = np.maximum(_cosines(draws.item.factor, rows, rows), 0)
        likeness = np.zeros(len(there))
        left = np.ones(len(there), bool)
        for k in range(min(n, len(there))):
            value = np.where(left, values[there] - price * likeness, -np.inf)
            best = int(np.argmax(value))
            chosen[j, k], worth[j, k] = columns[there[best]], value[best]
            left[best] = False
            likeness = np.maximum(likeness, alike[best])
    return chosen, worth


def _p_top_n(model: Model, rows, items, seen: Pairs, lists, seed: int) -> np.ndarray:
    """The share of posterior draws under which each listed item is among the row's n best."""
    draws, n = _posterior(model, "p_top_n", seed), lists.shape[1]
    count = np.zeros(lists.shape)
    for s in range(len(draws.mu)):
        score = scorer(jax.tree.map(lambda x, s=s: x[s : s + 1], draws), items)
        best, _ = _best(lambda some: score(rows[some]), len(rows), len(items), seen, n)  # noqa: B023
        count += (lists[:, :, None] == best[:, None, :]).any(-1)
    return count / len(draws.mu)


def _frame(model: Model, names: np.ndarray, rows, items, lists, scores) -> pd.DataFrame:
    fitted = model.require_fitted()
    place, rank = np.nonzero(lists >= 0)
    user, item = rows[place], items[lists[place, rank]]
    return pd.DataFrame(
        {
            "user_id": names[place],
            "item_id": fitted.items.values[item],
            "rank": rank + 1,
            "score": scores[place, rank],
            "std": np.sqrt(model.predict_rows(user, item).variance),
        }
    )
