"""The prior that stands for the other side's uncertainty. Catches: a variance of the wrong side,
left out, or not times tau; a growth from the wrong count; columns out of order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.inference import vb as module
from pmf.inference.als import als
from pmf.inference.base import update_side
from pmf.inference.layout import by_rows
from pmf.inference.mode_prior import mode_prior
from pmf.inference.vb import vb
from pmf.model.density import joined
from pmf.types import Ratings, Terms
from tests.helpers.searched import problem

KEY = jax.random.key(0)


@jax.jit
def _swept(step, state, data):
    return step(KEY, state, data)[0]


def swept(algorithm, data, sweeps, params=None):
    state = algorithm.init(KEY, data)
    state = state if params is None else state._replace(params=params)
    for _ in range(sweeps):
        state = _swept(algorithm.step, state, data)
    return state


@pytest.fixture
def unrotated(monkeypatch):
    monkeypatch.setattr(module, "DIAGONAL_ROTATIONS", 0)


def test_where_all_is_rated_als_stays_at_the_means(unrotated):
    """Every row has the same ridge there, the same column for column: it is exact."""
    rng = np.random.default_rng(0)
    user, item = (x.ravel() for x in np.indices((30, 40)))
    U, V = rng.normal(size=(30, 2)), rng.normal(size=(40, 2))
    value = (U @ V.T).ravel() + rng.normal(size=1200)
    ratings = Ratings(user.astype(np.int32), item.astype(np.int32), value.astype(np.float32))
    terms = Terms(2, False, False)
    data = by_rows(ratings, 30, 40, 2)
    posterior = swept(vb(terms, 0.0, None, whole=False), data, 300)
    prior = mode_prior(posterior, data)
    # To its end: the two sides trade scale first, since only their precisions' product matters.
    stayed = swept(als(prior.build(terms, data), terms, 0.0), data, 100, posterior.params)
    plain = swept(als(posterior.prior, terms, 0.0), data, 100, posterior.params)
    mean, mode, without = (_predictions(one.params) for one in (posterior, stayed, plain))
    np.testing.assert_allclose(mode, mean, atol=2e-3)
    assert np.abs(without - mean).max() > 20 * np.abs(mode - mean).max()


@jax.jit
def _users_updated(params, prior, data):
    return update_side("user", params, prior, data)[0]


def _predictions(params):
    return np.asarray(params.user.factor @ params.item.factor.T)


def test_a_typical_row_goes_to_its_mean_and_not_without_the_uncertainty():
    """Of rows with different counts: ALS' step from the posterior's items is nearer to its users
    under this prior than under the precisions that made the ratings.
    """
    task = problem(Terms(2), 0.3, 4.0, factor_variances=(0.6, 0.2))
    data = by_rows(task.ratings, 80, 100, 2)
    posterior = swept(vb(task.terms, 3.0, None, whole=False), data, 8)
    prior = mode_prior(posterior, data)
    distance = {}
    for name, arrays in (
        ("mode", prior.build(task.terms, data)),
        ("own", posterior.prior),
    ):
        params = _users_updated(posterior.params, arrays, data)
        distance[name] = float(jnp.mean((joined(params.user) - joined(posterior.params.user)) ** 2))
    assert distance["mode"] < 0.5 * distance["own"]


def test_numbers_are_those_of_the_formula():
    """One column, computed from the posterior in other words."""
    task = problem(Terms(1), 0.3, 4.0, n=2000)
    data = by_rows(task.ratings, 80, 100, 1)
    posterior = swept(vb(task.terms, 3.0, None, whole=False), data, 6)
    prior = mode_prior(posterior, data)
    tau = float(posterior.prior.tau)
    user, item = task.ratings.user, task.ratings.item
    for side, mine, other, own, covariance in (
        ("user", user, item, posterior.prior.user, posterior.item),
        ("item", item, user, posterior.prior.item, posterior.user),
    ):
        spread = tau * float(np.asarray(covariance)[other, 0].mean())
        column, bias = np.asarray(own.precision).diagonal()
        count = np.bincount(mine)
        typical = np.exp(np.log(count[mine]).mean())
        at_typical = getattr(prior, f"{side}_factor") * float(
            prior.growth(side).weights(np.array([typical]))[0]
        )
        assert at_typical == pytest.approx(column + typical * spread, rel=1e-4)
        at_many = getattr(prior, f"{side}_factor") * float(
            prior.growth(side).weights(np.array([3 * typical]))[0]
        )
        assert at_many == pytest.approx(column + 3 * typical * spread, rel=1e-4)
        assert getattr(prior, f"{side}_bias") == pytest.approx(bias, rel=1e-5)
    assert prior.columns == (1.0,)
