"""Expectations over independent Gaussian rows, exactly, from the density alone.

A polynomial of degree two in each row has its mean over sigma points: the row's mean plus and minus
the columns of the root of d times its covariance.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from pmf.inference.row_posterior import unpacked
from pmf.model.density import joined, log_posterior, predict, split_row
from pmf.types import Params, Prior, Ratings, Side


def sigma_points(side: Side, covariance) -> Side:
    """Every row at its first point, at its second, and so on, stacked; rows are independent."""
    w, rank = joined(side), side.factor.shape[-1]
    d = w.shape[1]
    if d == 0:
        return jax.tree.map(lambda x: x[None], side)
    roots = jnp.linalg.cholesky(d * unpacked(covariance, d))
    steps = jnp.moveaxis(roots, -1, 0)
    return split_row(w + jnp.concatenate([steps, -steps]), rank)


def expected_squares(params: Params, user_covariance, item_covariance, ratings: Ratings):
    """E (r_ui - E[r_ui | theta])^2 of each rating."""

    def squares(user: Side, item: Side):
        mean = predict(Params(user, item, params.mu), ratings.user, ratings.item)
        return (ratings.value - mean) ** 2

    users = sigma_points(params.user, user_covariance)
    items = sigma_points(params.item, item_covariance)
    by_pair = jax.vmap(jax.vmap(squares, (None, 0)), (0, None))(users, items)
    return np.mean(by_pair, (0, 1))


@partial(jax.jit, static_argnames="side")
def expected_conditionals(
    params: Params, prior: Prior, ratings: Ratings, side: str, other_covariance, weight
):
    """Mode and precision of each row of `side` under the expected log posterior.

    A rating counts as often as `weight` of its row on the other side says.
    """
    other = "item" if side == "user" else "user"
    rows, rank = joined(getattr(params, side)), params.user.factor.shape[-1]
    points = sigma_points(getattr(params, other), other_covariance)
    cell = jnp.asarray(weight)[getattr(ratings, other)]

    def one(row):
        def density(w_row):
            moved = split_row(rows.at[row].set(w_row), rank)

            def at(point: Side):
                theta = params._replace(**{side: moved, other: point})
                residual = ratings.value - predict(theta, ratings.user, ratings.item)
                misfit = jnp.sum((cell - 1) * residual**2)
                return log_posterior(theta, prior, ratings) - prior.tau / 2 * misfit

            return jnp.mean(jax.vmap(at)(points))

        gradient, hessian = jax.grad(density)(rows[row]), jax.hessian(density)(rows[row])
        return rows[row] - jnp.linalg.solve(hessian, gradient), -hessian

    return jax.vmap(one)(jnp.arange(len(rows)))
