"""Neither the ratings' unit, nor ids, nor the order of rows is in what is learnt.

Catches: a search, start, tolerance, learning rate or hyperprior with a unit in it; a number rounded
far from zero; random numbers, or a held-out part, by a row's place.
"""

from functools import cache, partial

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.data.features import item_features
from pmf.data.row_numbers import chances, row_numbers
from pmf.data.units import Unit, unit_of
from pmf.errors import InputError
from pmf.fitting import search
from pmf.fitting.rescale import Scales
from pmf.types import Ratings
from tests.helpers.planted import MOVIES, planted_frame

USERS, ITEMS = 40, 30
UNITS = [(1e-6, 1e3), (1e6, -1e3), (20.0, 0.0), (1e-6, 0.0), (0.37, 1e3), (1e-3, -1e3)]
METHODS = {
    "als": {},
    "als, stopped early": {"validation": 0.2, "patience": 2},
    "map": {"method": "map", "num_steps": 60},
    "map, by mini-batches": {"method": "map", "num_steps": 20, "batch_size": 64},
    "map, by L-BFGS": {"method": "map", "num_steps": 8, "optimizer": "lbfgs"},
    "gibbs": {"method": "gibbs", "burn_in": 10, "num_steps": 10},
    "gibbs, tau learnt": {"method": "gibbs", "burn_in": 10, "num_steps": 10, "tau": "learn"},
    "vb": {"method": "vb", "num_steps": 20},
}
ROUNDING = 2e-5  # of a rating's spread; of the first digits of 1000.000001 more is lost: see below


