"""What a system is to an experiment: settings in, predictions of the test ratings out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel

from pmf.evaluate.ranking import Ranking
from pmf.fitting.checkpoint import Checkpoints

OnStep = Callable[[str, int, int], None]  # phase, step, total
TRACE = ["step", "seconds", "split", "metric", "value"]  # the columns of `metrics.csv`
Point = dict[str, float]  # one candidate of a search, by the names of its axes


class Axis(NamedTuple):
    """One searched setting: between `low` and `high`, first tried at `start`."""

    low: float
    high: float
    start: float
    log: bool = True  # uniform in the logarithm


# (test, train, k, relevant): every item that the system knows, as `pmf.evaluate.report.ranked`
Rank = Callable[[pd.DataFrame, pd.DataFrame, int, float], Ranking]


class Outcome(NamedTuple):
    """What a system did with one split.

    `mean` and `variance` are in the order of `split.test`; a system without a density has no
    variance, one that predicts nothing (or that broke, and says so in `error`) has neither.
    """

    mean: np.ndarray | None = None
    variance: np.ndarray | None = None
    trace: pd.DataFrame = pd.DataFrame(columns=TRACE)  # what was watched at each step
    costs: dict[str, float] = {}  # metric to value; times are called *_seconds
    rank: Rank | None = None  # ranks all items, where the system can
    noise: str = ""  # where the variance of a single rating comes from
    items: pd.DataFrame | None = None  # item_id, title, genres, x, y, popularity: a map of them
    facts: dict[str, Any] = {}  # for the manifest
    error: str = ""  # why there is no prediction, for a system that may break


# A system without tables is given neither a split nor a data set.
FitAndPredict = Callable[[Any, Any, Any, OnStep, Checkpoints | None], Outcome]
Tuned = Callable[[Any, Point, pd.DataFrame, float | None], Any]


def nothing_to_tune(settings: Any) -> dict[str, Axis]:
    """The search space of a system that has none."""
    return {}


def unchanged(settings: Any) -> Any:
    """The trial settings of a system whose fits are cheap."""
    return settings


class System(NamedTuple):
    """A system by its settings and what it does with them."""

    settings: type[BaseModel]
    fit_and_predict: FitAndPredict  # (settings, split, dataset, on_step, checkpoints)
    tables: tuple[str, ...] = ("ratings",)  # of the data set: what its runs depend on, or none
    # What `[tuning]` searches, beside the settings that it is for. `for_trials` gives the settings
    # that a candidate is judged with; `tuned(settings, point, train, rmse)` those with the point
    # filled in, `rmse` being the point's on the validation part once that is known.
    space: Callable[[Any], dict[str, Axis]] = nothing_to_tune
    for_trials: Callable[[Any], Any] = unchanged
    tuned: Tuned = lambda settings, point, train, rmse: settings
    # What its predictions come with: a comparison that needs it is refused before any run is made.
    has_variance: Callable[[Any], bool] = lambda settings: True
    ranks: Callable[[Any], bool] = lambda settings: True
    # Why no run of a section of a configuration takes one of the settings' names; "" where one does
    refusal: Callable[[dict[str, Any], str], str] = lambda section, name: ""
