"""The prior of a mode, for ALS, MAP and the hybrid: by variational Bayes and one scale.

Nothing here sees a test rating. With a part of the training ratings held out, a few sweeps of
`pmf.inference.vb` learn every precision, of many ratings first on those of some users;
`pmf.inference.mode_prior` turns them into the prior that a mode needs; and how strong it is, a
scale that would be 1 were the model true and the sweeps at their end, is chosen by the held-out
error of sweeps of ALS. Each candidate goes on from the means that variational Bayes found, and the
fit from the factors of the best one, so little of this work is lost. (From a neighbour's factors it
would not find a column again that a stronger prior emptied: 0 is a saddle point.)
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from pmf.data.values import Mapped, mean_and_std
from pmf.errors import NotFiniteError
from pmf.fitting.driver import check_finite, copied, program_of, stepped
from pmf.fitting.search import (
    LEAST_GAIN,
    MANY_RATINGS,
    Holdout,
    Judged,
    Problem,
    Search,
    Trial,
    holdouts,
    log_of,
    pattern_search,
    stage_of,
    subsampled,
)
from pmf.inference.als import als
from pmf.inference.base import Algorithm, AnyState
from pmf.inference.layout import Data
from pmf.inference.mode_prior import mode_prior
from pmf.inference.vb import vb
from pmf.model.predictive import predict_pairs
from pmf.model.priors import IsotropicPrior, RegressedPrior, numbers_of
from pmf.types import Params


class End(NamedTuple):
    """Of sweeps: after so many, or once `calm` in a row changed the held-out RMSE, relative to the
    ratings' spread, by less than `gain`; or where another candidate is ahead, see `_is_behind`.
    """

    sweeps: int
    gain: float
    calm: int


HELD_OUT = 0.01, 0.1  # the share of the training ratings that judges, at the least and at the most
ENOUGH = 100_000  # ratings to judge by
MOST_ON_DISK = 20_000_000  # of more ratings on disk, those of random users are searched on
# When to end sweeps: before more of them only prune columns, and of ALS once it is at its mode.
VB_END = End(sweeps=10, gain=10 * LEAST_GAIN, calm=2)  # near its start one sweep may change little
ALS_END = End(sweeps=20, gain=LEAST_GAIN, calm=1)
STEP = 2**0.5  # between scales; a regression's strength, to which little is sensitive, takes two


class Choice(NamedTuple):
    """A prior, how it was chosen, and parameters to go on from, where the search leaves any."""

    prior: Any  # of the kind that the inference takes
    search: Search
    start: Params | None = None


class Point(NamedTuple):
    """Where the search stands: the scale of the factors' ridges and, of the hybrid, the strength
    of its regression (`pmf.inference.hybrid`).
    """

    scale: float = 1.0
    regression: float = 1.0

    def moved(self, axis: str, direction: int) -> "Point":
        """A step along one axis, forward or back."""
        step = STEP if axis == "scale" else STEP**2
        return self._replace(**{axis: round(getattr(self, axis) * step**direction, 6)})


# Of a prior, the strength of a regression, and the data.
Build = Callable[[IsotropicPrior, float, Data], Algorithm]


def choose_prior(problem: Problem) -> Choice:
    """The prior with the least held-out error of ALS, which MAP takes over.

    With biases alone nothing is left to be tried: their variances are what they are.
    """

    def build(prior: IsotropicPrior, _regression: float, data: Data) -> Algorithm:
        return als(prior.build(problem.terms, data), problem.terms, problem.mu)

    axes = ["scale"] if problem.terms.rank else []
    return _choose(problem, build, axes)[1]


def choose_regressed(
    problem: Problem, build: Callable[[RegressedPrior, Data], Algorithm]
) -> Choice:
    """The same for a hybrid, with the strength of its regression searched too."""

    def built(prior: IsotropicPrior, regression: float, data: Data) -> Algorithm:
        return build(RegressedPrior(prior, regression), data)

    axes = [*(["scale"] if problem.terms.rank else []), "regression"]
    point, (rows, search, start) = _choose(problem, built, axes)
    prior = RegressedPrior(rows, point.regression)
    return Choice(prior, search._replace(chosen=numbers_of(prior)), start)


def _choose(problem: Problem, build: Build, axes: list[str]) -> tuple[Point, Choice]:
    if isinstance(problem.ratings.value, Mapped):
        problem = subsampled(problem, MOST_ON_DISK)
    share = float(np.clip(ENOUGH / len(problem.ratings.value), *HELD_OUT))
    (part,) = holdouts(problem, share)
    spread = mean_and_std(problem.ratings.value)[1] or 1.0
    posterior = _learnt(problem, part, share)
    unscaled = mode_prior(posterior.state, part.data)
    ends: dict[Point, Params] = {}
    judged: list[Judged] = []
    best: list[float] = []  # of the best candidate so far, its RMSE after each sweep

    def loss(point: Point) -> float:
        nonlocal best
        algorithm = build(unscaled.scaled(point.scale), point.regression, part.data)
        state: Any = algorithm.init(jax.random.key(problem.seed), part.data)
        state = state._replace(params=posterior.state.params)
        value = {axis: getattr(point, axis) for axis in axes}
        try:
            stage = stage_of(f"candidate {len(judged) + 1}")
            end = _settled(algorithm, state, problem, part, ALS_END, stage, best)
        except NotFiniteError:
            judged.append(Judged(Trial(value, float("inf"), 0.0, 0.0), np.empty(0)))
            return float("inf")
        ends[point] = end.state.params
        if not best or end.rmse < best[-1]:
            best = end.course
        judged.append(Judged(Trial(value, end.rmse, end.seconds, end.compile_seconds), end.squares))
        return end.rmse / spread

    point = pattern_search(loss, Point(), axes)
    first, *others = log_of(judged)
    trials = [_with_cost_of(first, posterior), *others]
    smallest = max(min(trial.rmse for trial in trials), 1e-3 * spread)  # constant ratings leave 0
    prior = unscaled.scaled(point.scale).with_tau(1 / smallest**2)
    start = jax.device_get(ends[point]) if point in ends else None
    return point, Choice(prior, Search(numbers_of(prior), trials), start)


def _learnt(problem: Problem, part: Holdout, share: float) -> "_Settled":
    """Where sweeps of variational Bayes ended; of many ratings they begin with random users'.

    Covariances are diagonal, and all users have one noise, as a mode has it.
    """
    algorithm = vb(problem.terms, problem.mu, noise_shape=None, whole=False)
    key, spent, until = jax.random.key(problem.seed), 0.0, VB_END
    state: Any = algorithm.init(key, part.data)
    if len(problem.ratings.value) > MANY_RATINGS:
        few = _alone(subsampled(problem, MANY_RATINGS))
        (first,) = holdouts(few, share)
        stage, start = stage_of("variances of some users"), algorithm.init(key, first.data)
        early = _settled(algorithm, start, few, first, VB_END, stage)
        # Users come first in a sweep: of these few nothing is needed.
        params = state.params._replace(item=early.state.params.item)
        state = state._replace(params=params, prior=early.state.prior, item=early.state.item)
        spent, until = early.seconds, VB_END._replace(calm=1)
    end = _settled(algorithm, state, problem, part, until, stage_of("variances"))
    return end._replace(seconds=end.seconds + spent)


def _alone(problem: Problem) -> Problem:
    """The problem without users who have no rating."""
    present, user = np.unique(problem.ratings.user, return_inverse=True)
    ratings = problem.ratings._replace(user=user.astype(np.int32))
    numbers = problem.numbers._replace(user=problem.numbers.user[present])
    return problem._replace(ratings=ratings, users=len(present), numbers=numbers)


class _Settled(NamedTuple):
    """Where sweeps ended, the squared error of each held-out rating there, and what they cost."""

    state: Any
    squares: np.ndarray
    course: list[float]  # the held-out RMSE after each sweep
    seconds: float
    compile_seconds: float

    @property
    def rmse(self) -> float:
        return self.course[-1]


def _settled(
    algorithm: Algorithm,
    state: Any,
    problem: Problem,
    part: Holdout,
    end: End,
    stage: str,
    best: Sequence[float] = (),
) -> _Settled:
    """Sweeps from a state to an end, `best` being the course of the best candidate so far.

    Raises `NotFiniteError`.
    """
    key, (data, held) = jax.random.key(problem.seed), part
    state = copied(state)  # steps donate their state, and others start from the same parameters
    begin = time.perf_counter()
    advance = program_of(algorithm.step)
    advance.lower(key, state, data).compile()
    compile_seconds, seconds, course = time.perf_counter() - begin, 0.0, list[float]()
    gain, calm = end.gain * float(np.std(held.value)), 0
    for sweep in range(1, end.sweeps + 1):
        state, info, spent = stepped(advance, key, state, data)
        seconds += spent
        check_finite(info, stage, sweep, problem.seed)
        problem.on_step(stage, sweep, end.sweeps)
        squares = _squares(state, held)
        course.append(float(np.sqrt(squares.mean())))
        calm = calm + 1 if sweep > 1 and abs(course[-2] - course[-1]) < gain else 0
        if calm == end.calm or _is_behind(course, best):
            break
    return _Settled(state, squares, course, seconds, compile_seconds)


def _is_behind(course: Sequence[float], best: Sequence[float]) -> bool:
    """Whether a candidate will not be the best: it is worse than that was after as many sweeps, or
    at its end, and did not come nearer with the last.
    """
    if len(course) < 2 or not best:
        return False
    gaps = [course[-j] - best[min(len(course) - j, len(best) - 1)] for j in (1, 2)]
    return gaps[0] > 0 and gaps[0] >= gaps[1]


def _squares(state: AnyState, held: Any) -> np.ndarray:
    stack = jax.tree.map(lambda x: x[None], state.params)
    zero = np.zeros(1, state.prior.tau.dtype)
    mean = predict_pairs(stack, zero, held.user, held.item).mean
    return np.asarray((mean - held.value) ** 2)


def _with_cost_of(first: Trial, posterior: _Settled) -> Trial:
    """The first candidate's sweeps are those of its prior too."""
    return first._replace(
        seconds=first.seconds + posterior.seconds,
        compile_seconds=first.compile_seconds + posterior.compile_seconds,
    )
