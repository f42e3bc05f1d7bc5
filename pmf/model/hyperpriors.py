"""Normal-Wishart and Gamma: the hyperpriors of Gibbs sampling and draws from their conditionals.

For one dimension the Wishart is a Gamma, so the Normal-Gamma prior of a bias is the same code.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag, solve_triangular
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Int, Key, Num

from pmf.types import Gaussian

# Of rows' noise precisions: E[1/alpha], which a new row's noise variance is times, is finite.
SHAPES = np.geomspace(1.2, 120, 64, dtype=np.float32)


class NormalWishart(NamedTuple):
    """Lambda ~ Wishart(inv(scale_inv), dof),  m | Lambda ~ N(mean, inv(strength * Lambda)).

    Salakhutdinov & Mnih (ICML 2008), eq. 7-8: mu0, beta0, inv(W0), nu0. E[Lambda] = dof W0.
    """

    mean: Float[Array, " d"]
    strength: Float[Array, ""]
    scale_inv: Float[Array, "d d"]
    dof: Float[Array, ""]


class Gamma(NamedTuple):
    """Gamma(shape, rate), with mean shape / rate."""

    shape: Float[Array, ""]
    rate: Float[Array, ""]


class RowNoise(NamedTuple):
    """alpha_j ~ Gamma(s, s) of each row j, whose mean is 1, with a shape s that is learnt.

    All of `shapes` are as probable. One over s is about how much rows' noise differs.
    """

    shapes: Float[Array, " g"]


def wishart(
    key: Key[Array, ""], scale_inv: Float[Array, "d d"], dof: Float[Array, ""]
) -> Float[Array, "d d"]:
    """Lambda ~ Wishart(inv(scale_inv), dof), dof > d - 1, by Bartlett's decomposition.

    A is lower triangular with A_jj^2 ~ chi2(dof - j), j = 0, 1, ..., and N(0, 1) below; for
    scale_inv = R R^T the draw is T T^T with T = inv(R)^T A (Anderson, "An Introduction to
    Multivariate Statistical Analysis", section 7.2).
    """
    d, dtype = scale_inv.shape[0], scale_inv.dtype
    key_diagonal, key_below = jax.random.split(key)
    diagonal = jnp.sqrt(2 * jax.random.gamma(key_diagonal, (dof - jnp.arange(d)) / 2, dtype=dtype))
    A = jnp.tril(jax.random.normal(key_below, (d, d), dtype), -1) + jnp.diag(diagonal)
    T = solve_triangular(jnp.linalg.cholesky(scale_inv), A, lower=True, trans=1)
    return jnp.matmul(T, T.T, precision="highest")


def condition(hyper: NormalWishart, w: Float[Array, "n d"]) -> NormalWishart:
    """The conditional of (m, Lambda) given rows w (ICML 2008, eq. 14)."""
    n = w.shape[0]
    mean = w.mean(0)
    strength = hyper.strength + n
    centred, shift = w - mean, mean - hyper.mean
    scatter = jnp.matmul(centred.T, centred, precision="highest")
    return NormalWishart(
        (hyper.strength * hyper.mean + n * mean) / strength,
        strength,
        hyper.scale_inv + scatter + hyper.strength * n / strength * jnp.outer(shift, shift),
        hyper.dof + n,
    )


def sample_normal_wishart(key: Key[Array, ""], hyper: NormalWishart) -> Gaussian:
    """(m, Lambda) from a Normal-Wishart."""
    key_precision, key_mean = jax.random.split(key)
    precision = wishart(key_precision, hyper.scale_inv, hyper.dof)
    L = jnp.linalg.cholesky(hyper.strength * precision)
    epsilon = jax.random.normal(key_mean, hyper.mean.shape, hyper.mean.dtype)
    mean = hyper.mean + solve_triangular(L, epsilon, lower=True, trans=1)
    return Gaussian(mean, precision, jnp.ones((), precision.dtype))


def stack_independent(parts: list[Gaussian]) -> Gaussian:
    """The Gaussian of concatenated independent parts: its precision is block diagonal."""
    return Gaussian(
        jnp.concatenate([part.mean for part in parts]),
        block_diag(*[part.precision for part in parts]),
        parts[0].weight,
    )


def sample_row_prior(
    key: Key[Array, ""], hypers: tuple[NormalWishart, ...], w: Float[Array, "n d"]
) -> Gaussian:
    """One side's row prior given its rows, each hyperprior owning the next columns of w.

    (factors, bias) with two hyperpriors makes them independent; one hyperprior over all columns
    is the joint Normal-Wishart.
    """
    keys = jax.random.split(key, len(hypers))
    return stack_independent(
        [
            sample_normal_wishart(key, condition(hyper, columns))
            for key, hyper, columns in zip(keys, hypers, _columns(hypers, w), strict=True)
        ]
    )


def sample_precision(
    key: Key[Array, ""], hypers: tuple[NormalWishart, ...], w: Float[Array, "n d"]
) -> Float[Array, "d d"]:
    """The precision of rows whose mean is 0, given them: Wishart(inv(scale_inv + w^T w), dof + n).

    Hyperpriors own columns as in `sample_row_prior`; their means and strengths have no part.
    """
    keys, n = jax.random.split(key, len(hypers)), w.shape[0]
    parts = [
        wishart(key, hyper.scale_inv + jnp.matmul(x.T, x, precision="highest"), hyper.dof + n)
        for key, hyper, x in zip(keys, hypers, _columns(hypers, w), strict=True)
    ]
    precision: Float[Array, "d d"] = block_diag(*parts)
    return precision


def _columns(
    hypers: tuple[NormalWishart, ...], w: Float[Array, "n d"]
) -> list[Float[Array, "n c"]]:
    """The columns of rows that each hyperprior owns."""
    edges = np.cumsum([hyper.mean.shape[0] for hyper in hypers])[:-1]
    return jnp.split(w, edges, 1)


def sample_gamma(key: Key[Array, ""], gamma: Gamma) -> Float[Array, ""]:
    """A draw from Gamma(shape, rate)."""
    return jax.random.gamma(key, gamma.shape, dtype=gamma.rate.dtype) / gamma.rate


def sample_tau(
    key: Key[Array, ""],
    gamma: Gamma,
    squared_error: Float[Array, ""],
    n: int | float | Num[Array, ""],
) -> Float[Array, ""]:
    """The rating precision given n residuals: Gamma(a0 + n/2, b0 + squared_error/2)."""
    return sample_gamma(key, Gamma(gamma.shape + n / 2, gamma.rate + squared_error / 2))


def shape_log_density(noise: RowNoise, precision: Float[Array, " n"]) -> Float[Array, " g"]:
    """log p(s | alpha) of each shape, up to a constant."""
    s, n = noise.shapes, len(precision)
    gap = jnp.sum(jnp.log(precision) - precision)
    return n * (s * jnp.log(s) - gammaln(s)) + s * gap


def likely_shapes(precision: Float[np.ndarray, "s n"]) -> Float[np.ndarray, " s"]:
    """The likeliest of `SHAPES` for each draw of all rows' noise precisions."""
    densities = jax.vmap(partial(shape_log_density, RowNoise(jnp.asarray(SHAPES))))
    likely: np.ndarray = SHAPES[np.argmax(densities(jnp.asarray(precision)), -1)]
    return likely


def sample_noise_precisions(
    key: Key[Array, ""],
    noise: RowNoise,
    precision: Float[Array, " n"],
    count: Int[Array, " n"],
    misfit: Float[Array, " n"],
    row: Int[Array, " n"] | None,
) -> Float[Array, " n"]:
    """Each row's next noise precision, by way of a shape that is drawn given the last ones:

        s | alpha ~ p(s | alpha),    alpha_j | s, R ~ Gamma(s + n_j / 2, s + misfit_j / 2)

    for n_j ratings with the squared error misfit_j, times tau and the other side's noise
    precisions. Each is drawn by the row's number (default: its position).
    """
    key_shape, key_rows = jax.random.split(key)
    s = noise.shapes[jax.random.categorical(key_shape, shape_log_density(noise, precision))]
    shape, rate = s + count.astype(misfit.dtype) / 2, s + misfit / 2
    return row_gammas(key_rows, shape, row) / rate


def row_gammas(
    key: Key[Array, ""], shape: Float[Array, " n"], row: Int[Array, " n"] | None
) -> Float[Array, " n"]:
    """Gamma(shape_j, 1), each drawn by its row's number (default: its position)."""
    keys = row_keys(key, row, len(shape))
    return jax.vmap(lambda key, shape: jax.random.gamma(key, shape, dtype=shape.dtype))(keys, shape)


def row_keys(key: Key[Array, ""], row: Int[Array, " n"] | None, n: int) -> Key[Array, " n"]:
    """A key for each of n rows, by its number (default: its position).

    So neither the order of the rows nor the device that owns one can change a draw.
    """
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(n) if row is None else row)
