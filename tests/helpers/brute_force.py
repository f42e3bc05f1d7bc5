"""Row conditionals from the density alone: no formula of `pmf.inference.row_update` is used.

The log posterior is quadratic in a row, so one Newton step from anywhere is its mode, and minus its
Hessian the precision.
"""

from functools import partial

import jax
import jax.numpy as jnp

from pmf.model.density import joined, log_posterior, split_row
from pmf.types import Params, Prior, Ratings


@partial(jax.jit, static_argnames="side")
def row_conditionals(params: Params, prior: Prior, ratings: Ratings, side: str):
    """Mode and precision of each row of `side` ("user" or "item") given everything else."""
    rows, rank = joined(getattr(params, side)), params.user.factor.shape[-1]

    def one(row):
        def density(w_row):
            w = rows.at[row].set(w_row)
            return log_posterior(params._replace(**{side: split_row(w, rank)}), prior, ratings)

        gradient, hessian = jax.grad(density)(rows[row]), jax.hessian(density)(rows[row])
        return rows[row] - jnp.linalg.solve(hessian, gradient), -hessian

    return jax.vmap(one)(jnp.arange(len(rows)))
