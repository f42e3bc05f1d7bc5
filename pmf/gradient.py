"""MAP by gradient: any optax transformation on the log posterior.

The loss is -log_posterior / n, so that a learning rate means the same on any number of ratings.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from pmf.model import log_likelihood, log_posterior, log_prior, start
from pmf.types import Algorithm, Data, Params, Prior, Ratings, Side, Terms

START_SCALE = 0.1
Sides = tuple[Side, Side]  # what is optimised: users and items, not mu


class State(NamedTuple):
    params: Params
    prior: Prior
    optimizer: Any  # optax's own state


class Info(NamedTuple):
    log_posterior: Float[Array, ""]


def gradient_map(
    prior: Prior,
    terms: Terms,
    mu: float,
    optimizer: optax.GradientTransformation,
    batch_size: int | None = None,
) -> Algorithm:
    """MAP by `optimizer`: a step is one full-batch update, or one epoch of mini-batches.

    Line searches (`optax.lbfgs`) need the full batch: their value function must not change
    within a step.
    """

    def init(key, data: Data) -> State:
        params = start(key, prior, terms, mu, data, START_SCALE)
        return State(params, prior, optimizer.init((params.user, params.item)))

    return Algorithm(init, Partial(_make_step(optimizer, batch_size)))


@lru_cache(maxsize=32)  # one function an optimizer, so that jit's own cache can recognise it
def _make_step(optimizer: optax.GradientTransformation, batch_size: int | None) -> Callable:
    update = partial(_update, optax.with_extra_args_support(optimizer))

    def full_batch(key, state: State, data: Data) -> tuple[State, Info]:
        ratings = _flat(data)

        def loss(sides: Sides):
            params = Params(*sides, state.params.mu)
            return -log_posterior(params, state.prior, ratings) / len(ratings.value)

        state, _ = update(loss, state)
        return _with_log_posterior(state, data)

    def epoch(key, state: State, data: Data) -> tuple[State, Info]:
        ratings = _flat(data)
        n = len(ratings.value)
        size = min(batch_size or n, n)
        # The last, incomplete batch is left out; another permutation each epoch leaves out others.
        batches = jax.random.permutation(key, n)[: n // size * size].reshape(-1, size)

        def one(state: State, batch) -> tuple[State, None]:
            part = Ratings(*(x[batch] for x in ratings))

            def loss(sides: Sides):  # an unbiased estimate of the full-batch loss
                params = Params(*sides, state.params.mu)
                likelihood = log_likelihood(params, part, state.prior.tau)
                return -likelihood / size - log_prior(params, state.prior) / n

            return update(loss, state)

        state, _ = jax.lax.scan(one, state, batches)
        return _with_log_posterior(state, data)

    return full_batch if batch_size is None else epoch


def _update(optimizer, loss: Callable, state: State) -> tuple[State, None]:
    sides: Sides = state.params.user, state.params.item
    value, grad = jax.value_and_grad(loss)(sides)
    updates, opt_state = optimizer.update(
        grad, state.optimizer, sides, value=value, grad=grad, value_fn=loss
    )
    sides = optax.apply_updates(sides, updates)
    return State(Params(*sides, state.params.mu), state.prior, opt_state), None


def _with_log_posterior(state: State, data: Data) -> tuple[State, Info]:
    return state, Info(log_posterior(state.params, state.prior, _flat(data)))


def _flat(data: Data) -> Ratings:
    if data.ratings is None:
        raise ValueError("a gradient needs flat ratings: make the data with pmf.layout.flat")
    return data.ratings
