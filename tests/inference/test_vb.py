"""Variational Bayes climbs its bound, and is exact where it can be.

Catches: a factor of q that is not the best given the others, a term of the bound that is missing, a
rotation that changes predictions, a precision of the wrong side or learnt from unrated rows.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import gamma

from pmf.inference.layout import by_rows
from pmf.inference.row_posterior import unpacked, variances
from pmf.inference.vb import DIAGONAL_ROTATIONS, _turned, basis, kl_gamma, vb
from pmf.model.density import joined, predict
from pmf.types import Ratings, Terms
from tests.helpers.expected import expected_squares
from tests.helpers.problems import ITEMS, USERS, climb, small_data, small_ratings

SHAPE = 2.0


def bound(state, noise_shape) -> float:
    """The ELBO of a state from its definition, term by term."""
    ratings, params, prior = small_ratings(), state.params, state.prior
    users, tau = np.asarray(ratings.user), float(prior.tau)
    squares = expected_squares(params, state.user, state.item, ratings)
    count = np.bincount(users, minlength=USERS)
    own = params.user.noise_precision
    weight, total = np.ones(USERS) if own is None else np.asarray(own), 0.0
    log_weight = np.zeros(USERS)
    if noise_shape is not None:
        shape = noise_shape + count / 2
        rate = shape / weight
        log_weight = digamma(shape) - np.log(rate)
        rated = count > 0
        entropy = gamma.entropy(shape, scale=1 / rate)
        a = noise_shape
        log_prior = a * np.log(a) + (a - 1) * log_weight - a * weight - gammaln(a)
        total += np.sum((log_prior + entropy)[rated])
    total += 0.5 * np.sum(log_weight[users] + np.log(tau) - np.log(2 * np.pi))
    total -= 0.5 * tau * np.sum(weight[users] * squares)
    for side, covariance, row in (
        ("user", state.user, ratings.user),
        ("item", state.item, ratings.item),
    ):
        gaussian, w = getattr(prior, side), np.asarray(joined(getattr(params, side)))
        d, precision = w.shape[1], np.asarray(gaussian.precision)
        for j in np.unique(row) if d else []:
            S, off = np.asarray(unpacked(covariance[j], d)), w[j] - np.asarray(gaussian.mean)
            quadratic = np.trace(precision @ S) + off @ precision @ off
            log_dets = np.linalg.slogdet(precision)[1] + np.linalg.slogdet(S)[1]
            total += 0.5 * (log_dets + d - quadratic)
    return total


@pytest.mark.parametrize("noise_shape", [None, SHAPE])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("terms", [Terms(3), Terms(3, False), Terms(3, True, False), Terms(0)])
def test_the_bound_only_rises(terms, whole, noise_shape):
    _, values = climb(
        vb(terms, 3.5, noise_shape, whole, float), small_data(terms.rank, fused=True), 40
    )
    steps = np.diff(values if whole else values[DIAGONAL_ROTATIONS + 1 :])
    assert np.all(steps >= -1e-10 * np.abs(values).max())


@pytest.mark.parametrize("noise_shape", [None, SHAPE])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("rank", [0, 3])
def test_reports_the_bound_of_its_state(rank, whole, noise_shape):
    """A sweep reports it before its rotation, which can only raise it where covariances are whole.

    Diagonal ones are not turned any more at the end.
    """
    algorithm = vb(Terms(rank), 3.5, noise_shape, whole, float)
    state, values = climb(algorithm, small_data(rank, fused=True), DIAGONAL_ROTATIONS + 5)
    following = climb(algorithm, small_data(rank, fused=True), DIAGONAL_ROTATIONS + 6)[1][-1]
    truth = bound(state, noise_shape)
    if rank == 0 or not whole:
        np.testing.assert_allclose(values[-1], truth, rtol=1e-10)
    assert values[-1] - 1e-9 <= truth <= following + 1e-9


@pytest.mark.parametrize("fused", [False, True])
def test_biases_alone_have_their_exact_posterior_mean(fused):
    """Given its precisions the posterior is Gaussian; a mean field has its mean, not its width."""
    rng, ratings = np.random.default_rng(0), small_ratings()
    bias = rng.normal(size=USERS)[ratings.user] + rng.normal(size=ITEMS)[ratings.item]
    ratings = ratings._replace(value=3.5 + bias + 0.2 * rng.normal(size=len(bias)))
    data = by_rows(ratings, USERS, ITEMS, 0, fused=fused)
    state, _ = climb(vb(Terms(0), 3.5, None, True, float), data, 2000)
    prior = state.prior
    X = np.zeros((len(ratings.value), USERS + ITEMS))
    X[np.arange(len(X)), ratings.user] = 1
    X[np.arange(len(X)), USERS + np.asarray(ratings.item)] = 1
    own = np.repeat(
        [float(prior.user.precision[0, 0]), float(prior.item.precision[0, 0])], [USERS, ITEMS]
    )
    m = np.repeat([float(prior.user.mean[0]), float(prior.item.mean[0])], [USERS, ITEMS])
    P = np.diag(own) + prior.tau * X.T @ X
    mean = np.linalg.solve(P, own * m + prior.tau * X.T @ (np.asarray(ratings.value) - 3.5))
    found = np.concatenate([state.params.user.bias[:, 0], state.params.item.bias[:, 0]])
    np.testing.assert_allclose(found, mean, rtol=1e-6, atol=1e-7)
    width = np.concatenate([state.user[:, 0], state.item[:, 0]])
    assert np.all(width <= np.diag(np.linalg.inv(P)) + 1e-9)


def test_a_rotation_keeps_predictions_and_makes_moments_alike():
    data = small_data(fused=True)
    algorithm, key = vb(Terms(3), 3.5, SHAPE, True, float), jax.random.key(0)
    state = climb(algorithm, data, 3)[0]
    rng = np.random.default_rng(0)
    C = [root @ root.T for root in rng.normal(size=(2, 3, 3))]
    A, B = basis(*map(jnp.asarray, C))
    np.testing.assert_allclose(A.T @ B, np.eye(3), atol=1e-12)
    turned = A.T @ C[0] @ A, B.T @ C[1] @ B
    np.testing.assert_allclose(turned[0], turned[1], atol=1e-10)
    np.testing.assert_allclose(turned[0], np.diag(np.diag(turned[0])), atol=1e-10)
    (user, user_covariance), (item, item_covariance) = (
        _turned(*one)
        for one in ((state.params.user, state.user, A), (state.params.item, state.item, B))
    )
    params, ratings = state.params._replace(user=user, item=item), small_ratings()
    np.testing.assert_allclose(
        expected_squares(params, user_covariance, item_covariance, ratings),
        expected_squares(state.params, state.user, state.item, ratings),
        rtol=1e-9,
    )
    moments = []
    for side, covariance, count in (
        (state.params.user, state.user, data.user_count),
        (state.params.item, state.item, data.item_count),
    ):
        rows = np.asarray(count) > 0
        factor = np.asarray(side.factor)[rows]
        S = np.asarray(unpacked(covariance, 4))[rows][:, :3, :3]
        moments.append((factor.T @ factor + S.sum(0)) / rows.sum())
    np.testing.assert_allclose(moments[0], moments[1], atol=1e-8)
    np.testing.assert_allclose(moments[0], np.diag(np.diag(moments[0])), atol=1e-8)
    step = jax.jit(lambda state: algorithm.step(key, state, data))
    assert np.isfinite(step(state)[1].log_posterior)


def test_the_rotation_of_a_sweep_keeps_its_expected_errors():
    """tau is learnt from them before the rotation, with every weight 1."""
    state = climb(vb(Terms(3), 3.5, None, True, float), small_data(fused=True), 4)[0]
    squares = expected_squares(state.params, state.user, state.item, small_ratings())
    np.testing.assert_allclose(1 / state.prior.tau, squares.mean(), rtol=1e-9)


def test_precisions_are_of_the_rated_rows_of_their_side():
    state = climb(vb(Terms(3), 3.5, SHAPE, False, float), small_data(fused=True), 20)[0]
    sides = (state.params.user, state.user), (state.params.item, state.item)
    for (side, covariance), gaussian in zip(sides, state.prior[1:3], strict=True):
        w, second = np.asarray(joined(side)), np.asarray(variances(covariance, 4))
        rated = slice(0, -1)  # the last row has no rating
        m = np.array([0, 0, 0, w[rated, 3].mean()])
        np.testing.assert_allclose(gaussian.mean, m, atol=1e-12)
        truth = np.mean((w[rated] - m) ** 2 + second[rated], 0)
        np.testing.assert_allclose(1 / np.diag(gaussian.precision), truth, rtol=1e-9)


def test_gammas_diverge_as_their_samples_say():
    shape, rate, prior = 3.7, 2.2, 2.0
    x = gamma.rvs(shape, scale=1 / rate, size=200_000, random_state=0)
    log_ratio = gamma.logpdf(x, shape, scale=1 / rate) - gamma.logpdf(x, prior, scale=1 / prior)
    error = log_ratio.std() / len(x) ** 0.5
    truth = kl_gamma(jnp.asarray([shape]), jnp.asarray([rate]), jnp.asarray(prior))[0]
    assert abs(log_ratio.mean() - float(truth)) < 5 * error


def planted(seed: int = 0, users: int = 300, items: int = 200, n: int = 12_000, rank: int = 2):
    """Ratings of that many factors; odd users have three times the noise of the others."""
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(users, rank)), rng.normal(size=(items, rank))
    pair = rng.permutation(users * items)[:n]
    user, item = pair // items, pair % items
    noise = np.where(user % 2, 0.9, 0.3)
    value = np.sum(U[user] * V[item], 1) + noise * rng.normal(size=n)
    return Ratings(user.astype(np.int32), item.astype(np.int32), value), U, V


def test_finds_the_rank_and_who_is_noisy():
    ratings, U, V = planted()
    data = by_rows(ratings, len(U), len(V), 6, fused=True)
    state, _ = climb(vb(Terms(6), 0.0, SHAPE, True, float), data, 60)
    energy = np.sort(np.mean(np.square(state.params.user.factor), 0))[::-1]
    energy *= np.sort(np.mean(np.square(state.params.item.factor), 0))[::-1]
    assert np.all(energy[:2] > 0.5) and np.all(energy[2:] < 1e-3)
    weight = np.asarray(state.params.user.noise_precision)
    ratio = np.median(weight[::2]) / np.median(weight[1::2])
    assert 6 < ratio < 12  # (0.9 / 0.3)^2 = 9, weights of 40 ratings each and a prior
    truth = np.sum(U[ratings.user] * V[ratings.item], 1)
    found = predict(state.params, ratings.user, ratings.item)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.2
