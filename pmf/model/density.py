"""The model: its density, its prediction, and draws from it. Nothing else.

    r_ui | theta        ~ N(mu + b_u + c_i + U_u . V_i, 1/(tau alpha_u beta_i))
    (U_u, b_u)          ~ N(m_user, inv(Lambda_user))
    (V_i, c_i)          ~ N(m_item, inv(Lambda_item))

and, where ratings are given in contexts t, such as days, with all pairwise interactions,

    E[r_uit | theta]    = mu + b_u + c_i + e_t + U_u . V_i + U_u . D_t + V_i . D_t
    (D_t, e_t)          ~ N(m_context, inv(Lambda_context))

Salakhutdinov & Mnih, "Probabilistic Matrix Factorization" (NIPS 2007), eq. 1-2, with biases
joined to the factors; alpha and beta, the rows' own noise precisions, are 1 unless they are drawn
(Lakshminarayanan, Bouchard & Archambeau, "Robust Bayesian matrix factorisation", AISTATS 2011).
Contexts are those of a factorization machine (Rendle, ICDM 2010, eq. 1; with days, "On the
difficulty of evaluating baselines", 2019).
"""

from functools import reduce

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Float, Int, Key

from pmf.model.hyperpriors import row_keys
from pmf.model.likelihood import GAUSSIAN, LOG_2PI, Likelihood, Residuals
from pmf.types import Array, Gaussian, Params, Prior, Ratings, Side, Terms


def joined(side: Side) -> Float[Array, "*s d"]:
    """The rows w_j = (factor_j, bias_j) of one side, d = k + b."""
    return jnp.concatenate([side.factor, side.bias], axis=-1)


def split_row(w: Float[Array, "*s d"], rank: int) -> Side:
    """The inverse of `joined`: the first `rank` columns are the factors."""
    return Side(w[..., :rank], w[..., rank:])


def with_rows(side: Side, w: Float[Array, "*s d"]) -> Side:
    """The side with other rows w_j; their noise stays."""
    return split_row(w, side.factor.shape[-1])._replace(noise_precision=side.noise_precision)


def noise_precision(
    params: Params, user: Int[Array, " n"], item: Int[Array, " n"]
) -> Float[Array, " n"] | None:
    """alpha_u beta_i of each pair: the precision of a rating in units of tau; None: all are 1."""
    sides = (params.user.noise_precision, user), (params.item.noise_precision, item)
    parts = [precision[row] for precision, row in sides if precision is not None]
    return reduce(jnp.multiply, parts) if parts else None


def rows_at(side: Side, row: Int[Array, " n"]) -> Side:
    """The rows of one side at some places."""
    precision = side.noise_precision
    own = None if precision is None else precision[row]
    return Side(side.factor[row], side.bias[row], own)


def met(one: Side, other: Side) -> Side:
    """What rows of two sides, pair by pair, are to a third: factors V + D, bias c + e + V . D."""
    bias = one.bias.sum(-1) + other.bias.sum(-1) + jnp.sum(one.factor * other.factor, -1)
    known = [x for x in (one.noise_precision, other.noise_precision) if x is not None]
    own = reduce(jnp.multiply, known) if known else None
    return Side(one.factor + other.factor, bias[..., None], own)


def predict(
    params: Params,
    user: Int[Array, " n"],
    item: Int[Array, " n"],
    context: Int[Array, " n"] | None = None,
) -> Float[Array, " n"]:
    """E[r_ui | theta] = mu + b_u + c_i + U_u . V_i for each pair, or E[r_uit | theta]."""
    users, items = rows_at(params.user, user), rows_at(params.item, item)
    if context is not None:
        assert params.context is not None
        items = met(items, rows_at(params.context, context))
    bias = users.bias.sum(-1) + items.bias.sum(-1)
    return params.mu + bias + jnp.sum(users.factor * items.factor, -1)


def misfit(
    params: Params, ratings: Ratings, tau: Float[Array, ""], likelihood: Likelihood = GAUSSIAN
) -> Float[Array, ""]:
    """What the likelihood's density depends on, see there: sum (r_ui - E[r_ui | theta])^2."""
    mean = predict(params, ratings.user, ratings.item)
    weight = noise_precision(params, ratings.user, ratings.item)
    return likelihood.misfit(ratings.value, mean, tau, weight)


