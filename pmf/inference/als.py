"""Alternating least squares: exact coordinate ascent on the log posterior.

A sweep replaces every user row by the mode of its full conditional, then every item row. The ridge
is the prior precision, never multiplied by a row's rating count unless the prior says so
(Zhou et al., "Large-scale parallel collaborative filtering for the Netflix prize", 2008, is the
count-weighted prior of `pmf.model.priors`).
"""

from jax.tree_util import Partial
from jaxtyping import Array, Key

from pmf.inference.base import Algorithm, Info, State, initial_params, update_side
from pmf.inference.layout import Data
from pmf.model.density import log_prior
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.types import Prior, Terms

START_SCALE = 0.1


def als(prior: Prior, terms: Terms, mu: float, likelihood: Likelihood = GAUSSIAN) -> Algorithm:
    """ALS under a fixed prior. Monotone in the log posterior; its fixed points are its modes."""

    def init(key: Key[Array, ""], data: Data) -> State:
        return State(initial_params(key, prior, terms, mu, data, START_SCALE), prior)

    return Algorithm(init, Partial(_step, likelihood), likelihood)


def _step(
    likelihood: Likelihood, key: Key[Array, ""], state: State, data: Data
) -> tuple[State, Info]:
    """One sweep. The key is unused: ALS is deterministic."""
    params, prior = state
    params, _ = update_side("user", params, prior, data)
    params, error = update_side("item", params, prior, data)
    log_density = likelihood.log_density(data.residuals(error), prior.tau)
    return State(params, prior), Info(log_density + log_prior(params, prior))
