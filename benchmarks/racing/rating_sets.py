"""Ratings to race on: MovieLens latest-small where it is, else generated in MovieLens' shapes.

A tenth of all ratings is test.
"""

from pathlib import Path

import numpy as np

from pmf.data.sources import movielens
from pmf.data.sources.base import encoded
from pmf.data.sources.generated import SHAPES, Shape, generated
from pmf.data.values import decoded
from pmf.types import Ratings

REAL = "ml-latest-small"
TEST_SHARE = 0.1
NAMES = {"small": "generated-100k", "1m": "generated-1m", "25m": "generated-25m"}


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
        shape = SHAPES[NAMES[size]]
        write_parts(generated(shape).ratings, shape, path)


def write_parts(ratings: Ratings, shape: Shape, path: Path, seed: int = 2) -> None:
    """Hold a random tenth out, and write both parts."""
    is_test = np.random.default_rng(seed).random(shape.n) < TEST_SHARE
    train = {name: x[~is_test] for name, x in ratings._asdict().items()}
    test = {f"test_{name}": x[is_test] for name, x in ratings._asdict().items()}
    np.savez(path, **train, **test, shape=np.array(shape[1:]))
