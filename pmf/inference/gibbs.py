"""Gibbs sampling: Bayesian PMF with biases.

A sweep draws, in turn, each side's row prior given its rows, then its rows given the other side,
and last the rating precision tau given the residuals (Salakhutdinov & Mnih, ICML 2008, section
3.3; biases join their row's draw). Every draw is from a full conditional, so the sweep leaves the
posterior invariant: `tests/inference/test_exactness.py` proves it.
"""

from typing import NamedTuple

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from pmf.inference.base import Algorithm, State, initial_params, unit_prior, update_side
from pmf.inference.layout import Data
from pmf.model.density import joined, log_prior, row_epsilon
from pmf.model.hyperpriors import NormalWishart, sample_row_prior
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.types import Terms

START_SCALE = 1.0  # forgets its start sooner than a small one


class Hyperprior(NamedTuple):
    """Each side's Normal-Wisharts, which own its (factor, bias) columns in order.

    The likelihood holds the prior of its own parameters.
    """

    user: tuple[NormalWishart, ...]
    item: tuple[NormalWishart, ...]
    likelihood: Likelihood = GAUSSIAN


class Info(NamedTuple):
    log_posterior: Float[Array, ""]  # of the rows given this sweep's prior
    tau: Float[Array, ""]


def gibbs(hyperprior: Hyperprior, terms: Terms, mu: float, tau: float) -> Algorithm:
    """The sampler; `tau` is the rating precision it starts from, or keeps."""

    def init(key: Key[Array, ""], data: Data) -> State:
        dtype = hyperprior.user[0].mean.dtype
        prior = unit_prior(terms, tau, dtype)  # the first sweep replaces it before it is used
        return State(initial_params(key, prior, terms, mu, data, START_SCALE), prior)

    return Algorithm(init, Partial(_step, hyperprior), hyperprior.likelihood)


def _step(
    hyperprior: Hyperprior, key: Key[Array, ""], state: State, data: Data
) -> tuple[State, Info]:
    """One sweep."""
    params, prior = state
    key_user_prior, key_user, key_item_prior, key_item, key_tau = jax.random.split(key, 5)

    w = joined(params.user)
    prior = prior._replace(user=sample_row_prior(key_user_prior, hyperprior.user, w))
    epsilon = row_epsilon(key_user, data.user_row, w.shape, w.dtype)
    params, _ = update_side("user", params, prior, data, epsilon)

    w = joined(params.item)
    prior = prior._replace(item=sample_row_prior(key_item_prior, hyperprior.item, w))
    epsilon = row_epsilon(key_item, data.item_row, w.shape, w.dtype)
    params, error = update_side("item", params, prior, data, epsilon)

    likelihood, residuals = hyperprior.likelihood, data.residuals(error)
    prior = prior._replace(tau=likelihood.augment(key_tau, residuals, prior.tau))
    log_density = likelihood.log_density(residuals, prior.tau)
    return State(params, prior), Info(log_density + log_prior(params, prior), prior.tau)
