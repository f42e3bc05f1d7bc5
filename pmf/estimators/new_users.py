"""`Folded`: new users of a fitted model, who predict and are recommended to like any others."""

from typing import Any, Literal, Self

import jax
import numpy as np
import pandas as pd

from pmf.data.encoding import count_rows
from pmf.data.frames import checked, each_once
from pmf.data.histories import rated_by_user
from pmf.data.ids import Ids, collected, factorize, with_gaps
from pmf.data.tables import Table, as_frame
from pmf.errors import InputError
from pmf.estimators.base import Model, rated_of
from pmf.estimators.frames import fit_with_draws
from pmf.estimators.model_file import Saved
from pmf.estimators.notices import known_alone
from pmf.estimators.plausible import check_floats
from pmf.fitting.fitted import Fit, Fitted, draws_in_words
from pmf.inference.fold_in import (
    Conditioning,
    RowPosterior,
    contributions,
    posterior_of,
    sampled,
    variance_drop,
    variances,
)
from pmf.inference.row_features import GIVEN
from pmf.model.density import split_row
from pmf.model.predictive import Prediction
from pmf.model.priors import growth_of
from pmf.process.programs import rung
from pmf.types import Params, Ratings, Side

PAIRS = 1 << 12  # of one user, whose items' draws are gathered at a time
SOURCE = "the new users' ratings"


