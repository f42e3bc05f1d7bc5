"""Generated data sets: their ratings are what their truth says, and they have a name everywhere."""

import numpy as np
import pytest

from pmf.data.sources import generated
from pmf.data.sources.base import files_of, load_data, load_items, unit_of
from pmf.data.sources.generated import NOISE, Shape

NAME = "generated-100k"


@pytest.fixture(scope="module")
def dataset():
    return load_data(NAME)


def test_its_shape_is_the_named_one(dataset):
    shape = generated.SHAPES[NAME]
    assert len(dataset.ratings) == shape.n
    assert dataset.ratings["user_id"].between(1, shape.users).all()
    assert dataset.ratings["item_id"].between(1, shape.items).all()
    assert not dataset.ratings.duplicated(["user_id", "item_id"]).any()
    assert len(load_items(NAME)) == 0 and files_of(NAME) == [] and unit_of(NAME) == "stars"


def test_ratings_scatter_about_their_truth(dataset):
    """Half stars add a twelfth of a quarter to the noise; the ends of the scale take a little."""
    (U, b, _), (V, c, _), mu, _ = dataset.truth
    user, item = (dataset.ratings[x].to_numpy() - 1 for x in ("user_id", "item_id"))
    mean = mu + b[user, 0] + c[item, 0] + np.sum(U[user] * V[item], 1)
    error = dataset.ratings["rating"].to_numpy() - mean
    inside = np.abs(mean - 2.75) < 0.5
    expected = np.sqrt(NOISE**2 + 0.5**2 / 12)
    np.testing.assert_allclose(np.std(error[inside]), expected, rtol=0.01)
    np.testing.assert_allclose(np.mean(error[inside]), 0, atol=0.02)
    for users, numbers in ((True, b), (False, c)):
        spread = generated.USER_BIAS if users else generated.ITEM_BIAS
        np.testing.assert_allclose(np.std(numbers), spread, rtol=0.1)


def test_a_seed_names_one_set():
    shape = Shape(200, 30, 40)
    one, again, other = (generated.generated(shape, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.ratings.value, again.ratings.value)
    assert not np.array_equal(one.ratings.value, other.ratings.value)


def test_ratings_are_half_stars():
    ratings, _ = generated.generated(Shape(60_000, 1_000, 1_200))
    assert set(np.unique(2 * ratings.value)) <= set(range(1, 11))
