"""What a method's name stands for: its algorithm, its schedule, and the priors chosen for it."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax

from pmf.fitting import prior_search
from pmf.fitting.prior_search import Search
from pmf.fitting.rescale import Scales
from pmf.fitting.schedule import Schedule
from pmf.fitting.settings import Settings
from pmf.inference import optimizers
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.inference.gibbs import Hyperprior, gibbs
from pmf.inference.layout import Data
from pmf.inference.map import gradient_map
from pmf.inference.map_on_disk import streamed_map
from pmf.model.hyperpriors import Gamma, NormalWishart
from pmf.model.priors import IsotropicPrior

FULL_BATCH = 2_000_000  # ratings up to which "auto" takes the full batch; its gathers must fit
MINI_BATCH = 1 << 16

# runs a search, or recalls it
Choose = Callable[[Callable[[prior_search.Problem], Search]], Search]


class Plan(NamedTuple):
    """What a method's name stands for, once its priors are chosen."""

    algorithm: Callable[[Data], Algorithm]
    schedule: Schedule
    search: Search


def plan_for(settings: Settings, scales: Scales, num_ratings: int, choose: Choose) -> Plan:
    """The plan of a method for so many standardised ratings.

    `choose` runs the search for what the settings leave open; what they give is in the ratings' own
    unit.
    """
    build = _sampler if settings.method == "gibbs" else _point
    return build(settings, scales, num_ratings, choose)


def _point(settings: Settings, scales: Scales, num_ratings: int, choose: Choose) -> Plan:
    """ALS or MAP under a prior that is given, or chosen."""
    terms, mu = settings.terms, 0.0
    match settings.prior:
        case "auto":
            search = choose(lambda problem: prior_search.choose_prior(problem)[1])
            prior = IsotropicPrior(**search.chosen)
        case given:
            prior = scales.standardised_prior(given)
            search = Search(vars(prior), [])

    def algorithm(data: Data) -> Algorithm:
        arrays = prior.build(terms, data)
        if settings.method == "als":
            return als(arrays, terms, mu)
        size = _batch_size(settings, num_ratings)
        if settings.on_disk:
            return streamed_map(arrays, terms, mu, _optimizer(settings), size or MINI_BATCH)
        return gradient_map(arrays, terms, mu, _optimizer(settings), size)

    default = {"als": 1e-5, "map": 1e-6}[settings.method]
    tolerance = default if settings.tolerance is None else settings.tolerance
    patience = settings.patience if settings.validation else None
    schedule = Schedule(settings.steps, tolerance=tolerance, patience=patience)
    return Plan(algorithm, schedule, search)


def _sampler(settings: Settings, scales: Scales, num_ratings: int, choose: Choose) -> Plan:
    """Gibbs with tau given, learnt, or chosen."""
    hyperprior, search = default_hyperprior(settings), Search({}, [])
    match settings.tau:
        case "auto":
            chains = settings.num_chains
            search = choose(lambda problem: prior_search.choose_tau(problem, hyperprior, chains)[1])
            tau = search.chosen["tau"]
        case "learn":
            tau = 1.0
            hyperprior = hyperprior._replace(tau=Gamma(jnp.float32(1), jnp.float32(1)))
        case given:
            tau = given * scales.unit.spread**2
    schedule = Schedule(
        settings.steps,
        average=True,
        burn_in=settings.burn_in,
        thin=settings.thin,
        num_chains=settings.num_chains,
        store_draws=settings.store_draws,
    )
    return Plan(lambda data: gibbs(hyperprior, settings.terms, 0.0, tau), schedule, search)


def default_hyperprior(settings: Settings) -> Hyperprior:
    """mu0 = 0, beta0 = 2, W0 = I, nu0 = d: BPMF's own (ICML 2008, section 4.2), tau fixed.

    W0 is that of standardised ratings.
    """

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
    if optimizers.is_spec(settings.optimizer):
        return optimizers.build(settings.optimizer, settings.learning_rate)
    return settings.optimizer


def _batch_size(settings: Settings, n: int) -> int | None:
    match settings.batch_size:
        case "full":
            return None
        case "auto":
            needs_all = optimizers.is_lbfgs(settings.optimizer)
            return None if n <= FULL_BATCH or needs_all else MINI_BATCH
        case size:
            return size
