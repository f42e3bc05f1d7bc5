"""Settings and arrays to a fitted model: choose a prior, run on the chosen devices, and sum up.

All of it happens to standardised ratings (`pmf.data.units`); what comes out is in the ratings' own
unit.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pmf.data.contexts import ContextRows
from pmf.data.encoding import blocks
from pmf.data.row_numbers import RowNumbers, chances, row_numbers
from pmf.data.units import unit_of
from pmf.data.values import decoded, mean_and_std
from pmf.errors import InputError
from pmf.fitting.checkpoint import CheckpointFolder, Checkpoints
from pmf.fitting.driver import Run, run
from pmf.fitting.fingerprint import NOTHING, fingerprint
from pmf.fitting.fitted import Fit
from pmf.fitting.methods.base import Inference
from pmf.fitting.phases import Clock
from pmf.fitting.prior_search import Choice
from pmf.fitting.rescale import Scales
from pmf.fitting.schedule import Record
from pmf.fitting.search import Problem, Search, Trial
from pmf.fitting.settings import Settings
from pmf.inference.base import Algorithm
from pmf.inference.contexts import about_average
from pmf.inference.layout import Data, by_rows_in_contexts
from pmf.inference.row_features import all_features
from pmf.model.predictive import predict_pairs
from pmf.model.priors import AnyPrior, numbers_of, prior_of
from pmf.parallel.placement import Placement, device_mesh, flat_on_mesh, place, rows_on_mesh
from pmf.parallel.sharding import host_form, on_mesh, shard_spec
from pmf.process.forked import computing
from pmf.types import Params, Ratings, Terms

LEAST_VARIANCE = 1e-6  # of a residual, standardised: perfectly fitted ratings leave it finite
WORSE = 1.1  # times the squared error at the start; some of it may be the start's random factors
STORED_GB = 4.0  # of kept draws
MET_GB = 8.0  # of what rows of contexts and of another side are together

OnRecord = Callable[[Record], None]


class Monitored(NamedTuple):
    """The rest of `run`'s arguments: what it monitors, its clock, and where it begins."""

    heldout: Ratings | None
    validation: Ratings | None
    name: str
    folder: CheckpointFolder | None
    on_record: OnRecord
    clock: Clock
    start: Params | None
    context: np.ndarray | None


def fit_ratings(
    settings: Settings,
    ratings: Ratings,
    num_users: int,
    num_items: int,
    heldout: Ratings | None = None,
    clock: Clock | None = None,
    checkpoints: Checkpoints | None = None,
    on_record: OnRecord = lambda record: None,
    given: Mapping[str, np.ndarray] = NOTHING,
    contexts: ContextRows | None = None,
) -> Fit:
    """Fit NumPy `ratings` of so many rows; `heldout` is watched, never learnt from.

    `clock` times the phases, and tells whoever watches of them. `given` are features of a side's
    rows ("user", "item"), all-zero where nothing is known of one; `contexts` are those that the
    ratings are given in, where the inference asks for some.
    Raises `InputError` for settings that the data cannot support and for checkpoints that cannot be
    written or are of another run; `NotFiniteError` and `Interrupted` from the run.
    """
    computing()
    clock = clock or Clock()
    inference, mesh = settings.inference, _mesh(settings)
    if given and (mesh is not None or not inference.takes_features):
        raise InputError(
            f"{inference.name}: given features are for gibbs, on one device; pmf.Hybrid has a mode"
        )
    _check_size(settings, num_users, num_items, given, contexts)
    folder = None
    if checkpoints is not None:
        identity = fingerprint(settings, ratings, num_users, num_items, heldout, given, contexts)
        folder = CheckpointFolder(checkpoints, identity)
    with clock.phase("layout"):
        scales = Scales(unit_of(ratings.value, settings.mu))
        standardised = scales.unit.standardised(ratings)
        problem = _problem(settings, standardised, num_users, num_items, clock)
    prior, search, start = _prior(inference, scales, problem, folder, clock)
    train, validation = _parts(problem, inference.validation_share)
    if validation is not None:
        start = None  # the search has learnt from some of the ratings that are to judge
    rows = (0, 0) if inference.integrates else (num_users, num_items)
    num_contexts = contexts.num_rows if contexts else 0
    log_volume = _log_volume(scales, settings.terms, *rows, num_contexts, len(train.value))

    watched = scales.unit.standardised(heldout, coded=False) if heldout else validation

    def tell(record: Record) -> None:
        on_record(scales.record(record, log_volume))

    context = contexts and contexts.heldout
    monitored = Monitored(watched, validation, inference.name, folder, tell, clock, start, context)
    algorithm = inference.algorithm(prior, settings.terms, len(ratings.value))
    where = partial(_run_here, given, contexts) if mesh is None else partial(_run_on_mesh, mesh)
    result = where(settings, algorithm, train, problem.numbers, monitored)
    noise = None if inference.learns_noise else residual_variance(result.draws, train)
    if noise is not None:
        _check_gain(noise, train, inference.name)
    return summed_up(result, prior, search, scales, log_volume, noise)


