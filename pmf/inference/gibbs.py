"""Gibbs sampling: Bayesian PMF with biases.

A sweep draws, in turn, each side's row prior given its rows, then its rows given the other side,
and last the rating precision tau given the residuals (Salakhutdinov & Mnih, ICML 2008, section
3.3; biases join their row's draw). Every draw is from a full conditional, so the sweep leaves the
posterior invariant: `tests/inference/test_exactness.py` proves it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from pmf.inference.base import Algorithm, State, initial_params
from pmf.inference.layout import Data
from pmf.inference.row_update import half_sweep
from pmf.model.density import gaussian_log_likelihood, joined, log_prior, row_noise, split_row
from pmf.model.hyperpriors import Gamma, NormalWishart, sample_row_prior, sample_tau
from pmf.types import Gaussian, Prior, Terms

START_SCALE = 1.0  # forgets its start sooner than a small one


class Hyperprior(NamedTuple):
    """Each side's Normal-Wisharts, which own its (factor, bias) columns in order, and tau's Gamma.

    `tau = None` keeps tau where it starts.
    """

    user: tuple[NormalWishart, ...]
    item: tuple[NormalWishart, ...]
    tau: Gamma | None


class Info(NamedTuple):
    log_posterior: Float[Array, ""]  # of the rows given this sweep's prior
    tau: Float[Array, ""]


def gibbs(hyperprior: Hyperprior, terms: Terms, mu: float, tau: float) -> Algorithm:
    """The sampler; `tau` is the rating precision it starts from, or keeps."""

    def init(key, data: Data) -> State:
        dtype = hyperprior.user[0].mean.dtype
        prior = Prior(
            jnp.asarray(tau, dtype),
            _unit_gaussian(terms.rank + terms.user_bias, dtype),
            _unit_gaussian(terms.rank + terms.item_bias, dtype),
        )
        return State(initial_params(key, prior, terms, mu, data, START_SCALE), prior)

    return Algorithm(init, Partial(_step, hyperprior))


def _unit_gaussian(d: int, dtype) -> Gaussian:
    """A place for the first sweep's draw: it is replaced before it is used."""
    return Gaussian(jnp.zeros(d, dtype), jnp.eye(d, dtype=dtype), jnp.ones((), dtype))


def _step(hyperprior: Hyperprior, key, state: State, data: Data) -> tuple[State, Info]:
    """One sweep."""
    params, prior = state
    key_user_prior, key_user, key_item_prior, key_item, key_tau = jax.random.split(key, 5)
    sweep = partial(half_sweep, tau=prior.tau, mu=params.mu)
    rank = params.user.factor.shape[-1]

    w = joined(params.user)
    user_prior = sample_row_prior(key_user_prior, hyperprior.user, w)
    noise = row_noise(key_user, data.user_row, w.shape, w.dtype)
    w, _ = sweep(noise, user_prior, side=params.user, other=params.item, rows=data.by_user)
    params = params._replace(user=split_row(w, rank))

    w = joined(params.item)
    item_prior = sample_row_prior(key_item_prior, hyperprior.item, w)
    noise = row_noise(key_item, data.item_row, w.shape, w.dtype)
    w, error = sweep(noise, item_prior, side=params.item, other=params.user, rows=data.by_item)
    params = params._replace(item=split_row(w, rank))

    squared_error = jnp.sum(error)
    n = jnp.sum(data.user_count, dtype=w.dtype)  # more than an int32 holds, perhaps
    match hyperprior.tau:
        case None:
            tau = prior.tau
        case Gamma() as gamma:
            tau = sample_tau(key_tau, gamma, squared_error, n)
    prior = Prior(tau, user_prior, item_prior)
    likelihood = gaussian_log_likelihood(squared_error, n, tau)
    return State(params, prior), Info(likelihood + log_prior(params, prior), tau)
