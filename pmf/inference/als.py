"""Alternating least squares: exact coordinate ascent on the log posterior.

A sweep replaces every user row by the mode of its full conditional, then every item row. The ridge
is the prior precision, never multiplied by a row's rating count unless the prior says so
(Zhou et al., "Large-scale parallel collaborative filtering for the Netflix prize", 2008, is the
count-weighted prior of `pmf.model.priors`).
"""

from functools import partial

import jax.numpy as jnp
from jax.tree_util import Partial

from pmf.inference.base import Algorithm, Info, State, initial_params
from pmf.inference.layout import Data
from pmf.inference.row_update import half_sweep, no_noise
from pmf.model.density import gaussian_log_likelihood, log_prior, split_row
from pmf.types import Prior, Terms

START_SCALE = 0.1


def als(prior: Prior, terms: Terms, mu: float) -> Algorithm:
    """ALS under a fixed prior. Monotone in the log posterior; its fixed points are its modes."""

    def init(key, data: Data) -> State:
        return State(initial_params(key, prior, terms, mu, data, START_SCALE), prior)

    return Algorithm(init, Partial(_step))


def _step(key, state: State, data: Data) -> tuple[State, Info]:
    """One sweep. The key is unused: ALS is deterministic."""
    params, prior = state
    sweep = partial(half_sweep, tau=prior.tau, mu=params.mu)
    rank = params.user.factor.shape[-1]
    noise = no_noise(prior.user)
    w, _ = sweep(noise, prior.user, side=params.user, other=params.item, rows=data.by_user)
    params = params._replace(user=split_row(w, rank))
    noise = no_noise(prior.item)
    w, error = sweep(noise, prior.item, side=params.item, other=params.user, rows=data.by_item)
    params = params._replace(item=split_row(w, rank))
    n = jnp.sum(data.user_count, dtype=w.dtype)  # more than an int32 holds, perhaps
    likelihood = gaussian_log_likelihood(jnp.sum(error), n, prior.tau)
    return State(params, prior), Info(likelihood + log_prior(params, prior))