class Folded(Model):
    """New users with the posterior of their rows given a fitted model's items.

    `fitted` is the model's, with the new users' posterior means in place of its users' rows. A
    point estimate's predictions have the variance of the row besides that of the noise, so that
    intervals narrow with each rating.
    """

    fitted: Fitted
    conditioning: Conditioning
    posterior: RowPosterior

    def __init__(
        self,
        settings: Any,
        fitted: Fitted,
        posterior: RowPosterior,
        features: np.ndarray | None = None,
    ):
        self.settings, self.fitted, self.posterior = settings, fitted, posterior
        self.features = features  # that were given of the rows
        self.conditioning = conditioning_of(fitted.fit, "user")

    def __repr__(self) -> str:
        draws = draws_in_words(self.fitted.fit.run.draws)
        known = f"{draws}, {len(self.fitted.items):,} items known"
        users, ratings = len(self.fitted.users), int(self.fitted.user_count.sum())
        return f"Folded({users:,} users with {ratings:,} ratings; {known})"

    @property
    def heldout_prediction(self) -> Prediction:
        """Raises `InputError`: nobody watched held-out ratings of new users."""
        raise InputError("folded-in users have no held-out ratings; predict them")

    def _filled_draws(self) -> Params:
        return self.draws._replace(user=_filled(self.draws.user))

    def _with_own(self, variance: np.ndarray, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        for row in np.unique(user):
            pairs = np.flatnonzero(user == row)
            for begin in range(0, len(pairs), PAIRS):
                some = pairs[begin : begin + PAIRS]
                x, covariance = (
                    self.conditioning.features(item[some]),
                    self.posterior.covariance[:, row],
                )
                variance[some] += variances(x, covariance)
        return variance

    def parts(self) -> dict[str, np.ndarray]:
        """The covariance of each row's posterior, whose mean is the row, and given features."""
        given = {} if self.features is None else {"features": self.features}
        return {"covariance": self.posterior.covariance, **given}

    @classmethod
    def of_file(cls, saved: Saved) -> Self:
        user, covariance = saved.fitted.fit.run.draws.user, saved.parts["covariance"]
        mean = np.concatenate([user.factor, user.bias], -1)
        check_floats("covariance", covariance, (*mean.shape, mean.shape[-1]))
        if mean.size and np.any(np.linalg.eigvalsh(covariance) <= 0):
            raise ValueError("covariance: not positive definite")
        posterior = RowPosterior(mean, covariance, user.noise_precision)
        if (features := saved.parts.get("features")) is not None:
            width = saved.fitted.fit.run.prior.user.regressions[GIVEN].coefficients.shape[1]
            check_floats("features", features, (mean.shape[1], width))
        return cls(saved.settings, saved.fitted, posterior, features)

    def sampled(self, seed: int = 0, least: int = 100) -> Params:
        """Draws of the rows from their posterior, at least so many: the model's draws in turn."""
        draws, times = self.fitted.fit.run.draws, -(-least // len(self.conditioning.tau))
        w = sampled(jax.tree.map(lambda x: np.repeat(x, times, 0), self.posterior), seed)
        item, mu = jax.tree.map(lambda x: np.repeat(x, times, 0), (draws.item, draws.mu))
        return Params(split_row(w, draws.user.factor.shape[-1]), item, mu)

    def explain(self, user_id: Any, item_id: Any) -> pd.DataFrame:
        """A prediction, before clipping, as a sum: a line a part, and its share in rating units.

        Columns `part, item_id, rating, contribution`. Parts: the mean, the item's bias, the user's
        bias, what the prior says of the user's factors, and each rating of the user by way of the
        factors. See `pmf.inference.fold_in.contributions`. What is no rating has no `item_id`:
        whole numbers are of pandas' type Int64. Raises `InputError` for an unknown user.
        """
        user, item = self._row(user_id), self.fitted.items.row(item_id, "item_id")
        draws, rated = self.fitted.fit.run.draws, rated_of(self.fitted)
        rows = user, self.posterior, item, self.features
        each, prior = contributions(self.conditioning, rated, *rows)
        ratings = rated.of(np.array([user]))
        head = {
            "mean": float(np.mean(draws.mu)),
            "item bias": float(np.mean(np.asarray(draws.item.bias)[:, item].sum(-1))),
            "user bias": float(np.mean(np.asarray(draws.user.bias)[:, user].sum(-1))),
            "prior": prior,
        }
        parts = pd.DataFrame({"part": list(head), "contribution": list(head.values())})
        ratings_parts = pd.DataFrame(
            {
                "part": "rating",
                "item_id": with_gaps(self.fitted.items.values[ratings.item]),
                "rating": ratings.value,
                "contribution": each,
            }
        ).sort_values("contribution", ascending=False, key=abs, kind="stable")
        table = pd.concat([parts, ratings_parts], ignore_index=True)
        return table[["part", "item_id", "rating", "contribution"]]

    def ask_next(self, user_id: Any, n: int = 1, popular: int = 200) -> pd.DataFrame:
        """The items whose rating would teach the most about a user: active learning.

        Among the `popular` most rated items that the user has not rated, those whose rating lowers
        the mean variance of the user's predictions for popular items the most; popular items count
        by their ratings. Columns `item_id, variance_drop`, in squared rating units, best first.
        Source: `pmf.inference.fold_in.variance_drop`; the criterion is A-optimality (MacKay, Neural
        Computation 1992; Rubens et al., Recommender Systems Handbook 2015).
        """
        user, count = self._row(user_id), self.fitted.item_count[: len(self.fitted.items)]
        common = np.argsort(-count, kind="stable")[:popular]
        share = count[common] / max(count[common].sum(), 1)
        drop = variance_drop(self.conditioning, self.posterior, user, common, share)
        drop[np.isin(common, rated_of(self.fitted).of(np.array([user])).item)] = -np.inf
        best = np.argsort(-drop, kind="stable")[:n]
        best = best[drop[best] > -np.inf]
        ids = self.fitted.items.values[common[best]]
        return pd.DataFrame({"item_id": ids, "variance_drop": drop[best]})

    def _row(self, user_id: Any) -> int:
        row = self.require_fitted().users.row(user_id, "user_id")
        if row == len(self.fitted.users):
            raise InputError(f"user {user_id!r}: not among the folded-in users")
        return row


def _filled(side: Side) -> Side:
    """With rows of zeros, so that one program predicts for so many users or a few more."""
    fill = rung(side.factor.shape[1], 8, 4) - side.factor.shape[1]

    def filled(x: np.ndarray) -> np.ndarray:
        return np.pad(x, [(0, 0), (0, fill), *[(0, 0)] * (x.ndim - 2)], "edge")

    filled_side: Side = jax.tree.map(filled, side)
    return filled_side


def ratings_of(fitted: Fitted, user_id: Any) -> pd.DataFrame:
    """A user's training ratings, ready to be folded in: columns `user_id, item_id, rating`.

    Raises `InputError` for an unknown user, and where the model did not keep its ratings.
    """
    rated = rated_of(fitted)
    row = fitted.users.row(user_id, "user_id")
    if row == len(fitted.users):
        raise InputError(f"user {user_id!r}: unknown to the model; fold their ratings in")
    _, item, value = rated.of(np.array([row]))
    ids = fitted.items.values[item]
    return pd.DataFrame({"user_id": fitted.users.values[row], "item_id": ids, "rating": value})


def conditioning_of(fit: Fit, side: Literal["user", "item"]) -> Conditioning:
    """What new rows of a side ("user" or "item") are conditioned on: the other side, as fitted."""
    draws, prior = fit.run.draws, fit.run.prior
    other, rows = (draws.item, draws.user) if side == "user" else (draws.user, draws.item)
    growth = growth_of(fit.prior, side)
    mu, tau = np.asarray(draws.mu), np.asarray(prior.tau)
    shapes = fit.noise_shapes[side]
    return Conditioning(other, mu, tau, getattr(prior, side), growth, rows.bias.shape[-1], shapes)


def fold_in(model: Model, ratings: Table, users: Any = None) -> Folded:
    """New users of a fitted model by their ratings alone; nothing is refitted.

    `users` names them all (or the only one) where some have no ratings yet; else they are those of
    the frame. A user that the model knows may be among them: only the ratings given here count,
    and the features that the model was fitted with.
    Ratings of items that the model does not know teach nothing, and are counted in one
    `UnknownIdWarning`.

    Raises `InputError` for a bad frame, and where a user rates an item twice.
    """
    fitted = model.require_fitted()
    fit, items = fit_with_draws(fitted), fitted.items
    ids, new = _encoded(model, as_frame(ratings, SOURCE), users, items)
    rated = rated_by_user(new, ids.num_rows)  # the last: an unknown user's, who is at the prior
    conditioning = conditioning_of(fit, "user")
    features = model.given_features("user", ids)
    posterior = posterior_of(conditioning, rated, features)
    rank = fit.run.draws.user.factor.shape[-1]
    side = split_row(posterior.mean, rank)._replace(noise_precision=posterior.noise_precision)
    # Contexts of their ratings are not asked for, so of all contexts the unknown one is left.
    context = jax.tree.map(lambda x: x[:, -1:], fit.run.draws.context)
    draws = fit.run.draws._replace(user=side, context=context)
    count = count_rows(new.user, ids.num_rows)
    changed = fit.with_run(draws=draws, heldout=None)
    folded = Fitted(changed, ids, items, count, fitted.item_count, rated, fitted.source)
    return Folded(model.settings, folded, posterior, features)


def _encoded(model: Model, ratings: pd.DataFrame, users: Any, items: Ids) -> tuple[Ids, Ratings]:
    """The new users, and their ratings of items that the model knows."""
    if users is not None and not len(ratings):
        empty = np.zeros(0, np.int32)
        return _named(users), Ratings(empty, empty, np.zeros(0, np.float32))
    table = each_once(checked(ratings, SOURCE, model.settings.scale, times=False), SOURCE)
    if users is None:
        user, values = factorize(table["user_id"], SOURCE)
        ids = Ids(values)
    else:
        ids = _named(users)
        user = ids.codes(table["user_id"], SOURCE)
        if (unnamed := ids.unknown(user)).any():
            stranger = table["user_id"][unnamed].iloc[0]
            raise InputError(f"{SOURCE}: user {stranger!r} is not among `users`; name all of them")
    item = items.codes(table["item_id"], SOURCE)
    known = known_alone(items, item, SOURCE, "item")
    value = table["rating"].to_numpy()
    return ids, Ratings(user[known], item[known], value[known])


def _named(users: Any) -> Ids:
    code, values = factorize(collected(users, "users"), SOURCE)
    if len(values) < len(code):
        raise InputError("users: a name occurs twice")
    return Ids(values)
