"""The density against scipy. Catches: a lost constant, a wrong sign, a forgotten weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pmf.model.density import (
    joined,
    log_likelihood,
    log_posterior,
    log_prior,
    predict,
    sample_gaussian,
    simulate,
    split_row,
)
from pmf.types import Gaussian, Terms
from tests.helpers.problems import ALL_TERMS, random_params, random_prior, small_ratings


def by_hand(params, user: int, item: int) -> float:
    out = float(params.mu)
    out += sum(float(x) for x in params.user.bias[user]) + sum(
        float(x) for x in params.item.bias[item]
    )
    for j in range(params.user.factor.shape[1]):
        out += float(params.user.factor[user, j]) * float(params.item.factor[item, j])
    return out


@pytest.mark.parametrize("terms", ALL_TERMS)
def test_predict_is_the_sum_written_out(terms):
    params = random_params(terms, random_prior(terms))
    ratings = small_ratings()
    expected = [by_hand(params, int(u), int(i)) for u, i in zip(*ratings[:2], strict=True)]
    np.testing.assert_allclose(predict(params, *ratings[:2]), expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("terms", ALL_TERMS)
def test_densities_are_scipys(terms, weighted):
    prior = random_prior(terms, weighted=weighted)
    params, ratings = random_params(terms, prior), small_ratings()
    mean = [by_hand(params, int(u), int(i)) for u, i in zip(*ratings[:2], strict=True)]
    likelihood = scipy.stats.norm.logpdf(ratings.value, mean, 1 / np.sqrt(1.7)).sum()
    np.testing.assert_allclose(log_likelihood(params, ratings, prior.tau), likelihood, rtol=1e-12)
    rows = 0.0
    for side, gaussian in ((params.user, prior.user), (params.item, prior.item)):
        rows_of_side = np.asarray(joined(side))
        weights = np.broadcast_to(gaussian.weight, len(rows_of_side))
        for w, weight in zip(rows_of_side, weights, strict=True):
            if len(w):
                covariance = np.linalg.inv(weight * gaussian.precision)
                rows += scipy.stats.multivariate_normal.logpdf(w, gaussian.mean, covariance)
    np.testing.assert_allclose(log_prior(params, prior), rows, rtol=1e-11, atol=1e-11)
    total = log_posterior(params, prior, ratings)
    np.testing.assert_allclose(total, likelihood + rows, rtol=1e-11)


def test_joined_and_parted_are_inverse():
    params = random_params(Terms(3), random_prior(Terms(3)))
    again = split_row(joined(params.user), 3)
    assert all(np.array_equal(a, b) for a, b in zip(again, params.user, strict=True))


def test_sample_gaussian_has_its_moments():
    """Catches a transposed Cholesky factor and a weight that multiplies the spread."""
    prior = random_prior(Terms(2, True, True))
    n = 200_000
    weight = np.where(np.arange(n) < n // 2, 1.0, 4.0)
    gaussian = Gaussian(prior.user.mean, prior.user.precision, jnp.asarray(weight))
    w = np.asarray(sample_gaussian(jax.random.key(0), gaussian, n))
    covariance = np.linalg.inv(gaussian.precision)
    for part, scale in ((w[: n // 2], 1.0), (w[n // 2 :], 0.25)):
        error = np.sqrt(np.diag(covariance) * scale / len(part))
        assert np.all(np.abs(part.mean(0) - gaussian.mean) < 5 * error)
        # The standard error of a sample covariance is at most sqrt(2 s_ii s_jj / n).
        spread = np.sqrt(np.diag(covariance))
        bound = 5 * scale * np.sqrt(2 / len(part)) * np.outer(spread, spread)
        assert np.all(np.abs(np.cov(part.T) - scale * covariance) < bound)


def test_simulated_ratings_are_normal_around_the_prediction():
    params, ratings = random_params(Terms(3), random_prior(Terms(3))), small_ratings()
    keys = jax.random.split(jax.random.key(1), 4000)
    draws = jax.vmap(lambda key: simulate(key, params, *ratings[:2], jnp.asarray(4.0)))(keys)
    z = 2.0 * (np.asarray(draws) - np.asarray(predict(params, *ratings[:2])))
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 1e-4