def _mesh(settings: Settings) -> Mesh | None:
    return None if settings.devices == 1 else device_mesh(settings.devices)


def _problem(
    settings: Settings, train: Ratings, num_users: int, num_items: int, clock: Clock
) -> Problem:
    """Standardised ratings, and the model to choose a prior for."""
    return Problem(
        train,
        num_users,
        num_items,
        row_numbers(train, num_users, num_items),
        settings.terms,
        mu=0.0,
        seed=settings.seed,
        fused=settings.inference.kernel,
        on_step=clock.on_step,
    )


def summed_up(
    result: Run,
    prior: AnyPrior,
    search: Search,
    scales: Scales,
    log_volume: float,
    noise: float | None,
) -> Fit:
    """What a run on standardised ratings and the search before it left, in the ratings' own unit.

    `noise` is a point method's residual variance, standardised; None takes each draw's 1/tau.
    """
    variance, heldout = result.noise_variance, result.heldout
    draws, priors = about_average(result.draws, result.prior)
    if noise is not None:
        variance = np.full_like(variance, noise)
        heldout = heldout and heldout._replace(variance=np.full_like(heldout.variance, noise))
    run = result._replace(
        draws=scales.params(draws),
        prior=scales.row_priors(priors, draws.user.factor.shape[-1]),
        records=[scales.record(record, log_volume) for record in result.records],
        log_posterior=result.log_posterior - log_volume,
        heldout=heldout and scales.prediction(heldout),
    )
    prior = scales.prior(prior)
    return Fit(run, prior, variance * scales.unit.spread**2, _in_unit(search, prior, scales))


def _in_unit(search: Search, prior: AnyPrior, scales: Scales) -> Search:
    """The log in the ratings' own unit; what it chose is `prior`."""
    spread = scales.unit.spread
    trials = [
        trial._replace(
            rmse=trial.rmse * spread,
            value={x: y / spread**2 if x == "tau" else y for x, y in trial.value.items()},
        )
        for trial in search.trials
    ]
    return Search(numbers_of(prior) if search.chosen else {}, trials)


def _check_gain(noise: float, train: Ratings, name: str) -> None:
    """Raise `InputError` where a fit ended worse than it began, at about mu for every pair."""
    mean, std = mean_and_std(train.value)
    begin = max(mean**2 + std**2, LEAST_VARIANCE)
    if noise > WORSE * begin:
        raise InputError(
            f"{name}: the residuals' standard deviation is {(noise / begin) ** 0.5:.3g} "
            "times what it was at the start; a smaller learning rate may help"
        )


def _log_volume(
    scales: Scales, terms: Terms, num_users: int, num_items: int, num_contexts: int, n: int
) -> float:
    rank, user_bias, item_bias = terms
    users = num_users * rank, num_users * user_bias
    items = (num_items + num_contexts) * rank, num_items * item_bias + num_contexts
    return scales.log_volume(n, users, items)


def _prior(
    inference: Inference,
    scales: Scales,
    problem: Problem,
    folder: CheckpointFolder | None,
    clock: Clock,
) -> Choice:
    """The standardised prior: as given, as a search finds it, or found before a run was stopped."""
    if (prior := inference.given_prior) is not None:
        return Choice(scales.standardised_prior(prior), Search({}, []))
    if folder is not None and "prior" in folder.notes:
        chosen, trials = folder.notes["search"]
        search = Search(chosen, [Trial(*trial) for trial in trials])
        return Choice(prior_of(folder.notes["prior"]), search)
    with clock.phase("search"):
        choice = inference.choose(problem)
    if folder is not None:
        # A run that goes on from the search has no use for a prior without its parameters.
        facts = {"prior": asdict(choice.prior), "search": choice.search}
        folder.note(facts, at_once=choice.start is None)
    return choice


Build = Callable[[Data], Algorithm]


def _run_here(
    given: Mapping[str, np.ndarray],
    contexts: ContextRows | None,
    settings: Settings,
    build: Build,
    train: Ratings,
    numbers: RowNumbers,
    monitored: Monitored,
) -> Run:
    """On JAX's default device."""
    inference, rows = settings.inference, (len(numbers.user), len(numbers.item))
    with monitored.clock.phase("layout"):
        if contexts is None:
            data = inference.layout(train, *rows, settings.rank)
        else:
            of_rows = contexts.train, contexts.num_rows
            shape = *rows, *of_rows, settings.rank
            data = by_rows_in_contexts(train, *shape, fused=inference.kernel)
        data = data.drawn_by(numbers)
        if given or inference.implicit_sides:
            features = all_features(train, *rows, inference.implicit_sides, given)
            data = data._replace(features=features)
    return run(build(data), settings.seed, data, inference.schedule, *monitored)


