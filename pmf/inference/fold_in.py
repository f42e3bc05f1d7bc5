"""New rows for a fitted model without a refit: the full conditional of each, given the other side.

    w ~ N(mean, covariance),   covariance = inv(P),   mean = inv(P) h

with P and h of `pmf.inference.row_update`, under each draw of the other side, the prior and tau.
For a point estimate that is the row an ALS update gives, with its uncertainty. For a sampler the
mixture over draws is the new row's posterior, but that the draws do not know the new ratings
themselves: one row more or less hardly moves what all others taught. Where rows have noise
precisions of their own, a new one's is its mode under its Gamma, found with the row's mean: one
over the mean of its inverse, by which its ratings' variance grows.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Float, Int

from pmf.data.histories import Rated
from pmf.inference.blocks import cells_held, padded
from pmf.inference.row_features import GIVEN, RATED, is_given
from pmf.inference.row_update import potentials
from pmf.model.priors import Growth
from pmf.process.programs import forget, piece, program
from pmf.types import Array, Gaussian, Side

CELLS = 1 << 23  # numbers of gathered rows at a time
LEAST_WIDTH = 8
NOISE_STEPS = 10  # to a row's own noise precision


class RowPosterior(NamedTuple):
    """The conditional of each new row under each draw."""

    mean: Float[Array, "s n d"]
    covariance: Float[Array, "s n d d"]
    noise_precision: Float[Array, "s n"] | None = None


class Conditioning(NamedTuple):
    """What new rows are conditioned on: a stack of draws."""

    other: Side  # the side that they rated, or were rated by
    mu: Float[np.ndarray, " s"]
    tau: Float[np.ndarray, " s"]
    prior: Gaussian  # of a row with one rating; fields have the leading axis s
    growth: Growth  # of a row's precision with its number of ratings
    num_bias: int  # width of the new rows' bias
    noise_shape: Float[np.ndarray, " s"] | None = None  # of the prior of rows' noise precisions

    def features(self, rows: np.ndarray) -> np.ndarray:
        """x = (V, 1) of some of the other side's rows, (s, *rows, d)."""
        factor = np.asarray(self.other.factor)[:, rows]
        ones = np.ones((*factor.shape[:-1], self.num_bias), factor.dtype)
        return np.concatenate([factor, ones], -1)

    def offsets(self, rows: np.ndarray) -> np.ndarray:
        """mu + c of some of the other side's rows, (s, *rows)."""
        bias = np.asarray(self.other.bias)[:, rows].sum(-1)
        return np.asarray(bias + np.asarray(self.mu).reshape(-1, *[1] * rows.ndim))

    def noise_precisions(self, rows: np.ndarray) -> np.ndarray:
        """Those of some of the other side's rows, (s, *rows); (1, *rows) where all are 1."""
        precision = self.other.noise_precision
        if precision is None:
            return np.ones((1, *rows.shape), self.tau.dtype)
        return np.asarray(precision)[:, rows]

    def means_given(self, features: np.ndarray | None) -> np.ndarray:
        """The prior means of rows with the given features (n, q), 0 where nothing is known of one:
        (s, n, d); without any (s, 1, d).
        """
        mean = np.asarray(self.prior.mean)[:, None]
        if features is None:
            return mean
        B, offset, *_ = map(np.asarray, self.prior.regressions[GIVEN])
        shift = (features @ B - offset[:, None]) * is_given(features)[:, None]
        means: np.ndarray = mean + shift
        return means

    def prior_means(
        self, rows: np.ndarray, is_cell: np.ndarray, given: np.ndarray | None = None
    ) -> np.ndarray:
        """The prior mean of new rows that rated, or were rated by, panels (n, w) of the other's,
        and have the `given` features (n, q), 0 where nothing is known: (s, n, d), or (s, d) where
        all rows have the same.
        """
        mean = self.means_given(given)
        if RATED not in self.prior.regressions:
            return mean[:, 0] if given is None else mean
        regression = self.prior.regressions[RATED]
        told = np.einsum("snwd,nw->snd", np.asarray(regression.coefficients)[:, rows], is_cell)
        count = is_cell.sum(-1)[:, None]
        shift = told / np.sqrt(np.maximum(count, 1)) - np.asarray(regression.offset)[:, None]
        means: np.ndarray = mean + shift * (count > 0)
        return means

    def weights(self, count: np.ndarray) -> np.ndarray:
        """The prior's weight of rows with these numbers of ratings."""
        weights: np.ndarray = self.growth.weights(np.maximum(count, 1).astype(float))
        return weights.astype(self.tau.dtype)


