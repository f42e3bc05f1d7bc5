"""Features of a side's rows in their prior mean, and the draw of the coefficients on them.

They are of two kinds: what a row rated or was rated by (`RATED`), and what a user of the library
gives (`GIVEN`).

    w_j ~ N(m + B^T z_j, inv(Lambda)),    row p of B ~ N(0, inv(Lambda_B))

the model of Macau (Simm et al., "Macau: Scalable Bayesian factorization with high-dimensional side
information", MLSP 2017, eq. 5), whose B has the rows' Lambda times a number in place of a precision
of its own. Given the rows, B is drawn as a whole, by a draw from its prior that is moved by what
the rows say (Matheron's rule; in Macau "noise injection"):

    B0 ~ the prior,   e_j ~ N(0, inv(Lambda)),   R = W - m - Z B0 - e
    B = B0 + E[B | W - m = R]

In columns turned by T, T^T Lambda_B T = I and T^T Lambda T = diag(D), the columns of B are
independent, and the expectation solves (Z^T Z + I / D_c) B_c = Z^T R_c. The eigenvectors of the
smaller of Z^T Z and Z Z^T, which never change, make that exact for any D.

Rows and features draw by their numbers, so neither's order changes a draw.

A row without ratings may have no features either, as one that nobody has rated yet has not been
rated by anybody. It is not an average row: it is a row of which z is not known, and is drawn about
the mean with the spread that features have over the others.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float, Int, Key

from pmf.errors import InputError
from pmf.model.density import row_epsilon
from pmf.types import Array, Gaussian, Ratings, Regression

RATED, GIVEN = "rated", "given"
MOST_AXES = 6000  # of the smaller side: their eigenvectors take a minute, once
MOST_NUMBERS = 1 << 28  # of features of rows: 1 GB, twice


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


class RowFeatures(NamedTuple):
    """Z, less its rows' mean, and the spectral decomposition of its smaller Gram matrix.

    A row without features is 0. What is multiplied from both sides is here twice: a CPU would turn
    it in each sweep.
    """

    Z: Float[Array, "n q"]
    Z_T: Float[Array, "q n"]
    known: Bool[Array, " n"]  # which rows have features
    centre: Float[Array, " q"]  # the rows' mean, which was taken away
    vectors: Float[Array, "g g"]  # of Z Z^T where n <= q, else of Z^T Z
    vectors_T: Float[Array, "g g"]
    values: Float[Array, " g"]

    def shift(self, B: Float[Array, "q d"]) -> Float[Array, "n d"]:
        """What coefficients add to each row's mean."""
        return _product(self.Z, B)


class Features(NamedTuple):
    """Those of each side's rows, by kind."""

    user: dict[str, RowFeatures] = {}
    item: dict[str, RowFeatures] = {}


def row_features(
    Z: Float[np.ndarray, "n q"], has_features: Bool[np.ndarray, " n"], what: str = "features"
) -> RowFeatures:
    """Features for the sampler; `Z` is overwritten. Raises `InputError` where they are too many."""
    n, q = Z.shape
    _check_size(n, q, what)
    centre = Z[has_features].mean(0) if has_features.any() else np.zeros(q, Z.dtype)
    Z -= centre
    Z[~has_features] = 0
    gram = Z @ Z.T if n <= q else Z.T @ Z
    values, vectors = scipy.linalg.eigh(gram.astype(float), overwrite_a=True, driver="evd")
    vectors, values = vectors.astype(Z.dtype), np.maximum(values, 0).astype(Z.dtype)
    arrays = Z, Z.T, has_features, centre, vectors, vectors.T, values
    return RowFeatures(*(jnp.asarray(np.ascontiguousarray(x)) for x in arrays))


def _check_size(n: int, q: int, what: str) -> None:
    if min(n, q) > MOST_AXES or n * q > MOST_NUMBERS:
        raise InputError(
            f"{what}: {n:,} rows with {q:,} features; the smaller number may be {MOST_AXES:,}, and "
            f"their product {MOST_NUMBERS:,}"
        )


def rated_features(
    row: Int[np.ndarray, " m"], col: Int[np.ndarray, " m"], num_rows: int, num_cols: int
) -> RowFeatures:
    """What a side's rows rated, or were rated by: 1 / sqrt(n_j) for each of row j's n_j ratings.

    So the prior mean of a user has the implicit feedback of SVD++ (Koren, KDD 2008, eq. 15). A row
    without ratings has no features.
    """
    _check_size(num_rows, num_cols, "implicit")
    count = np.bincount(row, minlength=num_rows)
    Z = np.zeros((num_rows, num_cols), np.float32)
    Z[row, col] = 1 / np.sqrt(count[row])
    return row_features(Z, count > 0, "implicit")


