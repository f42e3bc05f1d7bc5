"""Ratings drawn from the model, as a search for a prior gets them."""

import jax
import jax.numpy as jnp
import numpy as np

from pmf.data.row_numbers import row_numbers
from pmf.data.synthetic import from_model
from pmf.fitting.search import Problem
from pmf.types import Gaussian, Prior, Ratings, Terms


def problem(
    terms: Terms,
    bias_variance: float,
    tau: float,
    n: int = 4000,
    factor_variances: tuple[float, ...] = (0.3, 0.3),
) -> Problem:
    """So many ratings of 80 users and 100 items; both sides have these variances."""

    def gaussian(k: int) -> Gaussian:
        variances = jnp.asarray([*factor_variances[:k], bias_variance], jnp.float32)
        return Gaussian(jnp.zeros(k + 1, jnp.float32), jnp.diag(1 / variances), jnp.float32(1))

    prior = Prior(jnp.float32(tau), gaussian(terms.rank), gaussian(terms.rank))
    made = from_model(jax.random.key(0), prior, terms, 3.0, 80, 100, n).ratings
    ratings = Ratings(*(np.asarray(x) for x in made))
    return Problem(ratings, 80, 100, row_numbers(ratings, 80, 100), terms, 3.0, seed=0)
