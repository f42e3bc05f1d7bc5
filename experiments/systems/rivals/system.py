"""The system "peer": a rival library, asked in a process of its own.

The interpreter that has the rivals is named by the environment variable `PMF_PEERS_PYTHON`; without
it, this one. A rival that breaks has an error instead of predictions, and a line in every table.
"""

import os
import sys
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.systems.base import Axis, OnStep, Outcome, Point, System
from experiments.systems.rivals.client import RIVALS, Range, predict_by_rival, resolved_options
from pmf.data.sources.movielens import Dataset
from pmf.data.splits import Split
from pmf.errors import InputError
from pmf.fitting.checkpoint import Checkpoints
from pmf.types import Ratings

PYTHON = "PMF_PEERS_PYTHON"


class PeerSettings(BaseModel):
    """Which rival, and how it is called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rival: str
    options: dict[str, int | float | bool | str] = {}  # over its own defaults, by its own names
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    timeout: Annotated[float, Field(gt=0)] = 3600.0  # seconds

    @model_validator(mode="after")
    def _known(self) -> "PeerSettings":
        try:
            resolved_options(self.rival, self.options)
        except InputError as error:
            raise ValueError(str(error)) from error
        return self


def fit_and_predict(
    settings: PeerSettings,
    split: Split,
    dataset: Dataset,
    on_step: OnStep,
    checkpoints: Checkpoints | None,
) -> Outcome:
    """What the rival predicts, or why it did not. It cannot be stopped and resumed."""
    on_step(settings.rival, 0, 1)
    n = len(split.train)
    both = pd.concat([split.train, split.test])
    user, item = (pd.factorize(both[side])[0].astype(np.int32) for side in ("user_id", "item_id"))
    value = split.train["rating"].to_numpy(np.float32)
    python = os.environ.get(PYTHON, sys.executable)
    train = Ratings(user[:n], item[:n], value)
    call = dict(settings.options), settings.seed, python, settings.timeout
    outcome = predict_by_rival(settings.rival, train, user[n:], item[n:], *call)
    on_step(settings.rival, 1, 1)
    facts: dict[str, Any] = {
        "options": resolved_options(settings.rival, dict(settings.options)),
        "rival_version": outcome.version,
        "cold_pairs": outcome.cold,
        "replaced_by_the_mean": outcome.replaced,
    }
    noise = "the rival's own" if outcome.variance is not None else ""
    costs = {} if outcome.error else {"fit_seconds": outcome.seconds}
    return Outcome(
        outcome.mean, outcome.variance, costs=costs, noise=noise, facts=facts, error=outcome.error
    )


def space(settings: PeerSettings) -> dict[str, Axis]:
    """What the rival's space has and the settings leave to its default."""
    rival = RIVALS[settings.rival]
    free = [x for x in rival.space if x.name not in settings.options]
    return {x.name: Axis(x.low, x.high, rival.options[x.name], x.log) for x in free}


def tuned(
    settings: PeerSettings, point: Point, train: pd.DataFrame, rmse: float | None
) -> PeerSettings:
    """The settings with a point of the search among the options."""
    ranges = {x.name: x for x in RIVALS[settings.rival].space}
    options = {name: _number(value, ranges[name]) for name, value in point.items()}
    return settings.model_copy(update={"options": settings.options | options})


def _number(value: float, among: Range) -> int | float:
    return round(value) if isinstance(among.low, int) else value


def has_variance(settings: PeerSettings) -> bool:
    return RIVALS[settings.rival].has_variance


SYSTEM = System(
    PeerSettings,
    fit_and_predict,
    space=space,
    tuned=tuned,
    has_variance=has_variance,
    ranks=lambda settings: False,
)
