"""Rows' own noise precisions: in the row update, over devices, in fits, and for new users."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.data.row_numbers import row_numbers
from pmf.inference.base import update_side
from pmf.inference.layout import by_rows
from pmf.model.hyperpriors import SHAPES, RowNoise, likely_shapes, shape_log_density
from pmf.parallel.placement import device_mesh, place, rows_on_mesh
from pmf.types import Gaussian, Params, Prior, Ratings, Side

USERS, ITEMS, RANK, TAU = 40, 30, 3, 1.7
QUICK = {"rank": 2, "method": "gibbs", "num_chains": 1, "num_steps": 60, "burn_in": 40, "thin": 1}


def problem(dtype=np.float64):
    rng = np.random.default_rng(0)
    cells = rng.permutation(USERS * ITEMS)[:500]
    values = rng.normal(size=500).astype(dtype)
    ratings = Ratings((cells // ITEMS).astype(np.int32), (cells % ITEMS).astype(np.int32), values)

    def side(n: int) -> Side:
        factor, bias = (jnp.asarray(rng.normal(size=(n, width))) for width in (RANK, 1))
        return Side(factor, bias, jnp.asarray(rng.gamma(2, 0.5, n)))

    d = RANK + 1
    gaussian = Gaussian(jnp.asarray(rng.normal(size=d)), 2 * jnp.eye(d), jnp.ones(()))
    params = Params(side(USERS), side(ITEMS), jnp.asarray(0.3))
    return ratings, params, Prior(jnp.asarray(TAU), gaussian, gaussian)


def dense_update(ratings, params, prior, epsilon):
    """Users' rows and squared errors by the formula, one after another."""
    user, item, mu, _ = params
    rows, errors = [], []
    for u in range(USERS):
        cells = ratings.user == u
        i = ratings.item[cells]
        x = np.concatenate([item.factor[i], np.ones((len(i), 1))], 1)
        y = ratings.value[cells] - mu - item.bias[i, 0]
        weight = np.asarray(item.noise_precision)[i]
        alpha = user.noise_precision[u]
        P = prior.user.precision + TAU * alpha * (x.T * weight) @ x
        h = prior.user.precision @ prior.user.mean + TAU * alpha * (x.T * weight) @ y
        L = np.linalg.cholesky(P)
        rows.append(np.linalg.solve(P, h) + np.linalg.solve(L.T, epsilon[u]))
        errors.append(np.sum(weight * (y - x @ rows[-1]) ** 2))
    return np.array(rows), np.array(errors)


@pytest.mark.parametrize("fused", [False, True], ids=["blocks", "fused"])
def test_an_update_weighs_ratings_by_both_rows(fused):
    ratings, params, prior = problem()
    epsilon = np.random.default_rng(1).normal(size=(USERS, RANK + 1))
    data = by_rows(ratings, USERS, ITEMS, RANK, fused=fused)
    new, error = update_side("user", params, prior, data, jnp.asarray(epsilon))
    rows, errors = dense_update(ratings, params, prior, epsilon)
    np.testing.assert_allclose(np.hstack([new.user.factor, new.user.bias]), rows, rtol=1e-9)
    np.testing.assert_allclose(error, errors, rtol=1e-9, atol=1e-12)
    assert new.user.noise_precision is params.user.noise_precision


def test_an_update_over_devices_is_the_same():
    ratings, params, prior = problem()
    mesh = device_mesh(4)
    users = np.bincount(ratings.user, minlength=USERS)
    items = np.bincount(ratings.item, minlength=ITEMS)
    placement = place(users, items, mesh, row_numbers(ratings, USERS, ITEMS))
    sharded = rows_on_mesh(placement, ratings, ratings, RANK).by_user
    place_of = placement.user.place, placement.item.place

    def placed(side: Side, place: np.ndarray) -> Side:
        order = np.argsort(place)
        return jax.tree.map(lambda x: x[order], side)

    sides = (placed(s, p) for s, p in zip(params[:2], place_of, strict=True))
    moved = Params(*sides, params.mu)
    data = by_rows(ratings, USERS, ITEMS, RANK, fused=False)
    one, error = update_side("user", params, prior, data)
    other, other_error = update_side("user", moved, prior, data._replace(by_user=sharded))
    np.testing.assert_allclose(other.user.factor[place_of[0]], one.user.factor, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(other_error)[place_of[0]], error, rtol=1e-9)


def test_shapes_are_those_of_scipy_and_the_likely_one_is_near_the_truth():
    from scipy.stats import gamma

    rng = np.random.default_rng(0)
    precision = rng.gamma(5.0, 1 / 5.0, 4000)
    density = shape_log_density(RowNoise(jnp.asarray(SHAPES)), jnp.asarray(precision))
    exact = [gamma.logpdf(precision, s, scale=1 / s).sum() for s in SHAPES.astype(float)]
    np.testing.assert_allclose(density - density[0], np.array(exact) - exact[0], rtol=1e-3)
    assert likely_shapes(precision[None])[0] == pytest.approx(5.0, rel=0.1)


