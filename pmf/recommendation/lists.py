"""Recommendations and similar items: lists from any fitted model.

Lists are exact: all items are scored for blocks of users, and nothing of size users x items is
formed (`pmf.recommendation.scores`: three blocks of 16 MiB at a time).
"""

from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array

from pmf.data.checks import shown
from pmf.data.histories import by_user
from pmf.data.ids import collected
from pmf.errors import InputError
from pmf.estimators.base import Model, clipped, rated_of
from pmf.estimators.frames import fit_with_draws
from pmf.estimators.notices import UnknownIdWarning, warn
from pmf.fitting.fitted import Fitted
from pmf.process.programs import piece, rung
from pmf.recommendation.ann import ItemIndex
from pmf.recommendation.criteria import expected_users, one_draw, posterior_draws, rule_scorer
from pmf.recommendation.rules import Rule
from pmf.recommendation.scores import Score, Seen, blocks, most_users, products, scorer, top
from pmf.types import Params

SEARCHED = 1 << 12  # users whose rows are gathered at a time for an approximate search
POOL = 10  # a diverse list is chosen from so many times its length
LEAST_USERS, LEAST_ITEMS, LEAST_LIST = 16, 256, 64  # what shapes are padded to, and times four


def recommend(
    model: Model,
    users: Any = None,
    n: int = 10,
    filter_seen: bool = True,
    candidates: Any = None,
    rule: Rule = "mean",
    diversity: float = 0.0,
    p_top_n: bool = False,
    seed: int = 0,
    index: ItemIndex | None = None,
) -> pd.DataFrame:
    """The n best items of each user: columns `user_id, item_id, rank, score, std`.

    `users` are raw ids in any collection, or a single one (default: all); an unknown one gets the
    list of a user without ratings. `filter_seen` leaves out what a user rated in training;
    `candidates` are the only items considered. `score` is what the rule ranks by, in rating units:

        mean       the posterior mean of the rating
        lower      it, less a posterior standard deviation: what is surely good
        upper      it, plus one: what may be very good (UCB; Auer, JMLR 2002)
        thompson   one draw of the posterior a user, by `seed` (Thompson 1933)

    All but `mean` need draws: of Gibbs, or of folded-in users. `std` is that of the rating itself,
    noise included. With `p_top_n` a column of that name says how probable it is that the item is
    among the user's n best. `diversity` is how many rating units an item loses that is just like
    one above it in the list: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998), chosen
    from the 10 n best. Equal scores rank in the order of the training ratings. A model that clips
    shows scores on its scale, and ranks by them as they were. With an `index` (`pmf.index_items`)
    lists by the mean are approximate.

    Raises `InputError` for unknown candidates, and where the model does not support what is asked.
    """
    _check(n, rule, diversity)
    fitted = model.require_fitted()
    names, rows = _rows(fitted, users)
    items = _items(fitted, candidates)
    excluded = _rated(fitted, rows, items) if filter_seen else _nothing
    wanted = min(POOL * n if diversity else n, len(items))
    if index is not None:
        _check_index(index, fitted, rule, candidates)
        lists, scores = _searched(fitted, index, rows, excluded, wanted)
    else:
        score = rule_scorer(model, rule, _filled(items, fitted), seed, len(rows))
        positions = np.arange(len(rows))
        lists, scores = _best(lambda j: score(rows[j], j), positions, len(items), excluded, wanted)
    if diversity:
        lists, scores = _diverse(
            fit_with_draws(fitted).run.draws, items, lists, scores, n, diversity
        )
    table = _frame(model, names, rows, items, lists, scores)
    if p_top_n:
        table["p_top_n"] = _p_top_n(model, rows, items, excluded, lists, seed)[lists >= 0]
    return table