def _run_on_mesh(
    mesh: Mesh,
    settings: Settings,
    build: Build,
    train: Ratings,
    numbers: RowNumbers,
    monitored: Monitored,
) -> Run:
    """The same, rows sharded over devices; everything comes back in the original order."""
    with monitored.clock.phase("layout"):
        placement, data = _on_mesh(mesh, settings, train, numbers)
    spec = shard_spec(build, placement)
    algorithm = on_mesh(build, data, spec)
    monitored = monitored._replace(
        heldout=monitored.heldout and placement.placed(monitored.heldout),
        validation=monitored.validation and placement.placed(monitored.validation),
    )
    form = host_form(spec, placement)
    schedule = settings.inference.schedule
    return run(algorithm, settings.seed, data, schedule, *monitored, form=form)


def _on_mesh(
    mesh: Mesh, settings: Settings, train: Ratings, numbers: RowNumbers
) -> tuple[Placement, Data]:
    """Where each row lives, and the ratings there."""
    train = train._replace(value=decoded(train.value))
    sides = (train.user, numbers.user), (train.item, numbers.item)
    users, items = (np.bincount(row, minlength=len(number)) for row, number in sides)
    placement = place(users, items, mesh, numbers)
    if settings.inference.by_rows:
        return placement, rows_on_mesh(placement, train, train, settings.rank)
    return placement, flat_on_mesh(placement, train)


def _check_size(
    settings: Settings,
    num_users: int,
    num_items: int,
    given: Mapping[str, np.ndarray],
    contexts: ContextRows | None,
) -> None:
    """Check the sizes before the work."""
    least = min(num_users, num_items)
    if settings.rank > least:
        raise InputError(
            f"rank {settings.rank} is more than the data's rows support ({num_users} and "
            f"{num_items}, each with one for unknown ids); say at most {least}"
        )
    rank, user_bias, item_bias = settings.terms
    d = {"user": rank + user_bias, "item": rank + item_bias}
    numbers = num_users * d["user"] + num_items * d["item"]
    others = {"user": num_items, "item": num_users}
    numbers += sum(others[side] * d[side] for side in settings.inference.implicit_sides)
    numbers += sum(table.shape[1] * d[side] for side, table in given.items())
    schedule = settings.inference.schedule
    if contexts is not None:
        numbers += contexts.num_rows * (rank + 1)
        met = 4e-9 * len(contexts.train) * (rank + 2) * schedule.num_chains
        if met > MET_GB:
            raise InputError(
                f"a half-sweep of {len(contexts.train):,} ratings in contexts needs {met:.1f} GB "
                f"({schedule.num_chains} chains of rank {rank}), and may have {MET_GB:g}; say a "
                "smaller rank, or fewer chains"
            )
    size = 4e-9 * numbers * schedule.num_steps * schedule.num_chains
    if schedule.average and schedule.store_draws and size > STORED_GB:
        raise InputError(
            f"{schedule.num_steps} draws of {schedule.num_chains} chains need {size:.1f} GB; keep "
            "fewer (num_steps), or say store_draws=False and predict held-out pairs only"
        )


def _parts(problem: Problem, share: float) -> tuple[Ratings, Ratings | None]:
    """What is learnt from, and the part that stops a run early, where there is one."""
    ratings = problem.ratings
    if not share:
        return ratings, None
    is_heldout = chances(ratings, problem.numbers, problem.seed) < share
    if is_heldout.all() or not is_heldout.any():
        raise InputError(f"validation={share} of {len(is_heldout)} ratings leaves one part empty")
    return Ratings(*(x[~is_heldout] for x in ratings)), Ratings(*(x[is_heldout] for x in ratings))


def residual_variance(draws: Params, ratings: Ratings) -> float:
    """The mean squared residual of standardised ratings: a point method's noise variance."""
    draws, n, total = jax.tree.map(jnp.asarray, draws), len(ratings.value), 0.0
    for rows in blocks(n):
        pair = ratings.user[rows], ratings.item[rows]
        fitted = predict_pairs(draws, np.zeros(1, np.float32), *pair).mean
        total += float(np.sum((ratings.value[rows] - fitted) ** 2, dtype=np.float64))
    return max(total / n, LEAST_VARIANCE)
