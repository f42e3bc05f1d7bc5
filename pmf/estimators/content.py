"""`Content`: the content-based contrast to `pmf.PMF`. Raw ids in, raw ids out."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from scipy.sparse import csr_array

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
from pmf.fitting.driver import Run, run
from pmf.fitting.fit import (
    LEAST_VARIANCE,
    Fitted,
    OnStep,
    choosing,
    no_progress,
    residual_variance,
    state_of,
    summed_up,
)
from pmf.fitting.prior_search import Method, Problem, Search, choose_prior
from pmf.fitting.progress import both, progress_bar
from pmf.fitting.schedule import Schedule
from pmf.fitting.settings import ContentSettings, settings_in_words
from pmf.fitting.settings_base import settings_of, takes
from pmf.inference.base import Algorithm
from pmf.inference.content import content, marginal_noise, posterior_variance
from pmf.inference.layout import Data, by_rows
from pmf.model.predictive import Prediction, predict_pairs
from pmf.model.priors import IsotropicPrior, from_ridge
from pmf.types import Params, Prior, Terms

ONE_STEP = Schedule(num_steps=1)


class Evidence(NamedTuple):
    """What a posterior variance is made of."""

    table: np.ndarray  # z of each item, a last row for the unknown one
    rated: csr_array  # users by items: a stored entry for each training rating
    prior: Prior


@takes(ContentSettings)
@dataclass(eq=False, repr=False)  # a model is equal to itself alone
class Content:
    """Content-based prediction: a ridge regression of each user's ratings on item features.

        Content().fit(ratings, pmf.item_features(data.items, data.tags)).predict(pairs)

    The model is that of `pmf.inference.content`.
    Raises `InputError` for bad settings and bad frames.
    """

    settings: ContentSettings
    fitted: Fitted | None = field(default=None, repr=False)
    features: ItemFeatures | None = field(default=None, repr=False)
    evidence: Evidence | None = field(default=None, repr=False)

    def __init__(self, **settings: Any):
        self.settings = settings_of(ContentSettings, settings)
        self.fitted = self.features = self.evidence = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_in_words(self.settings)}), {state_of(self.fitted)}"

    def fit(
        self,
        ratings: Table,
        features: ItemFeatures,
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
        task = feature_problem(self.settings, terms, ratings, features, heldout, share=1.0)
        prior, search = self._prior(task, on_step)
        result, evidence = _regress(task, prior)
        if self.settings.prior == "auto":
            prior = _with_marginal_noise(task.problem, prior, result, evidence)
            result, evidence = _regress(task, prior)
        num_users, n = task.problem.users, len(task.problem.ratings.value)
        log_volume = task.scales.log_volume(n, (num_users * terms.rank, num_users), (0, 0))
        fit = summed_up(result, prior, search, task.scales, log_volume, 1 / prior.tau)
        self.fitted = with_ids(fit, task.encoded)
        in_unit = task.scales.row_priors(evidence.prior, terms.rank)
        self.features, self.evidence = features, evidence._replace(prior=in_unit)
        if task.heldout is not None:
            watched = self.predict_rows(task.heldout.user, task.heldout.item)
            self.fitted.fit = fit.with_run(heldout=watched)
        return self

    def _prior(self, task: FeatureProblem, on_step: OnStep) -> tuple[IsotropicPrior, Search]:
        """The standardised prior: as given, or found on held-out training ratings."""
        if isinstance(self.settings.prior, IsotropicPrior):
            return task.scales.standardised_prior(self.settings.prior), Search({}, [])
        terms, mu = task.problem.terms, task.problem.mu

        def build(prior: IsotropicPrior, _regression: float, data: Data) -> Algorithm:
            return content(prior.build(terms, data), mu, task.table)

        with choosing(on_step):
            return choose_prior(task.problem, Method(build, ONE_STEP))

    def predict(
        self, frame: Table, interval: Levels = None, source: str = "the frame"
    ) -> pd.DataFrame:
        """Predictions for a frame of (user, item) pairs, as `pmf.PMF.predict`'s.

        An item without training ratings is predicted from its features like any other; one without
        metadata has the mean features and is marked as unknown.
        """
        return answer(self, frame, interval, source)

    def rows(self, ids: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of pairs of raw ids. Unknown ones are counted in one `UnknownIdWarning`."""
        return row_numbers(self.require_fitted(), ids, source)

    def predict_rows(self, user: np.ndarray, item: np.ndarray) -> Prediction:
        """The predictive distribution by row numbers, exact under the fitted prior."""
        fit = self.require_fitted().fit
        mean, noise = predict_pairs(fit.run.draws, fit.noise_variance, user, item)
        assert self.evidence is not None
        variance = noise + posterior_variance(user, item, *self.evidence)
        return Prediction(clipped(mean, self.settings), variance)

    @property
    def draws(self) -> Params:
        """The kept draws, stacked; a point method's one draw is its estimate."""
        return stored(self.require_fitted()).run.draws

    @property
    def heldout_prediction(self) -> Prediction:
        """The predictive distribution of `fit`'s held-out ratings."""
        return require_heldout(self.require_fitted().fit.run.heldout)

    @property
    def noise(self) -> str:
        """Where the variance of a single rating comes from, by name."""
        return "maximum marginal likelihood" if self.settings.prior == "auto" else "given"

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

    def require_fitted(self) -> Fitted:
        """What `fit` learnt, as arrays and ids. Raises `InputError` before `fit`."""
        return require(self.fitted)

    def _weights(self, user: int) -> np.ndarray:
        return self.require_fitted().fit.run.draws.user.factor[0, user]

    def _features(self) -> ItemFeatures:
        self.require_fitted()
        assert self.features is not None
        return self.features


def _with_marginal_noise(
    problem: Problem, prior: IsotropicPrior, result: Run, evidence: Evidence
) -> IsotropicPrior:
    """The same ridges, and the noise that maximises the marginal likelihood of all ratings."""
    rest = residual_variance(result.draws, problem.ratings)
    user = jax.tree.map(lambda x: x[0], result.draws.user)
    noise = marginal_noise(user, evidence.prior, rest, len(problem.ratings.value))
    tau = 1 / max(noise, LEAST_VARIANCE)
    return from_ridge(prior.ridge, tau, prior.user_exponent, prior.item_exponent)


def _regress(task: FeatureProblem, isotropic: IsotropicPrior) -> tuple[Run, Evidence]:
    ratings, users, items, _, terms, mu, seed, fused = task.problem
    data = by_rows(ratings, users, items, terms.rank, fused=fused)
    prior = isotropic.build(terms, data)
    algorithm = content(prior, mu, task.table)
    result = run(algorithm, seed, data, ONE_STEP, task.heldout, name="content")
    pair = ratings.user, ratings.item
    rated = csr_array((np.ones(len(ratings.user), bool), pair), (users, items))
    return result, Evidence(task.table, rated, prior)
