"""The inferences: for each its settings, prior search, algorithm and layout.

A class names its settings with their defaults, its algorithm, its schedule, the layout of ratings
that it works on, and what is chosen for it on held-out training ratings; a line of
`pmf.fitting.registry` makes it known everywhere. Optax is imported when a gradient needs it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
from pydantic import BaseModel, Field, ValidationError

from pmf.errors import InputError, hint
from pmf.fitting import prior_search, tau_search
from pmf.fitting.prior_search import Choice
from pmf.fitting.registry import INFERENCES, LABELS, inference_named, owners_of
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Problem
from pmf.fitting.settings_base import CONFIG, describe
from pmf.inference import optimizers
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.inference.gibbs import Hyperprior, gibbs
from pmf.inference.layout import Data, by_rows, flat
from pmf.inference.row_posterior import triangle_size
from pmf.inference.vb import vb
from pmf.model.hyperpriors import SHAPES, Gamma, NormalWishart, RowNoise
from pmf.model.likelihood import GaussianLikelihood
from pmf.model.priors import AnyPrior, IsotropicPrior, NoisePrecision
from pmf.types import Ratings, Terms

if TYPE_CHECKING:
    import optax

FULL_BATCH = 2_000_000  # ratings up to which "auto" takes the full batch; its gathers must fit
MINI_BATCH = 1 << 16
NOISE_SHAPE = 2.0  # of VB's prior of users' noise precisions: as if each had four ratings more
MOST_COVARIANCES = 1_000_000_000  # numbers that a half-sweep gathers

PriorSetting = IsotropicPrior | Literal["auto"]  # auto: chosen on held-out training ratings


class Inference(BaseModel):
    """The settings of one inference, and what its name stands for. Mistakes are `InputError`s.

    Within, ratings are standardised, and their global mean is 0.
    """

    model_config = CONFIG

    name: ClassVar[str]
    noise_source: ClassVar[str] = "training residuals"  # of the variance of a single rating
    learns_noise: ClassVar[bool] = False  # it is 1/tau of each draw
    integrates: ClassVar[bool] = (
        False  # what it records is a bound on log p(R), rows integrated out
    )
    averages: ClassVar[bool] = False  # a prediction averages draws; else there is one estimate
    by_rows: ClassVar[bool] = True  # whether its layout is rows, or flat ratings
    takes_features: ClassVar[bool] = False  # whether rows' prior means may depend on given features
    open_setting: ClassVar[str | None] = "prior"  # what its prior search fills in

    num_steps: Annotated[int, Field(ge=1)]

    if not TYPE_CHECKING:  # a checker sees the fields

        def __init__(self, **values: Any):
            for setting in values:
                check_is_of(type(self), setting)
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InputError("; ".join(describe(error, type(self)).values())) from error

    @property
    def schedule(self) -> Schedule:
        """How long to run, and what to keep."""
        raise NotImplementedError

    @property
    def given_prior(self) -> AnyPrior | None:
        """The prior that the settings give, in the ratings' own unit; None: it is chosen."""
        raise NotImplementedError

    def choose(self, problem: Problem) -> Choice:
        """The prior with the least error on held-out training ratings."""
        raise NotImplementedError

    def algorithm(self, prior: Any, terms: Terms, num_ratings: int) -> Callable[[Data], Algorithm]:
        """The algorithm under a prior of its kind."""
        raise NotImplementedError

    def layout(self, ratings: Ratings, num_users: int, num_items: int, rank: int) -> Data:
        """Ratings as it works on them, on one device."""
        return by_rows(ratings, num_users, num_items, rank, fused=self.kernel)

    @property
    def kernel(self) -> bool | None:
        """Whether by the fused CPU kernel; None: where it is available."""
        return None

    @property
    def implicit_sides(self) -> tuple[str, ...]:
        """The sides whose rows' prior means depend on what they rated, or were rated by."""
        return ()

    @property
    def reads_disk(self) -> bool:
        """Whether the ratings stay in files."""
        return False

    @property
    def needs_one_device(self) -> bool:
        """Whether a setting asks for what is not sharded."""
        return self.reads_disk or bool(self.kernel)

    @property
    def validation_share(self) -> float:
        """The share of the training ratings that stops a run early."""
        return 0.0

    def check_can_run(self) -> None:
        """Raise `InputError` where a setting was lost on its way through a file."""

    def short(self) -> dict[str, Any]:
        """The settings that one candidate of many is judged with, where they are others."""
        return {}


