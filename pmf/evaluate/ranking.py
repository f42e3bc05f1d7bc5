"""Ranking metrics of a system that scores any item for any user, from frames of raw ids.

All items that the system knows are ranked, without the user's training items: metrics of sampled
candidates are not consistent with these (Krichene & Rendle, KDD 2020). A test item is relevant from
a threshold on its rating on; an item that the user has not rated counts as not relevant. Equal
scores are ordered by descending item id as text. So ordered, and for users with a relevant item,
these are the numbers of trec_eval.

With r_1 < ... < r_n the ranks of a user's relevant test items, and g(r) the gain at rank r, or 0:

    precision@k = |{r_j <= k}| / k      recall@k = |{r_j <= k}| / n      hit_rate@k = 1[r_1 <= k]
    map = 1/n sum_j j / r_j             mrr = 1 / r_1
    ndcg@k = sum_{r <= k} g(r) / log2(1 + r), over the same of the best order

The cumulated gain, and its ideal cut at the same k, are Järvelin & Kekäläinen's (TOIS 2002,
eq. 2), with the discount log2(1 + r) that trec_eval uses and not their log2(max(r, 2)).
The gain of a relevant item is 1, and for graded_ndcg@k `1 + rating - threshold`.

Of the k items recommended, by their numbers of training ratings: popularity@k is the mean number,
novelty@k the mean self-information -log2(number / training users) in bits (Zhou et al., PNAS 2010;
an item without training rating counts as with one), and coverage@k the share of all items that are
recommended to anyone (Herlocker et al., TOIS 2004).
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
from pmf.recommendation.scores import Score, Seen, blocks, ranks, top

ROUNDING = 1e-6  # of a scale: a rating at the very quarter is in it
TEST, TRAIN = "the test frame", "the training frame"


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

    def __eq__(self, other: object) -> bool:
        return self is other  # frames have no truth value

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)


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
    seen = by_user(trained // (len(items) + 1), column[trained % (len(items) + 1)], len(users) + 1)
    rank, best = _positions(scorer(order), row[chosen], len(items), seen.of, judged, k)
    count = np.bincount(seen.item, minlength=len(items))
    per_user = user_metrics(judged.user, rank, judged.gain, k)
    per_user |= list_metrics(best, count, int(np.sum(np.diff(seen.start) > 0)), k)
    numbers = np.bincount(judged.user)
    frame = pd.DataFrame({"user_id": ids[chosen], "relevant": numbers} | per_user)
    scores = {name: float(frame[name].mean()) for name in per_user}
    scores[f"coverage@{k}"] = len(np.unique(best[best >= 0])) / len(items)
    counts = {
        "ranked_users": len(chosen),
        "users_without_relevant": len(ids) - len(chosen),
        "ranked_unknown_users": int(users.unknown(row[chosen]).sum()),
        "relevant_unknown_items": int(np.sum(judged.column == len(items))),
    }
    return Ranking(scores | counts, frame)


def _keys(user: np.ndarray, item: np.ndarray, items: Ids) -> np.ndarray:
    return user.astype(np.int64) * (len(items) + 1) + item


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
    kept = np.flatnonzero(value >= threshold)
    if not len(kept):
        raise InputError(f"{TEST}: no rating is {threshold:g} or more; lower relevant={threshold}")
    kept = kept[np.lexsort((column[kept], query[kept]))]
    chosen, user = np.unique(query[kept], return_inverse=True)
    return chosen, Judged(user, column[kept], 1 + value[kept] - threshold)


def _positions(
    score: Score, users: np.ndarray, num_items: int, seen: Seen, judged: Judged, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each judged pair, infinite for an unknown item, and each user's k best."""
    known = judged.column < num_items
    asked = by_user(judged.user[known], judged.column[known], len(users))
    rank, best = [], []
    for begin, end, scores in blocks(score, users, num_items, seen):
        rank.append(ranks(scores, *asked.of(np.arange(begin, end))))
        best.append(np.asarray(top(scores, min(k, num_items))[0])[: end - begin])
    every = np.full(len(known), np.inf)
    every[known] = np.concatenate(rank)
    return every, np.concatenate(best)


def user_metrics(
    user: np.ndarray, rank: np.ndarray, gain: np.ndarray, k: int
) -> dict[str, np.ndarray]:
    """Each user's accuracy, from the ranks (from 1) and gains of the relevant items, user by user.

    Users are numbered from 0, and each has one.
    """
    order = np.lexsort((rank, user))
    rank, gain = rank[order], gain[order]
    number = np.bincount(user)
    nth = 1 + np.arange(len(user)) - np.repeat(np.cumsum(number) - number, number)
    hit, discount = rank <= k, 1 / np.log2(1 + rank)
    within, best_discount = nth <= k, 1 / np.log2(1 + nth)
    best_gain = gain[np.lexsort((-gain, user))]

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(user, x)

    return {
        f"ndcg@{k}": total(hit * discount) / total(within * best_discount),
        f"graded_ndcg@{k}": total(hit * gain * discount)
        / total(within * best_gain * best_discount),
        f"recall@{k}": total(hit) / number,
        f"precision@{k}": total(hit) / k,
        f"hit_rate@{k}": total(hit & (nth == 1)),
        "map": total(nth / rank) / number,
        "mrr": total((nth == 1) / rank),
    }


def list_metrics(
    best: np.ndarray, count: np.ndarray, num_users: int, k: int
) -> dict[str, np.ndarray]:
    """What is recommended to each user, `best` (n, k), by its `count` of training ratings.

    -1 fills a list up; an empty list has no metrics: NaN.
    """
    listed = best >= 0
    length = np.where(listed.any(1), listed.sum(1), np.nan)
    information = np.log2(num_users / np.maximum(count, 1))
    return {
        f"{name}@{k}": np.where(listed, value[best], 0).sum(1) / length
        for name, value in (("novelty", information), ("popularity", count))
    }
