"""A row's conditional from the density alone: no formula of `pmf.conditionals` is used.

The log posterior is quadratic in a row, so one Newton step from anywhere is its mode, and minus its
Hessian the precision.
"""

import jax
import jax.numpy as jnp

from pmf.model import joined, log_posterior, parted
from pmf.types import Params, Prior, Ratings


def row_conditional(params: Params, prior: Prior, ratings: Ratings, side: str, row: int):
    """Mode and precision of one row of `side` ("user" or "item") given everything else."""
    rank = params.user.factor.shape[-1]

    def density(w_row):
        w = joined(getattr(params, side)).at[row].set(w_row)
        return log_posterior(params._replace(**{side: parted(w, rank)}), prior, ratings)

    start = joined(getattr(params, side))[row]
    gradient, hessian = jax.grad(density)(start), jax.hessian(density)(start)
    return start - jnp.linalg.solve(hessian, gradient), -hessian
