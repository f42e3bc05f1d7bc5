"""The posterior predictive of chosen pairs: mean and variance, streamed over draws.

    E[r | R]   = mean over draws of E[r | theta_s]
    var[r | R] = variance over draws of E[r | theta_s]  +  mean over draws of 1/tau_s

with tau_s times the noise precisions of the pair's rows, where they have their own.

The posterior alone (the first term) covers about half of what it claims; the noise belongs to it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Num
from scipy.special import ndtri

from pmf.model.density import noise_precision, predict
from pmf.process.programs import forget, program, rung
from pmf.types import Params

PAIRS = 1 << 16  # pairs a block: bounds the memory of gathered factors
LEAST = 1 << 8  # pairs that a block is filled up to


class Prediction(NamedTuple):
    """A Gaussian for each pair, on the ratings' scale."""

    mean: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]

    def __repr__(self) -> str:
        return f"Prediction(mean and variance of {len(self.mean):,} pairs)"


class Moments(NamedTuple):
    """Running mean and squared deviations over draws."""

    seen: Float[Array, ""]
    mean: Float[Array, " n"]
    deviation: Float[Array, " n"]
    noise: Float[Array, " n"]


# The number, mean and squared deviations of draws.
Sums = tuple[Float[Array, ""], Float[Array, "*n"], Float[Array, "*n"]]


def no_moments(n: int, dtype: DTypeLike) -> Moments:
    """The moments of no draw yet."""
    # From the host: nothing is compiled for another n.
    zeros, zero = (jnp.asarray(np.zeros(shape, dtype)) for shape in (n, ()))
    return Moments(zero, zeros, zeros, zeros)


def with_draw(sums: Sums, draw: Float[Array, "*n"]) -> Sums:
    """The sums with one draw more (Welford 1962)."""
    count, mean, deviation = sums
    count, delta = count + 1, draw - mean
    return count, mean + delta / count, deviation + delta * delta * (count - 1) / count


@program
def observe(
    moments: Moments,
    draws: Params,
    noise_variance: Float[Array, " s"],
    user: Int[Array, " n"],
    item: Int[Array, " n"],
    context: Int[Array, " n"] | None = None,
) -> Moments:
    """Add a stack of s draws at the pairs (user, item), in a context where there is one.

    Works on blocks of at most `PAIRS` pairs, which bound the memory of the gathered factors.
    """
    n = len(user)
    blocks = max(1, -(-n // PAIRS))
    size = -(-n // blocks)

    def cut(x: Num[Array, " n"]) -> Num[Array, "blocks size"]:
        return jnp.pad(x, (0, blocks * size - n)).reshape(blocks, size)

    def observe_block(block: tuple[Array, ...]) -> tuple[Float[Array, " b"], ...]:
        mean, deviation, noise, user, item, *contexts = block

        def add(carry: Moments, draw: tuple[Params, Float[Array, ""]]) -> tuple[Moments, None]:
            params, variance = draw
            sums = with_draw(carry[:3], predict(params, user, item, *contexts))
            precision = noise_precision(params, user, item)
            own = variance if precision is None else variance / precision
            return Moments(*sums, carry.noise + (own - carry.noise) / sums[0]), None

        seen = Moments(moments.seen, mean, deviation, noise)
        return jax.lax.scan(add, seen, (draws, noise_variance))[0][1:]

    contexts = () if context is None else (context,)
    pairs = (cut(x) for x in (*moments[1:], user, item, *contexts))
    blocks_of = (x.ravel()[:n] for x in jax.lax.map(observe_block, tuple(pairs)))
    return Moments(moments.seen + len(noise_variance), *blocks_of)


def summarise(moments: Moments) -> Prediction:
    """The predictive distribution of the pairs observed. One draw has no variance of its own."""
    count, mean, deviation, noise = (np.asarray(x) for x in moments)
    return Prediction(mean, deviation / np.maximum(count - 1, 1) + noise)


def predict_pairs(
    draws: Params,
    noise_variance: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
    context: np.ndarray | None = None,
) -> Prediction:
    """The predictive distribution of any pairs from a stack of draws, in blocks of pairs.

    A point estimate is a stack of one, with the variance of the noise that it is given. The mean is
    float64: mu, one for all draws, may be so large that a float32 would not hold what is added.
    """
    forget()
    mu = float(np.mean(np.asarray(draws.mu), dtype=np.float64))
    draws = draws._replace(mu=(np.asarray(draws.mu) - mu).astype(noise_variance.dtype))
    draws, noise = jax.tree.map(jnp.asarray, (draws, noise_variance))
    parts = [Prediction(np.empty(0, noise.dtype), np.empty(0, noise.dtype))]
    places = (user, item) if context is None else (user, item, context)
    for begin in range(0, len(user), PAIRS):
        block = slice(begin, begin + PAIRS)
        size = min(PAIRS, rung(len(user[block]), LEAST))
        fill = size - len(user[block])
        pair = (jnp.asarray(np.pad(x[block], (0, fill))) for x in places)
        parts.append(summarise(observe(no_moments(size, noise.dtype), draws, noise, *pair)))
    mean, variance = (np.concatenate(x)[: len(user)] for x in zip(*parts, strict=True))
    return Prediction(mu + mean.astype(np.float64), variance)


def noise_of_pairs(
    draws: Params, noise_variance: np.ndarray, user: np.ndarray, item: np.ndarray
) -> Float[np.ndarray, " n"]:
    """The part of pairs' predictive variance that is the noise of a rating."""
    each = np.repeat(noise_variance[:, None], len(user), 1)
    for side, row in ((draws.user, user), (draws.item, item)):
        if side.noise_precision is not None:
            each = each / np.asarray(side.noise_precision)[:, row]
    noise: np.ndarray = np.mean(each, 0)
    return noise


def interval(prediction: Prediction, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The central Gaussian interval that holds a rating with probability `level`."""
    half = ndtri(0.5 + level / 2) * np.sqrt(prediction.variance)
    return prediction.mean - half, prediction.mean + half