def all_features(
    ratings: Ratings,
    num_users: int,
    num_items: int,
    implicit: Collection[str],
    given: Mapping[str, np.ndarray],
) -> Features:
    """What rows of the sides `implicit` rated, or were rated by, and the `given` ones of each side.

    Raises `InputError` where a side has many, and many rows.
    """
    user, item = np.asarray(ratings.user), np.asarray(ratings.item)
    sides: dict[str, dict[str, RowFeatures]] = {"user": {}, "item": {}}
    if "user" in implicit:
        sides["user"][RATED] = rated_features(user, item, num_users, num_items)
    if "item" in implicit:
        sides["item"][RATED] = rated_features(item, user, num_items, num_users)
    for side, table in given.items():
        sides[side][GIVEN] = row_features(table.copy(), is_given(table), f"{side} features")
    return Features(**sides)


def is_given(table: Float[np.ndarray, "n q"]) -> Bool[np.ndarray, " n"]:
    """Of which rows something is known: the others' features are all 0."""
    known: Bool[np.ndarray, " n"] = np.any(table != 0, axis=1)
    return known


def sample_regression(
    key: Key[Array, ""],
    features: RowFeatures,
    w: Float[Array, "n d"],
    gaussian: Gaussian,
    precision: Float[Array, "d d"],
    row: Int[Array, " n"] | None,
    column: Int[Array, " q"] | None,
) -> tuple[Regression, Float[Array, "n d"]]:
    """B given rows w, and what it adds to each row's mean.

    `gaussian` is the rows' prior without it, `precision` that of B's rows. Rows and features have
    the numbers `row` and `column` (default: their positions).
    """
    (n, q), Z_T = features.Z.shape, features.Z_T
    key_prior, key_rows = jax.random.split(key)
    L, L_B = jnp.linalg.cholesky(gaussian.precision), jnp.linalg.cholesky(precision)
    B = _spread(L_B, row_epsilon(key_prior, column, (q, w.shape[1]), w.dtype))
    e = _spread(L, row_epsilon(key_rows, row, w.shape, w.dtype))
    shift = features.shift(B)
    residual = w - gaussian.mean - shift - e

    # R = residual inv(T)^T, with T = inv(L_B)^T V for inv(L_B) Lambda inv(L_B)^T = V diag(D) V^T
    half = solve_triangular(L_B, gaussian.precision, lower=True)
    D, V = jnp.linalg.eigh(solve_triangular(L_B, half.T, lower=True))
    R = _product(residual, _product(L_B, V))
    ridge = features.values[:, None] + 1 / D

    def solved(x: Float[Array, "g d"]) -> Float[Array, "g d"]:
        return _product(features.vectors, _product(features.vectors_T, x) / ridge)

    T = solve_triangular(L_B, V, lower=True, trans=1)
    if n <= q:
        weights = solved(R)
        B += _product(_product(Z_T, weights), T.T)
        shift += _product(R - weights / D, T.T)  # Z Z^T times the weights, without a product
    else:
        B += _product(solved(_product(Z_T, R)), T.T)
        shift = features.shift(B)
    spread = _product(shift.T, shift) / jnp.maximum(jnp.sum(features.known), 1)
    return Regression(B, _product(features.centre, B), precision, spread), shift


def unknown_shift(
    key: Key[Array, ""],
    features: RowFeatures,
    spread: Float[Array, "d d"],
    row: Int[Array, " n"] | None,
) -> Float[Array, "n d"]:
    """What features would add to rows of which they are not known: N(0, spread); 0 to others."""
    (n, _), d = features.Z.shape, len(spread)
    jitter = 1e-6 * jnp.trace(spread) / max(d, 1) + 1e-12  # few rows' spread is singular
    root = jnp.linalg.cholesky(spread + jitter * jnp.eye(d, dtype=spread.dtype))
    epsilon = row_epsilon(key, row, (n, d), spread.dtype)
    return jnp.where(features.known[:, None], 0, _product(epsilon, root.T))


def _spread(L: Float[Array, "d d"], epsilon: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows N(0, inv(L L^T)) from rows N(0, I)."""
    return _product(epsilon, solve_triangular(L, jnp.eye(len(L), dtype=L.dtype), lower=True))
