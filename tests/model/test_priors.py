"""Prior conventions. Catches: a conversion that is off by tau or by a count."""

import json
from dataclasses import asdict, replace

import jax.numpy as jnp
import numpy as np
import pytest

from pmf.errors import InputError
from pmf.model.density import log_posterior
from pmf.model.priors import (
    DiagonalPrior,
    IsotropicPrior,
    Ridge,
    als_wr,
    from_ridge,
    numbers_of,
    prior_of,
)
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


DIAGONAL = DiagonalPrior(
    1.7, 2.0, 5.0, 0.5, 3.0, columns=(1.0, 2.0, 4.0), user_growth=0.1, item_growth=0.03
)


def test_a_diagonal_prior_has_a_precision_of_each_column_and_grows_with_the_count():
    data = small_data()
    built = DIAGONAL.build(TERMS, data, jnp.float64)
    np.testing.assert_allclose(built.user.precision.diagonal(), [2.0, 4.0, 8.0, 0.5])
    np.testing.assert_allclose(built.item.precision.diagonal(), [5.0, 10.0, 20.0, 3.0])
    for gaussian, count, rate in (
        (built.user, data.user_count, 0.1),
        (built.item, data.item_count, 0.03),
    ):
        n = np.maximum(np.asarray(count), 1)
        np.testing.assert_allclose(gaussian.weight, 1 + rate * (n - 1))
    alike = replace(DIAGONAL, columns=(1.0,) * 3, user_growth=0.0, item_growth=0.0)
    plain = IsotropicPrior(1.7, 2.0, 5.0, 0.5, 3.0).build(TERMS, data, jnp.float64)
    for one, other in zip(alike.build(TERMS, data, jnp.float64).user, plain.user, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_diagonal_prior_keeps_its_ridges_for_another_tau_and_comes_back_from_json():
    other = DIAGONAL.with_tau(3.4)
    assert other.ridge == pytest.approx(DIAGONAL.ridge) and other.columns == DIAGONAL.columns
    assert DIAGONAL.scaled(2.0).ridge == pytest.approx(
        DIAGONAL.ridge._replace(
            user_factor=2 * DIAGONAL.ridge.user_factor, item_factor=2 * DIAGONAL.ridge.item_factor
        )
    )
    assert prior_of(json.loads(json.dumps(asdict(DIAGONAL)))) == DIAGONAL
    assert "columns" not in numbers_of(DIAGONAL) and numbers_of(DIAGONAL)["user_growth"] == 0.1


@pytest.mark.parametrize(
    "wrong", [{"columns": (1.0, -1.0)}, {"columns": (np.nan,)}, {"user_growth": -0.1}]
)
def test_a_diagonal_prior_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="columns finite and above 0, growth at least 0"):
        replace(DIAGONAL, **wrong)
    with pytest.raises(InputError, match="a prior of 3 columns for rank 2"):
        DIAGONAL.build(Terms(2), small_data())
