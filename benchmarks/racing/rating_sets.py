"""Ratings to race on: MovieLens latest-small where it is, else generated in MovieLens' shapes.

A generated rating is 3.5 + b_u + c_i + U_u . V_i + noise to the nearest half star of 0.5 to 5, with
rank 16, factors N(0, 0.35^2), user biases N(0, 0.4^2), item biases N(0, 0.5^2) and noise
N(0, 0.75^2). A tenth of all ratings is test.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pmf.data.encoding import blocks
from pmf.data.sources import movielens
from pmf.data.sources.base import encoded
from pmf.data.synthetic import movielens_shaped
from pmf.data.values import decoded
from pmf.types import Ratings

REAL = "ml-latest-small"
TEST_SHARE = 0.1
RANK, MEAN, NOISE = 16, 3.5, 0.75
FACTOR, USER_BIAS, ITEM_BIAS = 0.35, 0.4, 0.5  # standard deviations


class Shape(NamedTuple):
    """Ratings, and the rows on either side."""

    n: int
    users: int
    items: int


SHAPES = {
    "small": Shape(100_836, 610, 9_724),
    "1m": Shape(900_000, 6_040, 3_706),
    "25m": Shape(25_000_095, 162_541, 59_047),
}


def is_real(size: str) -> bool:
    """Whether the ratings of a size are MovieLens' own here."""
    return size == "small" and movielens.find(REAL) is not None


def name_of(size: str) -> str:
    """A size, and whether a real set's ratings are generated here."""
    return f"{size}, generated" if size == "small" and not is_real(size) else size


def write(size: str, path: Path) -> None:
    """Write the training and test ratings of a size as NumPy arrays of row numbers and stars."""
    if is_real(size):
        real = encoded(REAL)
        user, item, value = real.ratings
        shape = Shape(len(value), len(real.users), len(real.items))
        write_parts(Ratings(user, item, decoded(value)), shape, path)
    else:
        write_parts(generated(SHAPES[size]), SHAPES[size], path)


def generated(shape: Shape, seed: int = 0) -> Ratings:
    """Half stars of a model of rank 16 at pairs with MovieLens' heavy tails."""
    user, item, _ = movielens_shaped(seed, *shape)
    rng, value = np.random.default_rng(seed + 1), np.empty(shape.n, np.float32)
    U, V = (rng.normal(0, FACTOR, (rows, RANK)).astype(np.float32) for rows in shape[1:])
    b, c = rng.normal(0, USER_BIAS, shape.users), rng.normal(0, ITEM_BIAS, shape.items)
    for rows in blocks(shape.n):
        u, i = user[rows], item[rows]
        mean = MEAN + b[u] + c[i] + np.einsum("nk,nk->n", U[u], V[i])
        value[rows] = np.clip(np.rint(2 * rng.normal(mean, NOISE)) / 2, 0.5, 5)
    return Ratings(user, item, value)


def write_parts(ratings: Ratings, shape: Shape, path: Path, seed: int = 2) -> None:
    """Hold a random tenth out, and write both parts."""
    is_test = np.random.default_rng(seed).random(shape.n) < TEST_SHARE
    train = {name: x[~is_test] for name, x in ratings._asdict().items()}
    test = {f"test_{name}": x[is_test] for name, x in ratings._asdict().items()}
    np.savez(path, **train, **test, shape=np.array(shape[1:]))