def log_likelihood(
    params: Params, ratings: Ratings, tau: Float[Array, ""], likelihood: Likelihood = GAUSSIAN
) -> Float[Array, ""]:
    """log p(R | theta, tau), normalised."""
    total = misfit(params, ratings, tau, likelihood)
    weight = noise_precision(params, ratings.user, ratings.item)
    log_weight = None if weight is None else jnp.sum(jnp.log(weight))
    return likelihood.log_density(Residuals(total, ratings.value.shape[0], log_weight), tau)


def log_gaussian(w: Float[Array, "n d"], gaussian: Gaussian) -> Float[Array, ""]:
    """sum_j log N(w_j | mean, inv(weight_j precision)), normalised."""
    n, d = w.shape
    L = jnp.linalg.cholesky(gaussian.precision)  # Lambda = L L^T
    weight = jnp.broadcast_to(gaussian.weight, (n,))
    squares = weight * jnp.sum(jnp.matmul(w - gaussian.mean, L, precision="highest") ** 2, -1)
    log_det = d * jnp.log(weight) + 2 * jnp.sum(jnp.log(jnp.diagonal(L)))
    return 0.5 * jnp.sum(log_det - d * LOG_2PI - squares)


def log_prior(params: Params, prior: Prior) -> Float[Array, ""]:
    """log p(U, b, V, c | prior), normalised."""
    density = log_gaussian(joined(params.user), prior.user)
    density += log_gaussian(joined(params.item), prior.item)
    if params.context is not None and prior.context is not None:
        density += log_gaussian(joined(params.context), prior.context)
    return density


def log_posterior(
    params: Params, prior: Prior, ratings: Ratings, likelihood: Likelihood = GAUSSIAN
) -> Float[Array, ""]:
    """log p(R, U, b, V, c | tau, prior): the log posterior up to the constant log p(R)."""
    return log_likelihood(params, ratings, prior.tau, likelihood) + log_prior(params, prior)


def sample_gaussian(key: Key[Array, ""], gaussian: Gaussian, n: int) -> Float[Array, "n d"]:
    """n rows from N(mean, inv(weight_j precision))."""
    d = gaussian.mean.shape[-1]
    epsilon = jax.random.normal(key, (n, d), gaussian.mean.dtype)
    L = jnp.linalg.cholesky(gaussian.precision)
    w = jax.scipy.linalg.solve_triangular(L, epsilon.T, lower=True, trans=1).T
    return gaussian.mean + w / jnp.sqrt(jnp.broadcast_to(gaussian.weight, (n,)))[:, None]


def sample_params(
    key: Key[Array, ""],
    prior: Prior,
    terms: Terms,
    mu: Float[Array, ""],
    num_users: int,
    num_items: int,
) -> Params:
    """theta from the prior, for so many rows."""
    key_user, key_item = jax.random.split(key)
    return Params(
        split_row(sample_gaussian(key_user, prior.user, num_users), terms.rank),
        split_row(sample_gaussian(key_item, prior.item, num_items), terms.rank),
        mu,
    )


def row_epsilon(
    key: Key[Array, ""], row: Int[Array, " n"] | None, shape: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, "n d"]:
    """N(0, 1) numbers of `shape` (n, d), each row's drawn by its number (default: its position).

    So neither the order of the rows nor the device that owns one can change a result.
    """
    n, d = shape
    keys = row_keys(key, row, n)
    return jax.vmap(lambda key: jax.random.normal(key, (d,), dtype))(keys)


def simulate(
    key: Key[Array, ""],
    params: Params,
    user: Int[Array, " n"],
    item: Int[Array, " n"],
    tau: Float[Array, ""],
    likelihood: Likelihood = GAUSSIAN,
    context: Int[Array, " n"] | None = None,
) -> Float[Array, " n"]:
    """Ratings drawn for each pair."""
    weight = noise_precision(params, user, item)
    precision = tau if weight is None else tau * weight
    return likelihood.draw(key, predict(params, user, item, context), precision)
