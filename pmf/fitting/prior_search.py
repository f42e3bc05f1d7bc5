"""Priors chosen on held-out training ratings. Nothing here sees a test rating."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pmf.data.encoding import blocks, count_rows
from pmf.data.row_numbers import RowNumbers, chances
from pmf.data.values import decoded, mean_and_std
from pmf.errors import InputError, NotFiniteError
from pmf.fitting.driver import Run, run
from pmf.fitting.schedule import Schedule
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.inference.gibbs import Hyperprior, gibbs
from pmf.inference.layout import Data, by_rows
from pmf.model.priors import IsotropicPrior, RegressedPrior, Ridge, from_ridge
from pmf.types import Ratings, Terms

HELD_OUT = 0.1  # the share of the training ratings that judges a prior
HOLDOUTS = 2  # disjoint such shares: one alone is too noisy to tell near priors apart
BIAS_HOLDOUTS = 10  # biases alone are so cheap that every rating may be held out once
MOST_RATINGS = 1_000_000  # a larger set is searched on this many ratings of random users
LEAST_GAIN = 1e-4  # of RMSE, relative to the ratings' spread: less is a flat valley
ALS_SEARCH = Schedule(num_steps=30, tolerance=3e-4)
GIBBS_SEARCH = Schedule(num_steps=40, average=True, burn_in=30, store_draws=False)
TAU_RATIO = 1.25  # between candidates for tau, in units of the ratings' own precision
TAU_START = 2


class Trial(NamedTuple):
    """One candidate, its RMSE on the held-out training ratings, and what it cost."""

    value: dict[str, float]
    rmse: float
    seconds: float
    compile_seconds: float


class Search(NamedTuple):
    """What was chosen, and every candidate that was tried; none where nothing was to be chosen."""

    chosen: dict[str, float]
    trials: list[Trial]

    def __repr__(self) -> str:
        chosen = ", ".join(f"{name}={value:.4g}" for name, value in self.chosen.items())
        return f"Search({chosen or 'nothing to choose'}; {len(self.trials)} trials)"

    @property
    def seconds(self) -> float:
        return sum(trial.seconds for trial in self.trials)

    @property
    def compile_seconds(self) -> float:
        return sum(trial.compile_seconds for trial in self.trials)


class Problem(NamedTuple):
    """A training set (NumPy), and the model to choose a prior for."""

    ratings: Ratings
    users: int
    items: int
    numbers: RowNumbers
    terms: Terms
    mu: float
    seed: int
    fused: bool | None = None  # whether by the CPU kernel; None: where it is available


def _holdouts(problem: Problem, number: int) -> list[tuple[Data, Ratings]]:
    """Disjoint tenths of the training ratings held out in turn, all in the shapes of the whole."""
    ratings = _subsample(problem)
    part = chances(ratings, problem.numbers, problem.seed)
    parts = []
    for j in range(number):
        held = (part >= j * HELD_OUT) & (part < (j + 1) * HELD_OUT)
        if held.sum() < 2:
            raise InputError(
                f"{len(part)} ratings are too few to choose a prior from; "
                "give one (prior=..., or tau=... for gibbs)"
            )
        shape = ratings, problem.users, problem.items, problem.terms.rank
        data = by_rows(*shape, observed=~held, fused=problem.fused)
        parts.append((data.drawn_by(problem.numbers), Ratings(*(x[held] for x in ratings))))
    return parts


def _subsample(problem: Problem) -> Ratings:
    """All ratings of random users, MOST_RATINGS at the most: a user's history stays whole."""
    ratings, users = problem.ratings, problem.users
    if len(ratings.value) <= MOST_RATINGS:
        return ratings._replace(value=decoded(ratings.value))
    # The users in the order of their numbers, shuffled.
    shuffled = np.random.default_rng(problem.seed).permutation(users)
    order = np.argsort(problem.numbers.user)[shuffled]
    total = np.cumsum(count_rows(ratings.user, users)[order])
    chosen = np.zeros(users, bool)
    chosen[order[: max(1, np.searchsorted(total, MOST_RATINGS))]] = True
    n = len(ratings.user)
    held = np.concatenate([np.flatnonzero(chosen[ratings.user[b]]) + b.start for b in blocks(n)])
    user, item, value = (x[held] for x in ratings)
    return Ratings(user, item, decoded(value))


class Method(NamedTuple):
    """The algorithm that a prior is chosen for, of a prior, a `Point.regression` and data."""

    build: Callable[[IsotropicPrior, float, Data], Algorithm]
    schedule: Schedule
    has_regression: bool = False


def by_als(problem: Problem) -> Method:
    """Priors are chosen for ALS, and MAP takes them over."""

    def build(prior: IsotropicPrior, _regression: float, data: Data) -> Algorithm:
        return als(prior.build(problem.terms, data), problem.terms, problem.mu)

    return Method(build, ALS_SEARCH)


def choose_prior(problem: Problem, method: Method | None = None) -> tuple[IsotropicPrior, Search]:
    """The prior with the least held-out RMSE under a method (default: ALS), by a pattern search.

    Searched are the ridges of the factors (one for both sides: only their product moves a mode), of
    each bias, and the exponent of a user's rating count. tau is the inverse mean squared error.
    """
    _, prior, search = _choose(problem, method or by_als(problem))
    return prior, search


def choose_regressed(
    problem: Problem, build: Callable[[RegressedPrior, Data], Algorithm]
) -> tuple[RegressedPrior, Search]:
    """The same, with the strength of a regression searched too (`chosen["regression"]`)."""

    def built(prior: IsotropicPrior, regression: float, data: Data) -> Algorithm:
        return build(RegressedPrior(prior, regression), data)

    point, prior, search = _choose(problem, Method(built, ALS_SEARCH, has_regression=True))
    return RegressedPrior(prior, point.regression), search