def noisy_users(seed: int = 0):
    """Users 0 to 29 rate with little noise, 30 to 59 with much; items by their bias alone."""
    rng = np.random.default_rng(seed)
    user, item = (x.ravel() for x in np.meshgrid(np.arange(60), np.arange(80), indexing="ij"))
    bias = rng.normal(0, 0.7, 80)
    noise = np.where(user < 30, 0.3, 1.2)
    rating = 3 + bias[item] + noise * rng.normal(size=len(user))
    frame = pd.DataFrame({"user_id": user, "item_id": item, "rating": rating})
    is_test = rng.random(len(frame)) < 0.2
    return frame[~is_test], frame[is_test], bias


@pytest.fixture(scope="module")
def fitted():
    train, test, bias = noisy_users()
    model = pmf.PMF(**QUICK, noise="user", tau=1.0).fit(train)
    return model, test, bias


def test_users_intervals_are_as_wide_as_their_noise(fitted):
    model, test, _ = fitted
    table = model.predict(test)
    std = table["std"].groupby(np.asarray(test["user_id"] < 30)).mean()
    assert 0.3 < std[True] < 0.42  # what is not known of the factors comes on top
    assert 1.2 < std[False] < 1.35
    shared = pmf.PMF(**QUICK, tau="learn").fit(noisy_users()[0]).predict(test)["std"]
    assert shared.groupby(np.asarray(test["user_id"] < 30)).mean()[True] > 0.7


def test_what_is_saved_comes_back(fitted, tmp_path):
    model, test, _ = fitted
    model.save(tmp_path / "m.pmf")
    pd.testing.assert_frame_equal(pmf.load(tmp_path / "m.pmf").predict(test), model.predict(test))


@pytest.mark.parametrize("noise", [0.3, 1.2])
def test_new_users_have_a_noise_of_their_own(fitted, noise, tmp_path):
    model, _, bias = fitted
    rng = np.random.default_rng(5)
    rating = 3 + bias + noise * rng.normal(size=80)
    theirs = pd.DataFrame({"user_id": "new", "item_id": np.arange(80), "rating": rating})
    pairs = theirs[["user_id", "item_id"]]
    new = pmf.fold_in(model, theirs)
    assert 0.85 * noise < new.predict(pairs)["std"].mean() < 1.2 * noise + 0.1
    explained = new.explain("new", 3)
    assert explained["contribution"].sum() == pytest.approx(
        new.predict(pairs[pairs["item_id"] == 3])["mean"].iloc[0], rel=1e-4
    )
    new.save(tmp_path / "new.pmf")
    pd.testing.assert_frame_equal(pmf.load(tmp_path / "new.pmf").predict(pairs), new.predict(pairs))
    extended = model.partial_fit_users(theirs)
    assert 0.85 * noise < extended.predict(pairs)["std"].mean() < 1.2 * noise + 0.1


def test_what_is_no_noise_is_the_uncertainty_of_the_mean(fitted):
    """What the page shows a visitor: the spread of the prediction over draws and the own row."""
    model, _, bias = fitted
    theirs = pd.DataFrame({"user_id": "new", "item_id": np.arange(80), "rating": 3 + bias})
    new = pmf.fold_in(model, theirs)
    user, item = new.rows(theirs[["user_id", "item_id"]], "theirs")
    silent = replace(new.fitted.fit, noise_variance=0 * new.fitted.fit.noise_variance)
    variance, noise = new.predict_rows(user, item).variance, new.noise_rows(user, item)
    new.fitted = replace(new.fitted, fit=silent)
    np.testing.assert_allclose(variance - noise, new.predict_rows(user, item).variance, rtol=1e-3)


def test_a_user_without_ratings_is_as_noisy_as_users_are(fitted):
    model, _, _ = fitted
    empty = pd.DataFrame({"user_id": [], "item_id": [], "rating": []})
    nobody = pmf.fold_in(model, empty, users=["nobody"])
    std = nobody.predict(pd.DataFrame({"user_id": "nobody", "item_id": np.arange(80)}))["std"]
    assert 0.3 < std.mean() < 2.5


@pytest.mark.slow
def test_the_same_over_devices_and_by_both_layouts():
    """The same draws however the rows lie, to rounding."""
    train, test, _ = noisy_users(1)
    few = QUICK | {"num_steps": 4, "burn_in": 2, "noise": "both", "tau": 1.0}
    options = [{"devices": 1, "fused": True}, {"fused": False}, {"devices": 4}]
    first, *others = (pmf.PMF(**few, **one).fit(train).predict(test) for one in options)
    for other in others:
        np.testing.assert_allclose(other["mean"], first["mean"], atol=2e-3)
        np.testing.assert_allclose(other["std"], first["std"], atol=2e-3)


def test_other_inferences_say_what_they_have():
    with pytest.raises(pmf.InputError, match="noise"):
        pmf.PMF(method="als", noise="user")
    with pytest.raises(pmf.InputError, match="noise"):
        pmf.PMF(method="vb", noise="both")
