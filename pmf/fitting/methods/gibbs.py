"""Gibbs sampling, as `PMF` runs it, and its default hyperpriors."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
from pydantic import Field

from pmf.fitting import tau_search
from pmf.fitting.methods.base import ByRows
from pmf.fitting.prior_search import Choice
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Problem
from pmf.inference.base import Algorithm
from pmf.inference.gibbs import Hyperprior, gibbs
from pmf.inference.layout import Data
from pmf.model.hyperpriors import SHAPES, Gamma, NormalWishart, RowNoise
from pmf.model.likelihood import GaussianLikelihood
from pmf.model.priors import NoisePrecision
from pmf.types import Terms


class Gibbs(ByRows):
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
    context: Annotated[str, Field(min_length=1)] = "none"
    """In what ratings are given: their day, week, month, hour or weekday, or another column."""
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
        """By chains without features and contexts, which take less than half the time."""
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
    def context_column(self) -> str | None:
        return None if self.context == "none" else self.context

    @property
    def needs_one_device(self) -> bool:
        is_plain = self.implicit == "none" and self.context == "none"
        return super().needs_one_device or not is_plain

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

    return Hyperprior(side(terms.user_bias), side(terms.item_bias), context=side(True))
