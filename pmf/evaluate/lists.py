"""The value of each user's ranked list.

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
recommended to anyone (Herlocker et al., TOIS 2004). An empty list has no metrics: NaN.
"""

from typing import NamedTuple

import numpy as np


class Lists(NamedTuple):
    """Ranked lists of `n` users, numbered from 0, and where their `m` relevant items stand."""

    user: np.ndarray  # (m,), in order, each user's by rank; each has one
    rank: np.ndarray  # (m,), from 1; infinite for an item that is never recommended
    gain: np.ndarray  # (m,)
    nth: np.ndarray  # (m,), from 1: of the user's relevant items by rank
    best: np.ndarray  # (n, k): the items recommended; -1 fills a list up
    rated: np.ndarray  # (items,): their training ratings
    num_users: int  # in training
    k: int


def in_order(
    user: np.ndarray,
    rank: np.ndarray,
    gain: np.ndarray,
    best: np.ndarray,
    rated: np.ndarray,
    num_users: int,
    k: int,
) -> Lists:
    """The lists, from relevant items in any order."""
    order = np.lexsort((rank, user))
    user, number = user[order], np.bincount(user)
    nth = 1 + np.arange(len(user)) - np.repeat(np.cumsum(number) - number, number)
    return Lists(user, rank[order], gain[order], nth, best, rated, num_users, k)


def ndcg(at: Lists) -> np.ndarray:
    return _cumulated(at, np.ones(len(at.user)))


def graded_ndcg(at: Lists) -> np.ndarray:
    return _cumulated(at, at.gain)


def _cumulated(at: Lists, gain: np.ndarray) -> np.ndarray:
    """The discounted gain of each user's list over that of the best order, both cut at k."""
    ideal = gain[np.lexsort((-gain, at.user))]
    hit, within = at.rank <= at.k, at.nth <= at.k
    discount, best_discount = 1 / np.log2(1 + at.rank), 1 / np.log2(1 + at.nth)
    total, best = _total(at, hit * gain * discount), _total(at, within * ideal * best_discount)
    return np.asarray(total / best)


def recall(at: Lists) -> np.ndarray:
    return _total(at, at.rank <= at.k) / np.bincount(at.user)


def precision(at: Lists) -> np.ndarray:
    return _total(at, at.rank <= at.k) / at.k


def hit_rate(at: Lists) -> np.ndarray:
    return _total(at, (at.rank <= at.k) & (at.nth == 1))


def average_precision(at: Lists) -> np.ndarray:
    return _total(at, at.nth / at.rank) / np.bincount(at.user)


def reciprocal_rank(at: Lists) -> np.ndarray:
    return _total(at, (at.nth == 1) / at.rank)


def novelty(at: Lists) -> np.ndarray:
    return _mean_of_best(at, np.log2(at.num_users / np.maximum(at.rated, 1)))


def popularity(at: Lists) -> np.ndarray:
    return _mean_of_best(at, at.rated)


def coverage(at: Lists) -> np.ndarray:
    """One number: the share of the items that stand on any list."""
    return np.asarray(len(np.unique(at.best[at.best >= 0])) / len(at.rated))


def _total(at: Lists, x: np.ndarray) -> np.ndarray:
    return np.bincount(at.user, x)


def _mean_of_best(at: Lists, value: np.ndarray) -> np.ndarray:
    listed = at.best >= 0
    length = np.where(listed.any(1), listed.sum(1), np.nan)
    return np.asarray(np.where(listed, value[at.best], 0).sum(1) / length)
