"""What the tests of sharded and of distributed runs share: algorithms by name, and a few steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pmf.als import als
from pmf.gibbs import Hyperprior, gibbs
from pmf.gradient import gradient_map
from pmf.types import Data, Gaussian, Prior, Ratings, Terms
from pmf.wishart import Gamma, NormalWishart

TERMS = Terms(3)
MU = 3.4
USERS, ITEMS = 37, 53  # neither is a multiple of a number of devices; some rows have no rating


def tailed_ratings() -> Ratings:
    """600 float64 ratings with heavy tails; rows are in no order of their sizes."""
    rng = np.random.default_rng(1)
    share = np.outer(1 / np.arange(1, 36), 1 / np.arange(1, 51)).ravel()
    user, item = np.divmod(rng.choice(len(share), 600, replace=False, p=share / share.sum()), 50)
    user, item = rng.permutation(USERS)[user], rng.permutation(ITEMS)[item]
    return Ratings(user.astype(np.int32), item.astype(np.int32), rng.normal(3.5, 1.0, 600))


def prior(terms: Terms, data: Data) -> Prior:
    """Full precision matrices, nonzero means, and another weight for each row."""
    rng = np.random.default_rng(0)

    def gaussian(d: int, count) -> Gaussian:
        root = rng.normal(size=(d, d))
        mean, precision = rng.normal(size=d) * 0.3, root @ root.T + np.eye(d)
        weight = jnp.maximum(count, 1).astype(float) ** 0.4
        return Gaussian(jnp.asarray(mean), jnp.asarray(precision), weight)

    user = gaussian(terms.rank + terms.user_bias, data.user_count)
    item = gaussian(terms.rank + terms.item_bias, data.item_count)
    return Prior(jnp.asarray(1.7), user, item)


def hyperprior(terms: Terms) -> Hyperprior:
    def normal_wishart(d: int) -> NormalWishart:
        unit = jnp.eye(d, dtype=float)
        return NormalWishart(jnp.zeros(d, float), jnp.asarray(2.0), unit, jnp.asarray(d + 1.0))

    def side(has_bias: bool) -> tuple[NormalWishart, ...]:
        return normal_wishart(terms.rank), normal_wishart(int(has_bias))

    tau = Gamma(jnp.asarray(2.0), jnp.asarray(2.0))
    return Hyperprior(side(terms.user_bias), side(terms.item_bias), tau)


ADAM, LBFGS = optax.adam(0.05), optax.lbfgs()
# Each gives, for some terms, what makes the algorithm for some data.
BUILDS = {
    "als": lambda terms: lambda data: als(prior(terms, data), terms, MU),
    "gibbs": lambda terms: lambda data: gibbs(hyperprior(terms), terms, MU, 1.3),
    "map": lambda terms: lambda data: gradient_map(prior(terms, data), terms, MU, ADAM),
    "map-lbfgs": lambda terms: lambda data: gradient_map(prior(terms, data), terms, MU, LBFGS),
    "map-batches": lambda terms: lambda data: gradient_map(prior(terms, data), terms, MU, ADAM, 64),
}


def steps(algorithm, data: Data, num: int, state=None, first: int = 0, on_step=lambda step: None):
    """`num` steps from a state or from the algorithm's own start; keys depend on the step only."""
    if state is None:
        state = algorithm.init(jax.random.key(7), data)
    advance = jax.jit(lambda key, state, data: algorithm.step(key, state, data))
    values = []
    for step in range(first, first + num):
        state, info = advance(jax.random.fold_in(jax.random.key(8), step), state, data)
        values.append(np.asarray(info.log_posterior).tolist())
        on_step(step)
    return state, values
