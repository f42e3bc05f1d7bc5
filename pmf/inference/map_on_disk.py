"""MAP by mini-batches of ratings that stay on disk, or in host memory.

An epoch shuffles the order of blocks of neighbouring ratings, reads `BUFFER` of them at a time and
shuffles these among themselves. On the device are two such buffers and the parameters; ratings in
memory-mapped files are read in long runs. Where the file's order is no random one, batches are less
mixed than under the full permutation of `pmf.inference.map`.
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pmf.data.encoding import count_rows
from pmf.data.values import decoded
from pmf.inference.base import Algorithm, Info, Sides, initial_params
from pmf.inference.layout import NO_ROWS, Data
from pmf.inference.map import START_SCALE, State, on_mini_batch, squared_error_in_blocks
from pmf.model.density import gaussian_log_likelihood, log_prior
from pmf.types import Prior, Ratings, Terms

BLOCK = 1 << 14  # neighbouring ratings that are read together
BUFFER = 1 << 21  # ratings that are shuffled among themselves: 25 MB


def on_host(ratings: Ratings, num_users: int, num_items: int) -> Data:
    """Ratings for `streamed_map`: arrays in memory or in files; values may be `Coded`."""
    counts = (count_rows(ratings.user, num_users), count_rows(ratings.item, num_items))
    return Data(ratings, NO_ROWS, NO_ROWS, *(jnp.asarray(count, jnp.int32) for count in counts))


def streamed_map(
    prior: Prior,
    terms: Terms,
    mu: float,
    optimizer: optax.GradientTransformation,
    batch_size: int,
) -> Algorithm:
    """MAP by `optimizer`: a step is one epoch of mini-batches over data from `on_host`.

    The same updates as `pmf.inference.map.gradient_map`'s mini-batches, in another order. The log
    posterior is summed over buffers in float64.
    """

    def init(key, data: Data) -> State:
        params = initial_params(key, prior, terms, mu, data, START_SCALE)
        return State(params, prior, optimizer.init(Sides(params.user, params.item)))

    def step(key, state: State, data: Data) -> tuple[State, Info]:
        ratings = _ratings(data)
        n = len(ratings.user)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        for batches in shuffled_batches(rng, ratings, min(batch_size, n)):
            # Buffers are read while the device works, but they must not queue up before it.
            jax.block_until_ready(state)
            state = _descend(optimizer, float(n), state, batches)
        return state, Info(_log_posterior(state, ratings))

    def compile(state: State, data: Data) -> None:
        ratings = _ratings(data)
        n = len(ratings.user)
        for shape in set(_shapes(n, min(batch_size, n))):
            batches = _like(ratings, shape, state.prior.tau.dtype)
            _descend.lower(optimizer, float(n), state, batches).compile()
        for size in {min(BUFFER, n), n % BUFFER} - {0}:
            part = _like(ratings, (size,), state.prior.tau.dtype)
            _squared_error.lower(state.params, part).compile()
        _log_prior.lower(state.params, state.prior).compile()

    return Algorithm(init, step, compile)


def shuffled_batches(rng: np.random.Generator, ratings: Ratings, size: int) -> Iterator[Ratings]:
    """An epoch's mini-batches, stacked: fields have shape (batches, size).

    The last, incomplete batch is left out, another one each epoch.
    """
    n = len(ratings.user)
    blocks = rng.permutation(-(-n // BLOCK))
    waiting = _take(ratings, slice(0, 0))
    for shape in _shapes(n, size):
        needed = shape[0] * size
        parts = [waiting]
        while sum(len(part.user) for part in parts) < needed:
            begin, blocks = int(blocks[0]) * BLOCK, blocks[1:]
            parts.append(_take(ratings, slice(begin, begin + BLOCK)))
        pool = Ratings(*(np.concatenate(x) for x in zip(*parts, strict=True)))
        order = rng.permutation(len(pool.user))
        pool = Ratings(*(x[order] for x in pool))
        yield Ratings(*(x[:needed].reshape(shape) for x in pool))
        waiting = Ratings(*(x[needed:] for x in pool))


def _shapes(n: int, size: int) -> Iterator[tuple[int, int]]:
    """(batches, size) of each buffer of an epoch: all alike but the last."""
    most = max(1, BUFFER // size)
    for begin in range(0, n // size, most):
        yield min(most, n // size - begin), size


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _descend(optimizer, n, state: State, batches: Ratings) -> State:
    def one(state: State, part: Ratings) -> tuple[State, None]:
        return on_mini_batch(optimizer, n, state, part), None

    return jax.lax.scan(one, state, batches)[0]


_squared_error, _log_prior = jax.jit(squared_error_in_blocks), jax.jit(log_prior)


def _log_posterior(state: State, ratings: Ratings) -> Float[Array, ""]:
    n, tau = len(ratings.user), state.prior.tau
    parts = (_take(ratings, slice(begin, begin + BUFFER)) for begin in range(0, n, BUFFER))
    error = sum(float(_squared_error(state.params, part)) for part in parts)
    # float(n): more than 2^31 ratings are no int32.
    likelihood = gaussian_log_likelihood(jnp.asarray(error, tau.dtype), float(n), tau)
    return likelihood + _log_prior(state.params, state.prior)


def _take(ratings: Ratings, rows: slice) -> Ratings:
    """Rows as arrays in memory, values decoded."""
    user, item, value = (np.array(x[rows]) for x in ratings)
    return Ratings(user, item, decoded(value))


def _like(ratings: Ratings, shape: tuple[int, ...], dtype) -> Ratings:
    ints = jax.ShapeDtypeStruct(shape, np.int32)
    return Ratings(ints, ints, jax.ShapeDtypeStruct(shape, dtype))


def _ratings(data: Data) -> Ratings:
    if data.ratings is None:
        raise ValueError("a stream needs flat ratings: make the data with on_host")
    return data.ratings