def similar_items(model: Model, item_id: Any, n: int = 10) -> pd.DataFrame:
    """The n items whose factors point most nearly the same way: columns `item_id, similarity`.

    The cosine of the factors, averaged over draws; rotations between draws cancel. Raises
    `InputError` for an unknown item and a model without factors.
    """
    fitted = model.require_fitted()
    row = fitted.items.row(item_id, "item_id")
    if row == len(fitted.items):
        raise InputError(f"item {item_id!r}: unknown to the model")
    factor = fit_with_draws(fitted).run.draws.item.factor
    if not factor.shape[-1]:
        raise InputError("a model without factors (rank 0) has no similar items")
    everyone = np.arange(len(fitted.items))
    cosine = _cosines(factor, np.array([row]), everyone)[0]
    cosine[row] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(n, len(everyone) - 1)]
    return pd.DataFrame({"item_id": fitted.items.values[best], "similarity": cosine[best]})


def _check(n: int, rule: str, diversity: float) -> None:
    if n < 1:
        raise InputError(f"n={n}: at least one item per list")
    if rule not in get_args(Rule):
        raise InputError(f"rule={rule!r}: say one of {', '.join(get_args(Rule))}")
    if not diversity >= 0:
        raise InputError(f"diversity={diversity}: rating units, 0 or more")


def _check_index(index: ItemIndex, fitted: Fitted, rule: str, candidates: Any) -> None:
    if rule != "mean" or candidates is not None:
        raise InputError("an index finds lists by rule='mean' among all items; leave it out here")
    if not index.is_of(fit_with_draws(fitted).run.draws.item):
        raise InputError("the index is another model's; make one by index_items(model)")


def _rows(fitted: Fitted, users: Any) -> tuple[np.ndarray, np.ndarray]:
    """The users asked for, by id and by row number."""
    if users is None:
        return fitted.users.values, np.arange(len(fitted.users))
    ids = collected(users, "users")
    rows = fitted.users.codes(ids)
    if unknown := int(fitted.users.unknown(rows).sum()):
        warn(
            f"{unknown} of {len(rows)} users are unknown; they get the list of a user without "
            "ratings (fold_in takes their ratings without a refit)",
            UnknownIdWarning,
            stacklevel=3,
        )
    return fitted.users.named(rows, ids), rows


def _items(fitted: Fitted, candidates: Any) -> np.ndarray:
    if candidates is None:
        return np.arange(len(fitted.items))
    ids = collected(candidates, "candidates")
    rows = fitted.items.codes(ids)
    if (unknown := fitted.items.unknown(rows)).any():
        first = shown(ids.iloc[int(np.argmax(unknown))])
        raise InputError(f"candidates: {unknown.sum()} items are unknown, {first} the first")
    if not len(rows):
        raise InputError("candidates: no item at all")
    return np.unique(rows)


def _filled(items: np.ndarray, fitted: Fitted) -> np.ndarray:
    """Candidates with the first of them again, up to a size that others share."""
    size = min(rung(len(items), LEAST_ITEMS, 4), len(fitted.items))
    return np.concatenate([items, np.repeat(items[:1], size - len(items))])


