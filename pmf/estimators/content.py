"""`Content`: the content-based contrast to `pmf.PMF`. Raw ids in, raw ids out."""

from dataclasses import replace
from typing import Any, NamedTuple, Self

import jax
import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from pmf.data.features import FeatureTable
from pmf.data.tables import Table
from pmf.estimators.base import Model, rated_of
from pmf.estimators.features import (
    FeatureProblem,
    feature_problem,
    pack_features,
    unpack_features,
)
from pmf.estimators.model_file import Saved
from pmf.estimators.plausible import check_floats
from pmf.fitting.driver import Run, run
from pmf.fitting.fit import LEAST_VARIANCE, residual_variance, summed_up
from pmf.fitting.fitted import Fitted
from pmf.fitting.phases import Clock, OnStep, no_progress
from pmf.fitting.progress import both, progress_bar
from pmf.fitting.ridge_search import choose_ridges
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Problem, Search
from pmf.fitting.settings import ContentSettings
from pmf.fitting.settings_base import settings_of, takes
from pmf.inference.base import Algorithm
from pmf.inference.content import content, marginal_noise, posterior_variance
from pmf.inference.layout import Data, by_rows
from pmf.model.priors import IsotropicPrior, from_ridge
from pmf.types import Prior, Terms

ONE_STEP = Schedule(num_steps=1)


class Evidence(NamedTuple):
    """What a posterior variance is made of."""

    table: np.ndarray  # z of each item, a last row for the unknown one
    rated: csr_array  # users by items: a stored entry for each training rating
    prior: Prior


