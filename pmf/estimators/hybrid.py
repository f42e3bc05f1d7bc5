"""`Hybrid`: matrix factorization that begins from item features. Raw ids in, raw ids out."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from pmf.data.features import ItemFeatures
from pmf.data.tables import Table
from pmf.estimators.base import (
    Levels,
    answer,
    clipped,
    require,
    require_heldout,
    row_numbers,
    stored,
)
from pmf.estimators.features import FeatureProblem, feature_problem, with_ids
from pmf.estimators.frames import biases, factors
from pmf.fitting.driver import Run, run
from pmf.fitting.fit import (
    Fitted,
    OnStep,
    choosing,
    no_progress,
    residual_variance,
    state_of,
    summed_up,
)
from pmf.fitting.prior_search import Search, choose_regressed
from pmf.fitting.progress import both, progress_bar
from pmf.fitting.schedule import Record, Schedule
from pmf.fitting.settings import HybridSettings, settings_in_words
from pmf.fitting.settings_base import settings_of, takes
from pmf.inference.base import Algorithm
from pmf.inference.hybrid import hybrid, regress
from pmf.inference.layout import Data, by_rows
from pmf.model.density import joined, split_row
from pmf.model.predictive import Prediction, predict_pairs
from pmf.model.priors import IsotropicPrior, RegressedPrior
from pmf.types import Params, Side


@takes(HybridSettings)
@dataclass(eq=False, repr=False)  # a model is equal to itself alone
class Hybrid:
    """Matrix factorization whose items' prior means are regressed on their features.

        Hybrid(rank=16).fit(ratings, pmf.item_features(data.items, data.tags)).predict(pairs)

    The model is that of `pmf.inference.hybrid`.
    Raises `InputError` for bad settings and bad frames.
    """

    settings: HybridSettings
    fitted: Fitted | None = field(default=None, repr=False)
    features: ItemFeatures | None = field(default=None, repr=False)
    regression: Side | None = field(default=None, repr=False)  # B of factors (q, k), bias (q, b)

    def __init__(self, rank: int = 16, **settings: Any):
        self.settings = settings_of(HybridSettings, {"rank": rank, **settings})
        self.fitted = self.features = self.regression = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_in_words(self.settings)}), {state_of(self.fitted)}"

    def fit(
        self,
        ratings: Table,
        features: ItemFeatures,
        heldout: Table | None = None,
        on_step: OnStep = no_progress,
        progress: bool = False,
    ) -> "Hybrid":
        """Fit to a frame of ratings; `heldout` ratings are watched: their RMSE at each step.

        With `prior="auto"` the prior and the regression's strength are chosen on held-out training
        ratings.
        """
        if progress:
            with progress_bar() as bar:
                return self.fit(ratings, features, heldout, both(bar, on_step))
        settings = self.settings
        task = feature_problem(settings, settings.terms, ratings, features, heldout)
        prior, search = self._prior(task, on_step)
        result, B = _run(task, prior, settings.schedule, on_step)
        train, num_users, num_items, _, terms, *_ = task.problem
        num_means = num_items + task.table.shape[1]  # B's rows have the unit of the items'
        log_volume = task.scales.log_volume(
            len(train.value),
            (num_users * terms.rank, num_users * terms.user_bias),
            (num_means * terms.rank, num_means * terms.item_bias),
        )
        noise = residual_variance(result.draws, train)
        fit = summed_up(result, prior, search, task.scales, log_volume, noise)
        self.fitted, self.features = with_ids(fit, task.encoded), features
        self.regression = task.scales.side(B, task.scales.item_factor)
        return self

    def _prior(self, task: FeatureProblem, on_step: OnStep) -> tuple[RegressedPrior, Search]:
        """The standardised prior: as given, or found on held-out training ratings."""
        prior, strength = self.settings.prior, self.settings.regression
        if isinstance(prior, IsotropicPrior) and not isinstance(strength, str):
            return RegressedPrior(task.scales.standardised_prior(prior), strength), Search({}, [])
        with choosing(on_step):
            return choose_regressed(task.problem, partial(_algorithm, task))

    def predict(
        self, frame: Table, interval: Levels = None, source: str = "the frame"
    ) -> pd.DataFrame:
        """Predictions for a frame of (user, item) pairs, as `pmf.PMF.predict`'s.

        An item without training ratings is predicted from its features; one without metadata too
        has the mean features and is marked as unknown.
        """
        return answer(self, frame, interval, source)

    def rows(self, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
        return row_numbers(self.require_fitted(), ids, source)

    def predict_rows(self, user: np.ndarray, item: np.ndarray) -> Prediction:
        """The predictive distribution by row numbers."""
        fit = self.require_fitted().fit
        mean, variance = predict_pairs(fit.run.draws, fit.noise_variance, user, item)
        return Prediction(clipped(mean, self.settings), variance)

    @property
    def draws(self) -> Params:
        """The kept draws, stacked; a point method's one draw is its estimate."""
        return stored(self.require_fitted()).run.draws

    @property
    def heldout_prediction(self) -> Prediction:
        """The predictive distribution of `fit`'s held-out ratings."""
        prediction = require_heldout(self.require_fitted().fit.run.heldout)
        return prediction._replace(mean=clipped(prediction.mean, self.settings))

    @property
    def mu(self) -> float:
        """The global mean."""
        return float(self.require_fitted().fit.run.draws.mu[0])

    @property
    def user_factors(self) -> pd.DataFrame:
        """U: a row a user, by id, and a column a factor."""
        return factors(self.require_fitted(), "user")

    @property
    def item_factors(self) -> pd.DataFrame:
        """V: the same of items."""
        return factors(self.require_fitted(), "item")

    @property
    def user_biases(self) -> pd.DataFrame:
        """b: a row a user, by id, with the column `bias`."""
        return biases(self.require_fitted(), "user")

    @property
    def item_biases(self) -> pd.DataFrame:
        """c: the same of items."""
        return biases(self.require_fitted(), "item")

    @property
    def records(self) -> list[Record]:
        """Every step: number, seconds, log posterior, held-out RMSE."""
        return self.require_fitted().fit.run.records

    @property
    def noise(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return "training residuals"

    def profile(self, user_id: Any) -> pd.Series:
        """What each named feature adds to a user's ratings by way of B, the strongest first.

        Weights in rating units: B_V U_u + B_c.
        """
        user = self.require_fitted().users.row(user_id, "user_id")
        return self._features().profile(self._weights(user))

    def explain(self, user_id: Any, item_id: Any) -> pd.Series:
        """A prediction, before clipping, as a sum: the mean, the user's bias, each named feature,
        and what ratings say of the item beyond its features.
        """
        fitted = self.require_fitted()
        user = fitted.users.row(user_id, "user_id")
        item = fitted.items.row(item_id, "item_id")
        draws = fitted.fit.run.draws
        U, V, c = (x[0] for x in (draws.user.factor, draws.item.factor, draws.item.bias))
        parts = self._features().contributions(item_id, self._weights(user))
        rated = float(U[user] @ V[item] + c[item].sum())
        known = {
            "mean": draws.mu[0],
            "user bias": draws.user.bias[0, user].sum(),
            "beyond its features": rated - parts.sum(),
        }
        return pd.concat([pd.Series(known, dtype=float), parts])

    def require_fitted(self) -> Fitted:
        """What `fit` learnt, as arrays and ids. Raises `InputError` before `fit`."""
        return require(self.fitted)

    def _weights(self, user: int) -> np.ndarray:
        B = self.regression
        assert B is not None
        return B.factor @ self.require_fitted().fit.run.draws.user.factor[0, user] + B.bias.sum(-1)

    def _features(self) -> ItemFeatures:
        self.require_fitted()
        assert self.features is not None
        return self.features


def _algorithm(task: FeatureProblem, prior: RegressedPrior, data: Data) -> Algorithm:
    terms = task.problem.terms
    arrays = prior.rows.build(terms, data)
    return hybrid(arrays, terms, task.problem.mu, task.table, prior.regression)


def _run(
    task: FeatureProblem, prior: RegressedPrior, schedule: Schedule, on_step: OnStep
) -> tuple[Run, Side]:
    """The run, and the regression B of factors (q, k) and of the bias (q, b) that it ended with."""
    train, num_users, num_items, numbers, terms, _, seed, fused = task.problem
    data = by_rows(train, num_users, num_items, terms.rank, fused=fused).drawn_by(numbers)
    result = run(
        _algorithm(task, prior, data),
        seed,
        data,
        schedule,
        task.heldout,
        name="hybrid",
        on_step=lambda record, total: on_step("hybrid", record.step, total),
    )
    # A step ends with B's update, so B is a function of the rated items' rows.
    item = joined(Side(*(jnp.asarray(x[0]) for x in result.draws.item)))
    gaussian = prior.rows.build(terms, data).item
    strength = jnp.float32(prior.regression)
    B = regress(jnp.asarray(task.table), item, data.item_count > 0, gaussian, strength)
    return result, split_row(B, terms.rank)
