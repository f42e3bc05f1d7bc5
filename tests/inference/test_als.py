"""ALS is exact coordinate ascent. Catches: a step that is not an optimum of its row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.inference.als import State, als
from pmf.inference.map import gradient_map
from pmf.model.density import log_posterior
from pmf.types import Params, Terms
from tests.helpers.problems import ALL_TERMS, climb, random_prior, small_data, small_ratings


def sweeps(terms, prior, num: int):
    return climb(als(prior, terms, 3.5), small_data(), num)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("terms", ALL_TERMS)
def test_never_lowers_the_log_posterior(terms, weighted):
    prior = random_prior(terms, weighted=weighted)
    _, values = sweeps(terms, prior, 40)
    rounding = 1e-12 * np.abs(values).max()
    assert np.all(np.diff(values) >= -rounding)


@pytest.mark.parametrize("terms", ALL_TERMS)
def test_reports_the_log_posterior_of_its_state(terms):
    prior = random_prior(terms)
    state, values = sweeps(terms, prior, 3)
    truth = log_posterior(state.params, prior, small_ratings())
    np.testing.assert_allclose(values[-1], truth, rtol=1e-12)


@pytest.mark.parametrize("terms", [terms for terms in ALL_TERMS if sum(terms)])
def test_gradient_is_zero_at_the_fixed_point(terms):
    prior = random_prior(terms)
    state, values = sweeps(terms, prior, 800)

    def density(sides):
        return log_posterior(Params(*sides, state.params.mu), prior, small_ratings())

    gradient = jax.grad(density)((state.params.user, state.params.item))
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient) if x.size)
    assert largest < 1e-7


def gradient_optimum(terms, prior, data):
    import optax

    algorithm, key = gradient_map(prior, terms, 3.5, optax.lbfgs()), jax.random.key(0)
    step = jax.jit(lambda state: algorithm.step(key, state, data))
    state = algorithm.init(key, data)
    for _ in range(400):
        state, _ = step(state)
    return state.params


def test_map_equals_als_for_biases_only():
    """Without factors the log posterior is concave: one optimum for both."""
    terms = Terms(0)
    prior = random_prior(terms)
    by_als = sweeps(terms, prior, 400)[0].params
    by_gradient = gradient_optimum(terms, prior, small_data())
    for a, b in zip(jax.tree.leaves(by_als), jax.tree.leaves(by_gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_map_optimum_is_a_fixed_point_of_als():
    """With factors the optima differ, but a gradient's optimum is one that ALS keeps."""
    terms = Terms(3)
    prior, data = random_prior(terms), small_data()
    params = gradient_optimum(terms, prior, data)
    state, _ = als(prior, terms, 3.5).step(jax.random.key(0), State(params, prior), data)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
