"""Content-based prediction: each user's ridge regression of ratings on item features.

    r_ui ~ N(mu + b_u + w_u . z_i, 1/tau),    (w_u, b_u) ~ N(0, inv(Lambda))

This is the row conditional of `pmf.inference.row_update` with x_i = (z_i, 1): the item side is
fixed to the features, so one update of the users is exact, and nothing is learnt about one user
from another. There is no item bias: an item's mean rating is no content, and a new item has none.
"""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from pmf.inference.base import Algorithm, Info, State, update_side
from pmf.inference.layout import Data
from pmf.model.density import joined, log_gaussian
from pmf.model.likelihood import GAUSSIAN
from pmf.types import Params, Prior, Side


def content(prior: Prior, mu: float, table: Float[np.ndarray, "items d"]) -> Algorithm:
    """The regression on `table`, z of each item. The prior's item side has no part.

    Its first step is its last: a second one changes nothing.
    """

    def init(key: Key[Array, ""], data: Data) -> State:
        """The key is unused: the update does not depend on a start."""
        z = jnp.asarray(table, prior.tau.dtype)
        users, items = len(data.user_count), len(z)
        user = Side(jnp.zeros((users, z.shape[1]), z.dtype), jnp.zeros((users, 1), z.dtype))
        item = Side(z, jnp.zeros((items, 0), z.dtype))
        return State(Params(user, item, jnp.asarray(mu, z.dtype)), prior)

    return Algorithm(init, Partial(_step))


def _step(key: Key[Array, ""], state: State, data: Data) -> tuple[State, Info]:
    """Every user's posterior mean. The log posterior is of their rows: the items' are given."""
    params, prior = state
    params, error = update_side("user", params, prior, data)
    log_density = GAUSSIAN.log_density(data.residuals(error), prior.tau)
    return State(params, prior), Info(log_density + log_gaussian(joined(params.user), prior.user))


def marginal_noise(user: Side, prior: Prior, residual_variance: float, n: int) -> float:
    """The variance 1/tau that maximises the n ratings' marginal likelihood under these ridges.

    With Lambda = tau R, r_u ~ N(mu, (I + X inv(R) X^T) / tau), and the maximum over tau is at

        1/tau = (sum of squared residuals + sum_u w_u^T R_u w_u) / n

    (Bishop, *Pattern Recognition and Machine Learning*, 2006, section 3.5, at a fixed ratio of the
    precisions.) The residuals alone would be too small: every user has d + 1 weights.
    """
    w, ridge = np.asarray(joined(user), np.float64), prior.user.precision / prior.tau
    squares = np.einsum("nd,de,ne->n", w, np.asarray(ridge, np.float64), w)
    return residual_variance + float(np.sum(prior.user.weight * squares)) / n


def posterior_variance(
    user: np.ndarray, item: np.ndarray, table: np.ndarray, rated: csr_array, prior: Prior
) -> np.ndarray:
    """var[mu + b_u + w_u . z_i | R] = x_i^T inv(P_u) x_i of each pair, float64.

    `rated` has a stored entry for each training rating, users by items. Precisions are made anew
    for the users asked for, one at a time: all of them would be (users, d, d) numbers.
    """
    x = np.pad(np.asarray(table, np.float64), ((0, 0), (0, 1)), constant_values=1.0)
    tau, precision, weight = (
        np.asarray(x, np.float64) for x in (prior.tau, prior.user.precision, prior.user.weight)
    )
    weight = np.broadcast_to(weight, rated.shape[0])
    variance = np.empty(len(user))
    order = np.argsort(user, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(user[order])) + 1) if len(user) else []:
        u = user[rows[0]]
        x_rated = x[rated.indices[rated.indptr[u] : rated.indptr[u + 1]]]
        x_pair = x[item[rows]]
        P = weight[u] * precision + tau * x_rated.T @ x_rated
        variance[rows] = np.einsum("nd,dn->n", x_pair, cho_solve(cho_factor(P), x_pair.T))
    return variance
