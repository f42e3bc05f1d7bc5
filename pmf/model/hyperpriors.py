"""Normal-Wishart and Gamma: the hyperpriors of Gibbs sampling and draws from their conditionals.

For one dimension the Wishart is a Gamma, so the Normal-Gamma prior of a bias is the same code.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import block_diag, solve_triangular
from jaxtyping import Array, Float, Key, Num

from pmf.types import Gaussian


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
    edges = [sum(h.mean.shape[0] for h in hypers[:j]) for j in range(len(hypers) + 1)]
    keys = jax.random.split(key, len(hypers))
    return stack_independent(
        [
            sample_normal_wishart(keys[j], condition(hyper, w[:, edges[j] : edges[j + 1]]))
            for j, hyper in enumerate(hypers)
        ]
    )


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
