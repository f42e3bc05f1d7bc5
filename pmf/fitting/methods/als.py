"""Alternating least squares, as `PMF` runs it."""

from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import Field

from pmf.fitting import prior_search
from pmf.fitting.methods.base import ByRows, Mode
from pmf.fitting.prior_search import Choice
from pmf.fitting.search import Problem
from pmf.inference.als import als
from pmf.inference.base import Algorithm
from pmf.inference.layout import Data
from pmf.model.priors import IsotropicPrior
from pmf.types import Terms


class ALS(ByRows, Mode):
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
