"""MAP by gradient: any optax transformation on the log posterior.

The loss is -log_posterior / n, so that a learning rate means the same on any number of ratings.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Float, Int, Key

from pmf.inference.base import Algorithm, Info, Sides, initial_params
from pmf.inference.layout import Data
from pmf.model.density import log_likelihood, log_posterior, log_prior, misfit
from pmf.model.likelihood import GAUSSIAN, Likelihood, Residuals
from pmf.process.programs import FEW, program
from pmf.types import Array, Params, Prior, Ratings, Terms

START_SCALE = 0.1
BLOCK = 1 << 16  # ratings whose factors are gathered at a time to report the log posterior


Loss = Callable[[Sides], Float[Array, ""]]


class State(NamedTuple):
    params: Params
    prior: Prior
    optimizer: Any  # optax's own state


def _first(optimizer: optax.GradientTransformation, sides: Sides) -> Any:
    return optimizer.init(sides)


optimizer_state = program(_first, FEW, static_argnums=0)


def gradient_map(
    prior: Prior,
    terms: Terms,
    mu: float,
    optimizer: optax.GradientTransformation,
    batch_size: int | None = None,
    likelihood: Likelihood = GAUSSIAN,
) -> Algorithm:
    """MAP by `optimizer`: a step is one full-batch update, or one epoch of mini-batches.

    Line searches (`optax.lbfgs`) need the full batch: their value function must not change
    within a step.
    """

    def init(key: Key[Array, ""], data: Data) -> State:
        params = initial_params(key, prior, terms, mu, data, START_SCALE)
        return State(params, prior, optimizer_state(optimizer, Sides(params.user, params.item)))

    return Algorithm(init, Partial(_make_step(optimizer, batch_size), likelihood), likelihood)


@lru_cache(maxsize=32)  # one function an optimizer, so that jit's own cache can recognise it
def _make_step(
    optimizer: optax.GradientTransformation, batch_size: int | None
) -> Callable[[Likelihood, Key[Array, ""], State, Data], tuple[State, Info]]:
    def full_batch(
        likelihood: Likelihood, key: Key[Array, ""], state: State, data: Data
    ) -> tuple[State, Info]:
        ratings = _flat(data)

        def loss(sides: Sides) -> Float[Array, ""]:
            params = Params(*sides, state.params.mu)
            return -log_posterior(params, state.prior, ratings, likelihood) / len(ratings.value)

        return _with_log_posterior(likelihood, _update(optimizer, loss, state), ratings)

    def epoch(
        likelihood: Likelihood, key: Key[Array, ""], state: State, data: Data
    ) -> tuple[State, Info]:
        ratings = _flat(data)
        n = len(ratings.value)
        size = min(batch_size or n, n)
        # The last, incomplete batch is left out; another permutation each epoch leaves out others.
        batches = jax.random.permutation(key, n)[: n // size * size].reshape(-1, size)

        def one(state: State, batch: Int[Array, " size"]) -> tuple[State, None]:
            part = Ratings(*(x[batch] for x in ratings))
            return on_mini_batch(optimizer, likelihood, n, state, part), None

        return _with_log_posterior(likelihood, jax.lax.scan(one, state, batches)[0], ratings)

    return full_batch if batch_size is None else epoch


def on_mini_batch(
    optimizer: optax.GradientTransformation,
    likelihood: Likelihood,
    n: float | Float[Array, ""],
    state: State,
    part: Ratings,
) -> State:
    """One update on `part` of n ratings, whose loss estimates the full batch's without bias."""

    def loss(sides: Sides) -> Float[Array, ""]:
        params = Params(*sides, state.params.mu)
        log_density = log_likelihood(params, part, state.prior.tau, likelihood)
        return -log_density / len(part.value) - log_prior(params, state.prior) / n

    return _update(optimizer, loss, state)


def _update(optimizer: optax.GradientTransformation, loss: Loss, state: State) -> State:
    sides = Sides(state.params.user, state.params.item)
    value, grad = jax.value_and_grad(loss)(sides)
    updates, opt_state = optax.with_extra_args_support(optimizer).update(
        grad, state.optimizer, sides, value=value, grad=grad, value_fn=loss
    )
    user, item = optax.apply_updates(sides, updates)
    return State(Params(user, item, state.params.mu), state.prior, opt_state)


def _with_log_posterior(
    likelihood: Likelihood, state: State, ratings: Ratings
) -> tuple[State, Info]:
    params, prior = state.params, state.prior
    total = misfit_in_blocks(params, ratings, prior.tau, likelihood)
    log_density = likelihood.log_density(Residuals(total, len(ratings.value)), prior.tau)
    return state, Info(log_density + log_prior(params, prior))


def misfit_in_blocks(
    params: Params, ratings: Ratings, tau: Float[Array, ""], likelihood: Likelihood
) -> Float[Array, ""]:
    """`misfit` of any number of ratings, gathering the rows of `BLOCK` of them at a time."""

    def one(part: Ratings) -> Float[Array, ""]:
        return misfit(params, part, tau, likelihood)

    whole = len(ratings.value) // BLOCK * BLOCK
    rest = one(Ratings(*(x[whole:] for x in ratings)))
    blocks = Ratings(*(x[:whole].reshape(-1, BLOCK) for x in ratings))
    return jnp.sum(jax.lax.map(one, blocks)) + rest


def _flat(data: Data) -> Ratings:
    if data.ratings is None:
        raise ValueError("a gradient needs flat ratings: make the data by inference.layout.flat")
    return data.ratings
