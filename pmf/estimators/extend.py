"""A fitted model with further users or items: new rows given the other side, and nothing refitted.

A refit would let the new ratings teach the other side too; here they teach their own rows alone.
"""

from collections.abc import Callable
from typing import Literal

import jax
import numpy as np
import pandas as pd

from pmf.data.frames import Encoded
from pmf.data.histories import Rated, rated_by_user
from pmf.data.ids import Ids, factorize, joined
from pmf.estimators.base import rated_of
from pmf.estimators.frames import fit_with_draws
from pmf.estimators.new_users import conditioning_of
from pmf.estimators.notices import known_alone
from pmf.fitting.fitted import Fitted
from pmf.inference.fold_in import posterior_of, sampled
from pmf.inference.row_features import RATED
from pmf.model.density import split_row
from pmf.types import Array, Gaussian, Prior, Ratings, Side

Which = Literal["user", "item"]
OTHER: dict[Which, Which] = {"user": "item", "item": "user"}


def extended(
    fitted: Fitted,
    table: pd.DataFrame,
    which: Which,
    seed: int,
    features_of: Callable[[str, Ids], np.ndarray | None],
) -> Fitted:
    """`fitted` with a row for each user (or item) of a checked frame of ratings, each pair once.

    `features_of` tells what is known of rows: `Model.given_features`.

    One that the model knows gets a new row in place of its own, from the ratings given here alone.
    A point estimate's row is its conditional's mean, a sampler's draws are drawn from it by `seed`.
    Raises `InputError` where the model did not keep its ratings.
    """
    rated = rated_of(fitted)
    ids = {"user": fitted.users, "item": fitted.items}
    source, fit = f"the new {which}s' ratings", fit_with_draws(fitted)
    row, names = factorize(table[f"{which}_id"], source)
    other = ids[OTHER[which]].codes(table[f"{OTHER[which]}_id"], source)
    known = known_alone(ids[OTHER[which]], other, source, OTHER[which])
    row, other = row[known], other[known]
    value = table["rating"].to_numpy()[known]

    by_row = rated_by_user(Ratings(row, other, value), len(names))
    given = features_of(which, Ids(names))
    posterior = posterior_of(conditioning_of(fit, which), by_row, given)
    w = sampled(posterior, seed) if len(fit.run.prior.tau) > 1 else posterior.mean
    place = ids[which].codes(pd.Series(names, name=f"{which}_id"), source)
    fresh = ids[which].unknown(place)
    place[fresh] = len(ids[which]) + np.arange(fresh.sum(), dtype=place.dtype)
    side: Side = getattr(fit.run.draws, which)
    new = split_row(w, side.factor.shape[-1])
    if side.noise_precision is not None:
        new = new._replace(noise_precision=posterior.noise_precision)
    grown = jax.tree.map(lambda old, new: _placed(old, new, place), side, new)
    ids[which] = Ids(joined(ids[which].values, names[fresh]))

    user, item = (place[row], other) if which == "user" else (other, place[row])
    ratings = _merged(rated, Ratings(user, item, value), which)
    draws = fit.run.draws._replace(**{which: grown})
    encoded = Encoded(ratings, ids["user"], ids["item"], contexts=fitted.contexts)
    prior = _with_features(fit.run.prior, OTHER[which], int(fresh.sum()))
    changed = fit.with_run(draws=draws, prior=prior, heldout=None)
    return Fitted.of(changed, encoded, source=fitted.source)


def _with_features(prior: Prior, side: Which, number: int) -> Prior:
    """`prior` with so many rows more that a side's may have rated, and who tells nothing by it."""
    gaussian: Gaussian = getattr(prior, side)
    if RATED not in gaussian.regressions:
        return prior
    regression = gaussian.regressions[RATED]
    B = np.asarray(regression.coefficients)
    B = np.insert(B, np.full(number, B.shape[1] - 1), 0, axis=1)  # the unknown row stays last
    regressions = gaussian.regressions | {RATED: regression._replace(coefficients=B)}
    return prior._replace(**{side: gaussian._replace(regressions=regressions)})


def _placed(old: Array, new: Array, place: np.ndarray) -> np.ndarray:
    """The rows of a table with others put in their place or behind them; the unknown row stays
    last.
    """
    size = max(old.shape[1] - 1, int(place.max(initial=-1)) + 1) + 1
    table = np.empty((old.shape[0], size, *old.shape[2:]), old.dtype)
    table[:, : old.shape[1] - 1], table[:, -1] = old[:, :-1], old[:, -1]
    table[:, place] = new
    return table


def _merged(rated: Rated, new: Ratings, which: Which) -> Ratings:
    """All ratings: of the rows that are new or replaced, the new ones alone."""
    old = rated.of(np.arange(len(rated.pairs.start) - 1))
    stays = ~np.isin(getattr(old, which), getattr(new, which))
    return Ratings(*(np.concatenate([a[stays], b]) for a, b in zip(old, new, strict=True)))
