"""The fused CPU kernel equals the plain path to rounding.

Catches: a tile or a vector beyond the matrix's edge, a strip counted twice, padding that counts, a
stale scratch buffer, a race between threads.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.data.synthetic import movielens_shaped
from pmf.data.values import coded_values
from pmf.errors import InputError
from pmf.inference import fused as kernel
from pmf.inference.blocks import Blocks
from pmf.inference.layout import by_rows
from pmf.inference.row_update import half_sweep
from pmf.model.density import split_row
from pmf.types import Gaussian, Prior, Ratings, Side

USERS, ITEMS = 90, 300


def problem(dtype, rank: int, bias: int):
    """Heavy-tailed rows: some without a rating, some with several strips of them."""
    rng = np.random.default_rng(rank)

    def side(n: int) -> Side:
        return split_row(jnp.asarray(rng.normal(size=(n, rank + bias)), dtype), rank)

    def gaussian(n: int) -> Gaussian:
        d = rank + bias
        root = rng.normal(size=(d, d)) / max(d, 1) ** 0.5
        parts = rng.normal(size=d), root @ root.T + np.eye(d), rng.uniform(0.5, 2, n)
        return Gaussian(*(jnp.asarray(x, dtype) for x in parts))

    prior = Prior(jnp.asarray(1.7, dtype), gaussian(USERS + 1), gaussian(ITEMS + 1))
    user, item, value = movielens_shaped(0, n=5000, users=USERS, items=ITEMS)
    return Ratings(user, item, value.astype(dtype)), prior, side(USERS + 1), side(ITEMS + 1)


def both(dtype, rank: int, bias: int = 1, observed=None):
    """(w, squared error) of the user rows and of the item rows: plain, then fused."""
    ratings, prior, user, item = problem(dtype, rank, bias)
    results = []
    for fused in (False, True):
        data = by_rows(ratings, USERS + 1, ITEMS + 1, rank, observed, growth=8.0, fused=fused)
        epsilon = [
            jnp.asarray(np.random.default_rng(1).normal(size=(n + 1, rank + bias)), dtype)
            for n in (USERS, ITEMS)
        ]
        mu = jnp.asarray(3.4, dtype)
        results.append(
            half_sweep(epsilon[0], prior.user, prior.tau, mu, user, item, data.by_user)
            + half_sweep(epsilon[1], prior.item, prior.tau, mu, item, user, data.by_item)
        )
    return results


# Ranks on both sides of a tile's and a vector's edge, in the float types' 8 and 16 lanes
@pytest.mark.parametrize("rank", [0, 1, 6, 7, 8, 14, 15, 16, 31, 33, 64, 130])
def test_fused_equals_blocks(rank):
    for plain, fused in zip(*both(np.float64, rank), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.parametrize("rank", [0, 7, 40])
def test_fused_equals_blocks_in_single_precision(rank, bias):
    """As far from the double-precision truth as the plain path is, up to a small factor."""
    truth = both(np.float64, rank, bias)[0]
    plain, fused = both(np.float32, rank, bias)
    for exact, a, b in zip(truth, plain, fused, strict=True):
        assert b.dtype == jnp.float32 and b.shape == exact.shape
        scale = np.abs(exact).max(initial=1)
        allowed = 5 * np.abs(a - exact).max(initial=0) + 1e-6 * scale
        assert np.abs(b - exact).max(initial=0) <= allowed


def test_ratings_not_observed_do_not_count():
    observed = np.random.default_rng(0).random(5000) < 0.5
    for plain, fused in zip(*both(np.float64, 5, observed=observed), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_bytes_and_exact(dtype):
    """Values kept as codes give the very bits that the values themselves give."""
    ratings, prior, user, item = problem(dtype, 7, 1)
    coded = ratings._replace(value=coded_values(np.asarray(ratings.value, np.float32)))
    data = by_rows(coded, USERS + 1, ITEMS + 1, 7, fused=True)
    assert data.by_user.value.dtype == data.by_item.value.dtype == np.uint8
    epsilon, mu = jnp.zeros((1, 8), dtype), jnp.asarray(3.4, dtype)

    def update(rows):
        return half_sweep(epsilon, prior.user, prior.tau, mu, user, item, rows)

    whole = by_rows(ratings, USERS + 1, ITEMS + 1, 7, fused=True).by_user
    for a, b in zip(update(data.by_user), update(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("fused", [False, True])
def test_one_row_of_noise_serves_all(fused):
    ratings, prior, user, item = problem(np.float64, 3, 1)
    data = by_rows(ratings, USERS + 1, ITEMS + 1, 3, fused=fused)
    arguments = prior.user, prior.tau, jnp.asarray(3.4), user, item, data.by_user
    one = jax.random.normal(jax.random.key(0), (1, 4))
    every = jnp.broadcast_to(one, (USERS + 1, 4))
    for a, b in zip(half_sweep(one, *arguments), half_sweep(every, *arguments), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_input_same_bits():
    """Which thread takes which rows changes nothing."""
    ratings, prior, user, item = problem(np.float32, 16, 1)
    data = by_rows(ratings, USERS + 1, ITEMS + 1, 16, fused=True)
    update = jax.jit(half_sweep)
    epsilon, mu = jnp.zeros((USERS + 1, 17), jnp.float32), jnp.float32(3)
    arguments = epsilon, prior.user, prior.tau, mu, user, item, data.by_user
    first = update(*arguments)
    for _ in range(20):
        for a, b in zip(first, update(*arguments), strict=True):
            np.testing.assert_array_equal(a, b)


def test_chains_are_batched():
    ratings, prior, user, item = problem(np.float64, 4, 1)
    data = by_rows(ratings, USERS + 1, ITEMS + 1, 4, fused=True)
    epsilon = jax.random.normal(jax.random.key(0), (3, USERS + 1, 5))

    def update(epsilon):
        arguments = prior.user, prior.tau, jnp.asarray(3.0), user, item, data.by_user
        return half_sweep(epsilon, *arguments)

    together = jax.vmap(update)(epsilon)
    for j in range(3):
        for a, b in zip(together, update(epsilon[j]), strict=True):
            np.testing.assert_array_equal(a[j], b)


def test_improper_precision_gives_nan():
    """The driver then stops with the step and the quantity; a silent number would not."""
    ratings, prior, user, item = problem(np.float64, 3, 1)
    data = by_rows(ratings, USERS + 1, ITEMS + 1, 3, fused=True)
    broken = prior.user._replace(precision=-1e6 * prior.user.precision)
    epsilon = jnp.zeros((USERS + 1, 4))
    w, _ = half_sweep(epsilon, broken, prior.tau, jnp.asarray(3.0), user, item, data.by_user)
    assert np.all(np.isnan(w).any(-1))


def test_asked_for_but_missing(monkeypatch):
    ratings, *_ = problem(np.float64, 2, 1)
    monkeypatch.setattr(kernel, "available", lambda: False)
    with pytest.raises(InputError, match=r"pmf\[fast\]"):
        by_rows(ratings, USERS + 1, ITEMS + 1, 2, fused=True)
    plain = by_rows(ratings, USERS + 1, ITEMS + 1, 2)
    assert isinstance(plain.by_user, Blocks)
