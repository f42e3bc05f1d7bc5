"""Settings and arrays to a fitted model: plan, run where it is asked to, and sum up.

All of it happens to standardised ratings (`pmf.data.units`); what comes out is in the ratings' own
unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pmf.data.encoding import blocks
from pmf.data.histories import Rated
from pmf.data.ids import Ids
from pmf.data.row_numbers import RowNumbers, chances, row_numbers
from pmf.data.units import unit_of
from pmf.data.values import decoded, mean_and_std
from pmf.errors import InputError
from pmf.fitting import prior_search
from pmf.fitting.checkpoint import CheckpointFolder, Checkpoints
from pmf.fitting.driver import Run, run
from pmf.fitting.fingerprint import fingerprint
from pmf.fitting.methods import Plan, plan_for
from pmf.fitting.prior_search import Search, Trial
from pmf.fitting.rescale import Scales
from pmf.fitting.schedule import Record
from pmf.fitting.settings import Settings
from pmf.inference.layout import by_rows, flat
from pmf.inference.map_on_disk import on_host
from pmf.model.predictive import Prediction, predict_pairs
from pmf.parallel.placement import device_mesh, flat_on_mesh, place, rows_on_mesh
from pmf.parallel.sharding import host_form, on_mesh, shard_spec
from pmf.types import Params, Prior, Ratings, Terms, by_identity

LEAST_VARIANCE = 1e-6  # of a residual, standardised: perfectly fitted ratings leave it finite
WORSE = 1.1  # times the squared error at the start; some of it may be the start's random factors
STORED_GB = 4.0  # of kept draws

OnStep = Callable[[str, int, int], None]  # phase, step, total
OnRecord = Callable[[Record], None]


@by_identity
class Fit(NamedTuple):
    """A fitted model as arrays."""

    draws: Params  # leading axis: kept draws, or 1 for a point method
    prior: Prior  # that each draw was made under, of a row with one rating: the same leading axis
    noise_variance: (
        np.ndarray
    )  # (s,): 1/tau of each draw; a point method's training residual variance
    records: list[Record]
    heldout: Prediction | None
    log_posterior: float  # of the estimate; of Gibbs' kept draws the mean
    search: Search  # the prior that was chosen on held-out training ratings, and how
    compile_seconds: float
    stopped: str

    def __repr__(self) -> str:
        held = draws_in_words(self.draws)
        return f"Fit({held}; {len(self.records)} steps: {self.stopped}; {self.search!r})"


def draws_in_words(draws: Params) -> str:
    """How many draws, and of what: for a `repr`."""
    count, _, rank = draws.user.factor.shape
    return f"{count:,} draw{'s' * (count != 1)} of rank {rank}"


@dataclass(eq=False, repr=False)
class Fitted:
    """A fit, and the raw ids that its rows stand for.

    `fit.draws` has one row more than ids a side, the unknown row.
    Nobody rated it, so its estimate is the prior mean (ALS, MAP: the global mean plus the
    other side's bias), and Gibbs draws it from the row prior: unknown ids get honest intervals.
    """

    fit: Fit
    users: Ids
    items: Ids
    user_count: np.ndarray  # training ratings of each user, 0 for the unknown row
    item_count: np.ndarray
    rated: Rated | None = None  # the training ratings, where they are kept

    def __repr__(self) -> str:
        return f"Fitted({self.size_in_words}; {draws_in_words(self.fit.draws)})"

    @property
    def size_in_words(self) -> str:
        """The numbers of ratings, users and items: for a `repr`."""
        ratings, users, items = int(self.user_count.sum()), len(self.users), len(self.items)
        return f"{ratings:,} ratings of {users:,} users and {items:,} items"


def state_of(fitted: Fitted | None) -> str:
    """Whether a model is fitted, and to how much: for its `repr`."""
    return "not fitted" if fitted is None else f"fitted to {fitted.size_in_words}"


class Watched(NamedTuple):
    """The rest of `run`'s arguments: what it watches, and who watches it."""

    heldout: Ratings | None
    validation: Ratings | None
    name: str
    folder: CheckpointFolder | None
    on_step: Callable[[Record, int], None]


def fit_ratings(
    settings: Settings,
    ratings: Ratings,
    users: int,
    items: int,
    heldout: Ratings | None = None,
    on_step: OnStep = lambda phase, step, total: None,
    checkpoints: Checkpoints | None = None,
    on_record: OnRecord = lambda record: None,
) -> Fit:
    """Fit NumPy `ratings` of `users` and `items` rows; `heldout` is watched, never learnt from.

    Raises `InputError` for settings that the data cannot support and for checkpoints that cannot be
    written or are of another run; `NotFiniteError` and `Interrupted` from the run.
    """
    _check_size(settings, users, items)
    mesh = None if settings.devices == 1 else device_mesh(settings.devices)
    scales = Scales(unit_of(ratings.value, settings.mu))

    folder = None
    if checkpoints is not None:
        identity = fingerprint(settings, ratings, users, items, heldout)
        folder = CheckpointFolder(checkpoints, identity)
    train, validation = scales.unit.standardised(ratings), None
    watched = heldout and scales.unit.standardised(heldout, coded=False)
    model = settings.terms, 0.0, settings.seed, settings.fused
    numbers = row_numbers(train, users, items)
    problem = prior_search.Problem(train, users, items, numbers, *model)
    choose = partial(_choose, problem, folder, on_step)
    plan = plan_for(settings, scales, len(ratings.value), choose)
    if plan.schedule.patience is not None:
        train, validation = _part(
            train, settings.validation, chances(train, numbers, settings.seed)
        )
    log_volume = _log_volume(scales, settings.terms, users, items, len(train.value))

    def watch(record: Record, total: int) -> None:
        on_step(settings.method, record.step, total)
        on_record(scales.record(record, log_volume))

    watched_by = Watched(watched or validation, validation, settings.method, folder, watch)
    where = _run_here if mesh is None else partial(_run_on_mesh, mesh)
    result = where(settings, plan, train, numbers, watched_by)
    noise = None if plan.schedule.average else residual_variance(result.draws, train)
    if noise is not None:
        _check_gain(noise, train, settings)
    return summed_up(result, plan.search, scales, log_volume, noise)


def summed_up(
    result: Run, search: Search, scales: Scales, log_volume: float, noise: float | None
) -> Fit:
    """What a run on standardised ratings and the search before it left, in the ratings' own unit.

    `noise` is a point method's residual variance, standardised; None takes each draw's 1/tau.
    """
    variance, heldout = result.noise_variance, result.heldout
    if noise is not None:
        variance = np.full_like(variance, noise)
        heldout = heldout and heldout._replace(variance=np.full_like(heldout.variance, noise))
    return Fit(
        scales.params(result.draws),
        scales.row_priors(result.prior, result.draws.user.factor.shape[-1]),
        variance * scales.unit.spread**2,
        [scales.record(record, log_volume) for record in result.records],
        heldout and scales.prediction(heldout),
        result.log_posterior - log_volume,
        _in_unit(search, scales),
        result.compile_seconds + search.compile_seconds,
        result.stopped,
    )


def _in_unit(search: Search, scales: Scales) -> Search:
    spread = scales.unit.spread
    trials = [
        trial._replace(
            rmse=trial.rmse * spread,
            value={x: y / spread**2 if x == "tau" else y for x, y in trial.value.items()},
        )
        for trial in search.trials
    ]
    return Search(scales.chosen(search.chosen), trials)


def _check_gain(noise: float, train: Ratings, settings: Settings) -> None:
    """Raise `InputError` where a fit ended worse than it began, at about mu for every pair."""
    mean, std = mean_and_std(train.value)
    begin = max(mean**2 + std**2, LEAST_VARIANCE)
    if noise > WORSE * begin:
        raise InputError(
            f"{settings.method}: the residuals' standard deviation is {(noise / begin) ** 0.5:.3g} "
            "times what it was at the start; a smaller learning rate may help"
        )


def _log_volume(scales: Scales, terms: Terms, users: int, items: int, n: int) -> float:
    rank, user_bias, item_bias = terms
    return scales.log_volume(
        n, (users * rank, users * user_bias), (items * rank, items * item_bias)
    )


def _choose(
    problem: prior_search.Problem,
    folder: CheckpointFolder | None,
    on_step: OnStep,
    search: Callable[[prior_search.Problem], Search],
) -> Search:
    """What a search finds, or found at an earlier start of this run."""
    if folder is not None and "search" in folder.notes:
        chosen, trials = folder.notes["search"]
        return Search(chosen, [Trial(*trial) for trial in trials])
    on_step("choosing the prior", 0, 1)
    found = search(problem)
    on_step("choosing the prior", 1, 1)
    if folder is not None:
        folder.note({"search": found})
    return found


def _run_here(
    settings: Settings, plan: Plan, train: Ratings, numbers: RowNumbers, watched: Watched
) -> Run:
    """On JAX's default device."""
    shape = train, len(numbers.user), len(numbers.item)
    if settings.method == "map":
        data = on_host(*shape) if settings.on_disk else flat(*shape)
    else:
        data = by_rows(*shape, settings.rank, fused=settings.fused)
    data = data.drawn_by(numbers)
    return run(plan.algorithm(data), settings.seed, data, plan.schedule, *watched)


def _run_on_mesh(
    mesh: Mesh,
    settings: Settings,
    plan: Plan,
    train: Ratings,
    numbers: RowNumbers,
    watched: Watched,
) -> Run:
    """The same, rows sharded over devices; everything comes back in the original order."""
    train = train._replace(value=decoded(train.value))
    sides = (train.user, numbers.user), (train.item, numbers.item)
    users, items = (np.bincount(row, minlength=len(number)) for row, number in sides)
    placement = place(users, items, mesh, numbers)
    if settings.method == "map":
        data = flat_on_mesh(placement, train)
    else:
        data = rows_on_mesh(placement, train, train, settings.rank)
    spec = shard_spec(plan.algorithm, placement)
    algorithm = on_mesh(plan.algorithm, data, spec)
    heldout, validation = (part and placement.placed(part) for part in watched[:2])
    watched = watched._replace(heldout=heldout, validation=validation)
    form = host_form(spec, placement)
    return run(algorithm, settings.seed, data, plan.schedule, *watched, form=form)


def _check_size(settings: Settings, users: int, items: int) -> None:
    """Better before the work than after it."""
    if settings.rank > min(users, items):
        raise InputError(
            f"rank {settings.rank} is more than the data's rows support ({users} and {items}, each "
            f"with one for unknown ids); say at most {min(users, items)}"
        )
    rank, user_bias, item_bias = settings.terms
    numbers = users * (rank + user_bias) + items * (rank + item_bias)
    size = 4e-9 * numbers * settings.steps * settings.num_chains
    if settings.method == "gibbs" and settings.store_draws and size > STORED_GB:
        raise InputError(
            f"{settings.steps} draws of {settings.num_chains} chains need {size:.1f} GB; keep "
            "fewer (num_steps), or say store_draws=False and predict held-out pairs only"
        )


def _part(ratings: Ratings, fraction: float, chance: np.ndarray) -> tuple[Ratings, Ratings]:
    held = chance < fraction
    if held.all() or not held.any():
        raise InputError(f"validation={fraction} of {len(held)} ratings leaves a part without any")
    return Ratings(*(x[~held] for x in ratings)), Ratings(*(x[held] for x in ratings))


def residual_variance(draws: Params, ratings: Ratings) -> float:
    """The mean squared residual of standardised ratings: the noise that a point method is given."""
    draws, n, total = jax.tree.map(jnp.asarray, draws), len(ratings.value), 0.0
    for rows in blocks(n):
        pair = ratings.user[rows], ratings.item[rows]
        fitted = predict_pairs(draws, np.zeros(1, np.float32), *pair).mean
        total += float(np.sum((ratings.value[rows] - fitted) ** 2, dtype=np.float64))
    return max(total / n, LEAST_VARIANCE)
