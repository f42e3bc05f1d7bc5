"""The posterior of one row in expectation over the other side's: what variational Bayes sweeps by.

With q(V_i, c_i) = N(mean, cov) for the other side, row u's best Gaussian has, in the notation of
`pmf.inference.row_update`,

    P = Lambda + tau sum_i w_ui E[x_i x_i^T],    h = Lambda m + tau sum_i w_ui E[x_i y_ui]

(Lim & Teh, "Variational Bayesian approach to movie rating prediction", KDD Cup 2007, eq. 13-17;
biases join their row). With the augmented design row a_i = (x_i, y_ui) both are blocks of

    G = sum_i w_ui (E[a_i] E[a_i]^T + cov[a_i]),

so all that is new to a half-sweep is one sum of covariances. q(w_u) = N(inv(P) h, S) has
S = inv(P), or, where it is held diagonal, S = inv(diag(P)), each the best of its kind. The expected
squared error of the row is (w, -1)^T G (w, -1) + tr(G_xx S).
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax.lax.linalg import cholesky, triangular_solve
from jaxtyping import Array, Float

from pmf.inference.row_update import Layout, Update, solve_factored
from pmf.types import Side


class RowPosteriors(NamedTuple):
    """q of one side's rows. A covariance is its upper triangle by rows, or its diagonal."""

    mean: Float[Array, "n d"]
    covariance: Float[Array, "n q"]
    error: Float[Array, " n"]  # (w, -1)^T G (w, -1) of each row
    trace: Float[Array, " n"]  # tr(G_xx S)
    log_det: Float[Array, " n"]  # log |S|


@runtime_checkable
class ExpectedLayout(Layout, Protocol):
    """One that can update in expectation too: what variational Bayes needs."""

    def posterior(
        self, inputs: Update, spread: Float[Array, "n1 q1"], covariance: Float[Array, "n q"]
    ) -> RowPosteriors:
        """The same in expectation over the other side, whose `spread` is, with each row's new
        covariance: of the kind of the given one.
        """

    def weighted(self, weight: Float[Array, " n1"]) -> "ExpectedLayout":
        """The same ratings, each times the weight of its column."""


def triangle_size(d: int) -> int:
    """Numbers in the upper triangle of a (d, d) matrix."""
    return d * (d + 1) // 2


def is_whole(covariance: Float[Array, "n q"], d: int) -> bool:
    """Whether (d, d) covariances are whole, and not diagonal; with one number it is the same."""
    return covariance.shape[-1] > d


def unpacked(packed: Float[Array, "*n q"], d: int) -> Float[Array, "*n d d"]:
    """Covariances as symmetric matrices."""
    if packed.shape[-1] == d:
        return packed[..., None] * jnp.eye(d, dtype=packed.dtype)
    return packed[..., _places(d)]


def _places(d: int) -> np.ndarray:
    """Where a (d, d) matrix has its numbers in its packed upper triangle."""
    place = np.zeros((d, d), np.int32)
    place[np.triu_indices(d)] = np.arange(triangle_size(d))
    return np.maximum(place, place.T)


def packed(matrix: Float[Array, "*n d d"]) -> Float[Array, "*n q"]:
    """The upper triangles of symmetric matrices, by rows."""
    return matrix[(..., *np.triu_indices(matrix.shape[-1]))]


def variances(covariance: Float[Array, "n q"], d: int) -> Float[Array, "n d"]:
    """The diagonals of covariances."""
    return covariance[:, np.diag(_places(d))] if is_whole(covariance, d) else covariance


def spread(other: Side, covariance: Float[Array, "n q"], num_bias: int) -> Float[Array, "n1 q1"]:
    """The covariance of each augmented design row (x_i, y_ui), for the side with `num_bias`.

    The constant in x_i has none, and y_ui = r - mu - c_i has that of -c_i. A last row of zeros
    stands for padded cells.
    """
    rank, other_bias = other.factor.shape[-1], other.bias.shape[-1]
    own = rank + other_bias
    # Where each augmented column comes from, own for nowhere, and its sign.
    source = np.array([*range(rank), *[own] * num_bias, rank if other_bias else own])
    sign = np.array([1.0] * (rank + num_bias) + [-1.0])
    table = jnp.pad(covariance, ((0, 1), (0, 1)))
    if not is_whole(covariance, own):
        return table[:, source]
    rows, columns = np.triu_indices(len(source))
    place = np.pad(_places(own), (0, 1), constant_values=triangle_size(own))
    signs = jnp.asarray(sign[rows] * sign[columns], covariance.dtype)
    return table[:, place[source[rows], source[columns]]] * signs


def posterior_rows(
    G: Float[Array, "b d1 d1"],
    precision: Float[Array, "d d"],
    shift: Float[Array, " d"],
    weight: Float[Array, " b"],
    tau: Float[Array, ""],
    whole: bool,
) -> RowPosteriors:
    """The best Gaussian of each row, from its expected Gram matrix and Lambda, Lambda m."""
    d = precision.shape[-1]
    P = weight[:, None, None] * precision + tau * G[:, :d, :d]
    h = weight[:, None] * shift + tau * G[:, :d, d]
    L = cholesky(P, symmetrize_input=False)
    w = solve_factored(L, h, jnp.zeros((1, d), P.dtype))
    if whole:
        unit = jnp.broadcast_to(jnp.eye(d, dtype=P.dtype), P.shape)
        root = triangular_solve(L, unit, left_side=True, lower=True)
        S = jnp.einsum("bki,bkj->bij", root, root, precision="highest")
        log_det = -2 * jnp.sum(jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)), -1)
        covariance, trace = packed(S), jnp.sum(G[:, :d, :d] * S, (-2, -1))
    else:
        diagonal = jnp.diagonal(P, axis1=-2, axis2=-1)
        covariance, log_det = 1 / diagonal, -jnp.sum(jnp.log(diagonal), -1)
        trace = jnp.sum(jnp.diagonal(G, axis1=-2, axis2=-1)[:, :d] * covariance, -1)
    a = jnp.concatenate([w, -jnp.ones_like(w[:, :1])], -1) if d else -jnp.ones((len(G), 1), P.dtype)
    squares = jnp.einsum("bi,bij,bj->b", a, G, a, precision="highest")
    return RowPosteriors(w, covariance, squares, trace, log_det)
