"""The likelihoods: how ratings scatter about their mean. Every inference uses one.

    r_ui | theta, tau  ~  p(r_ui | E[r_ui | theta], tau)

`tau` stands for a likelihood's own parameters. A rating may have a weight w_ui > 0: one with weight
w has as much to say of the rows as w ratings of the same value, and the noise variance of one
w-th. Exact row updates need a likelihood that is Gaussian given what `augment` draws.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Key, Num

from pmf.model.hyperpriors import Gamma, sample_tau
from pmf.types import Array

LOG_2PI = 1.8378770664093453


class Residuals(NamedTuple):
    """Statistics of the ratings' noise: sums over ratings, so that parts add up."""

    misfit: Float[Array, ""]
    number: int | float | Num[Array, ""]
    log_weight: Float[Array, ""] | None = None  # sum log w; None where no rating has a weight


@runtime_checkable
class Likelihood(Protocol):
    """p(r | E[r], tau) of ratings that are independent given their means."""

    def misfit(
        self,
        value: Float[Array, " n"],
        mean: Float[Array, " n"],
        tau: Float[Array, ""],
        weight: Float[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """The sum over ratings that their log density depends on."""

    def log_density(self, residuals: Residuals, tau: Float[Array, ""]) -> Float[Array, ""]:
        """log p(r | E[r], tau), normalised."""

    def augment(
        self, key: Key[Array, ""], residuals: Residuals, tau: Float[Array, ""]
    ) -> Float[Array, ""]:
        """What a sweep draws, beside the rows: the next tau."""

    def variance(self, tau: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Of a rating given theta: what the predictive variance has beyond the posterior's."""

    def draw(
        self, key: Key[Array, ""], mean: Float[Array, " n"], tau: Float[Array, "*n"]
    ) -> Float[Array, " n"]:
        """Ratings with these means, and one tau or each its own."""


class GaussianLikelihood(NamedTuple):
    """r ~ N(E[r], 1/(w tau)); tau has a Gamma prior, or keeps its value."""

    tau: Gamma | None = None

    def misfit(
        self,
        value: Float[Array, " n"],
        mean: Float[Array, " n"],
        tau: Float[Array, ""],
        weight: Float[Array, " n"] | None = None,
    ) -> Float[Array, ""]:
        """sum (r - E[r])^2, each times its weight."""
        squares = (value - mean) ** 2
        return jnp.sum(squares if weight is None else weight * squares)

    def log_density(self, residuals: Residuals, tau: Float[Array, ""]) -> Float[Array, ""]:
        squares, n, log_weight = residuals
        plain = 0.5 * (n * (jnp.log(tau) - LOG_2PI) - tau * squares)
        return plain if log_weight is None else plain + 0.5 * log_weight

    def augment(
        self, key: Key[Array, ""], residuals: Residuals, tau: Float[Array, ""]
    ) -> Float[Array, ""]:
        match self.tau:
            case None:
                return tau
            case Gamma() as gamma:
                return sample_tau(key, gamma, residuals.misfit, residuals.number)

    def variance(self, tau: Float[Array, "*s"]) -> Float[Array, "*s"]:
        return 1 / tau

    def draw(
        self, key: Key[Array, ""], mean: Float[Array, " n"], tau: Float[Array, "*n"]
    ) -> Float[Array, " n"]:
        return mean + jax.random.normal(key, mean.shape, mean.dtype) / jnp.sqrt(tau)


GAUSSIAN = GaussianLikelihood()
