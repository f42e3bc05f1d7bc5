"""Random numbers. Catches: chains, sweeps, rows or draws that share theirs, in whole or in part.

Independent columns of n numbers have correlations of about 1/sqrt(n): more than five times that is
no chance.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from pmf.data.synthetic import from_model
from pmf.fitting.driver import run
from pmf.fitting.schedule import Schedule
from pmf.inference import gibbs
from pmf.inference.base import Algorithm
from pmf.inference.layout import by_rows
from pmf.model import hyperpriors, likelihood
from pmf.model.density import row_epsilon, sample_params
from pmf.model.hyperpriors import Gamma, NormalWishart
from pmf.model.likelihood import GaussianLikelihood
from pmf.types import Gaussian, Params, Prior, Ratings, Side, Terms
from tests.helpers.problems import HostStep, random_prior, small_data

N = 2000  # numbers per column
TERMS = Terms(2)


def assert_independent(columns: np.ndarray) -> None:
    """`columns` (n, several): no two are correlated, no number is there twice."""
    n, several = columns.shape
    assert len(np.unique(columns)) == n * several
    correlation = np.corrcoef(columns.T) - np.eye(several)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)
    along = [np.corrcoef(x[1:], x[:-1])[0, 1] for x in columns.T]  # of neighbours
    assert np.abs(along).max() < 5 / np.sqrt(n)


class State(NamedTuple):
    params: Params
    prior: Prior


class Info(NamedTuple):
    log_posterior: jax.Array


def pure_noise() -> Algorithm:
    """Its items are the noise of its start, its users that of its last step."""

    def init(key, data) -> State:
        flat = Gaussian(jnp.zeros(1), jnp.eye(1), jnp.ones(()))
        sides = (Side(jnp.zeros((N, 0)), x) for x in (jnp.zeros((N, 1)), normals(key)))
        return State(Params(*sides, jnp.zeros(())), Prior(jnp.ones(()), flat, flat))

    def step(key, state: State, data):
        user = state.params.user._replace(bias=normals(key))
        return state._replace(params=state.params._replace(user=user)), Info(jnp.zeros(()))

    return Algorithm(init, Partial(step))


def normals(key) -> jax.Array:
    return jax.random.normal(key, (N, 1))


def drawn(seed: int) -> np.ndarray:
    """(n, 2 + 6): the starts of two chains, and their three draws each."""
    schedule = Schedule(num_steps=3, average=True, num_chains=2)
    draws = run(pure_noise(), seed, small_data(), schedule).draws
    return np.concatenate([draws.item.bias[:2, :, 0], draws.user.bias[:, :, 0]]).T


def test_chains_sweeps_and_starts_are_independent():
    one = drawn(0)
    assert one.shape == (N, 8)
    assert_independent(one)
    assert_independent(np.column_stack([one, drawn(1)]))  # and so are seeds
    np.testing.assert_array_equal(one, drawn(0))


def test_steps_of_a_point_method_are_independent():
    """As an epoch's order of mini-batches is."""
    biases = []
    algorithm = pure_noise()

    def step(key, state, data):
        state, info = algorithm.step(key, state, data)
        biases.append(np.asarray(state.params.user.bias[:, 0]))
        return state, info

    hosted = Algorithm(algorithm.init, HostStep(step))
    run(hosted, 0, small_data(), Schedule(num_steps=3))
    assert_independent(np.array(biases).T)


def test_rows_and_columns_of_noise_are_independent():
    assert_independent(np.asarray(row_epsilon(jax.random.key(0), None, (N, 5), jnp.float64)))


def unit_hyperprior() -> gibbs.Hyperprior:
    """Of which every draw is N(0, I) for each row, but for 1e-5."""

    def sure(d: int) -> NormalWishart:
        strong = jnp.asarray(1e12)
        return NormalWishart(jnp.zeros(d), strong, strong * jnp.eye(d), strong)

    side = sure(TERMS.rank), sure(1)
    tau = Gamma(jnp.asarray(4.0), jnp.asarray(2.0))
    return gibbs.Hyperprior(side, side, GaussianLikelihood(tau))


DATA, PRIOR = small_data(2), random_prior(TERMS)
SAMPLER = gibbs.gibbs(unit_hyperprior(), TERMS, 3.5, 1.0)


@pytest.mark.slow
def test_rows_of_one_sweep_are_independent():
    """Nothing is known of any row but the first: each is drawn from N(0, I)."""
    one = Ratings(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1))
    data = by_rows(one, N, N, rank=2, fused=False)
    rated = data._replace(user_count=jnp.ones(N, int), item_count=jnp.ones(N, int))
    start = jax.jit(SAMPLER.init)(jax.random.key(0), rated)
    state, _ = jax.jit(SAMPLER.step)(jax.random.key(1), start, data)
    assert_independent(np.column_stack([side.factor for side in start.params[:2]]))
    rows = [x[1:] for side in state.params[:2] for x in (side.factor, side.bias)]
    columns = np.column_stack(rows)
    assert_independent(columns)
    assert np.abs(columns.std(0) - 1).max() < 5 / np.sqrt(2 * N)


def test_no_two_draws_of_a_sweep_have_the_same_key(monkeypatch):
    """Each side's prior, each side's rows, tau."""
    keys = []
    draws = (gibbs, "sample_row_prior"), (gibbs, "row_epsilon"), (likelihood, "sample_tau")
    for module, name in draws:
        true = getattr(module, name)

        def recorded(key, *rest, true=true):
            keys.append(jax.random.key_data(key))
            return true(key, *rest)

        monkeypatch.setattr(module, name, recorded)

    @jax.jit
    def keys_of(key):
        SAMPLER.step(key, SAMPLER.init(key, DATA), DATA)
        return jnp.array(keys)

    used = keys_of(jax.random.key(1))
    assert len(used) == len(np.unique(used, axis=0)) == 5


DRAWS = {
    "a sweep": lambda key: SAMPLER.step(key, SAMPLER.init(jax.random.key(0), DATA), DATA),
    "a start": lambda key: SAMPLER.init(key, DATA),
    "parameters": lambda key: sample_params(key, PRIOR, TERMS, jnp.asarray(3.0), 9, 8),
    "ratings": lambda key: from_model(key, PRIOR, TERMS, 3.0, 9, 8, 20),
    "a Normal-Wishart": lambda key: hyperpriors.sample_normal_wishart(
        key, unit_hyperprior().user[0]
    ),
}


@pytest.mark.parametrize("what", DRAWS)
def test_no_key_is_used_twice(what):
    @jax.jit
    def traced(key):
        DRAWS[what](key)  # the check is of what is traced; nothing of it needs to be computed
        return 0

    with jax.debug_key_reuse(True):
        traced(jax.random.key(0))
