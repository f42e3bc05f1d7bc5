"""Variational Bayes: a Gaussian for each row, and every precision learnt. Nothing is searched.

    q = prod_u N(w_u; mean, cov) prod_i N(w_i; mean, cov) prod_u Gamma(weight_u)

maximises a lower bound on the log marginal likelihood (the ELBO) one factor after another, rows by
the row update in expectation (`pmf.inference.row_posterior`; Lim & Teh, KDD Cup 2007). In closed
form with them:

    weight_u ~ Gamma(a + n_u / 2, a + tau E_u / 2)   of the precision weight_u tau of u's ratings
    lambda_c = rows / sum_j E[(w_jc - m_c)^2]        of each side's column: surplus ones die
    tau      = ratings / sum_u E[weight_u] E_u       E_u: user u's expected squared error

with m = 0 but for biases. Such weights are those of Lakshminarayanan, Bouchard & Archambeau,
"Robust Bayesian matrix factorisation" (AISTATS 2011).

What makes it quick is a rotation a sweep. Predictions keep their value under U A, V inv(A)^T for
any A. The bound is largest, over all A and the precisions together, where the second moments
C_U and C_V of both sides' factors are diagonal (Hadamard's inequality), and scaled alike:

    C_U = L L^T,  L^T C_V L = Q diag(s) Q^T,  A = inv(L)^T Q diag(s)^(1/4)

(the step of Luttinen & Ilin, "Transformations in variational Bayesian factor analysis to speed up
learning", Neurocomputing 2010, here in closed form for both sides). Without it a fit takes ten
times the sweeps. Covariances held diagonal do not stay so: they are cut, and the bound may fall;
so only the first sweeps rotate them.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma, gammaln
from jax.tree_util import Partial
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key

from pmf.inference.base import Algorithm, initial_params, unit_prior
from pmf.inference.layout import Data
from pmf.inference.row_posterior import (
    ExpectedLayout,
    RowPosteriors,
    is_whole,
    packed,
    spread,
    triangle_size,
    unpacked,
    variances,
)
from pmf.inference.row_update import Layout, Update, zero_epsilon
from pmf.model.density import joined, with_rows
from pmf.model.likelihood import LOG_2PI
from pmf.types import Gaussian, Params, Prior, Side, Terms

START_SCALE = 0.1
DIAGONAL_ROTATIONS = 10  # sweeps; each later cut would cost what the rotation gains
LEAST_VARIANCE = 1e-6  # of a residual, standardised: ratings that are fitted perfectly stay finite
LEAST_SHARE = 1e-7  # of the largest eigenvalue: what is below is rounding
TINY = 1e-30  # what precisions are divided by, at the least
ROWS = 4096  # whole covariances turned at a time

_matmul = partial(jnp.matmul, precision="highest")


class State(NamedTuple):
    params: Params  # the means
    prior: Prior
    user: Float[Array, "users q"]  # covariances, whole or diagonal: see `row_posterior`
    item: Float[Array, "items q"]
    step: Int[Array, ""]


class Info(NamedTuple):
    log_posterior: Float[Array, ""]  # in its place the ELBO, of the state before its rotation
    tau: Float[Array, ""]


def vb(
    terms: Terms, mu: float, noise_shape: float | None, whole: bool, dtype: DTypeLike = jnp.float32
) -> Algorithm:
    """Mean-field variational Bayes over rows.

    `noise_shape` is a, the shape and rate of the prior of users' weights; None gives all users the
    same noise. `whole` covariances are d (d + 1) / 2 numbers a row; others are held diagonal.
    """

    def init(key: Key[Array, ""], data: Data) -> State:
        def points(side: Side) -> Float[Array, "n q"]:
            n, d = joined(side).shape
            return jnp.zeros((n, triangle_size(d) if whole else d), dtype)

        prior = unit_prior(terms, 1.0, dtype)
        params = initial_params(key, prior, terms, mu, data, START_SCALE)
        covariances = points(params.user), points(params.item)
        if shape is not None:
            equal = jnp.ones(len(data.user_count), dtype)
            params = params._replace(user=params.user._replace(noise_precision=equal))
        return State(params, prior, *covariances, jnp.zeros((), jnp.int32))

    shape = None if noise_shape is None else jnp.asarray(noise_shape, dtype)
    return Algorithm(init, Partial(_step, shape))


def _step(
    noise_shape: Float[Array, ""] | None, key: Key[Array, ""], state: State, data: Data
) -> tuple[State, Info]:
    """One sweep. The key is unused: every update is exact."""
    params, prior, user_covariance, item_covariance, step = state
    rank, tau = params.user.factor.shape[-1], prior.tau
    rated_users, rated_items = data.user_count > 0, data.item_count > 0
    n = jnp.sum(data.user_count, dtype=tau.dtype)
    by_user, by_item = _in_expectation(data.by_user), _in_expectation(data.by_item)

    weight = params.user.noise_precision  # E[weight_u]
    if weight is None:
        weight = jnp.ones_like(data.user_count, tau.dtype)
    # A user's weight divides his prior's precision and his covariance: his cells need none.
    own = prior.user._replace(weight=1 / weight)
    sides = params.user, params.item, user_covariance, item_covariance
    users = _posterior(by_user, own, tau, params.mu, *sides)
    user_covariance = users.covariance / weight[:, None]
    user_log_det = users.log_det - users.mean.shape[-1] * jnp.log(weight)
    params = params._replace(user=with_rows(params.user, users.mean))
    prior = prior._replace(user=learnt(users.mean, user_covariance, rated_users, rank))
    bound = -_kl_learnt(prior.user, user_log_det, rated_users)

    if noise_shape is not None:
        squares = users.error + users.trace / weight
        weight, gains = user_weights(noise_shape, data.user_count, tau * squares)
        params = params._replace(user=params.user._replace(noise_precision=weight))
        by_item = by_item.weighted(weight)
        bound += jnp.sum(jnp.where(rated_users, gains, 0))

    sides = params.item, params.user, item_covariance, user_covariance
    items = _posterior(by_item, prior.item, tau, params.mu, *sides)
    params = params._replace(item=with_rows(params.item, items.mean))
    error = jnp.maximum(jnp.sum(items.error + items.trace), LEAST_VARIANCE * n)
    prior = prior._replace(
        tau=n / error, item=learnt(items.mean, items.covariance, rated_items, rank)
    )
    bound -= _kl_learnt(prior.item, items.log_det, rated_items)
    bound += 0.5 * n * (jnp.log(prior.tau) - LOG_2PI - 1)

    state = State(params, prior, user_covariance, items.covariance, step + 1)
    return _rotated(state, rated_users, rated_items), Info(bound, prior.tau)


def _posterior(
    rows: ExpectedLayout,
    prior: Gaussian,
    tau: Float[Array, ""],
    mu: Float[Array, ""],
    side: Side,
    other: Side,
    covariance: Float[Array, "n q"],
    other_covariance: Float[Array, "n1 q1"],
) -> RowPosteriors:
    """q of one side's rows given that of the other's."""
    inputs = Update(zero_epsilon(prior), prior, tau, mu, side, other)
    return rows.posterior(inputs, spread(other, other_covariance, side.bias.shape[-1]), covariance)


def user_weights(
    prior: Float[Array, ""], count: Int[Array, " users"], misfit: Float[Array, " users"]
) -> tuple[Float[Array, " users"], Float[Array, " users"]]:
    """E[weight_u], and what q(weight_u) adds to the bound; `misfit` is tau E_u."""
    shape, rate = prior + count / 2, prior + misfit / 2
    expected_log = digamma(shape) - jnp.log(rate)
    return shape / rate, 0.5 * count * expected_log - kl_gamma(shape, rate, prior)


def _in_expectation(rows: Layout) -> ExpectedLayout:
    if not isinstance(rows, ExpectedLayout):
        raise TypeError(f"{type(rows).__name__}: a layout without updates in expectation")
    return rows


def learnt(
    mean: Float[Array, "n d"], covariance: Float[Array, "n q"], rated: Bool[Array, " n"], rank: int
) -> Gaussian:
    """The prior with the largest bound given q of the rated rows: N(m, 1/lambda) of each column."""
    d, number = mean.shape[-1], jnp.sum(rated, dtype=mean.dtype)
    total = jnp.sum(jnp.where(rated[:, None], mean, 0), 0)
    m = jnp.where(jnp.arange(d) < rank, 0, total / number)
    squares = jnp.where(rated[:, None], (mean - m) ** 2 + variances(covariance, d), 0)
    precision = number / jnp.maximum(jnp.sum(squares, 0), TINY)
    return Gaussian(m, jnp.diag(precision), jnp.ones((), mean.dtype))


def _kl_learnt(
    gaussian: Gaussian, log_det: Float[Array, " n"], rated: Bool[Array, " n"]
) -> Float[Array, ""]:
    """KL(q || prior) of the rated rows, under the prior that is learnt from them.

    There the quadratic terms add up to d a row. An unrated row has its prior for q, and no part.
    """
    log_precision = jnp.sum(jnp.log(jnp.diagonal(gaussian.precision)))
    return -0.5 * jnp.sum(jnp.where(rated, log_precision + log_det, 0))


def kl_gamma(
    shape: Float[Array, " n"], rate: Float[Array, " n"], prior: Float[Array, ""]
) -> Float[Array, " n"]:
    """KL(Gamma(shape, rate) || Gamma(prior, prior))."""
    return (
        (shape - prior) * digamma(shape)
        - gammaln(shape)
        + gammaln(prior)
        + prior * (jnp.log(rate) - jnp.log(prior))
        + shape * (prior - rate) / rate
    )


def _rotated(state: State, rated_users: Array, rated_items: Array) -> State:
    """The state in its best basis, with the same predictions, and the priors learnt there."""
    params, prior = state.params, state.prior
    rank, d = params.user.factor.shape[-1], joined(params.user).shape[-1]
    if rank == 0:
        return state
    A, B = basis(
        _second_moment(params.user, state.user, rated_users),
        _second_moment(params.item, state.item, rated_items),
    )
    if not is_whole(state.user, d):
        unit = jnp.eye(rank, dtype=A.dtype)
        A, B = (jnp.where(state.step <= DIAGONAL_ROTATIONS, X, unit) for X in (A, B))
    user, user_covariance = _turned(params.user, state.user, A)
    item, item_covariance = _turned(params.item, state.item, B)
    return state._replace(
        params=params._replace(user=user, item=item),
        prior=prior._replace(
            user=learnt(joined(user), user_covariance, rated_users, rank),
            item=learnt(joined(item), item_covariance, rated_items, rank),
        ),
        user=user_covariance,
        item=item_covariance,
    )


def _second_moment(
    side: Side, covariance: Float[Array, "n q"], rated: Bool[Array, " n"]
) -> Float[Array, "k k"]:
    """The mean of E[U_u U_u^T] over rated rows."""
    rank, d = side.factor.shape[-1], joined(side).shape[-1]
    factor = jnp.where(rated[:, None], side.factor, 0)
    total = unpacked(jnp.sum(jnp.where(rated[:, None], covariance, 0), 0), d)[:rank, :rank]
    return (_matmul(factor.T, factor) + total) / jnp.sum(rated, dtype=factor.dtype)


def basis(
    C_U: Float[Array, "k k"], C_V: Float[Array, "k k"]
) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
    """A and inv(A)^T for which A^T C_U A and inv(A) C_V inv(A)^T are diagonal and equal."""
    scale = jnp.sqrt(jnp.diagonal(C_U))  # surplus columns are small: only like numbers are factored
    L = scale[:, None] * jnp.linalg.cholesky(C_U / jnp.outer(scale, scale))
    s, Q = jnp.linalg.eigh(_matmul(_matmul(L.T, C_V), L))
    s = jnp.maximum(s, LEAST_SHARE * s[-1]) ** 0.25
    return solve_triangular(L, Q, lower=True, trans=1) * s, _matmul(L, Q) / s


def _turned(
    side: Side, covariance: Float[Array, "n q"], X: Float[Array, "k k"]
) -> tuple[Side, Float[Array, "n q"]]:
    """One side's rows with factors times X, their covariances cut where they are diagonal."""
    rank, d = side.factor.shape[-1], joined(side).shape[-1]
    side = side._replace(factor=_matmul(side.factor, X))
    whole = jnp.eye(d, dtype=X.dtype).at[:rank, :rank].set(X)
    if not is_whole(covariance, d):
        return side, _matmul(covariance, whole**2)

    def turn(rows: Float[Array, " q"]) -> Float[Array, " q"]:
        return packed(_matmul(_matmul(whole.T, unpacked(rows, d)), whole))

    return side, jax.lax.map(turn, covariance, batch_size=ROWS)
