"""Gibbs sampling: Bayesian PMF with biases.

A sweep draws, in turn, each side's row prior given its rows, then its rows given the other side,
their noise precisions given their ratings' residuals, and last the rating precision tau given all
residuals (Salakhutdinov & Mnih, ICML 2008, section 3.3; biases join their row's draw; noise of
rows' own: Lakshminarayanan, Bouchard & Archambeau, AISTATS 2011; features in the prior mean: see
`pmf.inference.row_features`). Every draw is from a full conditional, so the sweep leaves the
posterior invariant: `tests/inference/test_exactness.py` proves it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from pmf.inference.base import Algorithm, initial_params, unit_prior, update_side
from pmf.inference.layout import Data
from pmf.inference.row_features import RATED, RowFeatures, sample_regression, unknown_shift
from pmf.model.density import joined, log_prior, row_epsilon, with_rows
from pmf.model.hyperpriors import (
    NormalWishart,
    RowNoise,
    row_gammas,
    sample_noise_precisions,
    sample_precision,
    sample_row_prior,
)
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.types import Gaussian, Params, Prior, Regression, Side, Terms

START_SCALE = 1.0  # forgets its start sooner than a small one
START_SHAPE = 2.0  # of rows' noise precisions: all alike would take long to part
UNKNOWN = 2**31 - 2  # as `NOISE`, and one less for each further kind of features
NOISE = 2**31 - 1  # what the key of rows' noise precisions folds in: no row has this number


class Hyperprior(NamedTuple):
    """Each side's Normal-Wisharts, which own its (factor, bias) columns in order.

    The likelihood holds the prior of its own parameters. A side's rows have noise precisions of
    their own where they have a prior; None: 1 for all. The coefficients on a side's features have
    the Wisharts of its rows, and the mean 0.
    """

    user: tuple[NormalWishart, ...]
    item: tuple[NormalWishart, ...]
    likelihood: Likelihood = GAUSSIAN
    user_noise: RowNoise | None = None
    item_noise: RowNoise | None = None


class State(NamedTuple):
    """Of rows without ratings it has in `added` what features that are not known of them add."""

    params: Params
    prior: Prior
    user_added: Float[Array, "users d"] | None = None
    item_added: Float[Array, "items d"] | None = None


class Info(NamedTuple):
    log_posterior: Float[Array, ""]  # of the rows given this sweep's prior
    tau: Float[Array, ""]


def gibbs(hyperprior: Hyperprior, terms: Terms, mu: float, tau: float) -> Algorithm:
    """The sampler; `tau` is the rating precision it starts from, or keeps."""

    def init(key: Key[Array, ""], data: Data) -> State:
        dtype = hyperprior.user[0].mean.dtype
        prior = unit_prior(terms, tau, dtype)
        prior = prior._replace(
            user=_with_regressions(prior.user, data.features.user),
            item=_with_regressions(prior.item, data.features.item),
        )
        params = initial_params(key, prior, terms, mu, data, START_SCALE)
        params = _with_noise(jax.random.fold_in(key, NOISE), params, hyperprior, data)
        return State(params, prior, *_nothing_added(params, data))

    return Algorithm(init, Partial(_step, hyperprior), hyperprior.likelihood)


def _step(
    hyperprior: Hyperprior, key: Key[Array, ""], state: State, data: Data
) -> tuple[State, Info]:
    """One sweep."""
    params, prior, user_added, item_added = state
    key_user_prior, key_user, key_item_prior, key_item, key_tau = jax.random.split(key, 5)
    user = "user", key_user_prior, key_user, user_added
    params, users, of_users, _, user_added = _draw_side(*user, hyperprior, params, prior, data)
    prior = prior._replace(user=users)
    item = "item", key_item_prior, key_item, item_added
    params, items, of_items, error, item_added = _draw_side(*item, hyperprior, params, prior, data)
    prior = prior._replace(item=items)
    if (beta := params.item.noise_precision) is not None:
        error = beta * error

    likelihood = hyperprior.likelihood
    residuals = data.residuals(error, params)
    prior = prior._replace(tau=likelihood.augment(key_tau, residuals, prior.tau))
    density = likelihood.log_density(residuals, prior.tau)
    density += log_prior(params, Prior(prior.tau, of_users, of_items))
    return State(params, prior, user_added, item_added), Info(density, prior.tau)


def _draw_side(
    side: str,
    key_prior: Key[Array, ""],
    key_rows: Key[Array, ""],
    added: Float[Array, "n d"] | None,
    hyperprior: Hyperprior,
    params: Params,
    prior: Prior,
    data: Data,
) -> tuple[Params, Gaussian, Gaussian, Float[Array, " n"], Float[Array, "n d"] | None]:
    """The prior of one side's rows, the rows, and their noise precisions.

    Also returns the prior as the rows see it, each with its own mean where it has features, each
    row's squared error, and what was added to rows without ratings.
    """
    noise, w = getattr(hyperprior, f"{side}_noise"), joined(getattr(params, side))
    w = w if added is None else w - added
    row, count = getattr(data, f"{side}_row"), getattr(data, f"{side}_count")
    gaussian, shift = _row_prior(side, key_prior, hyperprior, getattr(prior, side), w, data)
    seen = gaussian if shift is None else Gaussian(gaussian.mean + shift, *gaussian[1:3])
    epsilon = row_epsilon(key_rows, row, w.shape, w.dtype)
    params, error = update_side(side, params, prior._replace(**{side: seen}), data, epsilon)
    if noise is not None:
        rows = getattr(params, side)
        precision = _noise(key_rows, noise, rows, count, prior.tau * error, row)
        params = params._replace(**{side: rows._replace(noise_precision=precision)})
    if added is not None:
        added = jnp.zeros_like(w)
        for j, (kind, features) in enumerate(getattr(data.features, side).items()):
            key = jax.random.fold_in(key_rows, UNKNOWN - j)
            added += unknown_shift(key, features, gaussian.regressions[kind].spread, row)
        added = jnp.where(count[:, None] > 0, 0, added)
        rows = getattr(params, side)
        params = params._replace(**{side: with_rows(rows, joined(rows) + added)})
        seen = seen._replace(mean=seen.mean + added)
    return params, gaussian, seen, error, added


def _row_prior(
    side: str,
    key: Key[Array, ""],
    hyperprior: Hyperprior,
    gaussian: Gaussian,
    w: Float[Array, "n d"],
    data: Data,
) -> tuple[Gaussian, Float[Array, "n d"] | None]:
    """The prior of one side's rows given them, and what features add to the mean of each.

    The coefficients are drawn first, one kind of features after another, and given them the rest:
    so with one kind the last sweep's coefficients have no part.
    """
    hypers, features = getattr(hyperprior, side), getattr(data.features, side)
    if not features:
        return sample_row_prior(key, hypers, w), None
    row, rated = data.user_row, data.item_row
    if side == "item":
        row, rated = rated, row
    regressions = dict(gaussian.regressions)
    # Those of the first are drawn anew before they are asked for.
    shifts = {x: features[x].shift(regressions[x].coefficients) for x in [*features][1:]}
    for kind, table in features.items():
        key, key_regression, key_precision = jax.random.split(key, 3)
        rest = w - sum(shift for other, shift in shifts.items() if other != kind)
        given = table, rest, gaussian, regressions[kind].precision
        numbers = row, rated if kind == RATED else None
        regression, shifts[kind] = sample_regression(key_regression, *given, *numbers)
        precision = sample_precision(key_precision, hypers, regression.coefficients)
        regressions[kind] = regression._replace(precision=precision)
    shift = sum(shifts.values())
    drawn = sample_row_prior(key, hypers, w - shift)
    return drawn._replace(regressions=regressions), shift


def _noise(
    key: Key[Array, ""],
    noise: RowNoise,
    side: Side,
    count: Int[Array, " n"],
    misfit: Float[Array, " n"],
    row: Int[Array, " n"] | None,
) -> Float[Array, " n"]:
    """A side's next noise precisions, by a key that none of its rows' draws had."""
    assert side.noise_precision is not None
    key = jax.random.fold_in(key, NOISE)
    return sample_noise_precisions(key, noise, side.noise_precision, count, misfit, row)


def _with_regressions(gaussian: Gaussian, features: dict[str, RowFeatures]) -> Gaussian:
    """`gaussian` with coefficients of 0, whose precision is that of the rows."""
    mean, precision, dtype = gaussian.mean, gaussian.precision, gaussian.mean.dtype
    zeros = {x: jnp.zeros((len(y.centre), len(mean)), dtype) for x, y in features.items()}
    return gaussian._replace(
        regressions={x: Regression(y, mean, precision, 0 * precision) for x, y in zeros.items()}
    )


def _nothing_added(params: Params, data: Data) -> tuple[Float[Array, "n d"] | None, ...]:
    """To each side's rows; None where the side has no features."""
    sides = (params.user, data.features.user), (params.item, data.features.item)
    return tuple(jnp.zeros_like(joined(side)) if features else None for side, features in sides)


def _with_noise(key: Key[Array, ""], params: Params, hyperprior: Hyperprior, data: Data) -> Params:
    """`params` with a first noise precision for every row that is to have one of its own."""

    def first(
        key: Key[Array, ""], side: Side, noise: RowNoise | None, row: Int[Array, " n"] | None
    ) -> Side:
        if noise is None:
            return side
        shape = jnp.full(side.factor.shape[0], START_SHAPE, side.factor.dtype)
        return side._replace(noise_precision=row_gammas(key, shape, row) / START_SHAPE)

    key_user, key_item = jax.random.split(key)
    return params._replace(
        user=first(key_user, params.user, hyperprior.user_noise, data.user_row),
        item=first(key_item, params.item, hyperprior.item_noise, data.item_row),
    )
