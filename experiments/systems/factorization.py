"""The system "pmf": this package's own model, by any of its methods."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.systems.base import TRACE, Axis, OnStep, Outcome, Point, System
from experiments.systems.recovery import recovered
from pmf.data.features import FeatureTable
from pmf.data.ids import looked_up
from pmf.data.sources.movielens import Dataset
from pmf.data.splits import Split
from pmf.errors import InputError
from pmf.estimators.pmf import PMF
from pmf.evaluate.report import ranked
from pmf.fitting import ridge_search, tau_search
from pmf.fitting.checkpoint import Checkpoints
from pmf.fitting.fitted import Fitted
from pmf.fitting.methods.base import check_is_of
from pmf.fitting.registry import DEFAULT, INFERENCES, inference_named
from pmf.fitting.schedule import Record
from pmf.fitting.settings import MODEL, make_settings, of_method, shorthand
from pmf.fitting.settings import Settings as ModelSettings
from pmf.inference import fused
from pmf.model.priors import IsotropicPrior, numbers_of

# Ridges in the units of `pmf.fitting.ridge_search.Point`: of a user with a typical count, whatever
# the exponent.
PRIOR_AXES = {
    "factor": Axis(2.0, 120.0, ridge_search.START.factor),
    "user_bias": Axis(0.2, 40.0, ridge_search.START.user_bias),
    "item_bias": Axis(0.2, 40.0, ridge_search.START.item_bias),
    "user_exponent": Axis(0.0, 1.0, ridge_search.START.user_exponent, log=False),
}
MAPPED = 200  # items on a map

# tau in units of the ratings' own precision, in which a model that explains nothing has 1.
TAU_AXIS = Axis(0.8, 5.0, tau_search.RATIO**tau_search.START)


# An experiment says the settings of the model and of all inferences in one flat list: a grid goes
# over methods, and an identity names all of them.
class FlatSettings(shorthand()):  # type: ignore[misc]
    """The flat list, whose values go together."""

    def model_post_init(self, context: Any) -> None:
        model_settings(self)


def model_settings(settings: Any) -> ModelSettings:
    """What a fit takes of a flat list: the model's settings, and those of its own method."""
    flat = {name: getattr(settings, name) for name in shorthand().model_fields}
    return make_settings(of_method(flat))


def refusal(section: dict[str, Any], name: str) -> str:
    """Why no method of a section takes a setting; "" if one does, or is an unknown method."""
    methods = section.get("method", DEFAULT)
    reasons = ""
    for method in methods if isinstance(methods, list) else [methods]:
        if method not in list(INFERENCES):
            return ""
        try:
            check_is_of(inference_named(method), name, ["method", *MODEL])
            return ""
        except InputError as error:
            reasons = reasons or str(error)
    return reasons


def fit_and_predict(
    settings: Any,
    split: Split,
    dataset: Dataset,
    on_step: OnStep,
    checkpoints: Checkpoints | None,
    item_features: FeatureTable | None = None,
) -> Outcome:
    """Fit on the training part, watch the test part, and predict it over all kept draws."""
    model = PMF.of(model_settings(settings))
    more = on_step, dataset.source, checkpoints
    model.fit(split.train, split.test, *more, item_features=item_features)
    fit, inference = model.require_fitted().fit, model.settings.inference
    costs = {
        "fit_seconds": model.records[-1].seconds,
        "search_seconds": fit.search.seconds,
        "compile_seconds": fit.compile_seconds,
    }
    facts = {
        "fused_kernel": _is_fused(model.settings),
        "chosen_prior": numbers_of(fit.prior),
        "log_posterior": fit.run.log_posterior,
        "stopped": fit.run.stopped,
    }
    rank = partial(ranked, model) if ranks(settings) else None
    items = None if inference.averages else item_map(model.require_fitted(), dataset.items)
    if dataset.truth is not None and len(fit.run.draws.mu):
        costs |= recovered(model.require_fitted(), dataset.truth, split.test)
    extras = trace_of(model.records), costs, rank, model.noise_source, items, facts
    return Outcome(*model.heldout_prediction, *extras)


