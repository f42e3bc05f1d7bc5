"""MAP by mini-batches of ratings that stay on disk, or in host memory.

An epoch shuffles the order of blocks of neighbouring ratings, reads `BUFFER` of them at a time and
shuffles these among themselves. On the device are two such buffers and the parameters; ratings in
memory-mapped files are read in long runs. Where the file's order is no random one, batches are less
mixed than under the full permutation of `pmf.inference.map`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike
from jaxtyping import Float, Key

from pmf.data.encoding import count_rows
from pmf.data.values import decoded
from pmf.inference.base import Algorithm, Info, Sides, initial_params
from pmf.inference.layout import NO_ROWS, Data
from pmf.inference.map import (
    START_SCALE,
    State,
    misfit_in_blocks,
    on_mini_batch,
    optimizer_state,
)
from pmf.model.density import log_prior
from pmf.model.likelihood import GAUSSIAN, Likelihood, Residuals
from pmf.process.programs import FEW, program
from pmf.types import Array, Prior, Ratings, Terms

BLOCK = 1 << 14  # neighbouring ratings that are read together
BUFFER = 1 << 21  # ratings that are shuffled among themselves: 25 MB


def on_host(ratings: Ratings, num_users: int, num_items: int) -> Data:
    """Ratings for `streamed_map`: arrays in memory or in files; values may be `Coded`."""
    counts = (count_rows(ratings.user, num_users), count_rows(ratings.item, num_items))
    user_count, item_count = (jnp.asarray(count.astype(np.int32)) for count in counts)
    return Data(ratings, NO_ROWS, NO_ROWS, user_count, item_count)


def streamed_map(
    prior: Prior,
    terms: Terms,
    mu: float,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    likelihood: Likelihood = GAUSSIAN,
) -> Algorithm:
    """MAP by `optimizer`: a step is one epoch of mini-batches over data from `on_host`.

    The same updates as `pmf.inference.map.gradient_map`'s mini-batches, in another order. The log
    posterior is summed over buffers in float64.
    """

    def init(key: Key[Array, ""], data: Data) -> State:
        params = initial_params(key, prior, terms, mu, data, START_SCALE)
        return State(params, prior, optimizer_state(optimizer, Sides(params.user, params.item)))

    return Algorithm(init, Epoch(optimizer, batch_size, likelihood), likelihood)


class Epoch(NamedTuple):
    """A step that loops on the host, see `pmf.inference.base.Algorithm`."""

    optimizer: optax.GradientTransformation
    batch_size: int
    likelihood: Likelihood

    def __call__(self, key: Key[Array, ""], state: State, data: Data) -> tuple[State, Info]:
        ratings = _ratings(data)
        n = len(ratings.user)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        for batches in shuffled_batches(rng, ratings, min(self.batch_size, n)):
            # Buffers are read while the device works, but they must not queue up before it.
            jax.block_until_ready(state)
            state = _descend(self.optimizer, self.likelihood, float(n), state, batches)
        return state, Info(_log_posterior(self.likelihood, state, ratings))

    def lower(self, key: Key[Array, ""], state: State, data: Data) -> "Parts":
        """The programs that the loop calls."""
        ratings, likelihood = _ratings(data), self.likelihood
        n, tau = len(ratings.user), state.prior.tau
        parts = []
        for shape in dict.fromkeys(_shapes(n, min(self.batch_size, n))):
            batches = _like(ratings, shape, tau.dtype)
            parts.append(_descend.lower(self.optimizer, likelihood, float(n), state, batches))
        for size in dict.fromkeys((min(BUFFER, n), n % BUFFER)):
            if size:
                part = _like(ratings, (size,), tau.dtype)
                parts.append(_misfit.lower(state.params, part, tau, likelihood))
        return Parts([*parts, _log_prior.lower(state.params, state.prior)])


class Parts(NamedTuple):
    """Several lowered programs with the face of one."""

    parts: list[jax.stages.Lowered]

    def compile(self) -> None:
        for part in self.parts:
            part.compile()

    def as_text(self) -> str:
        return "\n".join(part.as_text() for part in self.parts)


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


def _descend_all(
    optimizer: optax.GradientTransformation,
    likelihood: Likelihood,
    n: float | Float[Array, ""],
    state: State,
    batches: Ratings,
) -> State:
    def one(state: State, part: Ratings) -> tuple[State, None]:
        return on_mini_batch(optimizer, likelihood, n, state, part), None

    return jax.lax.scan(one, state, batches)[0]


_descend = program(_descend_all, FEW, static_argnums=0, donate_argnums=3)
_misfit, _log_prior = (program(x, FEW) for x in (misfit_in_blocks, log_prior))


def _log_posterior(likelihood: Likelihood, state: State, ratings: Ratings) -> Float[Array, ""]:
    n, tau = len(ratings.user), state.prior.tau
    parts = (_take(ratings, slice(begin, begin + BUFFER)) for begin in range(0, n, BUFFER))
    total = sum(float(_misfit(state.params, part, tau, likelihood)) for part in parts)
    # float(n): more than 2^31 ratings are no int32.
    residuals = Residuals(jnp.asarray(total, tau.dtype), float(n))
    return likelihood.log_density(residuals, tau) + _log_prior(state.params, state.prior)


def _take(ratings: Ratings, rows: slice) -> Ratings:
    """Rows as arrays in memory, values decoded."""
    user, item, value = (np.array(x[rows]) for x in ratings)
    return Ratings(user, item, decoded(value))


def _like(ratings: Ratings, shape: tuple[int, ...], dtype: DTypeLike) -> Ratings:
    ints = jax.ShapeDtypeStruct(shape, np.int32)
    return Ratings(ints, ints, jax.ShapeDtypeStruct(shape, dtype))


def _ratings(data: Data) -> Ratings:
    if data.ratings is None:
        raise ValueError("a stream needs flat ratings: make the data with on_host")
    return data.ratings
