"""Streaming over draws. Catches: a variance never divided by the draws, noise left out."""

import jax
import jax.numpy as jnp
import numpy as np

from pmf.model import predictive
from pmf.model.density import predict
from pmf.model.predictive import interval, no_moments, observe, predict_pairs, summarise
from pmf.types import Terms
from tests.helpers.problems import random_params, random_prior

USER, ITEM = np.array([0, 3, 8], np.int32), np.array([1, 7, 2], np.int32)


def stacked(num: int):
    prior = random_prior(Terms(3))
    draws = [random_params(Terms(3), prior, seed) for seed in range(num)]
    noise = np.linspace(0.3, 0.8, num)
    means = np.array([predict(p, jnp.asarray(USER), jnp.asarray(ITEM)) for p in draws])
    return jax.tree.map(lambda *x: jnp.stack(x), *draws), noise, means


def test_moments_are_numpys():
    draws, noise, means = stacked(7)
    mean, variance = predict_pairs(draws, noise, USER, ITEM)
    np.testing.assert_allclose(mean, means.mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, means.var(0, ddof=1) + noise.mean(), rtol=1e-10)


def test_streaming_in_parts_is_streaming_at_once():
    draws, noise, _ = stacked(7)
    moments = no_moments(3, noise.dtype)
    for part in (slice(0, 2), slice(2, 3), slice(3, 7)):
        some = jax.tree.map(lambda x, part=part: x[part], draws)
        moments = observe(moments, some, jnp.asarray(noise[part]), *map(jnp.asarray, (USER, ITEM)))
    for a, b in zip(summarise(moments), predict_pairs(draws, noise, USER, ITEM), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_one_draw_has_only_the_noise_it_is_given():
    draws, noise, means = stacked(1)
    mean, variance = predict_pairs(draws, noise, USER, ITEM)
    np.testing.assert_allclose(mean, means[0], rtol=1e-12)
    np.testing.assert_allclose(variance, 0.3)


def test_blocks_of_pairs_change_nothing(monkeypatch):
    draws, noise, _ = stacked(4)
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 9, 50).astype(np.int32), rng.integers(0, 8, 50).astype(np.int32)
    whole = predict_pairs(draws, noise, user, item)
    monkeypatch.setattr(predictive, "PAIRS", 16)
    for a, b in zip(predict_pairs(draws, noise, user, item), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert all(len(x) == 0 for x in predict_pairs(draws, noise, user[:0], item[:0]))


def test_interval_is_the_gaussian_quantile():
    low, high = interval(predictive.Prediction(np.array([3.0]), np.array([4.0])), 0.9)
    np.testing.assert_allclose([low[0], high[0]], 3.0 + 2 * 1.6448536269514722 * np.array([-1, 1]))


def test_observing_in_blocks_is_bit_for_bit_observing_at_once(monkeypatch):
    """Held-out pairs in any number of blocks, the last one padded, from moments half-way."""
    draws, noise, _ = stacked(4)
    rng = np.random.default_rng(1)
    user, item = (jnp.asarray(rng.integers(0, top, 50), jnp.int32) for top in (9, 8))

    def moments(pairs: int):
        monkeypatch.setattr(predictive, "PAIRS", pairs)
        fresh = jax.jit(lambda *arguments: observe.__wrapped__(*arguments))  # no trace is reused
        first = fresh(no_moments(50, noise.dtype), draws, jnp.asarray(noise), user, item)
        return fresh(first, draws, jnp.asarray(noise), item, user % 8)

    whole = moments(1 << 16)
    assert float(whole.seen) == 8
    for pairs in (1, 16, 25, 49):
        for a, b in zip(moments(pairs), whole, strict=True):
            np.testing.assert_array_equal(a, b)
