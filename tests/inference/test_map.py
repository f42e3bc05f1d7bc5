"""MAP by gradient. Catches: a biased mini-batch loss, a loss scaled or signed wrongly."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pmf.inference.map import gradient_map
from pmf.model.density import log_posterior
from pmf.types import Params, Terms
from tests.helpers.problems import random_prior, small_data, small_ratings

TERMS = Terms(0)  # concave: every optimizer has the same optimum


def optimum(optimizer, steps: int, batch_size=None):
    prior, data = random_prior(TERMS), small_data()
    algorithm = gradient_map(prior, TERMS, 3.5, optimizer, batch_size)
    state = algorithm.init(jax.random.key(0), data)
    step = jax.jit(algorithm.step)
    for j in range(steps):
        state, info = step(jax.random.key(j), state, data)
    return state, info


@pytest.mark.parametrize(
    ("optimizer", "steps", "batch_size", "tolerance"),
    [
        (optax.lbfgs(), 200, None, 1e-6),
        (optax.adam(optax.exponential_decay(0.05, 500, 0.1)), 3000, None, 1e-5),
        (optax.sgd(0.5, momentum=0.9), 3000, None, 1e-6),
        (optax.adam(optax.exponential_decay(0.05, 2000, 0.1)), 2000, 10, 1e-2),
    ],
    ids=["lbfgs", "adam", "sgd", "mini-batch adam"],
)
def test_optimizers_agree(optimizer, steps, batch_size, tolerance):
    best, _ = optimum(optax.lbfgs(), 400)
    state, info = optimum(optimizer, steps, batch_size)
    truth = log_posterior(best.params, best.prior, small_ratings())
    assert 0 <= truth - info.log_posterior < tolerance * abs(truth) + 1e-9


def test_mini_batches_of_an_epoch_average_to_the_full_gradient():
    """One SGD step of a tiny rate a batch adds up to the full-batch gradient."""
    terms, data = Terms(3), small_data()
    prior, rate, size = random_prior(terms), 1e-7, 10
    algorithm = gradient_map(prior, terms, 3.5, optax.sgd(rate), size)
    state = algorithm.init(jax.random.key(0), data)
    moved, _ = jax.jit(algorithm.step)(jax.random.key(1), state, data)

    def loss(sides):
        params = Params(*sides, state.params.mu)
        return -log_posterior(params, prior, small_ratings()) / 40

    sides = state.params.user, state.params.item
    full = jax.grad(loss)(sides)
    epoch = jax.tree.map(lambda a, b: (a - b) / (rate * 40 / size), sides, moved[0][:2])
    for a, b in zip(jax.tree.leaves(epoch), jax.tree.leaves(full), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_unrated_rows_stay_at_the_prior_mean():
    prior = random_prior(TERMS)
    state, _ = optimum(optax.adam(0.05), 5)
    np.testing.assert_allclose(state.params.user.bias[-1], prior.user.mean, rtol=1e-12)


def test_step_reports_a_finite_log_posterior_and_keeps_mu():
    state, info = optimum(optax.adam(0.05), 3)
    assert jnp.isfinite(info.log_posterior) and state.params.mu == 3.5