def _choose(problem: Problem, method: Method) -> tuple["Point", IsotropicPrior, Search]:
    terms = problem.terms
    holdouts = _holdouts(problem, HOLDOUTS if terms.rank else BIAS_HOLDOUTS)
    count = count_rows(problem.ratings.user, problem.users)
    units = units_of(mean_and_std(problem.ratings.value)[1], count)
    spread = units.spread
    trials: list[Trial] = []
    regression = ["regression"] if method.has_regression else []

    def loss(point: Point) -> float:
        prior = prior_at(point, 1 / spread**2, units)
        algorithms = [method.build(prior, point.regression, data) for data, _ in holdouts]
        tried = {name: getattr(point, name) for name in (*Point._fields[:4], *regression)}
        trials.append(_try(tried, algorithms, problem, holdouts, method.schedule))
        return trials[-1].rmse / spread

    best = _pattern_search(loss, SEARCH_START, axes_of(terms) + regression)
    least = max(min(trial.rmse for trial in trials), 1e-3 * spread)  # constant ratings leave 0
    prior = prior_at(best, 1 / least**2, units)
    chosen = vars(prior) | {name: getattr(best, name) for name in regression}
    return best, prior, Search(chosen, trials)


class Point(NamedTuple):
    """Where the search for a prior stands. A factor ridge is in units of the ratings' spread."""

    factor: float
    user_bias: float
    item_bias: float
    user_exponent: float
    regression: float = 1.0  # the hybrid's: the prior precision of weights on features, see there

    def moved(self, name: str, direction: int) -> "Point":
        """A step along one axis: a ridge or precision times or by 1.6, the exponent by 0.2."""
        value = getattr(self, name)
        if name == "user_exponent":
            return self._replace(user_exponent=round(value + 0.2 * direction, 6))
        return self._replace(**{name: round(value * 1.6**direction, 6)})


SEARCH_START = Point(factor=15.0, user_bias=3.0, item_bias=3.0, user_exponent=0.45)


class Units(NamedTuple):
    """What a `Point` is counted in: the ratings' standard deviation, and a user's typical count."""

    spread: float
    typical: float


def units_of(spread: float, count: np.ndarray) -> Units:
    """The units of ratings with this standard deviation and these counts a user.

    The typical count is the geometric mean over ratings, not users, of their user's count.
    """
    return Units(
        spread or 1.0, float(np.exp(np.average(np.log(np.maximum(count, 1)), weights=count)))
    )


def prior_at(point: Point, tau: float, units: Units) -> IsotropicPrior:
    """The prior at a point of the search, for a rating precision tau."""
    factor, user_bias, item_bias, exponent, _ = point
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


def _pattern_search(loss: Callable[[Point], float], point: Point, axes: list[str]) -> Point:
    """Hooke & Jeeves (1961) with one step size: along each axis in turn while that helps."""
    seen = {point: loss(point)}
    improved = True
    while improved:
        improved = False
        for axis in axes:
            for candidate in (point.moved(axis, 1), point.moved(axis, -1)):
                if candidate not in seen:
                    seen[candidate] = loss(candidate)
                if seen[candidate] < seen[point] - LEAST_GAIN:
                    point, improved = candidate, True
                    break
    return point


def choose_tau(problem: Problem, hyperprior: Hyperprior, num_chains: int) -> tuple[float, Search]:
    """The rating precision with the least held-out RMSE of short Gibbs runs.

    A downhill search over multiples of the ratings' own precision, from 1 on: noise cannot vary
    more than what it is a part of, which RMSE would not say where nothing can be predicted. tau is
    not simply learnt because the Gaussian likelihood is misspecified for star ratings: a smaller
    tau than the learnt one predicts better (and its intervals cover more than they claim).
    """
    holdouts = _holdouts(problem, 1)
    schedule = replace(GIBBS_SEARCH, num_chains=num_chains)
    variance = mean_and_std(problem.ratings.value)[1] ** 2 or 1.0
    seen: dict[int, Trial] = {}

    def loss(j: int) -> float:
        if j not in seen:
            tau = TAU_RATIO**j / variance
            sampler = gibbs(hyperprior, problem.terms, problem.mu, tau)
            seen[j] = _try({"tau": tau}, [sampler], problem, holdouts, schedule)
        return seen[j].rmse

    best = TAU_START
    for direction in (1, -1):
        while best + direction >= 0 and (
            loss(best + direction) < loss(best) - LEAST_GAIN * variance**0.5
        ):
            best += direction
    return seen[best].value["tau"], Search(seen[best].value, list(seen.values()))


def _try(
    value: dict[str, float],
    algorithms: list[Algorithm],
    problem: Problem,
    holdouts: list[tuple[Data, Ratings]],
    schedule: Schedule,
) -> Trial:
    """One candidate on every holdout; infinitely bad where it is too weak to solve with."""
    try:
        runs = [
            run(algorithm, problem.seed, data, schedule, held, name="prior search")
            for algorithm, (data, held) in zip(algorithms, holdouts, strict=True)
        ]
    except NotFiniteError:
        return Trial(value, float("inf"), 0.0, 0.0)
    rmse = np.sqrt(np.mean([result.records[-1].heldout_rmse ** 2 for result in runs]))
    compiling = sum(result.compile_seconds for result in runs)
    return Trial(value, float(rmse), sum(_seconds(result) for result in runs), compiling)


def _seconds(result: Run) -> float:
    return result.records[-1].seconds
