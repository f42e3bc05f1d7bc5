"""Settings and arrays to a fitted model: where a method's name meets its algorithm."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pmf import tuning
from pmf.als import als
from pmf.checkpoint import CheckpointFolder, Checkpoints
from pmf.data.coding import blocks
from pmf.data.compact import mean_and_std
from pmf.data.frames import Ids
from pmf.errors import InputError
from pmf.fingerprint import fingerprint
from pmf.gibbs import Hyperprior, gibbs
from pmf.gradient import gradient_map
from pmf.layout import by_rows, flat
from pmf.placement import device_mesh, flat_on_mesh, place, rows_on_mesh
from pmf.predictive import Prediction, predict_pairs
from pmf.priors import IsotropicPrior
from pmf.run import Run, run
from pmf.settings import Settings
from pmf.sharding import cut_of, form_of, on_mesh
from pmf.streamed import on_host, streamed_map
from pmf.tuning import Search, Trial
from pmf.types import Algorithm, Data, Params, Ratings
from pmf.watch import Record, Schedule
from pmf.wishart import Gamma, NormalWishart

FULL_BATCH = 2_000_000  # ratings up to which "auto" takes the full batch; its gathers must fit
MINI_BATCH = 1 << 16
LEAST_VARIANCE = 1e-6  # of a training residual: perfectly fitted ratings leave a density finite
STORED_GB = 4.0  # of kept draws

OnStep = Callable[[str, int, int], None]  # phase, step, total
Choose = Callable[[Callable[[tuning.Problem], Search]], Search]  # runs a search, or recalls it


class Fit(NamedTuple):
    """A fitted model as arrays."""

    draws: Params  # leading axis: kept draws, or 1 for a point method
    noise_variance: (
        np.ndarray
    )  # (s,): 1/tau of each draw; a point method's training residual variance
    records: list[Record]
    heldout: Prediction | None
    log_posterior: float  # of the estimate; of Gibbs' kept draws the mean
    search: Search  # the prior that was chosen on held-out training ratings, and how
    compile_seconds: float
    stopped: str


@dataclass
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


class Plan(NamedTuple):
    """What a method's name stands for, once its priors are chosen."""

    algorithm: Callable[[Data], Algorithm]
    schedule: Schedule
    search: Search


class Watched(NamedTuple):
    """The rest of `run`'s arguments: what it watches, and who watches it."""

    heldout: Ratings | None
    validation: Ratings | None
    name: str
    folder: CheckpointFolder | None
    on_step: Callable[[int, int], None]


