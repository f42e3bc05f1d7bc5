"""Ratings with weights, in each layout, against NumPy and against ratings that are repeated.

Catches: a weight given to another rating, its root or its square, a weight left out of the squared
error, a padded cell that counts, a layout that forgets the weights.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.errors import InputError
from pmf.inference import gibbs as gibbs_module
from pmf.inference.als import als
from pmf.inference.base import State
from pmf.inference.gibbs import gibbs
from pmf.inference.layout import by_rows
from pmf.inference.row_update import half_sweep
from pmf.model.density import joined, predict
from pmf.parallel.placement import device_mesh, place, rows_on_mesh
from pmf.types import Ratings, Terms
from tests.helpers.meshes import hyperprior
from tests.helpers.problems import ITEMS, USERS, random_params, random_prior, small_ratings

TERMS = Terms(3)
PRIOR = random_prior(TERMS, weighted=True)
PARAMS = random_params(TERMS, PRIOR)
RATINGS = Ratings(*(np.asarray(x) for x in small_ratings()))
WEIGHT = np.random.default_rng(0).uniform(0.2, 3.0, len(RATINGS.value))
OBSERVED = np.random.default_rng(1).random(len(RATINGS.value)) < 0.7
SIDES = {"user": "item", "item": "user"}
LAYOUTS = ["blocks", "fused", "sharded"]


def updated(layout: str, side: str, weight, observed=None, epsilon=None):
    """The new rows of a side and their squared errors, in the original order."""
    params, prior, order = PARAMS, PRIOR, slice(None)
    if layout == "sharded":
        counts = (np.bincount(RATINGS.user, None, USERS), np.bincount(RATINGS.item, None, ITEMS))
        where = place(*counts, device_mesh(2))
        data = rows_on_mesh(where, RATINGS, RATINGS, TERMS.rank, (weight, weight))
        for name in SIDES:
            row = getattr(where, name).row
            rows, gaussian = getattr(params, name), getattr(prior, name)
            params = params._replace(**{name: jax.tree.map(lambda x, row=row: x[row], rows)})
            row_gaussian = gaussian._replace(weight=gaussian.weight[row])
            prior = prior._replace(**{name: row_gaussian})
        order = getattr(where, side).place
    else:
        shape = USERS, ITEMS, TERMS.rank, observed
        data = by_rows(RATINGS, *shape, fused=layout == "fused", weight=weight)
    mine, other = getattr(params, side), getattr(params, SIDES[side])
    epsilon = jnp.zeros((1, 4)) if epsilon is None else epsilon
    rows, gaussian = getattr(data, f"by_{side}"), getattr(prior, side)
    w, error = jax.jit(half_sweep)(epsilon, gaussian, prior.tau, params.mu, mine, other, rows)
    return np.asarray(w)[order], np.asarray(error)[order], rows


def truth(side: str, ratings: Ratings, weight: np.ndarray):
    """The modes and weighted squared errors of all rows, a row at a time by NumPy."""
    side_rows, other = getattr(ratings, side), getattr(ratings, SIDES[side])
    gaussian, table = getattr(PRIOR, side), getattr(PARAMS, SIDES[side])
    mean, precision, tau = (np.asarray(x) for x in (gaussian.mean, gaussian.precision, PRIOR.tau))
    modes, errors = [], []
    for j, row_weight in enumerate(np.asarray(gaussian.weight)):
        cells = np.flatnonzero(side_rows == j)
        x = np.column_stack([np.asarray(table.factor)[other[cells]], np.ones(len(cells))])
        y = ratings.value[cells] - float(PARAMS.mu) - np.asarray(table.bias)[other[cells], 0]
        W = np.diag(weight[cells])
        P = row_weight * precision + tau * x.T @ W @ x
        modes.append(np.linalg.solve(P, row_weight * precision @ mean + tau * x.T @ W @ y))
        errors.append((y - x @ modes[-1]) @ W @ (y - x @ modes[-1]))
    return np.array(modes), np.array(errors)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weighted_update_is_numpys(layout, side):
    w, error, rows = updated(layout, side, WEIGHT)
    modes, errors = truth(side, RATINGS, WEIGHT)
    np.testing.assert_allclose(w, modes, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(error, errors, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rows.log_weight(), np.log(WEIGHT).sum(), rtol=1e-12)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("layout", ["blocks", "fused"])
def test_weights_of_ratings_not_observed_do_not_count(layout, side):
    w, error, rows = updated(layout, side, WEIGHT, OBSERVED)
    modes, errors = truth(side, Ratings(*(x[OBSERVED] for x in RATINGS)), WEIGHT[OBSERVED])
    np.testing.assert_allclose(w, modes, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(error, errors, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rows.log_weight(), np.log(WEIGHT[OBSERVED]).sum(), rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_weight_is_so_many_ratings(layout):
    """A rating of weight 3 moves its rows as three ratings of its value would."""
    times = np.random.default_rng(2).integers(1, 4, len(RATINGS.value))
    w, error, _ = updated(layout, "user", times.astype(float))
    repeated = Ratings(*(np.repeat(x, times) for x in RATINGS))
    modes, errors = truth("user", repeated, np.ones(times.sum()))
    np.testing.assert_allclose(w, modes, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(error, errors, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weight_one_is_no_weight(layout):
    ones = np.ones(len(RATINGS.value))
    epsilon = jnp.asarray(np.random.default_rng(3).normal(size=(1, 4)))
    weighted = updated(layout, "item", ones, epsilon=epsilon)[:2]
    for a, b in zip(weighted, plain(layout, epsilon), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def plain(layout: str, epsilon):
    return updated("fused" if layout == "fused" else "blocks", "item", None, epsilon=epsilon)[:2]


@pytest.mark.parametrize("fused", [False, True], ids=["blocks", "fused"])
def test_a_sweep_reports_the_density_of_weighted_ratings(fused):
    """log N(r | E[r], 1/(w tau)) of all ratings, of ALS and of Gibbs with tau learnt."""
    data = by_rows(RATINGS, USERS, ITEMS, TERMS.rank, fused=fused, weight=WEIGHT)
    gibbs_sampler = gibbs(hyperprior(TERMS), TERMS, 3.4, 1.3)
    sampled = gibbs_module.State(PARAMS, PRIOR)
    for algorithm, start in (
        (als(PRIOR, TERMS, 3.4), State(PARAMS, PRIOR)),
        (gibbs_sampler, sampled),
    ):
        state, info = jax.jit(algorithm.step)(jax.random.key(1), start, data)
        mean = predict(state.params, RATINGS.user, RATINGS.item)
        precision = WEIGHT * float(state.prior.tau)
        squares = precision * (RATINGS.value - np.asarray(mean)) ** 2
        density = 0.5 * np.sum(np.log(precision / (2 * np.pi)) - squares)
        for side in SIDES:
            w, gaussian = joined(getattr(state.params, side)), getattr(state.prior, side)
            weight = np.broadcast_to(gaussian.weight, len(w))
            for row, row_weight in zip(
                np.asarray(w) - np.asarray(gaussian.mean), weight, strict=True
            ):
                P = row_weight * np.asarray(gaussian.precision)
                density += 0.5 * (np.linalg.slogdet(P / (2 * np.pi))[1] - row @ P @ row)
        np.testing.assert_allclose(info.log_posterior, density, rtol=1e-10)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.where(np.arange(40) == 7, 0.0, WEIGHT), r"weight 0\.0 of rating 7 \(of 1 such\)"),
        (np.where(np.arange(40) > 37, np.nan, WEIGHT), r"weight nan of rating 38 \(of 2 such\)"),
        (WEIGHT[:5], r"\(5,\) weights of 40 ratings"),
    ],
)
def test_bad_weights_are_refused(weight, message):
    with pytest.raises(InputError, match=message):
        by_rows(RATINGS, USERS, ITEMS, TERMS.rank, weight=weight)
