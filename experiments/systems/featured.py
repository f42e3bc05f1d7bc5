"""The systems with item features: "content" by them alone, "hybrid" and "featured" with factors,
a mode and draws.

Tags of test pairs are left out of the features: who tags a film has mostly rated it.
"""

from functools import partial
from typing import Any

import pandas as pd

from experiments.systems import factorization
from experiments.systems.base import Axis, OnStep, Outcome, Point, System
from experiments.systems.factorization import PRIOR_AXES, trace_of, tuned_prior
from pmf.data.features import FeatureTable, item_features
from pmf.data.sources.movielens import Dataset
from pmf.data.splits import Split
from pmf.estimators.content import Content
from pmf.estimators.hybrid import Hybrid
from pmf.evaluate.report import ranked
from pmf.fitting import prior_search, ridge_search
from pmf.fitting.checkpoint import Checkpoints
from pmf.fitting.settings import ContentSettings, HybridSettings
from pmf.model.priors import numbers_of

# the weights' prior precision
REGRESSION_AXIS = Axis(0.05, 50.0, prior_search.Point().regression)


def features_of(split: Split, dataset: Dataset) -> FeatureTable:
    """The items' features without what the test part tells."""
    return item_features(dataset.items, dataset.tags, without=split.test)


def fit_and_predict(
    kind: type[Content] | type[Hybrid],
    settings: ContentSettings | HybridSettings,
    split: Split,
    dataset: Dataset,
    on_step: OnStep,
    checkpoints: Checkpoints | None,
) -> Outcome:
    """Fit on the training part and the features, and predict the test part.

    There are no checkpoints: a fit takes seconds.
    """
    features = features_of(split, dataset)
    model = kind(**{name: getattr(settings, name) for name in type(settings).model_fields})
    fit = model.fit(split.train, features, split.test, on_step).require_fitted().fit
    costs = {
        "fit_seconds": fit.run.records[-1].seconds,
        "search_seconds": fit.search.seconds,
        "compile_seconds": fit.compile_seconds,
    }
    facts = {
        "features": features.width,
        "chosen_prior": numbers_of(fit.prior),
        "stopped": fit.run.stopped,
    }
    rank = partial(ranked, model)
    trace = trace_of(fit.run.records)
    return Outcome(*model.heldout_prediction, trace, costs, rank, model.noise_source, facts=facts)


def fit_in_the_prior(
    settings: Any,
    split: Split,
    dataset: Dataset,
    on_step: OnStep,
    checkpoints: Checkpoints | None,
) -> Outcome:
    """`pmf.PMF` by Gibbs, its items' prior means regressed on their features."""
    rest = split, dataset, on_step, checkpoints
    return factorization.fit_and_predict(settings, *rest, features_of(split, dataset))


def content_space(settings: ContentSettings) -> dict[str, Axis]:
    """The ridge of the weights, the users' bias, and the exponent of their counts."""
    names = ("factor", "user_bias", "user_exponent")
    return {name: PRIOR_AXES[name] for name in names} if settings.prior == "auto" else {}


def hybrid_space(settings: HybridSettings) -> dict[str, Axis]:
    """That of the factorization, and the strength of the regression on features."""
    if settings.prior != "auto":
        return {}
    axes = {name: PRIOR_AXES[name] for name in ridge_search.axes_of(settings.terms)}
    return axes | ({"regression": REGRESSION_AXIS} if settings.regression == "auto" else {})


def tuned(settings: Any, point: Point, train: pd.DataFrame, rmse: float | None) -> Any:
    """The settings with a point of the search filled in, as for the factorization."""
    update: dict[str, Any] = {"prior": tuned_prior(point, train, rmse)}
    if "regression" in point:
        update["regression"] = point["regression"]
    return settings.model_copy(update=update)


TABLES = ("ratings", "items", "tags")
CONTENT = System(
    ContentSettings, partial(fit_and_predict, Content), TABLES, content_space, tuned=tuned
)
HYBRID = System(HybridSettings, partial(fit_and_predict, Hybrid), TABLES, hybrid_space, tuned=tuned)
FEATURED = factorization.SYSTEM._replace(fit_and_predict=fit_in_the_prior, tables=TABLES)
