"""`Hybrid`: matrix factorization that begins from item features. Raw ids in, raw ids out."""

from dataclasses import replace
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from pmf.data.features import FeatureTable
from pmf.data.tables import Table
from pmf.estimators.base import Model
from pmf.estimators.features import (
    FeatureProblem,
    feature_problem,
    pack_features,
    unpack_features,
)
from pmf.estimators.model_file import Saved
from pmf.estimators.plausible import check_floats
from pmf.fitting.driver import Run, run
from pmf.fitting.fit import residual_variance, summed_up
from pmf.fitting.fitted import Fitted
from pmf.fitting.phases import Clock, OnStep, no_progress
from pmf.fitting.prior_search import Choice, choose_regressed
from pmf.fitting.progress import both, progress_bar
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Search
from pmf.fitting.settings import HybridSettings
from pmf.fitting.settings_base import settings_of, takes
from pmf.inference.base import Algorithm
from pmf.inference.hybrid import hybrid, regress
from pmf.inference.layout import Data, by_rows
from pmf.model.density import joined, split_row
from pmf.model.priors import IsotropicPrior, RegressedPrior
from pmf.types import Params, Side


@takes(HybridSettings)
class Hybrid(Model):
    """Matrix factorization whose items' prior means are regressed on their features.

        Hybrid(rank=16).fit(ratings, pmf.item_features(data.items, data.tags)).predict(pairs)

    The model is that of `pmf.inference.hybrid`.
    Raises `InputError` for bad settings and bad frames.
    """

    settings: HybridSettings
    features: FeatureTable | None = None
    regression: Side | None = None  # B of factors (q, k), bias (q, b)

    def __init__(self, rank: int = 16, **settings: Any):
        self.settings = settings_of(HybridSettings, {"rank": rank, **settings})

    def fit(
        self,
        ratings: Table,
        features: FeatureTable,
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
        settings, clock = self.settings, Clock(on_step)
        with clock.phase("reading"):
            task = feature_problem(settings, settings.terms, ratings, features, heldout)
        prior, search, start = self._prior(task, clock)
        result, B = _run(task, prior, start, settings.schedule, clock)
        train, num_users, num_items, _, terms, *_ = task.problem
        num_means = num_items + task.table.shape[1]  # B's rows have the unit of the items'
        log_volume = task.scales.log_volume(
            len(train.value),
            (num_users * terms.rank, num_users * terms.user_bias),
            (num_means * terms.rank, num_means * terms.item_bias),
        )
        noise = residual_variance(result.draws, train)
        fit = summed_up(result, prior, search, task.scales, log_volume, noise)
        self.fitted, self.features = Fitted.of(fit, task.encoded), features
        self.fitted.fit = replace(fit, phases=clock.seconds())
        self.regression = task.scales.side(B, task.scales.item_factor)
        return self

    def _prior(self, task: FeatureProblem, clock: Clock) -> Choice:
        """The standardised prior: as given, or found on held-out training ratings."""
        prior, strength = self.settings.prior, self.settings.regression
        if isinstance(prior, IsotropicPrior) and not isinstance(strength, str):
            rows = task.scales.standardised_prior(prior)
            return Choice(RegressedPrior(rows, strength), Search({}, []))
        with clock.phase("search"):
            problem = task.problem._replace(on_step=clock.on_step)
            return choose_regressed(problem, partial(_algorithm, task))

    def parts(self) -> dict[str, np.ndarray]:
        """The features, and the regression on them."""
        assert self.regression is not None
        B = {f"regression.{x}": np.asarray(getattr(self.regression, x)) for x in ("factor", "bias")}
        return {**B, **pack_features(self._features())}

    @classmethod
    def of_file(cls, saved: Saved) -> Self:
        model, parts = super().of_file(saved), saved.parts
        B = model.regression = Side(parts["regression.factor"], parts["regression.bias"])
        model.features = unpack_features(parts, len(B.factor))
        d, terms = model.features.width, model.settings.terms
        check_floats("regression.factor", B.factor, (d, terms.rank))
        check_floats("regression.bias", B.bias, (d, int(terms.item_bias)))
        return model

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

    def _weights(self, user: int) -> np.ndarray:
        B = self.regression
        assert B is not None
        factor = self.require_fitted().fit.run.draws.user.factor[0, user]
        return np.asarray(B.factor @ factor + B.bias.sum(-1))

    def _features(self) -> FeatureTable:
        self.require_fitted()
        assert self.features is not None
        return self.features


def _algorithm(task: FeatureProblem, prior: RegressedPrior, data: Data) -> Algorithm:
    terms = task.problem.terms
    arrays = prior.rows.build(terms, data)
    return hybrid(arrays, terms, task.problem.mu, task.table, prior.regression)


def _run(
    task: FeatureProblem,
    prior: RegressedPrior,
    start: Params | None,
    schedule: Schedule,
    clock: Clock,
) -> tuple[Run, Side]:
    """The run, and the regression B of factors (q, k) and of the bias (q, b) that it ended with."""
    train, num_users, num_items, numbers, terms, _, seed, fused, _ = task.problem
    with clock.phase("layout"):
        data = by_rows(train, num_users, num_items, terms.rank, fused=fused).drawn_by(numbers)
    result = run(
        _algorithm(task, prior, data),
        seed,
        data,
        schedule,
        task.heldout,
        name="hybrid",
        clock=clock,
        start=start,
    )
    # A step ends with B's update, so B is a function of the rated items' rows.
    item = joined(jax.tree.map(lambda x: jnp.asarray(x[0]), result.draws.item))
    gaussian = prior.rows.build(terms, data).item
    strength = jnp.float32(prior.regression)
    B = regress(jnp.asarray(task.table), item, data.item_count > 0, gaussian, strength)
    return result, split_row(B, terms.rank)
