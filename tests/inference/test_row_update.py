"""The row update against brute force.

Catches: a wrong mean or precision, a dropped prior mean, unmasked padding, a ridge times count.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.data.synthetic import from_model
from pmf.inference.layout import by_rows
from pmf.inference.row_update import half_sweep, solve_rows
from pmf.model.density import joined, misfit, split_row
from pmf.types import Terms
from tests.helpers.brute_force import row_conditionals
from tests.helpers.problems import ALL_TERMS, random_params, random_prior, small_data, small_ratings

both_paths = pytest.mark.parametrize("fused", [False, True], ids=["blocks", "fused"])


def update(params, prior, data, side: str, epsilon=None):
    mine, other = getattr(params, side), getattr(params, {"user": "item", "item": "user"}[side])
    rows = getattr(data, f"by_{side}")
    epsilon = jnp.zeros_like(joined(mine)) if epsilon is None else epsilon
    gaussian = getattr(prior, side)
    return half_sweep(epsilon, gaussian, prior.tau, params.mu, mine, other, rows)


@both_paths
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("terms", ALL_TERMS)
def test_update_without_noise_is_the_conditional_mode(terms, side, weighted, fused):
    prior = random_prior(terms, weighted=weighted)
    params = random_params(terms, prior)
    w, _ = update(params, prior, small_data(fused=fused), side)
    modes, _ = row_conditionals(params, prior, small_ratings(), side)
    np.testing.assert_allclose(w, modes, rtol=1e-9, atol=1e-10)


@both_paths
@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("terms", [Terms(0), Terms(3), Terms(3, False, False)])
def test_rows_may_have_means_of_their_own(terms, side, fused):
    """Catches: one row's prior mean given to another, a mean that misses its weight."""
    prior = random_prior(terms, weighted=True, own_means=True)
    params = random_params(terms, prior)
    # One row a chunk, and rows by degree: their order is no longer that of the means.
    data = small_data(rank=100_000, fused=fused, growth=1.0)
    w, _ = update(params, prior, data, side)
    modes, _ = row_conditionals(params, prior, small_ratings(), side)
    np.testing.assert_allclose(w, modes, rtol=1e-9, atol=1e-10)
    unrated = getattr(prior, side).mean[-1]
    np.testing.assert_allclose(w[-1], unrated, rtol=1e-12, atol=1e-14)


@both_paths
@pytest.mark.parametrize("side", ["user", "item"])
def test_noise_has_the_conditional_covariance(side, fused):
    """w(epsilon) - w(0) is linear in the epsilon: with unit vectors it gives a root of inv(P)."""
    terms = Terms(3)
    prior = random_prior(terms, weighted=True)
    params, data = random_params(terms, prior), small_data(fused=fused)
    mode, _ = update(params, prior, data, side)
    n, d = mode.shape
    units = [jnp.tile(unit, (n, 1)) for unit in jnp.eye(d)]
    roots = np.stack([update(params, prior, data, side, unit)[0] - mode for unit in units], -1)
    _, precisions = row_conditionals(params, prior, small_ratings(), side)
    covariances = roots @ roots.transpose(0, 2, 1)
    np.testing.assert_allclose(covariances, np.linalg.inv(precisions), rtol=1e-9, atol=1e-11)


@both_paths
@pytest.mark.parametrize("terms", ALL_TERMS)
def test_squared_error_is_that_of_the_new_rows(terms, fused):
    prior = random_prior(terms)
    params = random_params(terms, prior)
    w, error = update(params, prior, small_data(fused=fused), "item")
    new = params._replace(item=split_row(w, terms.rank))
    np.testing.assert_allclose(jnp.sum(error), misfit(new, small_ratings(), prior.tau), rtol=1e-10)


def test_layout_changes_nothing_but_rounding():
    """The stated rounding: 1e-11 relative in float64, for any widths and chunks."""
    terms = Terms(3)
    prior, key = random_prior(terms), jax.random.key(5)
    ratings, truth = from_model(key, prior, terms, 3.5, users=30, items=40, n=700)
    epsilon = jax.random.normal(key, joined(truth.user).shape)
    results = []
    for rank, growth in ((3, 1.3), (3, 4.0), (100_000, 1.1)):  # so large a rank: one row a chunk
        data = by_rows(ratings, 30, 40, rank, growth=growth, fused=False)
        results.append(update(truth, prior, data, "user", epsilon)[0])
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-11, atol=1e-12)


def test_float32_solve_is_close_to_float64():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(50, 17, 40))
    P, h = root @ root.transpose(0, 2, 1) + np.eye(17), rng.normal(size=(50, 17))
    epsilon = rng.normal(size=(50, 17))
    exact = solve_rows(*(jnp.asarray(x) for x in (P, h, epsilon)))
    single = solve_rows(*(jnp.asarray(x, jnp.float32) for x in (P, h, epsilon)))
    assert single.dtype == jnp.float32
    condition = np.linalg.cond(P).max()
    bound = 10 * condition * np.finfo(np.float32).eps * np.abs(exact).max()
    assert np.abs(np.asarray(single) - np.asarray(exact)).max() < bound