def posterior_of(
    conditioning: Conditioning, rated: Rated, features: np.ndarray | None = None
) -> RowPosterior:
    """The posterior of a row for each of `rated`, perhaps without any rating: then its prior.

    `features` are the rows' own, where those of the fit had some.
    """
    forget()
    num_rows = len(rated.pairs.start) - 1
    num_draws, d = len(conditioning.tau), conditioning.prior.mean.shape[-1]
    mean = np.empty((num_draws, num_rows, d), conditioning.tau.dtype)
    covariance = np.empty((num_draws, num_rows, d, d), conditioning.tau.dtype)
    noise = np.ones((num_draws, num_rows), conditioning.tau.dtype)
    for rows, prior_mean, x, y, weight, count in _panels(conditioning, rated, features):
        prior = conditioning.prior._replace(mean=prior_mean, regressions={})
        given = prior, weight, count, conditioning.tau, conditioning.noise_shape
        parts = (np.asarray(z)[:, : len(rows)] for z in _condition(x, y, *given))
        mean[:, rows], covariance[:, rows], noise[:, rows] = parts
    unrated = np.diff(rated.pairs.start) == 0
    for kind, regression in conditioning.prior.regressions.items():
        unknown = unrated
        if kind == GIVEN and features is not None:
            unknown = unrated & ~is_given(features[:num_rows])
        covariance[:, unknown] += np.asarray(regression.spread)[:, None]
    return RowPosterior(mean, covariance, None if conditioning.noise_shape is None else noise)