@cache
def stars() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratings in half stars, to learn from and to predict."""
    rng = np.random.default_rng(0)
    U, V = rng.normal(size=(USERS, 2)), rng.normal(size=(ITEMS, 2))
    user, item = np.nonzero(rng.random((USERS, ITEMS)) < 0.4)
    mean = 3 + 0.3 * rng.normal(size=USERS)[user] + 0.8 * np.sum(U[user] * V[item], 1)
    rating = np.clip(np.round(2 * (mean + 0.4 * rng.normal(size=len(user)))) / 2, 0.5, 5)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "rating": rating})
    test = rng.random(len(frame)) < 0.2
    return frame[~test].reset_index(drop=True), frame[test].reset_index(drop=True)


def fitted(method: str, train: pd.DataFrame, test: pd.DataFrame) -> pmf.PMF:
    """Always with held-out ratings: the programs that fit are then the same."""
    return pmf.PMF(rank=2, **METHODS[method]).fit(train, heldout=test)


@cache
def fitted_in_stars(method: str) -> pmf.PMF:
    return fitted(method, *stars())


@cache
def in_stars(method: str) -> pd.DataFrame:
    return fitted_in_stars(method).predict(stars()[1], interval=0.9)


def in_unit(frame: pd.DataFrame, a: float, b: float) -> pd.DataFrame:
    return frame.assign(rating=a * frame["rating"] + b)


def agree(in_unit_ab: pd.DataFrame, in_stars_table: pd.DataFrame, a: float, b: float) -> None:
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(
            (in_unit_ab[name] - b) / a, in_stars_table[name], rtol=0, atol=ROUNDING
        )
    np.testing.assert_allclose(in_unit_ab["std"] / a, in_stars_table["std"], rtol=ROUNDING)


@pytest.mark.parametrize(
    ("a", "b", "method"),
    [(*unit, "als") for unit in UNITS]
    + [(*unit, method) for method in METHODS for unit in UNITS[:2] if method != "als"],
)
def test_predictions_follow_the_unit(method, a, b):
    train, test = (in_unit(part, a, b) for part in stars())
    model = fitted(method, train, test)
    agree(model.predict(test, interval=0.9), in_stars(method), a, b)
    rmse = np.sqrt(np.mean((in_stars(method)["mean"] - stars()[1]["rating"]) ** 2))
    recorded = [record.heldout_rmse / a for record in model.records]
    if "early" in method:  # the step that is returned is not the last
        assert rmse == pytest.approx(min(recorded, key=lambda one: abs(one - rmse)), rel=1e-4)
    else:
        assert recorded[-1] == pytest.approx(rmse, rel=1e-4)


@pytest.mark.parametrize(("a", "b"), UNITS)
def test_lists_and_new_users_follow_the_unit(a, b):
    new = pd.DataFrame({"user_id": "new", "item_id": [0, 3, 7], "rating": [5.0, 1.0, 4.5]})

    def answers(model, new):
        folded = pmf.fold_in(model, new)
        return pmf.recommend(model, n=5), pmf.recommend(folded, n=5), folded.explain("new", 11)

    expected = answers(fitted_in_stars("als"), new)
    other = fitted("als", *(in_unit(part, a, b) for part in stars()))
    results = answers(other, in_unit(new, a, b))
    for mine, theirs in zip(results[:2], expected[:2], strict=True):
        assert mine["item_id"].tolist() == theirs["item_id"].tolist()
        np.testing.assert_allclose((mine["score"] - b) / a, theirs["score"], atol=ROUNDING)
        np.testing.assert_allclose(mine["std"] / a, theirs["std"], rtol=ROUNDING)
    parts, theirs = (table["contribution"].to_numpy() for table in (results[2], expected[2]))
    np.testing.assert_allclose((parts[0] - b) / a, theirs[0], atol=ROUNDING)
    np.testing.assert_allclose(parts[1:] / a, theirs[1:], atol=ROUNDING)


@pytest.mark.parametrize(
    "kind", [pmf.Content, partial(pmf.Hybrid, rank=2)], ids=["Content", "Hybrid"]
)
@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [(1e6, -1e3)])
def test_models_with_features_follow_the_unit(kind, a, b, monkeypatch):
    monkeypatch.setattr(search, "LEAST_GAIN", 0.01)  # a coarser search, of fewer fits
    warm, later, _ = planted_frame()[:3]
    features = item_features(MOVIES)
    reference = kind().fit(warm, features)
    model = kind().fit(in_unit(warm, a, b), features)
    agree(
        model.predict(in_unit(later, a, b), interval=0.9),
        reference.predict(later, interval=0.9),
        a,
        b,
    )
    pair = later.iloc[0][["user_id", "item_id"]]
    parts, theirs = model.explain(*pair), reference.explain(*pair)
    np.testing.assert_allclose(parts["mean"] - b, a * theirs["mean"], atol=ROUNDING * a)
    np.testing.assert_allclose(parts.drop("mean"), a * theirs.drop("mean"), atol=ROUNDING * a)


@pytest.mark.parametrize("method", METHODS)
def test_neither_ids_nor_the_order_of_rows_matter(method):
    if "mini-batches" in method:
        pytest.skip("mini-batches are drawn from the ratings in their order")
    train, test = stars()
    rng = np.random.default_rng(1)
    names = {"user_id": rng.permutation(USERS) + 1000, "item_id": rng.permutation(ITEMS) + 500}
    renamed = {name: f"x{number}" for name, number in enumerate(names["item_id"])}

    def changed(frame):
        users = names["user_id"][frame["user_id"]]
        return frame.assign(user_id=users, item_id=frame["item_id"].map(renamed))

    model = fitted(method, changed(train.sample(frac=1, random_state=2)), changed(test))
    agree(model.predict(changed(test), interval=0.9), in_stars(method), 1, 0)


def test_a_given_prior_is_in_the_ratings_own_unit():
    """The fixed point of ALS with biases alone is a ridge regression, solved here by hand."""
    train, _ = stars()
    a, b = 20.0, 7.0
    prior = pmf.IsotropicPrior(
        tau=0.01, user_factor=1, item_factor=1, user_bias=0.03, item_bias=0.05
    )
    model = pmf.PMF(rank=0, prior=prior, mu=50.0, tolerance=0.0, num_steps=100)
    model.fit(in_unit(train, a, b))
    user, item, y = train["user_id"], train["item_id"], a * train["rating"] + b - 50.0
    X = np.zeros((len(train), USERS + ITEMS))
    X[np.arange(len(train)), user] = X[np.arange(len(train)), USERS + item] = 1
    ridge = np.diag([0.03 / 0.01] * USERS + [0.05 / 0.01] * ITEMS)
    w = np.linalg.solve(X.T @ X + ridge, X.T @ y)
    mean = model.predict(train)["mean"] - 50.0
    np.testing.assert_allclose(mean, X @ w, rtol=1e-4, atol=1e-4)
    assert model.fitted.fit.prior.user_bias == pytest.approx(0.03)
    assert model.fitted.fit.run.prior.tau[0] == pytest.approx(0.01)


def test_the_log_posterior_is_that_of_the_ratings_in_their_unit():
    """log p(R, theta) by NumPy at the estimate."""
    train, _ = stars()
    train = in_unit(train, 20.0, 0.0)
    prior = pmf.IsotropicPrior(0.02, 0.3, 0.2, 0.05, 0.04)
    model = pmf.PMF(rank=2, prior=prior, num_steps=5).fit(train)
    draws = model.fitted.fit.run.draws
    error = train["rating"] - model.predict(train)["mean"]

    def log_normal(x, precision):
        x = np.asarray(x, np.float64)
        return 0.5 * np.sum(np.log(precision / (2 * np.pi)) - precision * x**2)

    expected = log_normal(error, 0.02)
    expected += log_normal(draws.user.factor, 0.3) + log_normal(draws.user.bias, 0.05)
    expected += log_normal(draws.item.factor, 0.2) + log_normal(draws.item.bias, 0.04)
    assert model.log_posterior() == pytest.approx(expected, rel=1e-5)
    assert model.records[-1].log_posterior == pytest.approx(expected, rel=1e-5)


def test_the_bound_is_on_the_density_of_the_ratings_in_their_unit():
    """Rows are integrated out: a unit scales the density of each rating, and nothing else."""
    train, test = (in_unit(part, 20.0, 0.0) for part in stars())
    other = fitted("vb", train, test).log_posterior()
    expected = fitted_in_stars("vb").log_posterior() - len(train) * np.log(20)
    assert other == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ratings", [[1e25, -1e25, 0.0], [3e-20, 5e-20, 4e-20], [1e13, 1e13, 1e13]])
def test_ratings_beyond_single_precision_are_named(ratings):
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "rating": ratings})
    with pytest.raises(InputError, match="the ratings' mean is .* in another unit"):
        pmf.PMF(rank=1).fit(frame)


def test_ratings_all_alike_are_predicted_as_such():
    for value in (4.0, 1e-6, -1e6, 0.1):
        frame = stars()[0].assign(rating=value)
        prediction = pmf.PMF(rank=1).fit(frame).predict(frame)
        np.testing.assert_allclose(prediction["mean"], value, rtol=1e-5)
        assert (prediction["std"] < 0.01 * abs(value)).all()


def test_noise_is_no_more_than_the_ratings_vary_where_nothing_can_be_predicted():
    rng = np.random.default_rng(1)
    item, rating = rng.integers(0, 50, 200), rng.integers(1, 6, 200).astype(float)
    frame = pd.DataFrame({"user_id": np.arange(200), "item_id": item, "rating": rating})
    model = pmf.PMF(rank=2, method="gibbs", burn_in=20, num_steps=30).fit(frame)
    other = frame.assign(item_id=rng.permutation(item))
    assert 0.8 * rating.std() < model.predict(other)["std"].mean() < 1.4 * rating.std()
    for trial in model.fitted.fit.search.trials:
        assert trial.value["tau"] * rating.var() > 0.999


# --- the pieces -----------------------------------------------------------------------------------


def test_standardised_ratings_are_the_same_in_any_unit_and_by_any_way():
    value = np.random.default_rng(0).integers(1, 11, 1000) / 2
    nothing = np.zeros(len(value), np.int32)

    def standardised(x, **kwargs):
        return unit_of(x).standardised(Ratings(nothing, nothing, x), **kwargs).value

    expected = ((value - value.mean()) / value.std()).astype(np.float32)
    for x in (value, value.astype(np.float32), 20 * value, 1e-6 * value, value - 1000):
        np.testing.assert_array_equal(np.asarray(standardised(x)), expected)
        assert standardised(x, coded=False).dtype == np.float32


def test_numbers_of_rows_differ_and_follow_the_rows():
    """By brute force: rows moved, ratings moved, another monotone unit."""
    rng = np.random.default_rng(0)
    pair = rng.permutation(60 * 50)[:900]
    user, item, value = pair // 50, pair % 50, rng.integers(1, 6, 900).astype(float)
    numbers = row_numbers(Ratings(user, item, value), 60, 50)
    assert sorted(numbers.user) == list(range(60)) and sorted(numbers.item) == list(range(50))
    p, q, order = rng.permutation(60), rng.permutation(50), rng.permutation(900)
    moved = Ratings(p[user][order], q[item][order], np.exp(value)[order])
    again = row_numbers(moved, 60, 50)
    np.testing.assert_array_equal(again.user[p], numbers.user)
    np.testing.assert_array_equal(again.item[q], numbers.item)
    lots = chances(Ratings(user, item, value), numbers, 5)
    np.testing.assert_array_equal(chances(moved, again, 5), lots[order])
    assert abs(lots.mean() - 0.5) < 4 / np.sqrt(12 * 900) and len(set(lots)) == 900
    assert abs(np.corrcoef(lots, chances(moved, again, 6)[np.argsort(order)])[0, 1]) < 0.15


def test_scales_there_and_back():
    scales = Scales(Unit(3.0, 20.0), share=0.3)
    prior = pmf.IsotropicPrior(1.0, 2.0, 3.0, 4.0, 5.0, 0.5)
    back = scales.prior(scales.standardised_prior(prior))
    np.testing.assert_allclose(list(vars(back).values()), list(vars(prior).values()))
    assert scales.standardised_prior(prior).tau == pytest.approx(400.0)
