"""Row updates in expectation are those of the density's own expectation, by both layouts.

Catches: a variance left out of P, of h or of the error; a covariance's sign, place or weight.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.inference.layout import by_rows
from pmf.inference.row_posterior import packed, spread, triangle_size, unpacked, variances
from pmf.inference.row_update import Update, zero_epsilon
from pmf.model.density import joined
from pmf.types import Terms
from tests.helpers.expected import expected_conditionals, expected_squares
from tests.helpers.problems import random_params, random_prior, small_data, small_ratings
from tests.inference.test_fused import ITEMS, USERS, problem

TERMS = Terms(3), Terms(3, False), Terms(3, True, False), Terms(0), Terms(0, False)


def random_covariance(n: int, d: int, whole: bool, seed: int):
    rng = np.random.default_rng(seed)
    if not whole:
        return jnp.asarray(rng.uniform(0.1, 1, (n, d)))
    root = rng.normal(size=(n, d, d))
    return packed(jnp.asarray(root @ root.transpose(0, 2, 1) + 0.1 * np.eye(d)))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("terms", TERMS, ids=str)
def test_rows_are_those_of_the_expected_density(terms, whole, fused):
    prior, data = random_prior(terms, weighted=True), small_data(terms.rank, fused)
    params, ratings, rng = random_params(terms, prior), small_ratings(), np.random.default_rng(1)
    for side, other in (("user", "item"), ("item", "user")):
        mine, theirs = getattr(params, side), getattr(params, other)
        (n, d), (m, e) = joined(mine).shape, joined(theirs).shape
        covariance = random_covariance(m, e, whole, 2)
        weight = jnp.asarray(rng.uniform(0.5, 2, m))
        gaussian = getattr(prior, side)
        rows = getattr(data, f"by_{side}").weighted(weight)
        new = jax.jit(type(rows).posterior)(
            rows,
            Update(zero_epsilon(gaussian), gaussian, prior.tau, params.mu, mine, theirs),
            spread(theirs, covariance, mine.bias.shape[-1]),
            jnp.zeros((n, triangle_size(d) if whole else d)),
        )
        mode, precision = expected_conditionals(params, prior, ratings, side, covariance, weight)
        precision = np.asarray(precision)
        truth = np.linalg.inv(precision) if d else precision
        if not whole:
            truth = np.array([np.diag(1 / np.diag(P)) for P in precision]).reshape(n, d, d)
        np.testing.assert_allclose(new.mean, mode, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(unpacked(new.covariance, d), truth, rtol=1e-8, atol=1e-9)
        log_det = np.linalg.slogdet(truth)[1] if d else np.zeros(n)
        np.testing.assert_allclose(new.log_det, log_det, rtol=1e-8, atol=1e-9)

        sides = {side: (mine._replace(**_split(new.mean, mine)), new.covariance)}
        sides[other] = theirs, covariance
        (user, user_covariance), (item, item_covariance) = sides["user"], sides["item"]
        squares = expected_squares(
            params._replace(user=user, item=item), user_covariance, item_covariance, ratings
        )
        squares = squares * weight[getattr(ratings, other)]
        totals = np.bincount(getattr(ratings, side), squares, n)
        np.testing.assert_allclose(new.error + new.trace, totals, rtol=1e-8, atol=1e-9)


def _split(mean, like):
    rank = like.factor.shape[-1]
    return {"factor": mean[:, :rank], "bias": mean[:, rank:]}


@pytest.mark.parametrize("rank", [1, 7, 16, 33])
def test_the_kernel_agrees_with_blocks_at_the_edges_of_its_tiles(rank):
    ratings, prior, user, item = problem(np.float64, rank, 1)
    gaussian = prior.user
    for whole in (False, True):
        covariance = random_covariance(ITEMS + 1, rank + 1, whole, 3)
        results = []
        for fused in (False, True):
            data = by_rows(ratings, USERS + 1, ITEMS + 1, rank, growth=8.0, fused=fused)
            inputs = Update(
                zero_epsilon(gaussian), gaussian, prior.tau, jnp.asarray(3.4), user, item
            )
            shape = (USERS + 1, triangle_size(rank + 1) if whole else rank + 1)
            results.append(
                data.by_user.posterior(inputs, spread(item, covariance, 1), jnp.zeros(shape))
            )
        for plain, kernel in zip(*results, strict=True):
            np.testing.assert_allclose(kernel, plain, rtol=1e-8, atol=1e-8)


def test_triangles_and_diagonals():
    matrix = jnp.asarray([[4.0, 1.0, 2.0], [1.0, 5.0, 3.0], [2.0, 3.0, 6.0]])
    triangle = packed(matrix)
    np.testing.assert_array_equal(triangle, [4, 1, 2, 5, 3, 6])
    np.testing.assert_array_equal(unpacked(triangle, 3), matrix)
    np.testing.assert_array_equal(variances(triangle[None], 3), [[4, 5, 6]])
    np.testing.assert_array_equal(unpacked(jnp.asarray([4.0, 5.0]), 2), np.diag([4.0, 5.0]))