@takes(ContentSettings)
class Content(Model):
    """Content-based prediction: a ridge regression of each user's ratings on item features.

        Content().fit(ratings, pmf.item_features(data.items, data.tags)).predict(pairs)

    The model is that of `pmf.inference.content`.
    Raises `InputError` for bad settings and bad frames.
    """

    settings: ContentSettings
    features: FeatureTable | None = None
    evidence: Evidence | None = None

    def __init__(self, **settings: Any):
        self.settings = settings_of(ContentSettings, settings)

    def fit(
        self,
        ratings: Table,
        features: FeatureTable,
        heldout: Table | None = None,
        on_step: OnStep = no_progress,
        progress: bool = False,
    ) -> "Content":
        """Fit to a frame of ratings; `heldout` ratings are watched only.

        With `prior="auto"` the ridges are chosen on held-out training ratings, and the noise by the
        marginal likelihood of all.
        """
        terms = Terms(features.width, user_bias=True, item_bias=False)
        if progress:
            with progress_bar() as bar:
                return self.fit(ratings, features, heldout, both(bar, on_step))
        # The items' features are given: all of the ratings' unit is in the users' weights.
        clock = Clock(on_step)
        with clock.phase("reading"):
            task = feature_problem(self.settings, terms, ratings, features, heldout, share=1.0)
        prior, search = self._prior(task, clock)
        result, rows = _regress(task, prior, clock)
        if self.settings.prior == "auto":
            prior = _with_marginal_noise(task.problem, prior, result, rows)
            result, rows = _regress(task, prior, clock)
        num_users, n = task.problem.users, len(task.problem.ratings.value)
        log_volume = task.scales.log_volume(n, (num_users * terms.rank, num_users), (0, 0))
        fit = summed_up(result, prior, search, task.scales, log_volume, 1 / prior.tau)
        self.fitted = Fitted.of(fit, task.encoded)
        self.features = features
        self.evidence = _evidence(self.fitted, np.asarray(rows.user.weight))
        if task.heldout is not None:
            watched = self.predict_rows(task.heldout.user, task.heldout.item)
            fit = fit.with_run(heldout=watched)
        self.fitted.fit = replace(fit, phases=clock.seconds())
        return self

    def _prior(self, task: FeatureProblem, clock: Clock) -> tuple[IsotropicPrior, Search]:
        """The standardised prior: as given, or found on held-out training ratings."""
        if isinstance(self.settings.prior, IsotropicPrior):
            return task.scales.standardised_prior(self.settings.prior), Search({}, [])
        terms, mu = task.problem.terms, task.problem.mu

        def build(prior: IsotropicPrior, data: Data) -> Algorithm:
            return content(prior.build(terms, data), mu, task.table)

        with clock.phase("search"):
            problem = task.problem._replace(on_step=clock.on_step)
            return choose_ridges(problem, build, ONE_STEP)

    def _with_own(self, variance: np.ndarray, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Exact under the fitted prior."""
        assert self.evidence is not None
        return np.asarray(variance + posterior_variance(user, item, *self.evidence))

    def parts(self) -> dict[str, np.ndarray]:
        """The features, and the prior's weight of each user."""
        assert self.evidence is not None
        return {"weight": self.evidence.prior.user.weight, **pack_features(self._features())}

    @classmethod
    def of_file(cls, saved: Saved) -> Self:
        model = super().of_file(saved)
        fitted, weight = saved.fitted, saved.parts["weight"]
        check_floats("weight", weight, fitted.user_count.shape)
        model.features = unpack_features(saved.parts, fitted.fit.run.draws.item.factor.shape[-1])
        model.evidence = _evidence(fitted, weight)
        return model

    def profile(self, user_id: Any) -> pd.Series:
        """What a user thinks of each named feature: weights in rating units, the strongest first.

        Zeros for an unknown user.
        """
        user = self.require_fitted().users.row(user_id, "user_id")
        return self._features().profile(self._weights(user))

    def explain(self, user_id: Any, item_id: Any) -> pd.Series:
        """A prediction, before clipping, as a sum: the mean, the user's bias, each named feature.

        A feature counts as it differs from the average item's.
        """
        fitted = self.require_fitted()
        user = fitted.users.row(user_id, "user_id")
        draws = fitted.fit.run.draws
        known = {"mean": draws.mu[0], "user bias": draws.user.bias[0, user, 0]}
        parts = self._features().contributions(item_id, self._weights(user))
        return pd.concat([pd.Series(known, dtype=float), parts])

    def _weights(self, user: int) -> np.ndarray:
        return np.asarray(self.require_fitted().fit.run.draws.user.factor[0, user])

    def _features(self) -> FeatureTable:
        self.require_fitted()
        assert self.features is not None
        return self.features


def _with_marginal_noise(
    problem: Problem, prior: IsotropicPrior, result: Run, rows: Prior
) -> IsotropicPrior:
    """The same ridges, and the noise that maximises the marginal likelihood of all ratings."""
    rest = residual_variance(result.draws, problem.ratings)
    user = jax.tree.map(lambda x: x[0], result.draws.user)
    noise = marginal_noise(user, rows, rest, len(problem.ratings.value))
    tau = 1 / max(noise, LEAST_VARIANCE)
    return from_ridge(prior.ridge, tau, prior.user_exponent, prior.item_exponent)


def _regress(task: FeatureProblem, isotropic: IsotropicPrior, clock: Clock) -> tuple[Run, Prior]:
    """The run, and the rows' prior as arrays."""
    ratings, num_users, num_items, _, terms, mu, seed, fused, _ = task.problem
    with clock.phase("layout"):
        data = by_rows(ratings, num_users, num_items, terms.rank, fused=fused)
    prior = isotropic.build(terms, data)
    algorithm = content(prior, mu, task.table)
    result = run(algorithm, seed, data, ONE_STEP, task.heldout, name="content", clock=clock)
    return result, prior


def _evidence(fitted: Fitted, weight: np.ndarray) -> Evidence:
    """What the posterior variances of a fit are made of."""
    (start, item), run = rated_of(fitted).pairs, fitted.fit.run
    shape = fitted.users.num_rows, fitted.items.num_rows
    rated = csr_array((np.ones(len(item), bool), item, start), shape)
    rated.sort_indices()
    prior = jax.tree.map(lambda x: x[0], run.prior)
    prior = prior._replace(user=prior.user._replace(weight=weight))
    return Evidence(run.draws.item.factor[0], rated, prior)
