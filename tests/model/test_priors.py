"""Prior conventions. Catches: a conversion that is off by tau or by a count."""

import jax.numpy as jnp
import numpy as np
import pytest

from pmf.errors import InputError
from pmf.model.density import log_posterior
from pmf.model.priors import IsotropicPrior, Ridge, als_wr, from_ridge
from pmf.types import Terms
from tests.helpers.problems import (
    ITEMS,
    USERS,
    random_params,
    random_prior,
    small_data,
    small_ratings,
)

TERMS = Terms(3)


def objective(params, ridge_user, ridge_item) -> float:
    """sum (r - E[r])^2 + sum of ridge ||w||^2, with (factor, bias) ridges a row, written out."""
    mean = np.asarray(
        params.mu
        + params.user.bias[small_ratings().user, 0]
        + params.item.bias[small_ratings().item, 0]
        + (params.user.factor[small_ratings().user] * params.item.factor[small_ratings().item]).sum(
            -1
        )
    )
    total = float(((np.asarray(small_ratings().value) - mean) ** 2).sum())
    for side, ridge in ((params.user, ridge_user), (params.item, ridge_item)):
        factor, bias = np.asarray(side.factor), np.asarray(side.bias)
        for j in range(len(factor)):
            total += ridge[j][0] * (factor[j] ** 2).sum() + ridge[j][1] * (bias[j] ** 2).sum()
    return total


def difference(prior: IsotropicPrior, ridge_user, ridge_item) -> None:
    """-2 log posterior / tau and the objective differ by a constant."""
    arrays = prior.build(TERMS, small_data(), jnp.float64)
    gaps = []
    for seed in range(4):
        params = random_params(TERMS, random_prior(TERMS), seed)
        value = -2 * float(log_posterior(params, arrays, small_ratings())) / prior.tau
        gaps.append(value - objective(params, ridge_user, ridge_item))
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-10)


def test_ridge_is_the_objectives_ridge():
    prior = from_ridge(Ridge(2.0, 5.0, 0.5, 3.0), tau=1.7)
    difference(prior, [(2.0, 0.5)] * USERS, [(5.0, 3.0)] * ITEMS)
    np.testing.assert_allclose(prior.ridge, (2.0, 5.0, 0.5, 3.0))


def test_als_wr_multiplies_the_ridge_by_the_count():
    data = small_data()
    user = [(0.3 * max(int(n), 1),) * 2 for n in data.user_count]
    item = [(0.3 * max(int(n), 1),) * 2 for n in data.item_count]
    difference(als_wr(0.3, tau=2.0), user, item)


def test_precision_is_the_gaussians_own():
    arrays = IsotropicPrior(2.0, 3.0, 4.0, 5.0, 6.0).build(TERMS, small_data())
    assert arrays.user.precision.dtype == jnp.float32
    np.testing.assert_allclose(np.diag(arrays.user.precision), [3, 3, 3, 5])
    np.testing.assert_allclose(np.diag(arrays.item.precision), [4, 4, 4, 6])


@pytest.mark.parametrize("change", [{"tau": 0.0}, {"user_factor": -1.0}, {"item_bias": np.nan}])
def test_impossible_precisions_are_refused(change):
    good = {"tau": 1.0, "user_factor": 1.0, "item_factor": 1.0, "user_bias": 1.0, "item_bias": 1.0}
    with pytest.raises(InputError, match="every precision above 0"):
        IsotropicPrior(**(good | change))