class _ByRows(Inference):
    """What ALS, Gibbs and VB share: rows are updated, by the fused kernel where it can run."""

    fused: bool | None = None
    """The CPU kernel; None: where it is available."""

    @property
    def kernel(self) -> bool | None:
        return self.fused


class _Mode(Inference):
    """What ALS and MAP share: one estimate, under an isotropic prior."""

    prior: PriorSetting = "auto"
    """Precisions; "auto": chosen on held-out training ratings."""
    tolerance: Annotated[float, Field(ge=0)]
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the training ratings that stops a run early."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Steps without improvement on it."""

    @property
    def schedule(self) -> Schedule:
        patience = self.patience if self.validation else None
        return Schedule(self.num_steps, tolerance=self.tolerance, patience=patience)

    @property
    def given_prior(self) -> IsotropicPrior | None:
        return None if self.prior == "auto" else self.prior

    @property
    def validation_share(self) -> float:
        return self.validation


class ALS(_ByRows, _Mode):
    """Alternating least squares: exact, deterministic, a mode. See `pmf.inference.als`."""

    name: ClassVar[str] = "als"

    num_steps: Annotated[int, Field(ge=1)] = 100
    """Sweeps at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-4
    """The relative change of the log posterior that ends a run."""

    def choose(self, problem: Problem) -> Choice:
        return prior_search.choose_prior(problem)

    def algorithm(
        self, prior: IsotropicPrior, terms: Terms, num_ratings: int
    ) -> Callable[[Data], Algorithm]:
        return lambda data: als(prior.build(terms, data), terms, 0.0)


class MAP(_Mode):
    """The gradient of the log posterior by any optimizer: a mode. See `pmf.inference.map`."""

    name: ClassVar[str] = "map"
    by_rows: ClassVar[bool] = False

    num_steps: Annotated[int, Field(ge=1)] = 1000
    """Updates or epochs at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-6
    """The relative change of the log posterior that ends a run."""
    optimizer: Any = "adam"
    """The name of one, with its arguments or without (`pmf.inference.optimizers`), or an optax
    transformation."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """Of an optimizer without its own."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto", "full"] = "auto"
    """Ratings an update; "auto": all of up to 2,000,000, else 65,536."""
    on_disk: bool = False
    """Ratings stay in files and pass through in mini-batches."""

    def choose(self, problem: Problem) -> Choice:
        """By ALS; the factors that it ended at would leave a gradient nothing to do."""
        return prior_search.choose_prior(problem)._replace(start=None)

    def model_post_init(self, context: Any) -> None:
        is_lbfgs = optimizers.is_lbfgs(self.optimizer)
        if is_lbfgs and isinstance(self.batch_size, int):
            raise ValueError(
                "lbfgs searches along a line of the full batch; leave batch_size out, or take adam"
            )
        needs_all = is_lbfgs or self.batch_size == "full"
        if self.on_disk and (needs_all or self.validation):
            raise ValueError("on_disk: map by mini-batches only, and without validation")
        optimizers.check(self.optimizer)

    def algorithm(
        self, prior: IsotropicPrior, terms: Terms, num_ratings: int
    ) -> Callable[[Data], Algorithm]:
        from pmf.inference.map import gradient_map
        from pmf.inference.map_on_disk import streamed_map

        optimizer, size = self._optimizer(), self._batch_size(num_ratings)

        def build(data: Data) -> Algorithm:
            arrays = prior.build(terms, data)
            if self.on_disk:
                return streamed_map(arrays, terms, 0.0, optimizer, size or MINI_BATCH)
            return gradient_map(arrays, terms, 0.0, optimizer, size)

        return build

    def layout(self, ratings: Ratings, num_users: int, num_items: int, rank: int) -> Data:
        from pmf.inference.map_on_disk import on_host

        shape = ratings, num_users, num_items
        return on_host(*shape) if self.on_disk else flat(*shape)

    @property
    def reads_disk(self) -> bool:
        return self.on_disk

    def check_can_run(self) -> None:
        if isinstance(self.optimizer, optimizers.LostOptimizer):
            self.optimizer.init(None)

    def _optimizer(self) -> "optax.GradientTransformation":
        if optimizers.is_spec(self.optimizer):
            return optimizers.build(self.optimizer, self.learning_rate)
        return self.optimizer

    def _batch_size(self, n: int) -> int | None:
        match self.batch_size:
            case "full":
                return None
            case "auto":
                needs_all = optimizers.is_lbfgs(self.optimizer)
                return None if n <= FULL_BATCH or needs_all else MINI_BATCH
            case size:
                return size


