"""Ranking metrics of a system that scores any item for any user, from frames of raw ids.

All items that the system knows are ranked, without the user's training items: metrics of sampled
candidates are not consistent with these (Krichene & Rendle, KDD 2020). A test item is relevant from
a threshold on its rating on; an item that the user has not rated counts as not relevant. Equal
scores are ordered by descending item id as text. So ordered, and for users with a relevant item,
these are the numbers of trec_eval. Each metric is described in `pmf.evaluate.lists`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.checks import shown
from pmf.data.encoding import first_repeat, has_repeats
from pmf.data.frames import checked, pairs
from pmf.data.histories import by_user
from pmf.data.ids import Ids, factorize
from pmf.errors import InputError
from pmf.evaluate.lists import in_order
from pmf.evaluate.metrics import METRICS
from pmf.recommendation.scores import Score, Seen, blocks, ranks, top
from pmf.types import by_identity

ROUNDING = 1e-6  # of a scale: a rating at the very quarter is in it
TEST, TRAIN = "the test frame", "the training frame"


@by_identity
class Ranking(NamedTuple):
    """`scores` are means over the users with a relevant test item, and counts:

    `ranked_users`, `users_without_relevant` (left out of everything else), `ranked_unknown_users`
    (ranked all the same) and `relevant_unknown_items` (pairs whose item the system does not know:
    relevant, and never recommended).
    """

    scores: dict[str, float]
    users: pd.DataFrame  # user_id, relevant (their number), and each metric but coverage

    def __repr__(self) -> str:
        return f"Ranking({listed(self.scores)})"


class Judged(NamedTuple):
    """Relevant test pairs in the order of users, who are numbered from 0."""

    user: np.ndarray
    column: np.ndarray  # the number of columns stands for an unknown item
    gain: np.ndarray


def listed(scores: dict[str, float]) -> str:
    """Scores in one line, as a `repr` shows them."""
    shown = {n: f"{x:,}" if isinstance(x, int) else f"{x:.4g}" for n, x in scores.items()}
    return ", ".join(f"{name}={text}" for name, text in shown.items())


def upper_quarter(rating: pd.Series, low: float, high: float) -> float:
    """The lowest of the ratings in the upper quarter of the scale from `low` to `high`.

    4 on scales of 0.5 or 1 to 5 stars, and as good on any other: nothing here has a unit. Where no
    rating is so high, the quarter's lower end.
    """
    least = low + (0.75 - ROUNDING) * (high - low)
    value = rating.to_numpy(np.float64)
    above = value[value >= least]
    return float(above.min()) if len(above) else least


def tie_order(items: Ids) -> np.ndarray:
    """Row numbers of the items by descending id as text: of equal scores the first is ahead."""
    return np.argsort(items.values.astype(str), kind="stable")[::-1]


def ranked_by(
    scorer: Callable[[np.ndarray], Score],
    users: Ids,
    items: Ids,
    train: pd.DataFrame,
    test: pd.DataFrame,
    k: int = 10,
    relevant: float = 4.0,
) -> Ranking:
    """Rank with any system. `scorer(items)` takes row numbers of `items` and gives a function from
    row numbers of `users`, `(b,)`, to scores `(b, len(items))`, columns in the order asked for.

    `len(users)` is the row number of an unknown user. Memory: blocks of
    `pmf.recommendation.scores.CELLS` scores, and some 45 bytes a training rating.

    Raises `InputError` for bad frames, training ids that the system does not know, test pairs that
    repeat or were trained on, and where no test rating is relevant.
    """
    if k < 1:
        raise InputError(f"k={k}: the length of a list, at least 1")
    order = tie_order(items)
    column = np.append(np.argsort(order), len(items))  # of an item's row
    trained = _trained(train, users, items)
    table = checked(test, TEST, times=False)
    query, ids = factorize(table["user_id"], TEST)
    row = users.codes(pd.Series(ids, name="user_id"), TEST)
    item = items.codes(table["item_id"], TEST)
    _refuse_repeats(table, query, len(ids))
    _refuse_trained(table, _keys(row[query], item, items), trained)

    chosen, judged = _relevant(query, column[item], table["rating"], relevant)
    training = by_user(
        trained // (len(items) + 1), column[trained % (len(items) + 1)], len(users) + 1
    )
    rank, best = _positions(scorer(order), row[chosen], len(items), training.of, judged, k)
    count = np.bincount(training.item, minlength=len(items))
    recommended_by = int(np.sum(np.diff(training.start) > 0))
    lists = in_order(judged.user, rank, judged.gain, best, count, recommended_by, k)
    values = {
        f"{name}@{k}" if metric.cut else name: metric.of_list(lists)
        for name, metric in METRICS.items()
        if metric.of_list
    }
    per_user = {name: value for name, value in values.items() if value.ndim}
    numbers = np.bincount(judged.user)
    frame = pd.DataFrame({"user_id": ids[chosen], "relevant": numbers} | per_user)
    scores = {
        name: float((frame[name] if name in frame else value).mean())
        for name, value in values.items()
    }
    counts = {
        "ranked_users": len(chosen),
        "users_without_relevant": len(ids) - len(chosen),
        "ranked_unknown_users": int(users.unknown(row[chosen]).sum()),
        "relevant_unknown_items": int(np.sum(judged.column == len(items))),
    }
    return Ranking(scores | counts, frame)


def _keys(user: np.ndarray, item: np.ndarray, items: Ids) -> np.ndarray:
    keys: np.ndarray = user.astype(np.int64) * (len(items) + 1) + item
    return keys


def _trained(train: pd.DataFrame, users: Ids, items: Ids) -> np.ndarray:
    """The training pairs, each once, as sorted keys."""
    table = pairs(train, TRAIN)
    user, item = users.codes(table["user_id"], TRAIN), items.codes(table["item_id"], TRAIN)
    unknown = users.unknown(user) | items.unknown(item)
    if unknown.any():
        first = int(np.argmax(unknown))
        raise InputError(
            f"{TRAIN}, row {first + 1}: {_named(table, first)} has an id that the model was not "
            f"trained on ({unknown.sum()} such rows); give the ratings that it was fitted to"
        )
    return np.unique(_keys(user, item, items))


def _refuse_repeats(table: pd.DataFrame, query: np.ndarray, num_users: int) -> None:
    item, ids = factorize(table["item_id"], TEST)
    if has_repeats(query, item, num_users, len(ids)):
        row = first_repeat(query, item, num_users, len(ids))
        raise InputError(f"{TEST}, row {row + 1}: {_named(table, row)} a second time; remove it")


def _refuse_trained(table: pd.DataFrame, key: np.ndarray, trained: np.ndarray) -> None:
    again = np.isin(key, trained)
    if again.any():
        row = int(np.argmax(again))
        raise InputError(
            f"{TEST}, row {row + 1}: {_named(table, row)} is in {TRAIN} too ({again.sum()} such "
            "rows), and what was trained on is not recommended; remove it from one of the two"
        )


def _named(table: pd.DataFrame, row: int) -> str:
    user, item = (shown(table[name].iloc[row]) for name in ("user_id", "item_id"))
    return f"user {user} with item {item}"


def _relevant(
    query: np.ndarray, column: np.ndarray, rating: pd.Series, threshold: float
) -> tuple[np.ndarray, Judged]:
    """The users who have relevant items, and those, by user and column."""
    value = rating.to_numpy(np.float64)
    relevant = np.flatnonzero(value >= threshold)
    if not len(relevant):
        raise InputError(f"{TEST}: no rating is {threshold:g} or more; lower relevant={threshold}")
    relevant = relevant[np.lexsort((column[relevant], query[relevant]))]
    chosen, user = np.unique(query[relevant], return_inverse=True)
    return chosen, Judged(user, column[relevant], 1 + value[relevant] - threshold)


def _positions(
    score: Score, users: np.ndarray, num_items: int, excluded: Seen, judged: Judged, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each judged pair, infinite for an unknown item, and each user's k best."""
    known = judged.column < num_items
    targets = by_user(judged.user[known], judged.column[known], len(users))
    rank, best = [], []
    for begin, end, scores in blocks(score, users, num_items, excluded):
        rank.append(ranks(scores, *targets.of(np.arange(begin, end))))
        best.append(np.asarray(top(scores, min(k, num_items))[0])[: end - begin])
    every = np.full(len(known), np.inf)
    every[known] = np.concatenate(rank)
    return every, np.concatenate(best)
