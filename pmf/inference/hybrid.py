"""The hybrid: matrix factorization whose item rows are centred on a regression on features.

    (V_i, c_i) ~ N(B^T z_i, inv(Lambda_item)),    row p of B ~ N(0, inv(strength Lambda_item))

and everything else as in `pmf.model.density`: regression-based latent factors (Agarwal & Chen, KDD
2009, eq. 2-3) with the prior on B of Macau (Simm et al. 2017, eq. 5). Many ratings move an item
away from its features; an item without any is exactly there, and so is not unknown.

A sweep is exact coordinate ascent on the joint density of ratings, rows and B:

    users given items;    items given users and B;    B and the unrated items given the rated

The last has a closed form. An unrated item's best row is B^T z_i whatever B is, so it drops out:

    B = inv(Z^T W Z + strength I) Z^T W (V, c),    W the rated items' prior weights, 0 for others
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Key

from pmf.inference.base import Algorithm, Info, initial_params, update_side
from pmf.inference.layout import Data
from pmf.model.density import joined, log_gaussian, log_prior, split_row
from pmf.model.likelihood import GAUSSIAN
from pmf.types import Array, Gaussian, Params, Prior, Terms

START_SCALE = 0.1


class State(NamedTuple):
    params: Params
    prior: Prior  # its item mean is (items, d): B^T z of each item
    B: Float[Array, "q d"]


def hybrid(
    prior: Prior, terms: Terms, mu: float, table: Float[np.ndarray, "items q"], strength: float
) -> Algorithm:
    """ALS under a prior whose item mean is regressed on `table`, z of each item.

    `prior.item.mean` has no part; `table` has a row for each item of the data. Without features
    (q = 0) it is ALS with a zero mean.
    """
    Z, strength_ = jnp.asarray(table, prior.tau.dtype), jnp.asarray(strength, prior.tau.dtype)

    def init(key: Key[Array, ""], data: Data) -> State:
        B = jnp.zeros((Z.shape[1], terms.rank + terms.item_bias), Z.dtype)
        centred = _centred(prior, Z, B)
        return State(initial_params(key, centred, terms, mu, data, START_SCALE), centred, B)

    return Algorithm(init, Partial(_step, Z, strength_))


def _centred(prior: Prior, Z: Float[Array, "items q"], B: Float[Array, "q d"]) -> Prior:
    mean = jnp.matmul(Z, B, precision="highest")
    return prior._replace(item=prior.item._replace(mean=mean))


def regress(
    Z: Float[Array, "items q"],
    w: Float[Array, "items d"],
    rated: Bool[Array, " items"],
    gaussian: Gaussian,
    strength: Float[Array, ""],
) -> Float[Array, "q d"]:
    """The mode of B given the rated items' rows w. Lambda drops out: it is in both terms."""
    weighted = (rated * gaussian.weight)[:, None] * Z
    gram = jnp.matmul(weighted.T, Z, precision="highest") + strength * jnp.eye(
        Z.shape[1], dtype=Z.dtype
    )
    moment = jnp.matmul(weighted.T, w, precision="highest")
    return cho_solve(cho_factor(gram), moment) if Z.shape[1] else moment


def log_regression_prior(
    B: Float[Array, "q d"], gaussian: Gaussian, strength: Float[Array, ""]
) -> Float[Array, ""]:
    """log p(B | Lambda, strength), normalised: its rows are a prior's rows too."""
    zero = jnp.zeros(B.shape[1], B.dtype)
    return log_gaussian(B, Gaussian(zero, gaussian.precision, strength))


def _step(
    Z: Float[Array, "items q"],
    strength: Float[Array, ""],
    key: Key[Array, ""],
    state: State,
    data: Data,
) -> tuple[State, Info]:
    """One sweep. The key is unused: the updates are exact. The log posterior is of rows and B."""
    params, prior, _ = state
    params, _ = update_side("user", params, prior, data)
    params, error = update_side("item", params, prior, data)

    w, rank = joined(params.item), params.item.factor.shape[-1]
    rated = data.item_count > 0
    B = regress(Z, w, rated, prior.item, strength)
    prior = _centred(prior, Z, B)
    w = jnp.where(rated[:, None], w, prior.item.mean)
    params = params._replace(item=split_row(w, rank))

    density = GAUSSIAN.log_density(data.residuals(error), prior.tau) + log_prior(params, prior)
    density += log_regression_prior(B, prior.item, strength)
    return State(params, prior, B), Info(density)
