"""Numbers of rows and of ratings that follow from the ratings alone, for random draws to belong to.

A row's noise, and whether a rating is held out, are drawn by number. Were that the place in a file
or the order of ids, the same ratings in another order, or under other names, would start elsewhere
and end in another optimum. So rows are numbered by what they hold: by colour refinement (Weisfeiler
& Leman 1968) of the graph of ratings, started from the users' counts and each rating's rank among
the distinct ratings. Rows that it cannot tell apart are numbered in the order they come in; that is
of no account where they are alike in all.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pmf.data.encoding import blocks, count_rows
from pmf.data.values import Coded, Mapped, Values, decoded
from pmf.types import Ratings

# Multipliers and shifts of splitmix64 (Steele, Lea & Flood, OOPSLA 2014).
GOLDEN, FIRST, SECOND = (
    np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class RowNumbers(NamedTuple):
    """A permutation of each side's rows."""

    user: np.ndarray  # (users,) int32
    item: np.ndarray  # (items,) int32


def mixed(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser: uint64 numbers to uint64 numbers that look random."""
    x = (x + GOLDEN).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return np.asarray(x ^ (x >> np.uint64(31)))


def row_numbers(ratings: Ratings, num_users: int, num_items: int) -> RowNumbers:
    """Numbers that neither the order of the ratings, nor ids, nor the ratings' unit change."""
    rank = _rank_of(ratings.value)
    colour = mixed(count_rows(ratings.user, num_users).astype(np.uint64))
    by_item = _refined(ratings.user, ratings.item, rank, colour, num_items)
    by_user = _refined(ratings.item, ratings.user, rank, by_item, num_users)
    by_item = _refined(ratings.user, ratings.item, rank, by_user, num_items)
    return RowNumbers(_places(by_user), _places(by_item))


def chances(ratings: Ratings, numbers: RowNumbers, seed: int) -> np.ndarray:
    """A number in [0, 1) for each rating, by its rows' numbers and the seed."""
    lots, of_seed = np.empty(len(ratings.user)), mixed(np.array([seed], np.uint64))
    for rows in blocks(len(lots)):
        pair = numbers.user[ratings.user[rows]].astype(np.uint64) * np.uint64(len(numbers.item))
        pair += numbers.item[ratings.item[rows]].astype(np.uint64)
        lots[rows] = (mixed(mixed(pair) + of_seed) >> np.uint64(11)) * 2.0**-53
    return lots


def _rank_of(values: Values) -> Callable[[slice], np.ndarray]:
    """The places of some ratings among all distinct ones; of many on disk, their own bits."""
    if isinstance(values, Coded):
        code = values.code
        present = np.unique(np.concatenate([np.unique(code[rows]) for rows in blocks(len(code))]))
        rank = np.zeros(256, np.uint64)
        rank[present[np.argsort(values.table[present])]] = np.arange(len(present))
        return lambda rows: rank[code[rows]]
    if isinstance(values, Mapped):
        return lambda rows: decoded(values[rows]).astype(np.float64).view(np.uint64)
    ranks = np.unique(decoded(values), return_inverse=True)[1]
    return lambda rows: ranks[rows].astype(np.uint64)


def _refined(
    other: np.ndarray,
    rows_of_side: np.ndarray,
    rank: Callable[[slice], np.ndarray],
    colour: np.ndarray,
    num_rows: int,
) -> np.ndarray:
    """A colour for each row: the sum, in any order the same, over its ratings and their rows."""
    total = np.zeros(num_rows, np.uint64)
    for rows in blocks(len(rows_of_side)):
        np.add.at(total, rows_of_side[rows], mixed(colour[other[rows]] + rank(rows)))
    return mixed(total)


def _places(colour: np.ndarray) -> np.ndarray:
    number = np.empty(len(colour), np.int32)
    number[np.argsort(colour, kind="stable")] = np.arange(len(colour), dtype=np.int32)
    return number