def _panels(
    conditioning: Conditioning, rated: Rated, features: np.ndarray | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Rows of like many ratings with their prior means, padded features and residuals.

    Widths are powers of two and heights powers of four: few programs serve requests of any size.
    """
    count = np.diff(rated.pairs.start)
    width = np.maximum(LEAST_WIDTH, 1 << np.ceil(np.log2(np.maximum(count, 1))).astype(int))
    d, num_draws = conditioning.prior.mean.shape[-1], len(conditioning.tau)
    for w in np.unique(width):
        alike = np.flatnonzero(width == w)
        n = piece(max(1, min(CELLS // (w * (d + 1) * num_draws), len(alike))))
        for begin in range(0, len(alike), n):
            rows = alike[begin : begin + n]
            ratings = rated.of(rows)
            is_cell = cells_held(count[rows], n, w)
            col = padded(ratings.item, is_cell, 0)
            value = padded(ratings.value.astype(float), is_cell, 0)
            root = np.sqrt(conditioning.noise_precisions(col)) * is_cell
            x = conditioning.features(col) * root[..., None]
            y = (value - conditioning.offsets(col)) * root
            weight, number = np.ones((2, n), conditioning.tau.dtype)
            weight[: len(rows)] = conditioning.weights(count[rows])
            number[: len(rows)] = count[rows]
            theirs = None
            if features is not None:
                theirs = np.pad(features[rows], ((0, n - len(rows)), (0, 0)))
            means = conditioning.prior_means(col, is_cell, theirs)
            panel = (z.astype(conditioning.tau.dtype) for z in (means, x, y))
            yield rows, *panel, weight, number


@program
def _condition(
    x: Float[Array, "s n w d"],
    y: Float[Array, "s n w"],
    prior: Gaussian,
    weight: Float[Array, " n"],
    count: Float[Array, " n"],
    tau: Float[Array, " s"],
    noise_shape: Float[Array, " s"] | None,
) -> tuple[Float[Array, "s n d"], Float[Array, "s n d d"], Float[Array, "s n"]]:
    """Rows' means, covariances and noise precisions, 1 where none are to be found.

    x and y are times the roots of the other side's noise precisions.
    """

    def given(
        x: Float[Array, "n w d"],
        y: Float[Array, "n w"],
        prior: Gaussian,
        tau: Float[Array, ""],
        alpha: Float[Array, " n"],
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d d"]]:
        P, h = potentials(x, y, prior, weight / alpha, tau)  # over alpha, see `half_sweep`
        factor = cho_factor(P)
        unit = jnp.broadcast_to(jnp.eye(P.shape[-1], dtype=P.dtype), P.shape)
        covariance = cho_solve(factor, unit) / alpha[:, None, None]
        return cho_solve(factor, h[..., None])[..., 0], covariance

    def one_draw(
        x: Float[Array, "n w d"],
        y: Float[Array, "n w"],
        prior: Gaussian,
        tau: Float[Array, ""],
        shape: Float[Array, ""] | None,
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d d"], Float[Array, " n"]]:
        def towards_mode(_: Int[Array, ""], alpha: Float[Array, " n"]) -> Float[Array, " n"]:
            mean, covariance = given(x, y, prior, tau, alpha)
            squares = jnp.sum((y - jnp.einsum("nwd,nd->nw", x, mean)) ** 2, -1)
            spread = jnp.einsum("nwd,nde,nwe->n", x, covariance, x)
            return (shape + count / 2 - 1) / (shape + tau * (squares + spread) / 2)

        alpha = jnp.ones_like(weight)
        if shape is not None:
            alpha = jax.lax.fori_loop(0, NOISE_STEPS, towards_mode, alpha)
        return *given(x, y, prior, tau, alpha), alpha

    return jax.vmap(one_draw)(x, y, prior, tau, noise_shape)


def sampled(posterior: RowPosterior, seed: int) -> Float[Array, "s n d"]:
    """One draw of each row under each draw of the rest."""
    mean, covariance = posterior.mean, posterior.covariance
    epsilon = np.random.default_rng(seed).standard_normal(mean.shape).astype(mean.dtype)
    return mean + np.einsum("snde,sne->snd", np.linalg.cholesky(covariance), epsilon)


def variances(
    x: Float[np.ndarray, "s p d"], covariance: Float[np.ndarray, "s d d"]
) -> Float[np.ndarray, " p"]:
    """x^T C x of one row's pairs, averaged over draws: what its own uncertainty adds."""
    total: np.ndarray = np.einsum("spd,sde,spe->p", x, covariance, x, optimize=True)
    return total / len(x)


def contributions(
    conditioning: Conditioning,
    rated: Rated,
    row: int,
    posterior: RowPosterior,
    item: int,
    features: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """What each of a row's ratings, and its prior, add to its factors' part of a prediction.

        V_i . U = (V_i, 0)^T inv(P) (Lambda m + tau sum_j w_j x_j y_j)

    averaged over draws, w_j of the noise precisions of both rows; the numbers add up to it. Where
    the prior mean knows what was rated, each rating has its share of that. `features` are those
    that were given of the rows.
    """
    (ratings, C) = rated.of(np.array([row])), posterior.covariance[:, row]
    rank = conditioning.other.factor.shape[-1]
    v = np.asarray(conditioning.other.factor)[:, item]  # (s, k)
    reach = np.einsum("sk,skd->sd", v, C[:, :rank])
    x, y = conditioning.features(ratings.item), ratings.value - conditioning.offsets(ratings.item)
    precision = _precisions(conditioning, posterior.noise_precision, row, ratings.item)
    each = np.einsum("sd,snd,sn,sn->n", reach, x, y, precision, optimize=True) / len(v)
    weight = conditioning.weights(np.array([len(ratings.value)]))[0]
    prior = conditioning.prior
    pull = np.einsum("sd,sde->se", reach, np.asarray(prior.precision)) * weight
    mean = conditioning.means_given(None if features is None else features[[row]])[:, 0]
    if RATED in prior.regressions and len(each):
        B, offset, *_ = map(np.asarray, prior.regressions[RATED])
        told = B[:, ratings.item] / np.sqrt(len(each))
        each += np.einsum("sd,snd->n", pull, told) / len(v)
        mean = mean - offset
    return each, float(np.einsum("sd,sd->", pull, mean) / len(v))


def _precisions(
    conditioning: Conditioning, own: Array | None, row: int, others: np.ndarray
) -> Float[np.ndarray, "s n"]:
    """The precisions of ratings of a row by, or of, others: tau times both noise precisions."""
    alpha = 1.0 if own is None else np.asarray(own)[:, row, None]
    precision: np.ndarray = np.asarray(conditioning.tau)[:, None] * alpha
    precision = precision * conditioning.noise_precisions(others)
    return precision


def variance_drop(
    conditioning: Conditioning,
    posterior: RowPosterior,
    row: int,
    others: np.ndarray,
    share: np.ndarray,
) -> Float[np.ndarray, " m"]:
    """How much a rating of each of `others` lowers the mean variance of a prediction of theirs.

        tau x_j^T C A C x_j / (1 + tau x_j^T C x_j),   A = sum_i share_i x_i x_i^T

    with tau times both rows' noise precisions. Exact, where those are known, and known before the
    rating is: a Gaussian's variance does not depend on it (the rank-one update of
    inv(P + tau x x^T); Sherman & Morrison 1950). Averaged over draws.
    """
    x, covariance = conditioning.features(others), posterior.covariance[:, row]
    A = np.einsum("smd,sme,m->sde", x, x, share, optimize=True)
    reach = np.einsum("sde,sme->smd", covariance, x)
    gained = np.einsum("smd,sde,sme->sm", reach, A, reach, optimize=True)
    variance = np.einsum("smd,smd->sm", x, reach)
    tau = _precisions(conditioning, posterior.noise_precision, row, others)
    drop: np.ndarray = np.mean(tau * gained / (1 + tau * variance), 0)
    return drop
