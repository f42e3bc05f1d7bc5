"""Variational Bayes, as `PMF` runs it."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pmf.fitting.methods.base import ByRows
from pmf.fitting.schedule import Schedule
from pmf.inference.base import Algorithm
from pmf.inference.layout import Data
from pmf.inference.row_posterior import triangle_size
from pmf.inference.vb import vb
from pmf.model.priors import NoisePrecision
from pmf.types import Terms

NOISE_SHAPE = 2.0  # of VB's prior of users' noise precisions: as if each had four ratings more
MOST_COVARIANCES = 1_000_000_000  # numbers that a half-sweep gathers


class VB(ByRows):
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
