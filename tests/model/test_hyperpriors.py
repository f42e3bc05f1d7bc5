"""Hyperprior draws against scipy.

Catches: wrong degrees of freedom, an inverted scale, a lost outer product.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pmf.model.hyperpriors import (
    Gamma,
    NormalWishart,
    condition,
    sample_gamma,
    sample_normal_wishart,
    sample_row_prior,
    sample_tau,
    wishart,
)

N = 20_000


def hyper(d: int, dof: float = 6.0) -> NormalWishart:
    root = np.random.default_rng(d).normal(size=(d, d))
    arrays = np.arange(d) * 0.5, 2.5, root @ root.T + np.eye(d), dof
    return NormalWishart(*(jnp.asarray(x) for x in arrays))


@pytest.mark.parametrize("d", [1, 2, 4])
def test_wishart_has_scipys_distribution(d):
    prior = hyper(d)
    keys = jax.random.split(jax.random.key(d), N)
    ours = np.asarray(jax.vmap(lambda key: wishart(key, prior.scale_inv, prior.dof))(keys))
    truth = scipy.stats.wishart.rvs(
        6.0, np.linalg.inv(prior.scale_inv), N, random_state=np.random.default_rng(0)
    ).reshape(N, d, d)
    for statistic in (
        lambda x: np.linalg.slogdet(x)[1],
        lambda x: np.trace(x, axis1=1, axis2=2),
        lambda x: x[:, 0, -1],
    ):
        assert scipy.stats.ks_2samp(statistic(ours), statistic(truth)).pvalue > 1e-4


def test_normal_wishart_mean_is_spread_by_strength():
    """z = sqrt(beta) L^T (m - mu0) is standard normal, Lambda = L L^T."""
    prior = hyper(3)
    keys = jax.random.split(jax.random.key(0), N)
    draws = jax.vmap(lambda key: sample_normal_wishart(key, prior))(keys)
    L = np.linalg.cholesky(draws.precision)
    z = np.sqrt(2.5) * np.einsum("nij,ni->nj", L, draws.mean - prior.mean)
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    assert np.all(np.abs(np.cov(z.T) - np.eye(3)) < 5 * np.sqrt(2 / N))


def log_density(prior: NormalWishart, m, Lambda) -> float:
    m0, beta, scale_inv, dof = (np.asarray(x) for x in prior)
    normal = scipy.stats.multivariate_normal.logpdf(m, m0, np.linalg.inv(beta * Lambda))
    return normal + scipy.stats.wishart.logpdf(Lambda, float(dof), np.linalg.inv(scale_inv))


@pytest.mark.parametrize("d", [1, 3])
def test_condition_is_bayes_rule(d):
    """prior x likelihood / posterior is the same constant at any (m, Lambda)."""
    prior = hyper(d)
    w = np.random.default_rng(1).normal(1.0, 2.0, size=(7, d))
    posterior = condition(prior, jnp.asarray(w))
    constants = []
    for seed in range(5):
        draw = sample_normal_wishart(jax.random.key(seed), prior)
        m, Lambda = np.asarray(draw.mean), np.asarray(draw.precision)
        likelihood = scipy.stats.multivariate_normal.logpdf(w, m, np.linalg.inv(Lambda)).sum()
        constants.append(
            log_density(prior, m, Lambda) + likelihood - log_density(posterior, m, Lambda)
        )
    np.testing.assert_allclose(constants, constants[0], rtol=1e-8)


def test_row_prior_of_independent_parts_is_block_diagonal():
    w = jnp.asarray(np.random.default_rng(0).normal(size=(9, 4)))
    draw = sample_row_prior(jax.random.key(0), (hyper(3), hyper(1)), w)
    assert draw.mean.shape == (4,)
    assert np.all(draw.precision[:3, 3] == 0) and np.all(draw.precision[3, :3] == 0)
    joint = sample_row_prior(jax.random.key(0), (hyper(4),), w)
    assert np.all(joint.precision[:3, 3] != 0)


def test_gamma_and_tau_have_scipys_distributions():
    keys = jax.random.split(jax.random.key(0), N)
    gamma = Gamma(jnp.asarray(3.0), jnp.asarray(2.0))
    draws = jax.vmap(lambda key: sample_gamma(key, gamma))(keys)
    assert scipy.stats.kstest(draws, scipy.stats.gamma(3.0, scale=0.5).cdf).pvalue > 1e-4
    taus = jax.vmap(lambda key: sample_tau(key, gamma, jnp.asarray(5.0), 10))(keys)
    posterior = scipy.stats.gamma(3.0 + 10 / 2, scale=1 / (2.0 + 5.0 / 2))
    assert scipy.stats.kstest(taus, posterior.cdf).pvalue > 1e-4
