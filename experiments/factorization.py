"""The system "pmf": this package's own model, by any of its methods."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.system import TRACE, Axis, OnStep, Outcome, Point, System
from pmf import cpu, tuning
from pmf.checkpoint import Checkpoints
from pmf.data.movielens import Dataset
from pmf.data.splits import Split
from pmf.estimator import PMF
from pmf.evaluate.report import ranked
from pmf.settings import Settings

# Ridges in the units of `pmf.tuning.Point`: of a user with a typical count, whatever the exponent.
PRIOR_AXES = {
    "factor": Axis(2.0, 120.0, tuning.SEARCH_START.factor),
    "user_bias": Axis(0.2, 40.0, tuning.SEARCH_START.user_bias),
    "item_bias": Axis(0.2, 40.0, tuning.SEARCH_START.item_bias),
    "user_exponent": Axis(0.0, 1.0, tuning.SEARCH_START.user_exponent, log=False),
}
# tau in units of the ratings' own precision, in which a model that explains nothing has 1.
TAU_AXIS = Axis(0.8, 5.0, tuning.TAU_RATIO**tuning.TAU_START)


def fit_and_predict(
    settings: Settings,
    split: Split,
    dataset: Dataset,
    on_step: OnStep,
    checkpoints: Checkpoints | None,
) -> Outcome:
    """Fit on the training part, watch the test part, and predict it over all kept draws."""
    model = PMF(**settings.model_dump(exclude={"prior"}), prior=settings.prior)
    model.fit(split.train, split.test, on_step, dataset.source, checkpoints)
    fit = model.require_fitted().fit
    costs = {
        "fit_seconds": model.records[-1].seconds,
        "search_seconds": fit.search.seconds,
        "compile_seconds": fit.compile_seconds,
    }
    facts = {
        "fused_kernel": _is_fused(settings),
        "chosen_prior": fit.search.chosen,
        "log_posterior": fit.log_posterior,
        "stopped": fit.stopped,
    }
    rank = partial(ranked, model) if settings.store_draws else None
    return Outcome(*model.heldout_prediction, _trace(model), costs, rank, model.noise, facts)


def _trace(model: PMF) -> pd.DataFrame:
    steps = pd.DataFrame(model.records).melt(["step", "seconds"], var_name="metric")
    steps["metric"] = steps["metric"].replace("heldout_rmse", "rmse")
    steps["split"] = steps["metric"].map({"rmse": "test", "log_posterior": "train"})
    return steps[TRACE]


def _is_fused(settings: Settings) -> bool:
    """Whether the CPU kernel ran: ALS and Gibbs, on one device, where it is not declined."""
    fits = settings.method != "map" and settings.devices == 1 and settings.fused is not False
    return fits and cpu.available()


def space(settings: Settings) -> dict[str, Axis]:
    """What the settings leave open ("auto") and the model's terms depend on."""
    axes = tuning.axes_of(settings.terms)
    if settings.method == "gibbs":
        return {"tau": TAU_AXIS} if axes and settings.tau == "auto" else {}
    return {name: PRIOR_AXES[name] for name in axes} if settings.prior == "auto" else {}


def for_trials(settings: Settings) -> Settings:
    """A sampler is judged by shorter chains, which tell one tau from another as well."""
    short: dict[str, Any] = {"store_draws": False}
    if settings.method == "gibbs":
        schedule = tuning.GIBBS_SEARCH
        steps, burn_in = schedule.num_steps, schedule.burn_in
        short |= {
            "num_steps": min(settings.steps, steps),
            "burn_in": min(settings.burn_in, burn_in),
            "thin": 1,
        }
    return settings.model_copy(update=short)


def tuned(settings: Settings, point: Point, train: pd.DataFrame, rmse: float | None) -> Settings:
    """The settings with a point of the search filled in.

    Ridges fix the mode; the prior's tau is the inverse of the mean squared error on the validation
    part, or before that is known of the ratings' variance.
    """
    rating = train["rating"].to_numpy(np.float64)
    spread = float(np.std(rating)) or 1.0
    if settings.method == "gibbs":
        return settings.model_copy(update={"tau": point["tau"] / spread**2})
    units = tuning.units_of(spread, train["user_id"].value_counts().to_numpy())
    ridges = tuning.SEARCH_START._replace(**point)
    prior = tuning.prior_at(ridges, 1 / (rmse or spread) ** 2, units)
    return settings.model_copy(update={"prior": prior})


SYSTEM = System(Settings, fit_and_predict, space=space, for_trials=for_trials, tuned=tuned)