class Gibbs(_ByRows):
    """Draws from the posterior, the rows' priors learnt with it. See `pmf.inference.gibbs`."""

    name: ClassVar[str] = "gibbs"
    noise_source: ClassVar[str] = "posterior of 1/tau"
    averages: ClassVar[bool] = True
    learns_noise: ClassVar[bool] = True
    takes_features: ClassVar[bool] = True
    open_setting: ClassVar[str | None] = "tau"

    num_steps: Annotated[int, Field(ge=1)] = 100
    """Kept draws per chain."""
    tau: Annotated[float, Field(gt=0)] | Literal["auto", "learn"] = "auto"
    """The precision of a rating; "auto": chosen on held-out training ratings."""
    noise: Literal["shared", "user", "item", "both"] = "shared"
    """Whose ratings have a noise of their own."""
    implicit: Literal["none", "user", "item", "both"] = "none"
    """Whose prior means know what a row rated, or was rated by."""
    hyperprior: Literal["separate", "joint"] = "separate"
    """Of factors and biases."""
    burn_in: Annotated[int, Field(ge=0)] = 100
    """Sweeps that are thrown away."""
    thin: Annotated[int, Field(ge=1)] = 2
    """Every so manyth sweep is kept."""
    num_chains: Annotated[int, Field(ge=1)] = 2
    """Independent chains."""
    store_draws: bool = True
    """False predicts only the held-out pairs given to `fit`."""

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            self.num_steps,
            average=True,
            burn_in=self.burn_in,
            thin=self.thin,
            num_chains=self.num_chains,
            store_draws=self.store_draws,
        )

    @property
    def given_prior(self) -> NoisePrecision | None:
        match self.tau:
            case "auto":
                return None
            case "learn":
                return NoisePrecision(None)
            case tau:
                return NoisePrecision(tau)

    def choose(self, problem: Problem) -> Choice:
        """By chains without features, which take less than half the time."""
        hyperprior = self._hyperprior(problem.terms)
        tau, search = tau_search.choose_tau(problem, hyperprior, self.num_chains)
        return Choice(NoisePrecision(tau), search)

    def algorithm(
        self, prior: NoisePrecision, terms: Terms, num_ratings: int
    ) -> Callable[[Data], Algorithm]:
        hyperprior, tau = self._hyperprior(terms), prior.tau
        if tau is None:
            learnt = GaussianLikelihood(Gamma(jnp.float32(1), jnp.float32(1)))
            hyperprior, tau = hyperprior._replace(likelihood=learnt), 1.0
        return lambda data: gibbs(hyperprior, terms, 0.0, tau)

    @property
    def implicit_sides(self) -> tuple[str, ...]:
        return named_sides(self.implicit)

    @property
    def needs_one_device(self) -> bool:
        return super().needs_one_device or self.implicit != "none"

    def _hyperprior(self, terms: Terms) -> Hyperprior:
        own, noisy = RowNoise(jnp.asarray(SHAPES)), named_sides(self.noise)
        return default_hyperprior(terms, self.hyperprior)._replace(
            user_noise=own if "user" in noisy else None,
            item_noise=own if "item" in noisy else None,
        )

    def short(self) -> dict[str, Any]:
        """Shorter chains, which tell one tau from another as well."""
        most = tau_search.SCHEDULE
        return {
            "num_steps": min(self.num_steps, most.num_steps),
            "burn_in": min(self.burn_in, most.burn_in),
            "thin": 1,
        }