def trace_of(records: list[Record]) -> pd.DataFrame:
    """What was watched at each step, as the trace of an outcome."""
    steps = pd.DataFrame(records).melt(["step", "seconds"], var_name="metric")
    steps["metric"] = steps["metric"].replace("heldout_rmse", "rmse")
    steps["split"] = steps["metric"].map({"rmse": "test", "log_posterior": "train"})
    return steps[TRACE]


def item_map(fitted: Fitted, described: pd.DataFrame) -> pd.DataFrame | None:
    """The best known items at their two leading directions; None without two, or without titles.

    With G the users' second moments, item i stands at V_i G^(1/2), turned to its principal axes: in
    stars, and the same whatever rotation and scale the factors came in. Draws of a sampler have a
    rotation each, so they have no such map.
    """
    U, V = (np.asarray(side.factor[0], np.float64) for side in fitted.fit.run.draws[:2])
    if V.shape[1] < 2 or "title" not in described:
        return None
    U, V = U[:-1], V[:-1]  # without the unknown rows
    values, axes = np.linalg.eigh(U.T @ U / len(U))
    stars = V @ (axes * np.sqrt(np.maximum(values, 0)))
    centred = stars - np.average(stars, axis=0, weights=fitted.item_count[:-1])
    turn = np.linalg.svd(np.sqrt(fitted.item_count[:-1, None]) * centred, full_matrices=False)[2]
    x, y = (one * np.sign(one[np.abs(one).argmax()]) for one in turn[:2] @ centred.T)
    counts = {"x": x, "y": y, "popularity": fitted.item_count[:-1]}
    table = pd.DataFrame({"item_id": fitted.items.values} | counts)
    titles = looked_up(described, "item_id", table["item_id"])[["title", "genres"]]
    table = table.join(titles)[titles["title"].notna()]
    return table.sort_values("popularity", ascending=False, kind="stable")[:MAPPED]


def _is_fused(settings: ModelSettings) -> bool:
    """Whether the CPU kernel ran: by rows, on one device, where it is not declined."""
    inference = settings.inference
    fits = inference.by_rows and settings.devices == 1 and inference.kernel is not False
    return fits and fused.available()


def space(settings: Any) -> dict[str, Axis]:
    """What the settings leave open ("auto") and the model's terms depend on."""
    model = model_settings(settings)
    axes = ridge_search.axes_of(model.terms)
    if not axes or model.inference.given_prior is not None:
        return {}
    if model.inference.open_setting == "tau":
        return {"tau": TAU_AXIS}
    return {name: PRIOR_AXES[name] for name in axes}


def for_trials(settings: Any) -> Any:
    """A sampler is judged by shorter chains, which tell one tau from another as well."""
    return settings.model_copy(
        update={"store_draws": False, **model_settings(settings).inference.short()}
    )


def tuned(settings: Any, point: Point, train: pd.DataFrame, rmse: float | None) -> Any:
    """The settings with a point of the search filled in.

    Ridges fix the mode; the prior's tau is the inverse of the mean squared error on the validation
    part, or before that is known of the ratings' variance.
    """
    if "tau" in point:
        return settings.model_copy(update={"tau": point["tau"] / spread_of(train) ** 2})
    return settings.model_copy(update={"prior": tuned_prior(point, train, rmse)})


def tuned_prior(point: Point, train: pd.DataFrame, rmse: float | None) -> IsotropicPrior:
    """The prior at a point of a search over `PRIOR_AXES`."""
    spread = spread_of(train)
    units = ridge_search.units_of(spread, train["user_id"].value_counts().to_numpy())
    ridges = ridge_search.START._replace(**point)
    return ridge_search.prior_at(ridges, 1 / (rmse or spread) ** 2, units)


def spread_of(train: pd.DataFrame) -> float:
    """The ratings' standard deviation; 1 where they are all the same."""
    return float(np.std(train["rating"].to_numpy(np.float64))) or 1.0


def ranks(settings: Any) -> bool:
    """Whether items can be ranked: by draws that are kept."""
    return settings.store_draws


SYSTEM = System(
    FlatSettings,
    fit_and_predict,
    space=space,
    for_trials=for_trials,
    tuned=tuned,
    ranks=ranks,
    refusal=refusal,
)
