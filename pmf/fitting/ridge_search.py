"""Ridges chosen by a pattern search over all of them, each candidate fitted from nothing.

It is for models whose rows have no other side to learn from (`pmf.Content`), and says in which
units an experiment tunes ridges.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pmf.data.encoding import count_rows, typical_count
from pmf.data.values import mean_and_std
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import (
    Judged,
    Problem,
    Search,
    holdouts,
    log_of,
    pattern_search,
    stage_of,
    subsampled,
    tried,
)
from pmf.inference.base import Algorithm
from pmf.inference.layout import Data
from pmf.model.priors import IsotropicPrior, Ridge, from_ridge
from pmf.types import Terms

HELD_OUT = 0.1  # the share of the training ratings that judges a prior
HOLDOUTS = 2  # disjoint such shares: one alone is too noisy to tell near priors apart
MOST_RATINGS = 1_000_000  # users' rows are independent: of more ratings, random users are enough


class Point(NamedTuple):
    """Where the search stands. A factor ridge is in units of the ratings' spread."""

    factor: float
    user_bias: float
    item_bias: float
    user_exponent: float

    def moved(self, axis: str, direction: int) -> "Point":
        """A step along one axis: a ridge times or by 1.6, the exponent by 0.2."""
        value = getattr(self, axis)
        if axis == "user_exponent":
            return self._replace(user_exponent=round(value + 0.2 * direction, 6))
        return self._replace(**{axis: round(value * 1.6**direction, 6)})


START = Point(factor=15.0, user_bias=3.0, item_bias=3.0, user_exponent=0.45)


class Units(NamedTuple):
    """What a `Point` is counted in: the ratings' standard deviation, and a user's typical count."""

    spread: float
    typical: float


def units_of(spread: float, count: np.ndarray) -> Units:
    """The units of ratings with this standard deviation and these counts a user."""
    return Units(spread or 1.0, typical_count(count))


def prior_at(point: Point, tau: float, units: Units) -> IsotropicPrior:
    """The prior at a point of the search, for a rating precision tau."""
    factor, user_bias, item_bias, exponent = point
    # Ridges are those of a user with a typical count, whatever the exponent.
    user = units.typical**-exponent
    factor *= units.spread
    ridge = Ridge(factor * user, factor, user_bias * user, item_bias)
    return from_ridge(ridge, tau, user_exponent=exponent)


def axes_of(terms: Terms) -> list[str]:
    """The coordinates of a `Point` that these terms depend on."""
    active = {
        "factor": terms.rank > 0,
        "user_bias": terms.user_bias,
        "item_bias": terms.item_bias,
        "user_exponent": terms.rank > 0 or terms.user_bias,
    }
    return [name for name, is_in in active.items() if is_in]


def choose_ridges(
    problem: Problem, build: Callable[[IsotropicPrior, Data], Algorithm], schedule: Schedule
) -> tuple[IsotropicPrior, Search]:
    """The prior with the least held-out RMSE of an algorithm.

    Searched are the ridges of the factors (one for both sides: only their product moves a mode), of
    each bias, and the exponent of a user's rating count. tau is the inverse mean squared error.
    """
    parts = holdouts(subsampled(problem, MOST_RATINGS), HELD_OUT, HOLDOUTS)
    count = count_rows(problem.ratings.user, problem.users)
    units = units_of(mean_and_std(problem.ratings.value)[1], count)
    spread, axes = units.spread, axes_of(problem.terms)
    judged: list[Judged] = []

    def loss(point: Point) -> float:
        prior = prior_at(point, 1 / spread**2, units)
        algorithms = [build(prior, data) for data, _ in parts]
        value = {name: getattr(point, name) for name in Point._fields}
        stage = stage_of(f"candidate {len(judged) + 1}")
        judged.append(tried(value, algorithms, problem, parts, schedule, stage))
        return judged[-1].trial.rmse / spread

    point = pattern_search(loss, START, axes)
    trials = log_of(judged)
    least = max(min(trial.rmse for trial in trials), 1e-3 * spread)  # constant ratings leave 0
    prior = prior_at(point, 1 / least**2, units)
    return prior, Search(dict(vars(prior)), trials)