def fit_ratings(
    settings: Settings,
    ratings: Ratings,
    users: int,
    items: int,
    heldout: Ratings | None = None,
    on_step: OnStep = lambda phase, step, total: None,
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Fit NumPy `ratings` of `users` and `items` rows; `heldout` is watched, never learnt from.

    Raises `InputError` for settings that the data cannot support and for checkpoints that cannot be
    written or are of another run; `NotFiniteError` and `Interrupted` from the run.
    """
    _check_size(settings, users, items)
    mu = mean_and_std(ratings.value)[0] if settings.mu == "mean" else settings.mu

    folder = None
    if checkpoints is not None:
        identity = fingerprint(settings, ratings, users, items, heldout)
        folder = CheckpointFolder(checkpoints, identity)

    def choose(search: Callable[[tuning.Problem], Search]) -> Search:
        if folder is not None and "search" in folder.notes:  # of an earlier start of this run
            chosen, trials = folder.notes["search"]
            return Search(chosen, [Trial(*trial) for trial in trials])
        on_step("choosing the prior", 0, 1)
        model = settings.terms, mu, settings.seed, settings.fused
        found = search(tuning.Problem(ratings, users, items, *model))
        on_step("choosing the prior", 1, 1)
        if folder is not None:
            folder.note({"search": found})
        return found

    plan = (_sampler if settings.method == "gibbs" else _point)(settings, mu, ratings, choose)
    train, validation = ratings, None
    if plan.schedule.patience is not None:
        train, validation = _part(ratings, settings.validation, settings.seed)
    watch = partial(on_step, settings.method)
    watched_by = Watched(heldout or validation, validation, settings.method, folder, watch)
    where = _run_here if settings.devices == 1 else _run_on_devices
    result = where(settings, plan, train, users, items, watched_by)
    noise, watched = result.noise_variance, result.heldout
    if not plan.schedule.average:
        noise = np.full_like(noise, _residual_variance(result.draws, train))
        if watched is not None:
            watched = watched._replace(variance=np.full_like(watched.variance, noise[0]))
    return Fit(
        result.draws,
        noise,
        result.records,
        watched,
        result.log_posterior,
        plan.search,
        result.compile_seconds + plan.search.compile_seconds,
        result.stopped,
    )


def _run_here(
    settings: Settings, plan: Plan, train: Ratings, users: int, items: int, watched: Watched
) -> Run:
    """On JAX's default device."""
    shape = train, users, items
    if settings.method == "map":
        data = on_host(*shape) if settings.on_disk else flat(*shape)
    else:
        data = by_rows(*shape, settings.rank, fused=settings.fused)
    return run(plan.algorithm(data), settings.seed, data, plan.schedule, *watched)


def _run_on_devices(
    settings: Settings, plan: Plan, train: Ratings, users: int, items: int, watched: Watched
) -> Run:
    """The same, rows sharded over devices; everything comes back in the original order."""
    counts = np.bincount(train.user, minlength=users), np.bincount(train.item, minlength=items)
    placement = place(*counts, device_mesh(settings.devices))
    if settings.method == "map":
        data = flat_on_mesh(placement, train)
    else:
        data = rows_on_mesh(placement, train, train, settings.rank)
    cut = cut_of(plan.algorithm, placement)
    algorithm = on_mesh(plan.algorithm, data, cut)
    heldout, validation = (part and placement.placed(part) for part in watched[:2])
    watched = watched._replace(heldout=heldout, validation=validation)
    form = form_of(cut, placement)
    return run(algorithm, settings.seed, data, plan.schedule, *watched, form=form)


def _point(settings: Settings, mu: float, ratings: Ratings, choose: Choose) -> Plan:
    """ALS or MAP under a prior that is given, or chosen."""
    terms = settings.terms
    match settings.prior:
        case "auto":
            search = choose(lambda problem: tuning.choose_prior(problem)[1])
            prior = IsotropicPrior(**search.chosen)
        case prior:
            search = Search(vars(prior), [])

    def algorithm(data: Data) -> Algorithm:
        arrays = prior.build(terms, data)
        if settings.method == "als":
            return als(arrays, terms, mu)
        size = _batch_size(settings, len(ratings.value))
        if settings.on_disk:
            return streamed_map(arrays, terms, mu, _optimizer(settings), size or MINI_BATCH)
        return gradient_map(arrays, terms, mu, _optimizer(settings), size)

    default = {"als": 1e-5, "map": 1e-6}[settings.method]
    tolerance = default if settings.tolerance is None else settings.tolerance
    patience = settings.patience if settings.validation else None
    schedule = Schedule(settings.steps, tolerance=tolerance, patience=patience)
    return Plan(algorithm, schedule, search)


def _sampler(settings: Settings, mu: float, ratings: Ratings, choose: Choose) -> Plan:
    """Gibbs with tau given, learnt, or chosen."""
    hyperprior, search = default_hyperprior(settings), Search({}, [])
    match settings.tau:
        case "auto":
            chains = settings.num_chains
            search = choose(lambda problem: tuning.choose_tau(problem, hyperprior, chains)[1])
            tau = search.chosen["tau"]
        case "learn":
            variance = float(np.var(ratings.value)) or 1.0
            tau = 1 / variance
            hyperprior = hyperprior._replace(tau=Gamma(jnp.float32(1), jnp.float32(variance)))
        case tau:
            pass
    schedule = Schedule(
        settings.steps,
        average=True,
        burn_in=settings.burn_in,
        thin=settings.thin,
        num_chains=settings.num_chains,
        store_draws=settings.store_draws,
    )
    return Plan(lambda data: gibbs(hyperprior, settings.terms, mu, tau), schedule, search)


def default_hyperprior(settings: Settings) -> Hyperprior:
    """mu0 = 0, beta0 = 2, W0 = I, nu0 = d: BPMF's own (ICML 2008, section 4.2), tau fixed."""

    def normal_wishart(d: int) -> NormalWishart:
        unit = jnp.eye(d, dtype=jnp.float32)
        return NormalWishart(
            jnp.zeros(d, jnp.float32), jnp.float32(2), unit, jnp.float32(max(d, 1))
        )

    def side(has_bias: bool) -> tuple[NormalWishart, ...]:
        match settings.hyperprior:
            case "separate":
                return normal_wishart(settings.rank), normal_wishart(int(has_bias))
            case "joint":
                return (normal_wishart(settings.rank + has_bias),)

    return Hyperprior(side(settings.user_bias), side(settings.item_bias), None)


def _optimizer(settings: Settings) -> optax.GradientTransformation:
    if isinstance(settings.optimizer, str):
        return _named_optimizer(settings.optimizer, settings.learning_rate)
    return settings.optimizer


@lru_cache(maxsize=8)  # the same object for the same name, so that jit recognises its step
def _named_optimizer(name: str, learning_rate: float) -> optax.GradientTransformation:
    return optax.lbfgs() if name == "lbfgs" else optax.adam(learning_rate)


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


def _batch_size(settings: Settings, n: int) -> int | None:
    match settings.batch_size:
        case "full":
            return None
        case "auto":
            return None if n <= FULL_BATCH or settings.optimizer == "lbfgs" else MINI_BATCH
        case size:
            return size


def _part(ratings: Ratings, fraction: float, seed: int) -> tuple[Ratings, Ratings]:
    held = np.random.default_rng(seed).random(len(ratings.value)) < fraction
    if held.all() or not held.any():
        raise InputError(f"validation={fraction} of {len(held)} ratings leaves a part without any")
    return Ratings(*(x[~held] for x in ratings)), Ratings(*(x[held] for x in ratings))


def _residual_variance(draws: Params, ratings: Ratings) -> float:
    """The mean squared training residual: the noise that a point method is given."""
    draws, n, total = jax.tree.map(jnp.asarray, draws), len(ratings.value), 0.0
    for rows in blocks(n):
        pair = ratings.user[rows], ratings.item[rows]
        fitted = predict_pairs(draws, np.zeros(1, np.float32), *pair).mean
        total += float(np.sum((ratings.value[rows] - fitted) ** 2, dtype=np.float64))
    return max(total / n, LEAST_VARIANCE)
