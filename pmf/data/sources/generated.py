"""Generated data sets in MovieLens' shapes, whose true factors and biases are known.

A rating is 3.5 + b_u + c_i + U_u . V_i + noise to the nearest half star of 0.5 to 5, with rank 16,
factors N(0, 0.35^2), user biases N(0, 0.4^2), item biases N(0, 0.5^2) and noise N(0, 0.75^2): so
of a rating's variance before rounding 13 % is the user's bias, 20 % the item's, 20 % that of the
factors, and 47 % noise. Which pairs are rated is drawn with MovieLens' heavy tails, and says
nothing of their ratings. Users and items are numbered from 1.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pmf.data.encoding import blocks
from pmf.data.sources.movielens import Dataset
from pmf.types import Params, Ratings, Side

RANK, MEAN, NOISE = 16, 3.5, 0.75
FACTOR, USER_BIAS, ITEM_BIAS = 0.35, 0.4, 0.5  # standard deviations


class Shape(NamedTuple):
    """Numbers of ratings, and of rows on either side."""

    n: int
    users: int
    items: int


SHAPES = {
    "generated-100k": Shape(100_836, 610, 9_724),  # that of latest-small
    "generated-1m": Shape(900_000, 6_040, 3_706),
    "generated-25m": Shape(25_000_095, 162_541, 59_047),
}


class Generated(NamedTuple):
    """Ratings, and the truth that they were drawn from."""

    ratings: Ratings
    truth: Params


def load(name: str) -> Dataset:
    """A generated data set by name."""
    (user, item, value), truth = generated(SHAPES[name])
    ratings = pd.DataFrame({"user_id": user + 1, "item_id": item + 1, "rating": value})
    return Dataset(name, __name__, ratings, truth=truth)


def generated(shape: Shape, seed: int = 0) -> Generated:
    """Half stars of a model of rank 16 at pairs with MovieLens' heavy tails."""
    from pmf.data.synthetic import movielens_shaped  # imports JAX

    user, item, _ = movielens_shaped(seed, *shape)
    rng, value = np.random.default_rng(seed + 1), np.empty(shape.n, np.float32)
    U, V = (rng.normal(0, FACTOR, (rows, RANK)).astype(np.float32) for rows in shape[1:])
    b, c = rng.normal(0, USER_BIAS, shape.users), rng.normal(0, ITEM_BIAS, shape.items)
    for rows in blocks(shape.n):
        u, i = user[rows], item[rows]
        mean = MEAN + b[u] + c[i] + np.einsum("nk,nk->n", U[u], V[i])
        value[rows] = np.clip(np.rint(2 * rng.normal(mean, NOISE)) / 2, 0.5, 5)
    truth = Params(Side(U, b[:, None]), Side(V, c[:, None]), np.float64(MEAN))
    return Generated(Ratings(user, item, value), truth)