class VB(_ByRows):
    """Variational Bayes: deterministic, nothing is searched. See `pmf.inference.vb`."""

    name: ClassVar[str] = "vb"
    noise_source: ClassVar[str] = "1/tau, learnt"
    learns_noise: ClassVar[bool] = True
    integrates: ClassVar[bool] = True
    open_setting: ClassVar[str | None] = None

    num_steps: Annotated[int, Field(ge=1)] = 50
    """Sweeps at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 3e-4
    """The relative change of the bound that ends a run."""
    noise: Literal["user", "shared"] = "user"
    """Whether each user's ratings have a noise of their own."""
    covariance: Literal["auto", "whole", "diagonal"] = "auto"
    """Of a row given the ratings; "auto": whole where a half-sweep gathers no more than
    1,000,000,000 of their numbers."""

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.num_steps, tolerance=self.tolerance)

    @property
    def given_prior(self) -> NoisePrecision:
        """All of it is learnt."""
        return NoisePrecision(None)

    def algorithm(
        self, prior: NoisePrecision, terms: Terms, num_ratings: int
    ) -> Callable[[Data], Algorithm]:
        shape = NOISE_SHAPE if self.noise == "user" else None
        size = triangle_size(terms.rank + max(terms.user_bias, terms.item_bias))
        whole = self.covariance == "whole"
        if self.covariance == "auto":
            whole = num_ratings * size <= MOST_COVARIANCES
        return lambda data: vb(terms, 0.0, shape, whole)

    @property
    def needs_one_device(self) -> bool:
        return True


def named_sides(name: str) -> tuple[str, ...]:
    """The sides that a setting names: "user", "item", "both" of them, or none."""
    return ("user", "item") if name == "both" else tuple({"user", "item"} & {name})


def default_hyperprior(terms: Terms, kind: Literal["separate", "joint"] = "separate") -> Hyperprior:
    """mu0 = 0, beta0 = 2, W0 = I, nu0 = d: BPMF's own (ICML 2008, section 4.2), tau fixed.

    W0 is that of standardised ratings.
    """

    def normal_wishart(d: int) -> NormalWishart:
        unit = jnp.eye(d, dtype=jnp.float32)
        return NormalWishart(
            jnp.zeros(d, jnp.float32), jnp.float32(2), unit, jnp.float32(max(d, 1))
        )

    def side(has_bias: bool) -> tuple[NormalWishart, ...]:
        match kind:
            case "separate":
                return normal_wishart(terms.rank), normal_wishart(int(has_bias))
            case "joint":
                return (normal_wishart(terms.rank + has_bias),)

    return Hyperprior(side(terms.user_bias), side(terms.item_bias))


def check_is_of(kind: type[Inference], name: str, also: Sequence[str] = ()) -> None:
    """Raise `InputError` where an inference has no setting of this name, nor is it among `also`.

    It says whose it is, or the nearest name.
    """
    known = [*also, *kind.model_fields]
    if name in known:
        return
    if owners := owners_of(name):
        *labels, last = (LABELS[owner] for owner in owners)
        whose = f"{', '.join(labels)} and {last}" if labels else last
        raise InputError(f"{name}: a setting of {whose}, not of {LABELS[kind.name]}")
    others = [field for other in INFERENCES for field in inference_named(other).model_fields]
    raise InputError(f"{name}: unknown setting; {hint(name, known, others)}")
