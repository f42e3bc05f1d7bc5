"""Gibbs sampling: Bayesian PMF with biases.

A sweep draws, in turn, each side's row prior given its rows, then its rows given the other side,
their noise precisions given their ratings' residuals; the same of the contexts (where ratings are
given in some, see `pmf.inference.contexts`); and last the rating precision tau given all residuals
(Salakhutdinov & Mnih, ICML 2008, section 3.3; biases join their row's draw; noise of
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
CONTEXT = 2**31 - 2  # what the contexts' keys fold in, of a sweep's own, by which no row draws
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
    context: tuple[NormalWishart, ...] = ()

    def noise(self, side: str) -> RowNoise | None:
        """That of a side's rows. Contexts have none of their own."""
        return {"user": self.user_noise, "item": self.item_noise}.get(side)


class State(NamedTuple):
    """In `added`, of each side with features, what is added to rows of which none are known."""

    params: Params
    prior: Prior
    added: dict[str, Float[Array, "n d"]] = {}


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
        state = State(params, prior, _nothing_added(params, data))
        return state if data.contexts is None else _with_contexts(key, state, terms, data)

    return Algorithm(init, Partial(_step, hyperprior), hyperprior.likelihood)


def _step(
    hyperprior: Hyperprior, key: Key[Array, ""], state: State, data: Data
) -> tuple[State, Info]:
    """One sweep."""
    key_user_prior, key_user, key_item_prior, key_item, key_tau = jax.random.split(key, 5)
    keys = {"user": (key_user_prior, key_user), "item": (key_item_prior, key_item)}
    if data.contexts is not None:
        keys["context"] = tuple(jax.random.split(jax.random.fold_in(key, CONTEXT)))
    seen, error = {}, jnp.zeros(())
    for side, (key_prior, key_rows) in keys.items():
        state, seen[side], error = _draw_side(side, key_prior, key_rows, hyperprior, state, data)

    params, tau, likelihood = state.params, state.prior.tau, hyperprior.likelihood
    residuals = data.residuals(error, params)
    tau = likelihood.augment(key_tau, residuals, tau)
    density = likelihood.log_density(residuals, tau) + log_prior(params, Prior(tau, **seen))
    return state._replace(prior=state.prior._replace(tau=tau)), Info(density, tau)


def _draw_side(
    side: str,
    key_prior: Key[Array, ""],
    key_rows: Key[Array, ""],
    hyperprior: Hyperprior,
    state: State,
    data: Data,
) -> tuple[State, Gaussian, Float[Array, " n"]]:
    """The prior of one side's rows, the rows, and their noise precisions.

    Also returns the prior as the rows see it, each with its own mean where it has features, and
    each row's squared error, weighted by all but tau.
    """
    (params, prior, added), (_, count, row, features) = state, data.of(side)
    w = joined(getattr(params, side))
    w = w - added[side] if features else w
    gaussian, shift = _row_prior(side, key_prior, hyperprior, getattr(prior, side), w, data)
    seen = gaussian if shift is None else Gaussian(gaussian.mean + shift, *gaussian[1:3])
    epsilon = row_epsilon(key_rows, row, w.shape, w.dtype)
    params, error = update_side(side, params, prior._replace(**{side: seen}), data, epsilon)
    rows: Side = getattr(params, side)
    if (noise := hyperprior.noise(side)) is not None:
        precision = _noise(key_rows, noise, rows, count, prior.tau * error, row)
        rows, error = rows._replace(noise_precision=precision), precision * error
    if features:
        own = jnp.zeros_like(w)
        for j, (kind, table) in enumerate(features.items()):
            key = jax.random.fold_in(key_rows, UNKNOWN - j)
            own += unknown_shift(key, table, gaussian.regressions[kind].spread, row)
        own = jnp.where(count[:, None] > 0, 0, own)
        rows, seen = with_rows(rows, joined(rows) + own), seen._replace(mean=seen.mean + own)
        added = added | {side: own}
    params, prior = params._replace(**{side: rows}), prior._replace(**{side: gaussian})
    return State(params, prior, added), seen, error


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
    hypers, (_, _, row, features) = getattr(hyperprior, side), data.of(side)
    if not features:
        return sample_row_prior(key, hypers, w), None
    rated = data.item_row if side == "user" else data.user_row
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


def _nothing_added(params: Params, data: Data) -> dict[str, Float[Array, "n d"]]:
    """To the rows of each side that has features."""
    sides = "user", "item"
    return {x: jnp.zeros_like(joined(getattr(params, x))) for x in sides if data.of(x).features}


def _with_contexts(key: Key[Array, ""], state: State, terms: Terms, data: Data) -> State:
    """`state` with a first row for every context: factors as those of the other sides, bias 0."""
    dtype, n = state.prior.tau.dtype, len(data.of("context").count)
    key = jax.random.fold_in(key, CONTEXT)
    factor = START_SCALE * row_epsilon(key, None, (n, terms.rank), dtype)
    gaussian = unit_prior(terms._replace(user_bias=True), 1.0, dtype).user
    return state._replace(
        params=state.params._replace(context=Side(factor, jnp.zeros((n, 1), dtype))),
        prior=state.prior._replace(context=gaussian),
    )


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
