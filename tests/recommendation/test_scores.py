"""Scores, lists and ranks of all items. Catches: a mean over the wrong axis, a tie by rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.data.histories import Pairs, by_user
from pmf.model.density import predict
from pmf.recommendation import scores as candidates
from pmf.types import Terms
from tests.helpers.problems import random_params, random_prior


@pytest.mark.parametrize("terms", [Terms(3), Terms(0), Terms(2, False, True)])
def test_scores_are_the_mean_over_draws(terms):
    prior = random_prior(terms)
    draws = [random_params(terms, prior, seed) for seed in range(5)]
    stack = jax.tree.map(lambda *x: jnp.stack(x), *draws)
    users, items = np.array([4, 0, 8, 8]), np.array([5, 2, 7])
    pairs = (jnp.asarray(x.ravel(), jnp.int32) for x in np.meshgrid(users, items, indexing="ij"))
    pair = tuple(pairs)
    truth = np.mean([predict(params, *pair) - params.mu for params in draws], 0).reshape(4, 3)
    scores = candidates.scorer(stack, items)(users)
    np.testing.assert_allclose(scores, truth, rtol=1e-12)


def test_equal_items_have_equal_scores():
    """Wherever their columns lie: the rule for ties applies to them, not rounding."""
    rng = np.random.default_rng(0)
    params = random_params(Terms(16), random_prior(Terms(16)), seed=0)
    stack = jax.tree.map(lambda x: np.asarray(x, np.float32)[None], params)
    items = rng.integers(0, 8, 1003)
    scores = np.asarray(candidates.scorer(stack, items)(np.arange(9)))
    assert all(len(np.unique(scores[j, items == i])) == 1 for j in range(9) for i in range(8))


def ranks_and_list(table: np.ndarray, rated: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """The rank of every item of the first user, and that user's list of all items."""
    n = table.shape[1]
    (block,) = candidates.blocks(lambda users: table[users], np.array([0]), n, rated.of)
    ranks = candidates.ranks(block.scores, np.zeros(n, int), np.arange(n))
    return ranks, np.asarray(candidates.top(block.scores, n)[0])[0]


NOBODY = by_user(np.zeros(0, int), np.zeros(0, int), 2)


@pytest.mark.parametrize("levels", [1, 20, 10**6])
def test_lists_and_ranks_are_a_stable_sort(levels):
    """More items than pairs are compared abreast, and some seen."""
    rng = np.random.default_rng(1)
    table = -rng.integers(0, levels, (2, 301)) / 4.0  # zeros are negative
    rated = by_user(np.array([1, 0, 0]), np.array([4, 7, 0]), 2)
    ranks, best = ranks_and_list(table, rated)
    left = np.setdiff1d(np.arange(301), [0, 7])
    order = left[np.argsort(-table[0, left], kind="stable")]
    assert best.tolist() == [*order, -1, -1]
    np.testing.assert_array_equal(ranks[order], 1 + np.arange(299))


@pytest.mark.parametrize("levels", [1, 3, 40, 10**6])
@pytest.mark.parametrize("m", [640, 645])
def test_the_best_of_many_are_those_of_a_stable_sort(levels, m):
    """By groups: ties within and between them, zeros of either sign, columns behind the last whole
    group, and rows where fewer are left than asked for, or none."""
    rng = np.random.default_rng(2)
    scores = (rng.integers(0, levels, (60, m)) - levels // 2) / 4.0
    scores[rng.random(scores.shape) < 0.5] *= -1.0  # some zeros are negative
    scores[rng.random(scores.shape) < np.linspace(0, 1, 60)[:, None]] = -np.inf
    scores[:5, : m - 4] = -np.inf
    best, items = candidates.top(jnp.asarray(scores), 10)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    truth = np.take_along_axis(scores, order, 1)
    np.testing.assert_array_equal(best, np.where(np.isfinite(truth), order, -1))
    np.testing.assert_array_equal(items, truth)


def zeros_with_signs(patch):
    """-0.0 after 0.0, as the device sorts them."""
    patch.setattr(candidates, "_unsigned", lambda scores: scores)
    jax.clear_caches()


def test_signed_zeros_are_equal(monkeypatch):
    """Lists and ranks agree on ties: what is ranked k or better is what is recommended."""
    table = np.array([[0.0, -0.0, 0.0, -0.0]] * 2)
    ranks, best = ranks_and_list(table, NOBODY)
    assert ranks.tolist() == [1, 2, 3, 4] and best.tolist() == [0, 1, 2, 3]
    zeros_with_signs(monkeypatch)
    ranks, best = ranks_and_list(table, NOBODY)
    assert ranks.tolist() != (best + 1).tolist()


def test_pairs_of_some_users():
    user, item = np.array([3, 0, 3, 1, 3]), np.array([9, 8, 7, 6, 5])
    place, items = by_user(user, item, 5).of(np.array([3, 4, 1, 3]))
    assert place.tolist() == [0, 0, 0, 2, 3, 3, 3]
    assert items.tolist() == [9, 7, 5, 6, 9, 7, 5]
