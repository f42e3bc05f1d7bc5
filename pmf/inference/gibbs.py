"""Gibbs sampling: Bayesian PMF with biases.

A sweep draws, in turn, each side's row prior given its rows, then its rows given the other side,
their noise precisions given their ratings' residuals, and last the rating precision tau given all
residuals (Salakhutdinov & Mnih, ICML 2008, section 3.3; biases join their row's draw; noise of
rows' own: Lakshminarayanan, Bouchard & Archambeau, AISTATS 2011). Every draw is from a full
conditional, so the sweep leaves the posterior invariant: `tests/inference/test_exactness.py` proves
it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from pmf.inference.base import Algorithm, State, initial_params, unit_prior, update_side
from pmf.inference.layout import Data
from pmf.model.density import joined, log_prior, row_epsilon
from pmf.model.hyperpriors import (
    NormalWishart,
    RowNoise,
    row_gammas,
    sample_noise_precisions,
    sample_row_prior,
)
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.types import Params, Side, Terms

START_SCALE = 1.0  # forgets its start sooner than a small one
START_SHAPE = 2.0  # of rows' noise precisions: all alike would take long to part
NOISE = 2**31 - 1  # what the key of rows' noise precisions folds in: no row has this number


class Hyperprior(NamedTuple):
    """Each side's Normal-Wisharts, which own its (factor, bias) columns in order.

    The likelihood holds the prior of its own parameters. A side's rows have noise precisions of
    their own where they have a prior; None: 1 for all.
    """

    user: tuple[NormalWishart, ...]
    item: tuple[NormalWishart, ...]
    likelihood: Likelihood = GAUSSIAN
    user_noise: RowNoise | None = None
    item_noise: RowNoise | None = None


class Info(NamedTuple):
    log_posterior: Float[Array, ""]  # of the rows given this sweep's prior
    tau: Float[Array, ""]


def gibbs(hyperprior: Hyperprior, terms: Terms, mu: float, tau: float) -> Algorithm:
    """The sampler; `tau` is the rating precision it starts from, or keeps."""

    def init(key: Key[Array, ""], data: Data) -> State:
        dtype = hyperprior.user[0].mean.dtype
        prior = unit_prior(terms, tau, dtype)  # the first sweep replaces it before it is used
        params = initial_params(key, prior, terms, mu, data, START_SCALE)
        return State(_with_noise(jax.random.fold_in(key, NOISE), params, hyperprior, data), prior)

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
    params, error = update_side("user", params, prior, data, epsilon)
    if hyperprior.user_noise is not None:
        misfit = data.user_count, prior.tau * error, data.user_row
        alpha = _noise(key_user, hyperprior.user_noise, params.user, *misfit)
        params = params._replace(user=params.user._replace(noise_precision=alpha))

    w = joined(params.item)
    prior = prior._replace(item=sample_row_prior(key_item_prior, hyperprior.item, w))
    epsilon = row_epsilon(key_item, data.item_row, w.shape, w.dtype)
    params, error = update_side("item", params, prior, data, epsilon)
    if hyperprior.item_noise is not None:
        misfit = data.item_count, prior.tau * error, data.item_row
        beta = _noise(key_item, hyperprior.item_noise, params.item, *misfit)
        params = params._replace(item=params.item._replace(noise_precision=beta))
        error = beta * error

    likelihood = hyperprior.likelihood
    residuals = data.residuals(error, params)
    prior = prior._replace(tau=likelihood.augment(key_tau, residuals, prior.tau))
    log_density = likelihood.log_density(residuals, prior.tau)
    return State(params, prior), Info(log_density + log_prior(params, prior), prior.tau)


def _noise(
    key: Key[Array, ""],
    noise: RowNoise,
    side: Side,
    count: Int[Array, " n"],
    misfit: Float[Array, " n"],
    row: Int[Array, " n"] | None,
) -> Float[Array, " n"]:
    """A side's next noise precisions, by a key that none of its rows' draws had."""
    assert side.noise_precision is not None
    key = jax.random.fold_in(key, NOISE)
    return sample_noise_precisions(key, noise, side.noise_precision, count, misfit, row)


def _with_noise(key: Key[Array, ""], params: Params, hyperprior: Hyperprior, data: Data) -> Params:
    """`params` with a first noise precision for every row that is to have one of its own."""

    def first(
        key: Key[Array, ""], side: Side, noise: RowNoise | None, row: Int[Array, " n"] | None
    ) -> Side:
        if noise is None:
            return side
        shape = jnp.full(side.factor.shape[0], START_SHAPE, side.factor.dtype)
        return side._replace(noise_precision=row_gammas(key, shape, row) / START_SHAPE)

    key_user, key_item = jax.random.split(key)
    return params._replace(
        user=first(key_user, params.user, hyperprior.user_noise, data.user_row),
        item=first(key_item, params.item, hyperprior.item_noise, data.item_row),
    )
