"""Small random problems in float64 that several rooms' tests share."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pmf.inference.base import Algorithm
from pmf.inference.layout import Data, by_rows
from pmf.model.density import sample_params
from pmf.types import Gaussian, Params, Prior, Ratings, Terms

USERS, ITEMS = 9, 8  # the last user and the last item have no rating
ALL_TERMS = [Terms(k, b, c) for k in (0, 3) for b in (False, True) for c in (False, True)]


def small_ratings() -> Ratings:
    """40 float64 ratings."""
    rng = np.random.default_rng(3)
    pair = rng.permutation((USERS - 1) * (ITEMS - 1))[:40]
    user, item = pair // (ITEMS - 1), pair % (ITEMS - 1)
    value = jnp.asarray(rng.normal(3.5, 1.0, 40))
    return Ratings(jnp.asarray(user, jnp.int32), jnp.asarray(item, jnp.int32), value)


def small_data(rank: int = 3, fused: bool = False, **layout) -> Data:
    """The same by rows and flat."""
    ratings = small_ratings()
    data = by_rows(ratings, USERS, ITEMS, rank, fused=fused, **layout)
    return data._replace(ratings=ratings)


def random_prior(
    terms: Terms, seed: int = 0, weighted: bool = False, own_means: bool = False
) -> Prior:
    """Full precision matrices, nonzero means; if asked, another weight or mean for each row."""
    rng = np.random.default_rng(seed)

    def gaussian(d: int, n: int) -> Gaussian:
        root = rng.normal(size=(d, d))
        weight = rng.uniform(0.5, 2.0, n) if weighted else np.ones(())
        mean = rng.normal(size=(n, d) if own_means else d) * 0.3
        return Gaussian(*(jnp.asarray(x) for x in (mean, root @ root.T + np.eye(d), weight)))

    user = gaussian(terms.rank + terms.user_bias, USERS)
    item = gaussian(terms.rank + terms.item_bias, ITEMS)
    return Prior(jnp.asarray(1.7), user, item)


def random_params(terms: Terms, prior: Prior, seed: int = 0) -> Params:
    """theta from the prior."""
    return sample_params(jax.random.key(seed), prior, terms, jnp.asarray(3.4), USERS, ITEMS)


def climb(algorithm: Algorithm, data: Data, num: int):
    """The state after `num` steps, and the log posterior after each."""
    key, values = jax.random.key(0), []
    state = algorithm.init(key, data)
    step = jax.jit(lambda state: algorithm.step(key, state, data))
    for _ in range(num):
        state, info = step(state)
        values.append(float(info.log_posterior))
    return state, np.array(values)


class HostStep(NamedTuple):
    """A step that loops on the host, see `pmf.inference.base.Algorithm`."""

    step: Callable
    compile: Callable[[], None] = lambda: None

    def __call__(self, key, state, data):
        return self.step(key, state, data)

    def lower(self, key, state, data) -> "HostStep":
        return self