def _rated(fitted: Fitted, rows: np.ndarray, items: np.ndarray) -> Seen:
    """What some of the rows rated, by columns of `items`."""
    pairs = rated_of(fitted, "say filter_seen=False").pairs
    column = np.full(len(fitted.items) + 1, -1)
    column[items] = np.arange(len(items))

    def excluded(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place, item = pairs.of(rows[positions])
        known = column[item] >= 0
        return place[known], column[item[known]]

    return excluded


def _nothing(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return positions[:0], positions[:0]


# --- lists ----------------------------------------------------------------------------------------


def _best(
    score: Score, positions: np.ndarray, num_items: int, excluded: Seen, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """The n best columns of each of those asked for, -1 where none is left, and their scores."""
    lists = np.full((len(positions), n), -1)
    scores = np.full((len(positions), n), -np.inf)
    width = rung(num_items, LEAST_ITEMS, 4)
    size = min(piece(len(positions), LEAST_USERS), most_users(width))
    for block in blocks(score, positions, num_items, excluded, size):
        longest = min(rung(n, LEAST_LIST, 4), block.scores.shape[1])
        rows, end = slice(block.begin, block.end), block.end - block.begin
        best = (np.asarray(x)[:end, :n] for x in top(block.scores, longest))
        lists[rows], scores[rows] = best
    return lists, scores


def _searched(
    fitted: Fitted, index: ItemIndex, rows: np.ndarray, excluded: Seen, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """`_best` by an index; who gets too few items from it has them all scored."""
    lists, scores = np.empty((len(rows), n), int), np.empty((len(rows), n))
    for begin in range(0, len(rows), SEARCHED):
        some = np.arange(begin, min(begin + SEARCHED, len(rows)))
        excluded_pairs = by_user(*excluded(some), len(some))
        lists[some], scores[some] = index.search(
            expected_users(fitted, rows[some]), excluded_pairs, n
        )
    table = jnp.asarray(index.table.T)
    short = np.flatnonzero(lists[:, -1] < 0)
    lists[short], scores[short] = _best(
        lambda j: products(expected_users(fitted, rows[j]), table),
        short,
        len(index.table),
        excluded,
        n,
    )
    return lists, scores


def _cosines(factor: Array, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mean over draws of the cosines of two sets of rows."""
    total = np.zeros((len(one), len(other)))
    for draw in factor:  # draw by draw: no second copy of them all
        V = np.asarray(draw, np.float64)
        V = V / np.maximum(np.linalg.norm(V, axis=1, keepdims=True), np.finfo(float).tiny)
        total += V[one] @ V[other].T
    return total / len(factor)


def _diverse(
    draws: Params, items: np.ndarray, lists: np.ndarray, scores: np.ndarray, n: int, price: float
) -> tuple[np.ndarray, np.ndarray]:
    """Greedily the item of the greatest score less `price` times its likeness to one chosen."""
    chosen = np.full((len(lists), n), -1)
    worth = np.zeros((len(lists), n))
    for j, (columns, values) in enumerate(zip(lists, scores, strict=True)):
        places = np.flatnonzero(columns >= 0)
        rows = items[columns[places]]
        alike = np.maximum(_cosines(draws.item.factor, rows, rows), 0)
        likeness = np.zeros(len(places))
        left = np.ones(len(places), bool)
        for k in range(min(n, len(places))):
            value = np.where(left, values[places] - price * likeness, -np.inf)
            best = int(np.argmax(value))
            chosen[j, k], worth[j, k] = columns[places[best]], value[best]
            left[best] = False
            likeness = np.maximum(likeness, alike[best])
    return chosen, worth


def _p_top_n(
    model: Model, rows: np.ndarray, items: np.ndarray, excluded: Seen, lists: np.ndarray, seed: int
) -> np.ndarray:
    """The share of posterior draws under which each listed item is among the row's n best."""
    draws, n = posterior_draws(model, "p_top_n", seed), lists.shape[1]
    count = np.zeros(lists.shape)
    for s in range(len(draws.mu)):
        score = scorer(one_draw(draws, s), _filled(items, model.require_fitted()))
        positions = np.arange(len(rows))
        best, _ = _best(lambda j: score(rows[j]), positions, len(items), excluded, n)  # noqa: B023
        count += (lists[:, :, None] == best[:, None, :]).any(-1)
    return count / len(draws.mu)


def _frame(
    model: Model,
    names: np.ndarray,
    rows: np.ndarray,
    items: np.ndarray,
    lists: np.ndarray,
    scores: np.ndarray,
) -> pd.DataFrame:
    fitted = model.require_fitted()
    place, rank = np.nonzero(lists >= 0)
    user, item = rows[place], items[lists[place, rank]]
    score = scores[place, rank] + np.mean(fit_with_draws(fitted).run.draws.mu, dtype=np.float64)
    return pd.DataFrame(
        {
            "user_id": names[place],
            "item_id": fitted.items.values[item],
            "rank": rank + 1,
            "score": clipped(score, model.settings),
            "std": np.sqrt(model.predict_rows(user, item).variance),
        }
    )
