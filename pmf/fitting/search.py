"""What every search for a prior shares: its problem, parts held out, candidates, and their log.

Nothing here sees a test rating.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import pandas as pd

from pmf.data.encoding import blocks, count_rows
from pmf.data.row_numbers import RowNumbers, chances
from pmf.data.values import Mapped, decoded
from pmf.errors import InputError, NotFiniteError
from pmf.fitting.driver import run
from pmf.fitting.phases import PHASES, OnStep, no_progress
from pmf.fitting.schedule import Record, Schedule
from pmf.inference.base import Algorithm
from pmf.inference.layout import Data, by_rows
from pmf.types import Ratings, Terms

LEAST_RATINGS = 10  # fewer say nothing of a prior
MANY_RATINGS = 3_000_000  # the layout of more takes longer than to compile for their number
LEAST_GAIN = 1e-4  # of RMSE, relative to the ratings' spread: less is a flat valley


class Trial(NamedTuple):
    """One candidate, its RMSE on the held-out training ratings, and what it cost."""

    value: dict[str, float]
    rmse: float
    seconds: float
    compile_seconds: float
    doubt: float = float("inf")  # the standard error of how much worse it is than the best


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

    @property
    def best(self) -> Trial | None:
        """The candidate with the least RMSE; None without any."""
        return min(self.trials, key=lambda trial: trial.rmse, default=None)

    def table(self) -> pd.DataFrame:
        """A row for each candidate, in the order of the search: its values, `rmse`, `doubt` (the
        standard error of how much worse it is than the best), `seconds`, and whether it is `best`.
        """
        rows = [
            trial.value
            | {"rmse": trial.rmse, "doubt": trial.doubt, "seconds": trial.seconds}
            | {"best": trial is self.best}
            for trial in self.trials
        ]
        return pd.DataFrame(rows)


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
    on_step: OnStep = no_progress  # is told of each candidate's sweeps


class Holdout(NamedTuple):
    """The training ratings without a part, and that part.

    Up to `MANY_RATINGS` they have the shapes of the whole, and so its compiled programs.
    """

    data: Data
    held: Ratings


def holdouts(problem: Problem, share: float, number: int = 1) -> list[Holdout]:
    """Disjoint shares of the training ratings held out in turn."""
    ratings = problem.ratings
    if isinstance(ratings.value, Mapped):
        ratings = ratings._replace(value=decoded(ratings.value))
    part = chances(ratings, problem.numbers, problem.seed)
    parts = []
    for j in range(number):
        held = (part >= j * share) & (part < (j + 1) * share)
        if held.sum() < 2 or len(held) < LEAST_RATINGS:
            raise InputError(
                f"{len(part)} ratings are too few to choose a prior from; "
                "give one (prior=..., or tau=... for gibbs)"
            )
        shape = problem.users, problem.items, problem.terms.rank
        if len(held) > MANY_RATINGS:
            rest = Ratings(*(x[~held] for x in ratings))
            data = by_rows(rest, *shape, fused=problem.fused)
        else:
            data = by_rows(ratings, *shape, observed=~held, fused=problem.fused)
        user, item, value = (x[held] for x in ratings)
        held_out = Ratings(user, item, decoded(value))
        parts.append(Holdout(data.drawn_by(problem.numbers), held_out))
    return parts


def subsampled(problem: Problem, most: int) -> Problem:
    """All ratings of random users, `most` at the most: a user's history stays whole."""
    ratings, users = problem.ratings, problem.users
    if len(ratings.value) <= most:
        return problem
    # The users in the order of their numbers, shuffled.
    shuffled = np.random.default_rng(problem.seed).permutation(users)
    order = np.argsort(problem.numbers.user)[shuffled]
    total = np.cumsum(count_rows(ratings.user, users)[order])
    chosen = np.zeros(users, bool)
    chosen[order[: max(1, np.searchsorted(total, most))]] = True
    n = len(ratings.user)
    held = np.concatenate([np.flatnonzero(chosen[ratings.user[b]]) + b.start for b in blocks(n)])
    return problem._replace(ratings=Ratings(*(x[held] for x in ratings)))


def stage_of(what: str) -> str:
    """The name of a part of the search, as whoever watches is told."""
    return f"{PHASES['search'].now}: {what}"


class Place(Protocol):
    """A point of a search."""

    def moved(self, axis: str, direction: int) -> Self:
        """A step along one axis, forward (1) or back (-1)."""


P = TypeVar("P", bound=Place)


def pattern_search(loss: Callable[[P], float], start: P, axes: list[str]) -> P:
    """Hooke & Jeeves (1961) with one step size: along each axis in turn while that helps."""
    point, seen = start, {start: loss(start)}
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


class Judged(NamedTuple):
    """A candidate, and its squared error of each held-out rating."""

    trial: Trial
    squares: np.ndarray


def log_of(judged: list[Judged]) -> list[Trial]:
    """The trials, each with the standard error of its distance to the best one."""
    best = min(judged, key=lambda one: one.trial.rmse)
    return [one.trial._replace(doubt=_doubt(one, best)) for one in judged]


def _doubt(one: Judged, best: Judged) -> float:
    """By the delta method, of the difference of two RMSEs over the same ratings."""
    if not np.isfinite(one.trial.rmse):
        return float("inf")
    rmse = max((one.trial.rmse + best.trial.rmse) / 2, np.finfo(float).tiny)
    return float(np.std(one.squares - best.squares) / (2 * rmse * np.sqrt(len(one.squares))))


def tried(
    value: dict[str, float],
    algorithms: list[Algorithm],
    problem: Problem,
    parts: list[Holdout],
    schedule: Schedule,
    stage: str,
) -> Judged:
    """One candidate on every holdout; infinitely bad where it is too weak to solve with.

    `stage` names it to whoever watches.
    """

    def tell(record: Record) -> None:
        problem.on_step(stage, record.step, schedule.total_steps)

    try:
        runs = [
            run(algorithm, problem.seed, data, schedule, held, name=stage, on_record=tell)
            for algorithm, (data, held) in zip(algorithms, parts, strict=True)
        ]
    except NotFiniteError:
        return Judged(Trial(value, float("inf"), 0.0, 0.0), np.empty(0))
    squares = [
        np.asarray((result.heldout.mean - held.value) ** 2, np.float64)
        for result, (_, held) in zip(runs, parts, strict=True)
        if result.heldout is not None
    ]
    rmse = np.sqrt(np.mean([part.mean() for part in squares]))
    seconds = sum(result.records[-1].seconds for result in runs)
    compiling = sum(result.compile_seconds for result in runs)
    return Judged(Trial(value, float(rmse), seconds, compiling), np.concatenate(squares))
