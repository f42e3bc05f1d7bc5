"""Synthetic ratings: drawn from the model itself, or shaped like MovieLens 25M."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pmf.errors import InputError
from pmf.model.density import sample_params, simulate
from pmf.types import Params, Prior, Ratings, Terms


class Synthetic(NamedTuple):
    """Ratings and the truth that they were drawn from."""

    ratings: Ratings
    params: Params


def from_model(
    key: jax.Array, prior: Prior, terms: Terms, mu: float, users: int, items: int, n: int
) -> Synthetic:
    """theta ~ prior, then ratings of `n` distinct random pairs ~ N(E[r | theta], 1/tau)."""
    if not 1 <= n <= users * items:
        raise InputError(f"n={n}: {users} users and {items} items have {users * items} pairs")
    key_pairs, key_params, key_values = jax.random.split(key, 3)
    pair = jax.random.choice(key_pairs, users * items, (n,), replace=False)
    user, item = (x.astype(jnp.int32) for x in jnp.divmod(pair, items))
    mean = jnp.asarray(mu, prior.tau.dtype)
    params = sample_params(key_params, prior, terms, mean, users, items)
    return Synthetic(
        Ratings(user, item, simulate(key_values, params, user, item, prior.tau)), params
    )


def movielens_shaped(
    seed: int, n: int = 25_000_095, users: int = 162_541, items: int = 59_047
) -> Ratings:
    """`n` distinct pairs with MovieLens 25M's heavy tails on both sides; values carry no signal.

    In ML-25M a user has at least 20 ratings, 71 in the median, 32,202 at most; an item 6 in the
    median, 81,491 at most. Both are lognormal here, with about those medians and means; the most
    active users are lighter than the real ones, because a pair that repeats is drawn again.
    """
    if n > 0.2 * users * items:
        raise InputError(f"n={n} is too dense for {users} x {items}: at most a fifth of the pairs")
    rng = np.random.default_rng(seed)
    user_share = 20 + np.exp(rng.normal(np.log(51), 1.39, users))
    item_share = np.exp(rng.normal(0, 2.9, items))
    cap = 81_491 / 25_000_095
    for _ in range(30):  # no item is more popular than ML-25M's most popular one
        item_share = np.minimum(item_share / item_share.sum(), cap)
    item_edges = np.cumsum(item_share / item_share.sum())
    pairs = np.empty(0, np.int64)
    while len(pairs) < n:  # drawn with replacement, so some repeat: draw on until n are distinct
        missing = int(1.1 * (n - len(pairs))) + users
        degree = np.diff(np.rint(np.cumsum(user_share) / user_share.sum() * missing), prepend=0)
        user = np.repeat(np.arange(users), degree.astype(np.int64))
        item = np.searchsorted(item_edges, rng.random(len(user)) * item_edges[-1])
        pairs = np.sort(np.concatenate([pairs, user * items + item]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    surplus = rng.choice(len(pairs), len(pairs) - n, replace=False)
    pairs = np.delete(pairs, surplus)
    value = rng.integers(1, 11, n).astype(np.float32) / 2
    return Ratings((pairs // items).astype(np.int32), (pairs % items).astype(np.int32), value)
