"""(user, item) pairs in the order of users: what each one has rated, or is asked about."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from pmf.data.values import Stored, coded_values, decoded
from pmf.types import Ratings

USERS = 1 << 14  # whose pairs are looked at together


class Pairs(NamedTuple):
    """User j's items are start[j] to start[j + 1]."""

    start: Int[np.ndarray, " n1"]
    item: Int[np.ndarray, " p"]

    def of(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of some users: each one's place in `users`, and its item."""
        place, cell = self.cells(users)
        return place, self.item[cell]

    def have(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Which of some pairs, in any order, are among these."""
        known = np.zeros(len(user), bool)
        distinct, place = np.unique(user, return_inverse=True)
        for begin in range(0, len(distinct), USERS):
            here = np.flatnonzero((begin <= place) & (place < begin + USERS))
            user_place, theirs = self.of(distinct[begin : begin + USERS])
            width = 1 + max(theirs.max(initial=0), item[here].max(initial=0))
            pair = (place[here] - begin) * np.int64(width) + item[here]
            known[here] = np.isin(pair, user_place * np.int64(width) + theirs)
        return known

    def cells(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the pairs of some users are: each one's place in `users`, and its cell."""
        begin, count = self.start[users], self.start[users + 1] - self.start[users]
        place = np.repeat(np.arange(len(users)), count)
        within = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        return place, within + np.repeat(begin, count)


class Rated(NamedTuple):
    """The training ratings of each user, kept with a model: lists leave them out, and explanations
    are made of them. Five bytes per rating where the values are few, as stars are.
    """

    pairs: Pairs
    value: Stored

    def of(self, users: np.ndarray) -> Ratings:
        """The ratings of some users; `user` is each one's place in `users`."""
        place, cell = self.pairs.cells(users)
        return Ratings(place, self.pairs.item[cell], decoded(self.value[cell]))


def by_user(user: np.ndarray, item: np.ndarray, num_users: int) -> Pairs:
    """Pairs from parallel arrays in any order; equal users keep theirs."""
    order = _order(user)
    return Pairs(np.searchsorted(user[order], np.arange(num_users + 1)), item[order])


def rated_by_user(ratings: Ratings, num_users: int) -> Rated:
    """The ratings by user, their values in as few bytes as hold them exactly."""
    order = _order(ratings.user)
    start = np.searchsorted(ratings.user[order], np.arange(num_users + 1))
    pairs = Pairs(start, np.asarray(ratings.item[order], np.int32))
    return Rated(pairs, coded_values(decoded(ratings.value[order])))


def _order(user: np.ndarray) -> np.ndarray | slice:
    ascends = bool(np.all(user[1:] >= user[:-1]))  # as files of ratings mostly do: nothing moves
    return slice(None) if ascends else np.argsort(user, kind="stable")
